"""The truth for 8-bit kernels: the reference's network, with weights that multiply as those do. Tests only.

`reference.py` runs on it unchanged. Sums are exact, so a fast kernel may differ only where rounding elsewhere
carries an activation across the border between two of its levels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.kernels.matrices import to_bf16, to_int8, to_int16
from ambientd.engine.network import Network, Tier


class Int8Weights:
    """Stands in for a matrix [R, C] in `weights @ x`. positive: x has been through a ReLU."""

    def __init__(self, weights: Floats, positive: bool = False) -> None:
        self.q, self.scale = to_int8(weights)
        self.levels, self.zero = (255, 0) if positive else (127, 128)

    def __matmul__(self, x: Floats) -> Floats:
        peak = np.float32(np.abs(x).max())
        if peak == 0:
            return np.zeros(len(self.scale), np.float32)
        q = (x * (np.float32(self.levels) / peak) + np.float32(self.zero + 0.5)).astype(np.int64)
        sums = self.q.astype(np.int64) @ (q - self.zero)
        return np.asarray(sums.astype(np.float32) * (peak / np.float32(self.levels) * self.scale), np.float32)


def int8_network(network: Network) -> Network:
    """`network` as the int8 kernels see it: a tier's own input stays as it is, the output layer is bf16."""
    return replace(
        network,
        tiers=tuple(map(_int8_tier, network.tiers)),
        table=_int16_table(network.table),
        hidden_weight=_as_weights(network.hidden_weight, positive=True),
        output_weight=(to_bf16(network.output_weight).astype(np.uint32) << 16).view(np.float32),
        forecast=network.forecast and replace(network.forecast, table=_int16_table(network.forecast.table)),
    )


def _int16_table(table: Floats) -> Floats:
    values, scale = to_int16(table)
    return values * scale


def _int8_tier(tier: Tier) -> Tier:
    cells = (
        replace(cell, weight_ih=_as_weights(cell.weight_ih), weight_hh=_as_weights(cell.weight_hh))
        for cell in tier.cells
    )
    return replace(tier, cells=tuple(cells), upsample_weight=_as_weights(tier.upsample_weight))


def _as_weights(weights: Floats, positive: bool = False) -> Floats:
    return cast(Floats, Int8Weights(weights, positive))
