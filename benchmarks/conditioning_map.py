"""Do two models speak one language between their tiers, and can a linear map translate? Needs torch.

    python benchmarks/conditioning_map.py A B [--out FOLDER]

Both hear the same audio: what their files hold of their albums. Of each tier, c_A and c_B are what they hand down;
W minimises ||c_A W + w - c_B|| on three quarters of it, and is measured on the rest. Then what matters: the bits that
B's fast tiers need for B's album under A's slow tiers, as they are and translated. With --out, A is also written with
W folded into its slow tiers' upsampling (`A-as-B.safetensors`, of B's family), for `ambientd blend-report`.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ambientd.samplernn.checkpoint import Checkpoint, load, save
from ambientd.samplernn.library import resolve_local
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training.dataset import forecast_tracks, stack_forecasts
from ambientd_plugins.training.trainer import as_tensors

Vectors = NDArray[np.float64]
MOST = 4000
"""Vectors of each place in the albums, sixteen of them."""
RIDGE = 1e-4
"""Of the mean variance, added to each: directions that A hardly uses must not be blown up."""


class Player:
    """A model, and the tier vectors that it makes of tokens."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.model = SampleRNN(checkpoint.card.architecture).eval()
        self.model.restore(checkpoint.tensors)

    def vectors(self, tokens: Tensor, above: Tensor | None = None, first: int = 0) -> list[Tensor]:
        """tokens [B, context + T] -> [B, F, D] of each tier, the highest first. above: given to tier `first` - 1."""
        model, found = self.model, []
        scaled = (tokens[:, :-1].float() - model.offset) * model.factor
        length = tokens.shape[1] - model.context
        for k in reversed(range(first or len(model.tiers))):
            tier = model._stack[k]
            begin = model.context - tier.frame_size
            frames = scaled[:, begin : begin + length].reshape(len(tokens), -1, tier.frame_size)
            above, _ = tier(frames, above, [cell.h0.expand(len(tokens), -1) for cell in tier.cells])
            found.append(above)
        return found

    def bits(self, tokens: Tensor, slow: Tensor) -> float:
        """Bits per sample of the last T under these vectors in place of what its own slow tiers hand down."""
        model = self.model
        above = self.vectors(tokens, slow, 1)[-1]
        tracks = [row.numpy() for row in tokens[:, model.context :]]
        known = forecast_tracks(tracks, model.architecture)
        forecasts = as_tensors(stack_forecasts(known), torch.device("cpu")) if known else None
        if model.forecast and forecasts is not None:
            above = above + model.forecast.heard(forecasts)
        logits = model.sample(tokens[:, model.context - model.architecture.frame_sizes[0] : -1], above)
        if model.forecast and forecasts is not None:
            logits = logits + model.forecast.prior(forecasts)
        targets = tokens[:, model.context :].flatten().long()
        return float(F.cross_entropy(logits.flatten(0, 1), targets)) / math.log(2)


def fit(ours: Vectors, theirs: Vectors) -> tuple[Vectors, Vectors]:
    """(W [D, D], w [D]) with ours @ W + w nearest to theirs, [N, D] each."""
    mean_a, mean_b = ours.mean(axis=0), theirs.mean(axis=0)
    a, b = ours - mean_a, theirs - mean_b
    gram = a.T @ a
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram, a.T @ b)
    return weights, mean_b - mean_a @ weights


def explained(guess: Vectors, truth: Vectors) -> float:
    """R^2: the share of truth's variance that guess accounts for."""
    return float(1 - np.square(truth - guess).sum() / np.square(truth - truth.mean(axis=0)).sum())


def flat(vectors: Tensor) -> Vectors:
    """[N, D] of [B, F, D]: at most MOST a row, evenly spread."""
    return np.asarray(vectors[:, :: -(-vectors.shape[1] // MOST)].flatten(0, 1).double().numpy())


def folded(a: Checkpoint, b: Checkpoint, weights: Vectors, shift: Vectors) -> Checkpoint:
    """A, whose slowest tier hands down what B's next one understands."""
    top, dim = len(a.card.architecture.frame_sizes) - 1, a.card.architecture.dim
    tensors = dict(a.tensors)
    up, bias = f"tiers.{top}.upsample.weight", f"tiers.{top}.upsample.bias"
    blocks = tensors[up].astype(np.float64).reshape(-1, dim, dim)
    tensors[up] = np.einsum("de,rdi->rei", weights, blocks).reshape(-1, dim).astype(np.float32)
    tensors[bias] = (tensors[bias].reshape(-1, dim) @ weights + shift).reshape(-1).astype(np.float32)
    return replace(a, tensors=tensors, card=a.card.model_copy(update={"family": b.card.family}))


@torch.no_grad()
def compare(a: Checkpoint, b: Checkpoint, out: Path | None) -> dict[str, Any]:
    """What A's tiers say to B's, as they are and translated."""
    players = Player(a), Player(b)
    context = players[0].model.context
    tokens = torch.from_numpy(np.concatenate((a.prime, b.prime)))
    tokens = tokens[:, : context + (tokens.shape[1] - context) // context * context]
    rest = torch.arange(len(tokens)) % 4 == 3
    ours, theirs = (player.vectors(tokens) for player in players)
    result: dict[str, Any] = {"a": a.id, "b": b.id, "tiers": {}}
    for k, (mine, yours) in enumerate(zip(ours, theirs, strict=True)):
        tier = len(ours) - 1 - k
        map = fit(flat(mine[~rest]), flat(yours[~rest]))
        known, truth = flat(mine[rest]), flat(yours[rest])
        guess = known @ map[0] + map[1]
        result["tiers"][tier] = {"as_it_is": explained(known, truth), "translated": explained(guess, truth)}
        if k == 0:
            slow, weights, shift = mine, *map
    album = rest & (torch.arange(len(tokens)) >= len(a.prime))
    nobody = torch.from_numpy(flat(theirs[0][~rest]).mean(axis=0)).float().expand(int(album.sum()), slow.shape[1], -1)
    translated = slow[album] @ torch.from_numpy(weights).float() + torch.from_numpy(shift).float()
    cases = {"own": theirs[0][album], "as_it_is": slow[album], "translated": translated, "constant": nobody}
    result["bits"] = {
        name: float(
            np.mean([players[1].bits(tokens[album][i : i + 1], vectors[i : i + 1]) for i in range(len(vectors))])
        )
        for name, vectors in cases.items()
    }
    if out:
        mapped = folded(a, b, weights, shift)
        save(out / f"{a.id}-as-{b.id}.safetensors", mapped.card, mapped.tensors, mapped.prime, guide=mapped.guide)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--out", type=Path, help="A folder for A translated for B.")
    asked = parser.parse_args()
    found = compare(load(resolve_local(asked.a)), load(resolve_local(asked.b)), asked.out)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
