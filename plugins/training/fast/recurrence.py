"""A GRU layer over time: one product and one compiled pass a step, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from ambientd_plugins.training.fast.numbers import array, compiled, narrowed, sigmoid, widened


class Recurrence(Function):
    """gates: W_ih x + b_ih for all steps [B, T, 3D]; weight, bias: of the state, as in `Cell`; first [B, D], float32.

    Returns (the states [B, T, D] in the gates' precision, which the products are made in as well, and the last one in
    float32).
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        batch, steps, _ = gates.shape
        dim, kind = first.shape[1], gates.dtype
        low_weight, low_bias = weight.to(kind), bias.to(kind)
        states, low = (first.new_empty(steps + 1, batch, dim, dtype=d) for d in (torch.float32, kind))
        states[0], low[0] = first, first
        kept = first.new_empty(steps, batch, 4 * dim)  # r, z, n, and W_hn h + b_hn
        own, out = gates.new_empty(batch, 3 * dim), gates.new_empty(batch, steps, dim)
        turned, arrays = low_weight.t(), [array(t) for t in (gates.contiguous(), own, states, low, kept, out)]
        for t in range(steps):
            torch.addmm(low_bias, low[t], turned, out=own)
            _step(t, *arrays)
        ctx.save_for_backward(low_weight, states, low, kept)
        return out, states[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        weight, states, low, kept = ctx.saved_tensors
        steps, batch, four = kept.shape
        dim, kind = four // 4, weight.dtype
        own = weight.new_empty(steps, batch, 3 * dim)  # gradient of W_hh h + b_hh
        outer = weight.new_empty(batch, steps, 3 * dim)
        bias, carried = kept.new_zeros(3 * dim), grads[1].float().clone()
        handed = torch.zeros(batch, dim, dtype=kind)
        above = grads[0].to(kind).contiguous()
        arrays = [array(t) for t in (above, handed, carried, states, kept, own, outer, bias)]
        for t in reversed(range(steps)):
            _step_back(t, *arrays)
            torch.mm(own[t], weight, out=handed)
        weight_grad = own.flatten(0, 1).t() @ low[:-1].flatten(0, 1)
        return outer, weight_grad.float(), bias, carried + handed


@compiled
def _parts(
    row: NDArray[Any], dim: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:  # pragma: no cover  (compiled)
    """Of r, z and n."""
    return row[:dim], row[dim : 2 * dim], row[2 * dim : 3 * dim]


@compiled
def _step(
    t: int,
    gates: NDArray[Any],
    own: NDArray[Any],
    states: NDArray[np.float32],
    low: NDArray[Any],
    kept: NDArray[np.float32],
    out: NDArray[Any],
) -> None:  # pragma: no cover  (compiled)
    """states[t + 1] from states[t] and own, W_hh h + b_hh [B, 3D] of it; low and out have it as well."""
    dim = states.shape[2]
    for b in range(len(own)):
        given_r, given_z, given_n = _parts(gates[b, t], dim)
        inner_r, inner_z, inner_n = _parts(own[b], dim)
        kept_r, kept_z, kept_n = _parts(kept[t, b], dim)
        kept_hn, before = kept[t, b, 3 * dim :], states[t, b]
        after, after_low, told = states[t + 1, b], low[t + 1, b], out[b, t]
        for d in range(dim):
            r = sigmoid(widened(given_r[d]) + widened(inner_r[d]))
            z = sigmoid(widened(given_z[d]) + widened(inner_z[d]))
            hn = widened(inner_n[d])
            # tanh
            n = np.float32(2) * sigmoid(np.float32(2) * (widened(given_n[d]) + r * hn)) - np.float32(1)
            h = n + z * (before[d] - n)
            kept_r[d], kept_z[d], kept_n[d], kept_hn[d] = r, z, n, hn
            after[d] = h
            after_low[d] = narrowed(h, after_low)
            told[d] = narrowed(h, told)


@compiled
def _step_back(
    t: int,
    above: NDArray[Any],
    handed: NDArray[Any],
    carried: NDArray[np.float32],
    states: NDArray[np.float32],
    kept: NDArray[np.float32],
    own: NDArray[Any],
    outer: NDArray[Any],
    bias: NDArray[np.float32],
) -> None:  # pragma: no cover  (compiled)
    """own[t] and outer[:, t], the gradients of W_hh h + b_hh and of the gates; carried: what of states[t + 1]'s reaches
    states[t] by itself. handed: what reached it through the product of the step after."""
    dim = states.shape[2]
    bias_r, bias_z, bias_n = _parts(bias, dim)
    for b in range(len(carried)):
        more, through, before, carry = above[b, t], handed[b], states[t, b], carried[b]
        kept_r, kept_z, kept_n = _parts(kept[t, b], dim)
        kept_hn = kept[t, b, 3 * dim :]
        inner_r, inner_z, inner_n = _parts(own[t, b], dim)
        given_r, given_z, given_n = _parts(outer[b, t], dim)
        for d in range(dim):
            r, z, n = kept_r[d], kept_z[d], kept_n[d]
            grad = carry[d] + widened(through[d]) + widened(more[d])
            to_n = grad * (np.float32(1) - z) * (np.float32(1) - n * n)
            to_z = grad * (before[d] - n) * z * (np.float32(1) - z)
            to_r = to_n * kept_hn[d] * r * (np.float32(1) - r)
            inner_r[d] = given_r[d] = narrowed(to_r, inner_r)
            inner_z[d] = given_z[d] = narrowed(to_z, inner_z)
            inner_n[d], given_n[d] = narrowed(to_n * r, inner_n), narrowed(to_n, inner_n)
            bias_r[d] += to_r
            bias_z[d] += to_z
            bias_n[d] += to_n * r
            carry[d] = grad * z
