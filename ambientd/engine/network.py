"""A checkpoint's tensors by role, as every kernel wants them. Any thread; nothing here changes after loading.

Tiers are ordered lowest (fastest) first. D = dim, q = q_levels, K = the lowest frame size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ambientd.arrays import Floats
from ambientd.samplernn.checkpoint import Architecture


@dataclass(frozen=True)
class Cell:
    """One GRU layer; gates in the order r, z, n."""

    weight_ih: Floats  # [3D, D]
    weight_hh: Floats  # [3D, D]
    bias_ih: Floats  # [3D]
    bias_hh: Floats  # [3D]
    h0: Floats  # [D]


@dataclass(frozen=True)
class Tier:
    """One frame tier: frame_size tokens in, `ratio` conditioning vectors out."""

    frame_size: int
    ratio: int
    input_weight: Floats  # [D, frame_size], the oldest token first
    input_bias: Floats  # [D]
    cells: tuple[Cell, ...]
    upsample_weight: Floats  # [ratio * D, D]
    upsample_bias: Floats  # [ratio * D]


@dataclass(frozen=True)
class Forecast:
    """What the sample tier makes of the forecast of `samplernn.forecast`, whose filters `architecture` describes."""

    architecture: Architecture
    table: Floats  # [3, 256, D]
    width: Floats  # [2, 256], logarithms
    slope: float


@dataclass(frozen=True)
class Network:
    """The whole SampleRNN."""

    tiers: tuple[Tier, ...]
    table: Floats  # [K, q, D], position 0 is the oldest token
    hidden_weight: Floats  # [D, D]
    hidden_bias: Floats  # [D]
    output_weight: Floats  # [q, D]
    output_bias: Floats  # [q]
    forecast: Forecast | None

    @classmethod
    def from_tensors(cls, architecture: Architecture, tensors: Mapping[str, Floats]) -> Network:
        """Group a checkpoint's tensors; their shapes were checked when the file was read."""
        sizes = architecture.frame_sizes
        return cls(
            tiers=tuple(_tier(k, sizes, architecture.n_rnn, tensors) for k in range(len(sizes))),
            table=tensors["sample.table"],
            hidden_weight=tensors["sample.hidden.weight"],
            hidden_bias=tensors["sample.hidden.bias"],
            output_weight=tensors["sample.output.weight"],
            output_bias=tensors["sample.output.bias"],
            forecast=_forecast(architecture, tensors) if architecture.forecast else None,
        )

    @property
    def dim(self) -> int:
        return int(self.hidden_bias.size)

    @property
    def q_levels(self) -> int:
        return int(self.output_bias.size)

    @property
    def context(self) -> int:
        """How many past tokens the model hears: the longest frame."""
        return self.tiers[-1].frame_size


def _forecast(architecture: Architecture, tensors: Mapping[str, Floats]) -> Forecast:
    slope = float(tensors["forecast.slope"][0])
    return Forecast(architecture, tensors["forecast.table"], tensors["forecast.width"], slope)


def _tier(k: int, frame_sizes: tuple[int, ...], n_rnn: int, tensors: Mapping[str, Floats]) -> Tier:
    cells = (
        Cell(*(tensors[f"tiers.{k}.rnn.{layer}.{part}"] for part in Cell.__dataclass_fields__))
        for layer in range(n_rnn)
    )
    return Tier(
        frame_size=frame_sizes[k],
        ratio=frame_sizes[k] // (frame_sizes[k - 1] if k else 1),
        input_weight=tensors[f"tiers.{k}.input.weight"],
        input_bias=tensors[f"tiers.{k}.input.bias"],
        cells=tuple(cells),
        upsample_weight=tensors[f"tiers.{k}.upsample.weight"],
        upsample_bias=tensors[f"tiers.{k}.upsample.bias"],
    )
