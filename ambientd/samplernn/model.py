"""SampleRNN in PyTorch: the truth that every kernel is compared with. Training, evaluation and tests only.

Mehri et al., "SampleRNN: An Unconditional End-to-End Neural Audio Generation Model", ICLR 2017. Frame
tiers (GRU) run at 1/frame_size of the sample rate; each hands a learned upsampling of its state to the
tier below; a sample-level MLP over the last frame_sizes[0] tokens draws the next one.

The paper's embedding followed by a convolution over the last tokens is linear in each token, so it is
kept folded as one table [position, token, dim]: the same function at a thirtieth of the multiplications.
Weight normalisation is left out: with Adam at these learning rates it measured no better, and generation
would have to fold it away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ambientd.arrays import Floats
from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.forecast import SCALES, Forecasts, magnitudes, midpoints
from ambientd.samplernn.quantize import decode_table, network_scale
from ambientd.types import Quantization

State = list[list[Tensor]]
"""GRU states, [tier][layer] -> [batch, dim], lowest tier first."""


class Cell(nn.Module):
    """The weights of one GRU layer, gates in the order r, z, n as in torch.nn.GRU; h0: the learned first state."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        bound = dim**-0.5
        self.weight_ih = nn.Parameter(torch.empty(3 * dim, dim).uniform_(-bound, bound))
        self.weight_hh = nn.Parameter(torch.empty(3 * dim, dim).uniform_(-bound, bound))
        self.bias_ih = nn.Parameter(torch.zeros(3 * dim))
        self.bias_hh = nn.Parameter(torch.zeros(3 * dim))
        self.h0 = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, D] from state [B, D] -> ([B, T, D], last state [B, D])."""
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        out, _ = torch.gru(x, state[None], weights, True, 1, 0.0, self.training, False, True)
        return out, out[:, -1]


class Tier(nn.Module):
    """A frame tier: `frame_size` tokens in, `ratio` conditioning vectors out per frame."""

    def __init__(self, dim: int, frame_size: int, ratio: int, cells: Iterable[Cell]) -> None:
        super().__init__()
        self.frame_size, self.ratio = frame_size, ratio
        self.input = nn.Linear(frame_size, dim)
        with torch.no_grad():
            # Neighbouring samples are alike and add up in phase: at the usual scale the GRU starts near saturation.
            self.input.weight *= 0.25
        self.rnn = nn.ModuleList(cells)
        self.upsample = nn.Linear(dim, ratio * dim)

    @property
    def cells(self) -> list[Cell]:
        return cast(list[Cell], list(self.rnn))

    def forward(self, frames: Tensor, above: Tensor | None, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """frames [B, F, frame_size], above [B, F, D] -> ([B, F * ratio, D], last states [B, D] per layer)."""
        x = self.input(frames)
        if above is not None:
            x = x + above
        last = []
        for cell, hidden in zip(self.cells, state, strict=True):
            x, after = cell(x, hidden)
            last.append(after)
        return self.upsample(x).unflatten(2, (self.ratio, -1)).flatten(1, 2), last


class SampleMLP(nn.Module):
    """The sample tier: the last frame_size tokens and one conditioning vector -> logits of the next token.

    dropout: the share of its numbers that are left out while it learns (Srivastava et al. 2014, JMLR 15), 0 unless set.
    """

    dropout: float = 0.0

    def __init__(self, dim: int, frame_size: int, q_levels: int) -> None:
        super().__init__()
        # Start as if tokens were embedded by their amplitude, plus a little of their own: neighbouring levels
        # begin alike, which is worth thousands of steps.
        amplitude = torch.linspace(-1, 1, q_levels)[None, :, None] * torch.randn(frame_size, 1, dim) * 0.3
        self.table = nn.Parameter(amplitude + torch.randn(frame_size, q_levels, dim) * 0.1)
        self.hidden = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, q_levels)

    def forward(self, tokens: Tensor, conditioning: Tensor) -> Tensor:
        """tokens uint8 [B, T + frame_size - 1], conditioning [B, T, D] -> logits [B, T, q]."""
        x = F.dropout(F.relu(conditioning + self.heard(tokens)), self.dropout, self.training)
        hidden = F.dropout(F.relu(self.hidden(x)), self.dropout, self.training)
        logits: Tensor = self.output(hidden)
        return logits

    def heard(self, tokens: Tensor) -> Tensor:
        """What the last frame_size tokens add up to in the table: [B, T + frame_size - 1] -> [B, T, D]."""
        positions, q, dim = self.table.shape
        rows = tokens.long().unfold(1, positions, 1) + torch.arange(positions, device=tokens.device) * q
        summed = F.embedding_bag(rows.reshape(-1, positions), self.table.reshape(-1, dim), mode="sum")
        return summed.view(len(tokens), -1, dim)


class Forecasting(nn.Module):
    """What the sample tier makes of a forecast: three more tokens to look up, and a prior over the levels.

    The prior is a hyperbolic distribution (Barndorff-Nielsen 1977) around the forecast, as wide as the recent errors
    say: a Gaussian's middle with exponential tails.
    """

    def __init__(self, dim: int, q_levels: int, quantization: Quantization) -> None:
        super().__init__()
        ramp = torch.linspace(-1, 1, SCALES)[None, :, None] * torch.randn(3, 1, dim) * 0.3
        self.table = nn.Parameter(ramp + torch.randn(3, SCALES, dim) * 0.1)
        # The geometric mean of the two sizes of recent errors.
        self.width = nn.Parameter(0.5 * torch.from_numpy(magnitudes()).log().repeat(2, 1))
        self.slope = nn.Parameter(torch.ones(1))
        levels = torch.from_numpy(decode_table(q_levels, quantization))
        self.levels: Tensor
        self.midpoints: Tensor
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("midpoints", torch.from_numpy(midpoints(levels.numpy())), persistent=False)

    def rows(self, forecasts: Forecasts) -> Tensor:
        """int64 [B, T, 3]: what is known before each sample, as rows of the table's three parts one after another."""
        centre = torch.searchsorted(self.midpoints, forecasts.centre.contiguous())
        tokens = torch.cat([centre[..., None], forecasts.scales.long()], -1)
        return tokens + torch.arange(3, device=tokens.device) * SCALES

    def heard(self, forecasts: Forecasts) -> Tensor:
        """[B, T, D]: what the forecast's tokens add up to in the table."""
        rows = self.rows(forecasts)
        summed = F.embedding_bag(rows.flatten(0, 1), self.table.flatten(0, 1), mode="sum")
        return summed.view(*rows.shape[:2], -1)

    def narrow(self, forecasts: Forecasts) -> Tensor:
        """[B, T]: one over the prior's width."""
        scales = forecasts.scales.long()
        return torch.exp(-(self.width[0][scales[..., 0]] + self.width[1][scales[..., 1]]))

    def prior(self, forecasts: Forecasts) -> Tensor:
        """[B, T, q]: logits to be added."""
        away = (self.levels - forecasts.centre[..., None]) * self.narrow(forecasts)[..., None]
        return -self.slope * torch.sqrt(1 + away * away)


class SampleRNN(nn.Module):
    """The whole model; its parameters carry the checkpoint's tensor names.

    cell_type, sample_type: parts that others may stand in for: a faster way to compute the same, or one to be tried.
    """

    cell_type: ClassVar[type[Cell]] = Cell
    sample_type: ClassVar[type[SampleMLP]] = SampleMLP

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.tiers = nn.ModuleList(
            Tier(a.dim, size, ratio, (self.cell_type(a.dim) for _ in range(a.n_rnn)))
            for size, ratio in zip(a.frame_sizes, a.ratios, strict=True)
        )
        self.sample = self.sample_type(a.dim, a.frame_sizes[0], a.q_levels)
        self.offset, self.factor = network_scale(a.q_levels)
        self.forecast = Forecasting(a.dim, a.q_levels, a.quantization) if a.forecast else None
        if a.forecast:
            self._begin_with_the_prior()

    def _begin_with_the_prior(self) -> None:
        """The forecast alone is better than a network's first minutes: let the network begin by leaving it alone."""
        assert self.forecast
        widths = np.gradient(self.forecast.levels.numpy().astype(np.float64))
        with torch.no_grad():
            self.sample.output.weight *= 0.1
            self.sample.output.bias.copy_(torch.from_numpy(np.log(widths / np.exp(np.log(widths).mean()))))

    @property
    def _stack(self) -> list[Tier]:
        return cast(list[Tier], list(self.tiers))

    @property
    def context(self) -> int:
        """How many tokens before the first predicted one `forward` needs: the longest frame."""
        return self.architecture.frame_sizes[-1]

    def initial_state(self, batch: int) -> State:
        """The learned state before any sound, [tier][layer] -> [batch, dim]."""
        return [[cell.h0.expand(batch, -1) for cell in tier.cells] for tier in self._stack]

    def forward(self, tokens: Tensor, state: State, forecasts: Forecasts | None = None) -> tuple[Tensor, State]:
        """tokens uint8 [B, context + T], T a multiple of context -> (logits [B, T, q] of the last T, next state).

        forecasts: of the last T, as tensors; needed by models that have learnt with them, and by no others.
        """
        recent, conditioning, after = self.hear(tokens, state)
        if self.forecast is None:
            logits: Tensor = self.sample(recent, conditioning)
            return logits, after
        assert forecasts is not None, "this model hears forecasts"
        logits = self.sample(recent, conditioning + self.forecast.heard(forecasts))
        return logits.float() + self.forecast.prior(forecasts), after

    def hear(self, tokens: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """What the sample tier is told, tokens as in `forward`: (the last tokens [B, T + frame_sizes[0] - 1], what the
        frame tiers make of them all [B, T, D], next state)."""
        length = tokens.shape[1] - self.context
        scaled = (tokens[:, :-1].float() - self.offset) * self.factor
        above: Tensor | None = None
        after: State = []
        for tier, hidden in zip(reversed(self._stack), reversed(state), strict=True):
            first = self.context - tier.frame_size
            frames = scaled[:, first : first + length].reshape(len(tokens), -1, tier.frame_size)
            above, last = tier(frames, above, hidden)
            after.insert(0, last)
        assert above is not None
        return tokens[:, self.context - self.architecture.frame_sizes[0] : -1], above, after

    def loss(self, tokens: Tensor, state: State, forecasts: Forecasts | None = None) -> tuple[Tensor, State]:
        """(mean negative log-likelihood in nats of tokens[:, context:], next state)."""
        logits, after = self(tokens, state, forecasts)
        targets = tokens[:, self.context :].flatten().long()
        return F.cross_entropy(logits.flatten(0, 1).float(), targets), after

    def export(self) -> dict[str, Floats]:
        """The tensors as a checkpoint stores them."""
        return {name: p.detach().float().cpu().numpy() for name, p in self.named_parameters()}

    def restore(self, tensors: Mapping[str, Floats]) -> None:
        """The inverse of `export`."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(torch.from_numpy(tensors[name].copy()))
