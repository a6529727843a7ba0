"""The same model as `ambientd.samplernn.model`, trained faster on a CPU. Tested to be the same.

What PyTorch's own operations cost at dim 256: the GRU under autocast casts its weights at every time step,
the table's gradient is summed row by row on one thread, and the loss reads its 256 logits a dozen times.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from ambientd.samplernn.forecast import Forecasts
from ambientd.samplernn.model import Cell, SampleMLP, SampleRNN, State

ROWS = 1024
"""Rows of logits to a task."""
PART = 1 << 18
"""Numbers to a task of dropout's."""
COLUMNS, STEPS = 64, 512
"""A task sums COLUMNS columns of the table's gradient, STEPS time steps at once: 128 KiB of gradient and 64 KiB
of one position's table stay in a core's cache meanwhile."""


class FastCell(Cell):
    """A GRU layer whose weights are cast once per sequence and whose weight gradient is one product."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        gates = F.linear(x, self.weight_ih, self.bias_ih).float()
        out: Tensor = _Recurrence.apply(gates, self.weight_hh, self.bias_hh, state.float(), _working_type())  # type: ignore[no-untyped-call]
        return out, out[:, -1]


class FastSampleMLP(SampleMLP):
    """The table's gradient is gathered by all cores."""

    def heard(self, tokens: Tensor) -> Tensor:
        summed: Tensor = _TableLookup.apply(self.table, tokens, super().heard)  # type: ignore[no-untyped-call]
        return summed

    def drop(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return x
        kept: Tensor = _Dropout.apply(x, self.dropout)  # type: ignore[no-untyped-call]
        return kept


class FastSampleRNN(SampleRNN):
    """Drop-in for `SampleRNN` in training."""

    cell_type = FastCell
    sample_type = FastSampleMLP

    def loss(self, tokens: Tensor, state: State, forecasts: Forecasts | None = None) -> tuple[Tensor, State]:
        logits, after = self.without_prior(tokens, state, forecasts)
        targets = tokens[:, self.context :].flatten()
        if self.forecast and forecasts:
            prior = (self.forecast.levels, forecasts.centre.flatten(), self.forecast.narrow(forecasts).flatten())
            slope: Tensor = self.forecast.slope
        else:
            none = torch.zeros(len(targets))
            prior, slope = (torch.zeros(logits.shape[2]), none, none), torch.zeros(1)
        loss: Tensor = _CrossEntropy.apply(logits.flatten(0, 1).float(), targets, *prior, slope)  # type: ignore[no-untyped-call]
        return loss, after


def _working_type() -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


class _Recurrence(Function):
    """GRU over time. gates: W_ih x + b_ih for all steps [B, T, 3D], float32; the rest as in `Cell`."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, first: Tensor, kind: torch.dtype) -> Tensor:
        batch, steps, _ = gates.shape
        dim = first.shape[1]
        turned, low_bias = weight.to(kind).t(), bias.to(kind)
        states = first.new_empty(steps + 1, batch, dim)
        states[0] = first
        kept = first.new_empty(steps, batch, 4 * dim)  # r, z, n, and W_hn h + b_hn
        by_step = gates.transpose(0, 1).contiguous()
        for t in range(steps):
            own = torch.addmm(low_bias, states[t].to(kind), turned).float()
            rz, n, hn = kept[t, :, : 2 * dim], kept[t, :, 2 * dim : 3 * dim], kept[t, :, 3 * dim :]
            torch.add(by_step[t, :, : 2 * dim], own[:, : 2 * dim], out=rz).sigmoid_()
            hn.copy_(own[:, 2 * dim :])
            torch.addcmul(by_step[t, :, 2 * dim :], rz[:, :dim], hn, out=n).tanh_()
            torch.lerp(n, states[t], rz[:, dim:], out=states[t + 1])
        ctx.save_for_backward(weight, states, kept)
        ctx.kind = kind
        return states[1:].transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, states, kept = ctx.saved_tensors
        steps, batch, four = kept.shape
        dim = four // 4
        low = weight.to(ctx.kind)
        by_step = grads[0].float().transpose(0, 1).contiguous()
        r, z, n, hn = kept.split(dim, 2)
        # Everything that does not depend on the gradient, for all steps at once.
        to_n = (1 - z) * (1 - n * n)
        to_z = (states[:-1] - n) * z * (1 - z)
        to_r = hn * r * (1 - r)
        own = kept.new_empty(steps, batch, 3 * dim)  # gradient of W_hh h + b_hh
        outer_n = kept.new_empty(steps, batch, dim)
        carried = torch.zeros_like(states[0])
        for t in reversed(range(steps)):
            carried += by_step[t]
            torch.mul(carried, to_n[t], out=outer_n[t])
            torch.mul(carried, to_z[t], out=own[t, :, dim : 2 * dim])
            torch.mul(outer_n[t], to_r[t], out=own[t, :, :dim])
            torch.mul(outer_n[t], r[t], out=own[t, :, 2 * dim :])
            carried *= z[t]
            carried += own[t].to(ctx.kind) @ low
        outer = torch.cat([own[:, :, : 2 * dim], outer_n], 2).transpose(0, 1)
        flat = own.flatten(0, 1)
        weight_grad = flat.to(ctx.kind).t() @ states[:-1].flatten(0, 1).to(ctx.kind)
        return outer, weight_grad.float(), flat.sum(0), carried, None


class _Dropout(Function):
    """Leaves out each number of x with a chance of `share`. What is left out is not kept but found again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.share, ctx.seed = share, int(torch.randint(1 << 32, ()))
        return _thinned(x, ctx.share, ctx.seed)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _thinned(grads[0], ctx.share, ctx.seed), None


def _thinned(x: Tensor, share: float, seed: int) -> Tensor:
    """x / (1 - share), or 0 with a chance of `share`: the same places for the same seed."""
    x = x.contiguous()
    out = torch.empty_like(x)
    # NumPy has no bfloat16; its bits are the upper half of a float32's.
    kind, times = (torch.uint16, _times_bfloat16) if x.dtype == torch.bfloat16 else (torch.float32, _times)
    read, written = (t.view(-1).view(kind).numpy() for t in (x, out))
    limit, scale = np.uint32(share * (1 << 32)), np.float32(1 / (1 - share))
    parts = [slice(first, first + PART) for first in range(0, len(read), PART)]
    list(
        _threads().map(
            lambda p: _thin(read[p], written[p], np.uint32(p.start), np.uint32(seed), limit, scale, times), parts
        )
    )
    return out


class _TableLookup(Function):
    """`SampleMLP.heard`, with a gradient summed by several threads, each in columns of its own."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor, heard: Any) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.shape = table.shape
        out: Tensor = heard(tokens)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (tokens,) = ctx.saved_tensors
        positions, q, dim = ctx.shape
        blocks = -(-dim // COLUMNS)
        grad = F.pad(grads[0].float(), (0, blocks * COLUMNS - dim)).contiguous().numpy()
        sums = np.zeros((blocks, positions, q, COLUMNS), np.float32)
        heard = tokens.contiguous().numpy()
        list(_threads().map(lambda block: _sum_columns(grad, heard, sums[block], block * COLUMNS), range(blocks)))
        return torch.from_numpy(sums.transpose(1, 2, 0, 3).reshape(positions, q, -1)[:, :, :dim]), None, None


class _CrossEntropy(Function):
    """Mean negative log-likelihood in nats of logits [N, q] and, where slope is not 0, a forecast's prior upon them.

    centre, narrow [N]: the prior of `model.Forecasting`. One pass over each row makes the loss and all gradients.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, levels: Tensor, centre: Tensor, narrow: Tensor, slope: Tensor
    ) -> Tensor:
        count = len(targets)
        shares, rows = torch.empty_like(logits), logits.new_empty(count, 3)
        arrays = [t.detach().contiguous().numpy() for t in (logits, targets, levels, centre, narrow)]
        weight, outs = float(slope), (shares.numpy(), rows.numpy())
        parts = [slice(first, first + ROWS) for first in range(0, count, ROWS)]
        list(
            _threads().map(
                lambda p: _softmax_rows(
                    arrays[0][p],
                    arrays[1][p],
                    arrays[2],
                    arrays[3][p],
                    arrays[4][p],
                    weight,
                    1 / count,
                    outs[0][p],
                    outs[1][p],
                ),
                parts,
            )
        )
        ctx.save_for_backward(shares, rows)
        return rows[:, 0].double().mean().float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        shares, rows = ctx.saved_tensors
        return shares * grads[0], None, None, None, rows[:, 1] * grads[0], rows[:, 2].sum()[None] * grads[0]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), "training")


@numba.njit(nogil=True, inline="always")
def _chance(place: np.uint32, seed: np.uint32) -> np.uint32:  # pragma: no cover  (compiled)
    """Evenly distributed: the finaliser of Wellons' `lowbias32` (nullprogram.com/blog/2018/07/31) over a sequence."""
    x = np.uint32(place * np.uint32(0x9E3779B1)) ^ seed
    x = np.uint32(x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = np.uint32(np.uint32(x) ^ (np.uint32(x) >> np.uint32(15))) * np.uint32(0x846CA68B)
    return np.uint32(x) ^ (np.uint32(x) >> np.uint32(16))


@numba.njit(nogil=True, inline="always")
def _times(x: np.float32, scale: np.float32) -> np.float32:  # pragma: no cover  (compiled)
    return x * scale


@numba.njit(nogil=True, inline="always")
def _times_bfloat16(x: np.uint16, scale: np.float32) -> np.uint16:  # pragma: no cover  (compiled)
    """Of bfloat16's bits; rounded to the nearest, to even where two are."""
    wide = np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32) * scale
    bits = np.float32(wide).view(np.uint32)
    return np.uint16(np.uint32(bits + np.uint32(0x7FFF) + np.uint32((bits >> np.uint32(16)) & np.uint32(1))) >> 16)


@numba.njit(nogil=True, boundscheck=False)
def _thin(
    x: NDArray[Any],
    out: NDArray[Any],
    first: np.uint32,
    seed: np.uint32,
    limit: np.uint32,
    scale: np.float32,
    times: Any,
) -> None:  # pragma: no cover  (compiled)
    """out = times(x, scale) where the chance of place first + i is not below `limit`, else 0."""
    for i in range(len(x)):
        product = times(x[i], scale)
        out[i] = product if _chance(np.uint32(first + np.uint32(i)), seed) >= limit else x.dtype.type(0)


@numba.njit(nogil=True, fastmath=True, boundscheck=False)
def _sum_columns(
    grad: NDArray[np.float32], tokens: NDArray[np.uint8], sums: NDArray[np.float32], start: int
) -> None:  # pragma: no cover  (compiled)
    """sums[i, tokens[b, t + i]] += grad[b, t, start : start + COLUMNS] for every b, t, i."""
    tile = np.empty((STEPS, COLUMNS), np.float32)
    for b in range(grad.shape[0]):
        for first in range(0, grad.shape[1], STEPS):
            steps = min(STEPS, grad.shape[1] - first)
            for t in range(steps):
                for d in range(COLUMNS):
                    tile[t, d] = grad[b, first + t, start + d]
            for i in range(sums.shape[0]):
                position = sums[i]
                for t in range(steps):
                    row, addend = position[tokens[b, first + t + i]], tile[t]
                    for d in range(COLUMNS):
                        row[d] += addend[d]


# Without "nnan": what is not a number has to come out as one that is not, or the step would not be skipped.
@numba.njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, boundscheck=False, error_model="numpy")
def _softmax_rows(
    logits: NDArray[np.float32],
    targets: NDArray[np.uint8],
    levels: NDArray[np.float32],
    centre: NDArray[np.float32],
    narrow: NDArray[np.float32],
    slope: float,
    share: float,
    gradient: NDArray[np.float32],
    rows: NDArray[np.float32],
) -> None:  # pragma: no cover  (compiled)
    """gradient [n, q]: of `share` times the loss, by the logits; rows [n, 3]: the loss, and its gradients by narrow
    and by slope."""
    q = logits.shape[1]
    bent = np.empty(q, np.float32)
    weight, scale = np.float32(slope), np.float32(share)
    for n in range(len(targets)):
        row, out, middle, sharp = logits[n], gradient[n], centre[n], narrow[n]
        peak = np.float32(-1e30)
        if slope != 0:
            for k in range(q):
                away = (levels[k] - middle) * sharp
                bent[k] = np.sqrt(np.float32(1) + away * away)
                out[k] = row[k] - weight * bent[k]
        else:
            for k in range(q):
                out[k] = row[k]
        for k in range(q):
            peak = max(peak, out[k])
        wanted = out[targets[n]] - peak
        total = np.float32(0)
        for k in range(q):
            # exp: 2**whole times a polynomial for the rest; the compiler makes vectors of it, and not of a call.
            t = max(out[k] - peak, np.float32(-87)) * np.float32(1.4426950408889634)
            whole = np.floor(t + np.float32(0.5))
            r = t - whole
            p = np.float32(1.534579497e-4) * r + np.float32(1.339993163e-3)
            p = (p * r + np.float32(9.618489025e-3)) * r + np.float32(5.550328776e-2)
            p = (p * r + np.float32(2.402264689e-1)) * r + np.float32(6.931472057e-1)
            p = p * r + np.float32(1)
            out[k] = p * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
            total += out[k]
        factor = scale / total
        for k in range(q):
            out[k] *= factor
        out[targets[n]] -= scale
        by_narrow, by_slope = np.float32(0), np.float32(0)
        if slope != 0:
            for k in range(q):
                apart = levels[k] - middle
                by_slope -= out[k] * bent[k]
                by_narrow -= out[k] * apart * apart * sharp / bent[k]
        rows[n, 0], rows[n, 1], rows[n, 2] = np.log(total) - wanted, by_narrow * weight, by_slope
