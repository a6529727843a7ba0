"""What the voices of a group forecast, along their guides: tensors. See `samplernn.forecast` and `reference.py`.

A voice that forecasts by itself is not played here (`DeviceBank.check`): its filters learn at every sample.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ambientd.engine.kernels.cuda.bank import Setting
from ambientd.engine.kernels.cuda.memory import CENTRE, FAST, LEAST, PART, SLOW
from ambientd.engine.kernels.cuda.networks import DeviceNetwork
from ambientd.samplernn.forecast import HORIZONS, LEAST_ERROR, SCALES, WILD, midpoints
from ambientd.samplernn.quantize import decode_table

FIRST_MAGNITUDE = (127 - 16) * 16


class Forecasts:
    """slots, indices: which of the setting's voices, as something to index with and as int64 [n]."""

    def __init__(self, setting: Setting, network: DeviceNetwork, slots: Any, indices: Tensor) -> None:
        device, a = setting.tokens.device, network.architecture
        forecast: Any = network.network.forecast
        self._setting, self._slots, self._indices = setting, slots, indices
        levels = decode_table(a.q_levels, a.quantization)
        self.levels = torch.from_numpy(levels).to(device)
        self.midpoints = torch.from_numpy(midpoints(levels)).to(device)
        self.table: Tensor = forecast.table.reshape(3 * SCALES, -1)
        self._rows = torch.arange(3, device=device) * SCALES
        self.width: Tensor = forecast.width
        self.slope: float = forecast.slope
        self._order = torch.arange(1, setting.memory.taps.shape[1] + 1, device=device)
        self._tokens = torch.zeros(0, dtype=torch.int64)
        self._centre = torch.zeros(0)

    def hear(self, newest: Tensor, at: Tensor) -> Tensor:
        """[n, D] for the sample level, once the sample before has come. newest: its token [n]; at: [1]."""
        memory, slots = self._setting.memory, self._slots
        numbers = memory.forecasts[slots]
        begun = self._setting.inputs.device["phases"][slots] + at > 0
        heard = torch.where(begun, self.levels[newest], 0)
        size = self._order.shape[0]
        memory.inputs[self._indices, at + size] = heard
        inputs, taps = memory.inputs[slots][:, at + self._order], memory.taps[slots]
        part = (taps * inputs).sum(1)
        tame = part.abs() <= WILD
        memory.taps[slots] = torch.where(tame[:, None], taps, 0)
        memory.inputs[slots] = torch.where(tame[:, None], memory.inputs[slots], 0)
        error = (heard - numbers[:, PART]).abs()
        fast = numbers[:, FAST] + (error - numbers[:, FAST]) / HORIZONS[0]
        fast = torch.where(begun, torch.maximum(fast, numbers[:, LEAST]), numbers[:, FAST])
        part = torch.where(tame & begun, part, 0)
        centre = torch.where(begun, part.clamp(-1, 1), numbers[:, CENTRE])
        memory.forecasts[slots] = torch.stack((part, centre, fast, numbers[:, SLOW], numbers[:, LEAST]), 1)
        magnitudes = (torch.stack((fast, numbers[:, SLOW]), 1) + LEAST_ERROR).view(torch.int32) >> 19
        magnitudes = (magnitudes - FIRST_MAGNITUDE).clamp(0, SCALES - 1).long()
        nearest = (self.midpoints < centre[:, None]).sum(1, keepdim=True)
        self._tokens, self._centre = torch.cat((nearest, magnitudes), 1), centre
        return F.embedding_bag(self._tokens + self._rows, self.table, mode="sum")

    def prior(self) -> Tensor:
        """[n, q]: the hyperbolic distribution around the forecast, for the logits."""
        width = self.width[0, self._tokens[:, 1]] + self.width[1, self._tokens[:, 2]]
        away = (self.levels - self._centre[:, None]) * torch.exp(-width)[:, None]
        return -self.slope * torch.sqrt(1 + away * away)
