"""The fast model: drop-in for `SampleRNN` in training."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ambientd.samplernn.forecast import Forecasts
from ambientd.samplernn.model import Cell, SampleRNN, State
from ambientd_plugins.training.fast.recurrence import Recurrence
from ambientd_plugins.training.fast.sample_tier import sample_loss


class FastCell(Cell):
    """A GRU layer whose weights are cast once per sequence and whose weight gradient is one product."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        gates = F.linear(x, self.weight_ih, self.bias_ih)
        out, last = Recurrence.apply(gates, self.weight_hh, self.bias_hh, state.float())
        return out, last


class FastSampleRNN(SampleRNN):
    """Drop-in for `SampleRNN` in training."""

    cell_type = FastCell

    def loss(self, tokens: Tensor, state: State, forecasts: Forecasts | None = None) -> tuple[Tensor, State]:
        recent, conditioning, after = self.hear(tokens, state)
        targets = tokens[:, self.context :]
        return sample_loss(self.sample, recent, conditioning, targets, self.forecast, forecasts), after
