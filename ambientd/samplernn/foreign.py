"""The tensors of another project's SampleRNN as ours: folding only, the same function. NumPy; command line, tests.

The other project is deepsound-project/samplernn-pytorch, with its forks (ambient_music_generator among them).
How its model differs from samplernn/model.py, and what becomes of it here:

- weight normalisation w = g v / |v| (Salimans and Kingma 2016), stored as weight_g and weight_v or as a
  parametrization: multiplied out
- an embedding followed by a convolution over the last tokens: one table [position, token, dim]
- frames scaled as 2 (token / (q/2) - 1) where ours are `quantize.network_scale`: in the input weights and bias
- learned upsampling by a transposed convolution with a bias [dim, ratio]: one matrix [ratio * dim, dim]
- a bias that is missing is zero
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ambientd.arrays import Floats
from ambientd.errors import CheckpointError
from ambientd.samplernn.checkpoint import MAX_FILE_BYTES, Architecture
from ambientd.samplernn.quantize import network_scale
from ambientd.types import Quantization

Doubles = NDArray[np.float64]

OTHER_MODEL = "Only samplernn-pytorch's own architecture can be imported"


def convert(state: Mapping[str, Floats], quantization: Quantization) -> tuple[Architecture, dict[str, Floats]]:
    """(architecture, our tensors) of a state dict without prefixes, as `foreign_reader.read` gives it.

    Everything but the quantization follows from the shapes. Raises CheckpointError naming the tensor.
    """
    weights = _Weights(_without_weight_norm(state))
    architecture = _architecture(weights, quantization)
    tensors = _sample_tier(weights, architecture)
    for k in range(len(architecture.frame_sizes)):
        tensors |= _frame_tier(weights, architecture, k)
    if unknown := weights.unused():
        raise CheckpointError(f"the model has a part that is not known here, {unknown[0]}", OTHER_MODEL)
    converted = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    for name, tensor in converted.items():
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"the model's weights hold NaN or infinity ({name})", "Import an earlier checkpoint")
    return architecture, converted


class _Weights:
    """A state dict that knows which of its tensors were taken."""

    def __init__(self, tensors: dict[str, Doubles]) -> None:
        self._tensors = tensors
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def shape(self, name: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a tensor that must be there and have so many dimensions."""
        if name not in self._tensors:
            raise CheckpointError(f"the model has no tensor {name}", OTHER_MODEL)
        shape = self._tensors[name].shape
        if len(shape) != dimensions or 0 in shape:
            raise CheckpointError(f"the model's {name} is {list(shape)}", OTHER_MODEL)
        return shape

    def take(self, name: str, *shape: int) -> Doubles:
        if (found := self.shape(name, len(shape))) != shape:
            raise CheckpointError(
                f"the model's tensor {name} should be {list(shape)} and is {list(found)}", OTHER_MODEL
            )
        self._taken.add(name)
        return self._tensors[name]

    def take_or_zeros(self, name: str, *shape: int) -> Doubles:
        return self.take(name, *shape) if name in self else np.zeros(shape)

    def unused(self) -> list[str]:
        return sorted(self._tensors.keys() - self._taken)


def _without_weight_norm(state: Mapping[str, Floats]) -> dict[str, Doubles]:
    """Every g and v multiplied out, in float64. The norm is over the axes along which g has one element."""
    folded: dict[str, Doubles] = {}
    for name, tensor in state.items():
        base = re.sub(r"parametrizations\.(\w+)\.original[01]$", r"\1", re.sub(r"_[gv]$", "", name))
        direction = next((v for v in (f"{base}_v", _parametrized(base, 1)) if v in state), None)
        if direction is None:
            folded[name] = tensor.astype(np.float64)
        elif name != direction:
            folded[base] = _normed(base, tensor.astype(np.float64), state[direction].astype(np.float64))
    return folded


def _parametrized(name: str, index: int) -> str:
    module, _, parameter = name.rpartition(".")
    return f"{module}.parametrizations.{parameter}.original{index}"


def _normed(name: str, g: Doubles, v: Doubles) -> Doubles:
    if g.ndim != v.ndim or any(a not in (1, b) for a, b in zip(g.shape, v.shape, strict=True)):
        raise CheckpointError(f"the weight norm of {name} is {list(g.shape)} for {list(v.shape)}", OTHER_MODEL)
    axes = tuple(axis for axis, size in enumerate(g.shape) if size == 1)
    with np.errstate(all="ignore"):
        return cast(Doubles, g * (v / np.sqrt(np.square(v).sum(axis=axes, keepdims=True))))


def _architecture(weights: _Weights, quantization: Quantization) -> Architecture:
    """The hyperparameters that the shapes tell."""
    frame_sizes: list[int] = []
    while (name := f"frame_level_rnns.{len(frame_sizes)}.input_expand.weight") in weights or not frame_sizes:
        dim, size, _ = weights.shape(name, 3)
        frame_sizes.append(size)
    n_rnn = 0
    while f"frame_level_rnns.0.rnn.weight_ih_l{n_rnn}" in weights:
        n_rnn += 1
    q_levels = weights.shape("sample_level_mlp.output.weight", 3)[0]
    facts = {"dim": dim, "frame_sizes": frame_sizes, "n_rnn": n_rnn, "q_levels": q_levels}
    try:
        architecture = Architecture.model_validate(facts | {"quantization": quantization})
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0])
        raise CheckpointError(f"the model's {where} is {facts.get(where)}: {first['msg']}", OTHER_MODEL) from None
    # Before folding, which makes more of what little a file may hold.
    if (size := 4 * sum(map(math.prod, architecture.shapes().values()))) > MAX_FILE_BYTES:
        limit = f"more than {MAX_FILE_BYTES >> 20}"
        raise CheckpointError(f"the model would take {size >> 20} MiB, {limit}", "It is too large for this version")
    return architecture


def _frame_tier(weights: _Weights, a: Architecture, k: int) -> dict[str, Doubles]:
    """Tier k, lowest first."""
    d, size, ratio = a.dim, a.frame_sizes[k], a.ratios[k]
    theirs, ours = f"frame_level_rnns.{k}", f"tiers.{k}"
    weight = weights.take(f"{theirs}.input_expand.weight", d, size, 1)[:, :, 0]
    bias = weights.take_or_zeros(f"{theirs}.input_expand.bias", d)
    offset, factor = network_scale(a.q_levels)
    # token = x / factor + offset, and they hear (token - q/2) * 4/q.
    step = 4 / a.q_levels
    tensors = {
        f"{ours}.input.weight": weight * (step / factor),
        f"{ours}.input.bias": bias + weight.sum(axis=1) * ((offset - a.q_levels / 2) * step),
    }
    h0 = weights.take_or_zeros(f"{theirs}.h0", a.n_rnn, d)
    for layer in range(a.n_rnn):
        cell = f"{ours}.rnn.{layer}"
        for kind in ("ih", "hh"):
            tensors[f"{cell}.weight_{kind}"] = weights.take(f"{theirs}.rnn.weight_{kind}_l{layer}", 3 * d, d)
            tensors[f"{cell}.bias_{kind}"] = weights.take_or_zeros(f"{theirs}.rnn.bias_{kind}_l{layer}", 3 * d)
        tensors[f"{cell}.h0"] = h0[layer]
    kernel = weights.take(f"{theirs}.upsampling.conv_t.weight", d, d, ratio)  # [in, out, step within the frame]
    tensors[f"{ours}.upsample.weight"] = kernel.transpose(2, 1, 0).reshape(ratio * d, d)
    tensors[f"{ours}.upsample.bias"] = weights.take_or_zeros(f"{theirs}.upsampling.bias", d, ratio).T.reshape(-1)
    return tensors


def _sample_tier(weights: _Weights, a: Architecture) -> dict[str, Doubles]:
    d, q, size = a.dim, a.q_levels, a.frame_sizes[0]
    mlp = "sample_level_mlp"
    embedding = weights.take(f"{mlp}.embedding.weight", q, weights.shape(f"{mlp}.embedding.weight", 2)[1])
    kernel = weights.take(f"{mlp}.input.weight", d, embedding.shape[1], size)
    table = np.tensordot(embedding, kernel, (1, 1)).transpose(2, 0, 1)  # [position, token, dim]
    # Exactly one token stands at each position, so a bias may join any of them.
    table[0] += weights.take_or_zeros(f"{mlp}.input.bias", d)
    tensors: dict[str, Any] = {"sample.table": table}
    for layer, rows in (("hidden", d), ("output", q)):
        tensors[f"sample.{layer}.weight"] = weights.take(f"{mlp}.{layer}.weight", rows, d, 1)[:, :, 0]
        tensors[f"sample.{layer}.bias"] = weights.take_or_zeros(f"{mlp}.{layer}.bias", rows)
    return tensors
