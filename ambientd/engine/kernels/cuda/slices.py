"""A network's weights as the persistent kernel wants them: see `source/voices.h`. A loading thread, or at a set-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ambientd.engine.kernels.cuda import layouts
from ambientd.engine.kernels.cuda.networks import DeviceNetwork

if TYPE_CHECKING:
    from ambientd.engine.kernels.cuda.persistent import Geometry

LARGEST = 127


class KernelNetwork:
    """Owns the tensors; `describe` fills in their addresses."""

    def __init__(self, network: DeviceNetwork, geometry: Geometry) -> None:
        self._geometry = geometry
        self._kept: list[Tensor] = []
        found, a = network.network, network.architecture
        self.dim, self.levels, self.width = a.dim, a.q_levels, a.frame_sizes[0]
        self._sample_kind = torch.float16 if geometry.sample_bits == 16 else torch.float32
        columns = -(-self.dim // geometry.sample_blocks)
        self.slice = columns + columns % 2
        self.resident_bytes = -(-self.slice * (self.dim + self.levels) * self._sample_kind.itemsize // 16) * 16
        self._made = row = layouts.VoicePlan()
        row.dim, row.levels, row.width, row.slice = self.dim, self.levels, self.width, self.slice
        row.tier_count, row.layer_count = len(found.tiers), len(found.tiers[0].cells)
        row.hidden, row.output = self._slices(found.hidden_weight), self._slices(found.output_weight)
        row.hidden_bias, row.output_bias = self._keep(found.hidden_bias), self._keep(found.output_bias)
        row.table = self._keep(found.table, self._sample_kind)
        for k, tier in enumerate(found.tiers):
            made = row.tiers[k]
            made.input_weight, made.input_bias = self._keep(tier.input_weight), self._keep(tier.input_bias)
            self._matrix(made.upsample, tier.upsample_weight, tier.upsample_bias)
            for n, cell in enumerate(tier.cells):
                self._matrix(made.layers[n].ih, cell.weight_ih, cell.bias_ih)
                self._matrix(made.layers[n].hh, cell.weight_hh, cell.bias_hh)
        if found.forecast:
            row.forecast.table = self._keep(found.forecast.table, self._sample_kind)
            row.forecast.width = self._keep(found.forecast.width)
            row.forecast.slope = found.forecast.slope

    def describe(self, row: Any) -> None:
        """Fill in a `layouts.VoicePlan`; where it is resident stays."""
        resident = row.resident
        for name, _ in layouts.VoicePlan._fields_:
            setattr(row, name, getattr(self._made, name))
        row.resident = resident

    def _keep(self, values: Any, kind: torch.dtype = torch.float32) -> int:
        self._kept.append(values.to(kind).contiguous())
        return int(self._kept[-1].data_ptr())

    def _slices(self, weight: Any) -> int:
        """[R, D] -> [S, slice / 2, R, 2]: each block's columns, in pairs, a row next to the other."""
        rows, blocks = weight.shape[0], self._geometry.sample_blocks
        wide = torch.zeros((rows, blocks * self.slice), device=weight.device)
        wide[:, : self.dim] = weight
        return self._keep(wide.view(rows, blocks, self.slice // 2, 2).permute(1, 2, 0, 3), self._sample_kind)

    def _matrix(self, row: Any, weight: Any, bias: Any) -> None:
        rows, columns = weight.shape
        wide = torch.zeros((rows, -(-columns // 16) * 16), device=weight.device)
        wide[:, :columns] = weight
        row.rows, row.stride, row.bias = rows, wide.shape[1], self._keep(bias)
        scale = torch.ones(rows, device=weight.device)
        if self._geometry.frame_bits == 8:
            peak = wide.abs().amax(1)
            scale = torch.where(peak > 0, peak / LARGEST, scale)
            row.weight = self._keep(torch.round(wide / scale[:, None]), torch.int8)
        else:
            row.weight = self._keep(wide, torch.float16 if self._geometry.frame_bits == 16 else torch.float32)
        row.scale = self._keep(scale)
