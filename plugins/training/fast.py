"""The same model as `ambientd.samplernn.model`, trained faster on a CPU. Tested to be the same.

What PyTorch's own operations cost at dim 256: the GRU under autocast casts its weights at every time step,
the table's gradient is summed row by row on one thread, and the softmax is exponentiated twice.
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

COLUMNS, STEPS = 64, 512
"""A task sums COLUMNS columns of the table's gradient, STEPS time steps at once: 128 KiB of gradient and 64 KiB
of one position's table stay in a core's cache meanwhile."""


class FastCell(Cell):
    """A GRU layer whose weights are cast once per sequence and whose weight gradient is one product."""

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        gates = F.linear(x, self.weight_ih, self.bias_ih).float()
        out: Tensor = _Recurrence.apply(gates, self.weight_hh, self.bias_hh, state.float(), _working_type())  # type: ignore[no-untyped-call]
        return out


class FastSampleMLP(SampleMLP):
    """The table's gradient is gathered by all cores."""

    def heard(self, tokens: Tensor) -> Tensor:
        summed: Tensor = _TableLookup.apply(self.table, tokens, super().heard)  # type: ignore[no-untyped-call]
        return summed


class FastSampleRNN(SampleRNN):
    """Drop-in for `SampleRNN` in training."""

    cell_type = FastCell
    sample_type = FastSampleMLP

    def loss(self, tokens: Tensor, state: State, forecasts: Forecasts | None = None) -> tuple[Tensor, State]:
        logits, after = self(tokens, state, forecasts)
        targets = tokens[:, self.context :].flatten().long()
        loss: Tensor = _CrossEntropy.apply(logits.flatten(0, 1).float(), targets)  # type: ignore[no-untyped-call]
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
    """Mean negative log-likelihood in nats; the softmax is kept as its own gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        rows = torch.arange(len(targets))
        peak = logits.amax(1, keepdim=True)
        wanted = (logits[rows, targets] - peak[:, 0]).sum()
        shares = (logits - peak).exp_()
        total = shares.sum(1, keepdim=True)
        shares.mul_(1 / (total * len(targets)))
        shares[rows, targets] -= 1 / len(targets)
        ctx.save_for_backward(shares)
        return (total.log().sum() - wanted) / len(targets)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.saved_tensors[0] * grads[0], None


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), "table-gradient")


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
