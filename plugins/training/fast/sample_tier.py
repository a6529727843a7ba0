"""The sample tier and its loss, from the look-up to all gradients in one go, on each core by itself.

Three phases: the tables are looked up, by columns (`lookup`); layers, loss and their gradients, by blocks of samples;
the tables' gradients are summed, by columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from ambientd.samplernn.forecast import SCALES, Forecasts
from ambientd.samplernn.model import Forecasting, SampleMLP
from ambientd_plugins.training.fast import cores
from ambientd_plugins.training.fast.lookup import COLUMNS, empty_pieces, lay, lift, look_up, sum_columns
from ambientd_plugins.training.fast.numbers import array
from ambientd_plugins.training.fast.rectifier import rectify, rectify_back
from ambientd_plugins.training.fast.softmax import softmax_rows

BLOCK = 1024
"""Samples to a block: all that is made of them stays in a core's share of the cache."""


def sample_loss(
    mlp: SampleMLP,
    recent: Tensor,
    conditioning: Tensor,
    targets: Tensor,
    forecasting: Forecasting | None = None,
    forecasts: Forecasts | None = None,
) -> Tensor:
    """Mean negative log-likelihood in nats of targets uint8 [B, T].

    recent, conditioning: as in `SampleMLP`, whose products are made in the precision of `conditioning`.
    """
    batch, length, dim = conditioning.shape
    weights = (mlp.table, mlp.hidden.weight, mlp.hidden.bias, mlp.output.weight, mlp.output.bias)
    dropout = mlp.dropout if mlp.training else 0.0
    more: tuple[Tensor, Tensor, Tensor]
    if forecasting:
        assert forecasts is not None, "this model hears forecasts"
        rows = forecasting.rows(forecasts).to(torch.int32).transpose(1, 2)
        heard = _Heard(recent, targets, rows, forecasts.centre, forecasting.levels, dropout)
        more = (forecasting.table, forecasting.narrow(forecasts), forecasting.slope)
    else:
        nothing, rows = torch.zeros(batch, length), torch.empty(batch, 0, length, dtype=torch.int32)
        heard = _Heard(recent, targets, rows, nothing, torch.zeros(mlp.output.out_features), dropout)
        more = (torch.empty(0, SCALES, dim), nothing, torch.zeros(1))
    loss: Tensor = _SampleTier.apply(heard, conditioning, *weights, *more)  # type: ignore[no-untyped-call]
    return loss


@dataclass(frozen=True)
class _Heard:
    """What has no gradient. rows: int32 [B, 3, T], see `Forecasting`; centre [B, T] and levels [q]: of its prior."""

    recent: Tensor
    targets: Tensor
    rows: Tensor
    centre: Tensor
    levels: Tensor
    dropout: float


class _SampleTier(Function):
    """The gradients are made on the way to the loss, so that nothing need be kept for them."""

    @staticmethod
    def forward(
        ctx: Any,
        heard: _Heard,
        conditioning: Tensor,
        table: Tensor,
        hidden: Tensor,
        hidden_bias: Tensor,
        output: Tensor,
        output_bias: Tensor,
        more: Tensor,
        narrow: Tensor,
        slope: Tensor,
    ) -> Tensor:
        dropout = _Dropout.of(heard.dropout)
        tables = _Tables(heard, table, more)
        columns = tables.looked_up(conditioning.contiguous(), dropout)
        layers = _Layers(heard, columns, (hidden, hidden_bias, output, output_bias), narrow, slope, dropout)
        to_layers = layers.gradients()
        loss, by_narrow, by_slope = layers.rows.unbind(2)
        ctx.gradients = [layers.grad, *tables.gradients(layers.grad), *to_layers, by_narrow, by_slope.sum()[None]]
        return loss.double().mean().float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_x, to_table, to_more, *others = (g if grads[0] == 1 else g * grads[0] for g in ctx.gradients)
        del ctx.gradients  # or PyTorch would copy what it could keep
        return None, to_x, to_table, *others[:4], to_more, *others[4:]


@dataclass(frozen=True)
class _Dropout:
    """One step's. limit: a chance below it, of 2^32, leaves out; scale: of the rest; seeds: of the two layers."""

    limit: np.uint32
    scale: np.float32
    seeds: tuple[np.uint32, ...]

    @classmethod
    def of(cls, share: float) -> _Dropout:
        seeds = torch.randint(1 << 32, (2,)).tolist()
        return cls(np.uint32(share * (1 << 32)), np.float32(1 / (1 - share)), tuple(np.uint32(s) for s in seeds))


class _Tables:
    """The table of what was heard, and the forecast's three in one."""

    def __init__(self, heard: _Heard, table: Tensor, more: Tensor) -> None:
        self.arrays = (array(table), array(more.flatten(0, 1)[None]))
        self.tokens = (array(heard.recent.contiguous()), array(heard.rows.contiguous()))

    def looked_up(self, conditioning: Tensor, dropout: _Dropout) -> Tensor:
        """What goes into the hidden layer, by columns: [columns, B, T, COLUMNS]."""
        recent, rows = self.tokens
        batch, length, dim = conditioning.shape
        columns = conditioning.new_empty(-(-dim // COLUMNS), batch, length, COLUMNS)
        given, made = array(conditioning), array(columns)
        chances = (dropout.seeds[0], dropout.limit, dropout.scale)

        def look_up_columns(c: int) -> None:
            start = c * COLUMNS
            pieces, more = (lay(table, start) for table in self.arrays)
            look_up(given, pieces, recent, more, rows, made[c], start, *chances)

        cores.on_cores(look_up_columns, range(len(made)))
        return columns

    def gradients(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Of both tables, grad [B, T, D]: of what was looked up."""
        (recent, rows), given = self.tokens, array(grad)
        found = [np.empty_like(table) for table in self.arrays]

        def sum_up(start: int) -> None:
            pieces, more = (empty_pieces(table) for table in found)
            sum_columns(given, pieces, recent, more, rows, start)
            lift(pieces, found[0], start)
            lift(more, found[1], start)

        cores.on_cores(sum_up, range(0, grad.shape[2], COLUMNS))
        table, more = (torch.from_numpy(t) for t in found)
        return table, more.view(-1, SCALES, grad.shape[2])


class _Layers:
    """The two layers and the loss.

    columns: what goes into the first, see `_Tables.looked_up`. grad [B, T, D]: of it, made by `gradients`, as are the
    rows [B, T, 3] of `softmax_rows`.
    """

    def __init__(
        self,
        heard: _Heard,
        columns: Tensor,
        weights: tuple[Tensor, ...],
        narrow: Tensor,
        slope: Tensor,
        dropout: _Dropout,
    ) -> None:
        batch, length = heard.targets.shape
        self.columns, self.dropout = columns, dropout
        self.grad, self.rows = columns.new_empty(batch, length, len(weights[0])), torch.empty(batch, length, 3)
        self.weights = [w.detach().to(columns.dtype) for w in weights]
        self.targets, self.levels, self.centre, self.narrow = (
            array(t.contiguous()) for t in (heard.targets, heard.levels, heard.centre, narrow)
        )
        self.slope, self.share = np.float32(slope.item()), np.float32(1 / (batch * length))

    def gradients(self) -> list[Tensor]:
        """Of the weights and biases, float32."""
        batch, length, _ = self.grad.shape
        starts, count = range(0, length, BLOCK), cores.count()
        blocks = [(b, slice(first, min(length, first + BLOCK))) for b in range(batch) for first in starts]
        # A core always has the same blocks: the sums are the same whichever is the first to end.
        sums = cores.on_cores(self._some_gradients, [blocks[k::count] for k in range(count)])
        return [torch.stack(parts).sum(0) for parts in zip(*sums, strict=True)]

    @torch.no_grad()
    def _some_gradients(self, blocks: list[tuple[int, slice]]) -> list[Tensor]:
        sums = [torch.zeros(w.shape) for w in self.weights]
        for b, place in blocks:
            self._add_gradients(b, place, *sums)
        return sums

    def _add_gradients(
        self, b: int, place: slice, to_hidden: Tensor, to_hidden_bias: Tensor, to_output: Tensor, to_output_bias: Tensor
    ) -> None:
        """Those of one block."""
        hidden, hidden_bias, output, output_bias = self.weights
        limit, scale, seed = self.dropout.limit, self.dropout.scale, self.dropout.seeds[1]
        grad = self.grad[b, place]
        steps, dim = grad.shape
        x = self.columns[:, b, place].transpose(0, 1).reshape(steps, -1)[:, :dim].contiguous()
        h, first = torch.empty_like(x), np.uint32((b * self.grad.shape[1] + place.start) * dim)
        rectify(array(torch.addmm(hidden_bias, x, hidden.t())), array(h), first, seed, limit, scale)
        logits = torch.addmm(output_bias, h, output.t())
        prior = (self.levels, self.centre[b, place], self.narrow[b, place], self.slope)
        to_rows, to_biases = array(self.rows[b, place]), [array(t) for t in (to_output_bias, to_hidden_bias)]
        softmax_rows(array(logits), self.targets[b, place], *prior, self.share, to_rows, to_biases[0])
        to_output += logits.t() @ h
        rectify_back(array(h), array(logits @ output), scale, to_biases[1])
        to_hidden += h.t() @ x
        rectify_back(array(x), array(h @ hidden), scale, np.zeros(dim, np.float32))
        grad.copy_(x)
