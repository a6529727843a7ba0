"""A network's weights in the kernel's layout. Any thread; done once per checkpoint, shared by its voices."""

from __future__ import annotations

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.gemv import COLUMNS, aligned, pack_f32, padded
from ambientd.engine.network import Network, Tier


class PackedNetwork:
    """Owns the packed weights; `voice`, `tiers` and `layers` are plan rows with the weights' addresses filled in."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.dim = padded(network.dim)
        self.levels = padded(network.q_levels)
        self._kept: list[Floats] = []
        tiers, cells = len(network.tiers), len(network.tiers[0].cells)
        self.voice = np.zeros(plan.VOICE_FIELDS, np.int64)
        self.tiers = np.zeros((tiers, plan.TIER_FIELDS), np.int64)
        self.layers = np.zeros((tiers, cells, plan.LAYER_FIELDS), np.int64)
        self._pack_sample_level()
        for k in range(tiers):
            self._pack_tier(k)
            self._pack_cells(k)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._kept)

    def _keep(self, array: Floats) -> int:
        self._kept.append(array)
        return array.ctypes.data

    def _matrix(self, matrix: Floats, rows: int, columns: int, parts: int = 1) -> int:
        """Address of `matrix` [parts * R, C] packed, each part padded to `rows` and the columns to `columns`."""
        return self._keep(pack_f32(pad(matrix.reshape(parts, -1, matrix.shape[1]), rows, columns)))

    def _vector(self, vector: Floats, size: int, parts: int = 1) -> int:
        out = aligned(parts * size)
        out[:] = pad(vector.reshape(parts, -1, 1), size, 1)[:, 0]
        return self._keep(out)

    def _pack_sample_level(self) -> None:
        net, row, dim = self.network, self.voice, self.dim
        row[plan.DIM], row[plan.LEVELS] = dim, net.q_levels
        row[plan.TIERS], row[plan.LAYERS] = len(net.tiers), len(net.tiers[0].cells)
        row[plan.POSITIONS] = len(net.table)
        table = aligned(net.table.shape[0] * net.q_levels * dim)
        table.reshape(*net.table.shape[:2], dim)[:, :, : net.dim] = net.table
        row[plan.TABLE] = self._keep(table)
        row[plan.HIDDEN_WEIGHT] = self._matrix(net.hidden_weight, dim, dim)
        row[plan.HIDDEN_BIAS] = self._vector(net.hidden_bias, dim)
        row[plan.OUTPUT_WEIGHT] = self._matrix(net.output_weight, self.levels, dim)
        row[plan.OUTPUT_BIAS] = self._vector(net.output_bias, self.levels)

    def _pack_tier(self, k: int) -> None:
        tier, row, dim = self.network.tiers[k], self.tiers[k], self.dim
        columns = padded(tier.frame_size, COLUMNS)
        row[plan.FRAME_SIZE], row[plan.RATIO], row[plan.INPUT_COLUMNS] = tier.frame_size, tier.ratio, columns
        row[plan.INPUT_WEIGHT] = self._matrix(tier.input_weight, dim, columns)
        row[plan.INPUT_BIAS] = self._vector(tier.input_bias, dim)
        row[plan.UPSAMPLE_WEIGHT] = self._matrix(tier.upsample_weight, dim, dim, tier.ratio)
        row[plan.UPSAMPLE_BIAS] = self._vector(self._upsample_bias(k, tier), dim, tier.ratio)

    def _upsample_bias(self, k: int, tier: Tier) -> Floats:
        """With the input bias of the tier below folded in: its vectors then arrive ready to be summed onto."""
        if k == 0:
            return tier.upsample_bias
        return tier.upsample_bias + np.tile(self.network.tiers[k - 1].input_bias, tier.ratio)

    def _pack_cells(self, k: int) -> None:
        dim = self.dim
        for row, cell in zip(self.layers[k], self.network.tiers[k].cells, strict=True):
            row[plan.WEIGHT_IH] = self._matrix(cell.weight_ih, dim, dim, 3)
            row[plan.WEIGHT_HH] = self._matrix(cell.weight_hh, dim, dim, 3)
            row[plan.BIAS_IH] = self._vector(cell.bias_ih, dim, 3)
            row[plan.BIAS_HH] = self._vector(cell.bias_hh, dim, 3)


def pad(parts: Floats, rows: int, columns: int) -> Floats:
    """[P, R, C] -> [P * rows, columns], zeros where there was nothing."""
    out = np.zeros((parts.shape[0], rows, columns), np.float32)
    out[:, : parts.shape[1], : parts.shape[2]] = parts
    return out.reshape(-1, columns)
