"""From logits to tokens: mixing the voices' distributions and drawing from the mixture. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.elementary import exp, uniform
from ambientd.engine.kernels.emit import bytes_at, floats_at
from ambientd.engine.kernels.operands import MAX_LEVELS
from ambientd.engine.kernels.rows import voice_at

GROUP = 16
"""Tokens per group of the two-level inverse CDF."""
_f = np.float32


@kernel
def mark_drawing(rows, ramp, drawing):
    """drawing[v]: whether anybody hears what v draws, through a gain or as a history."""
    count = rows.slots
    for v in range(count):
        drawing[v] = False
        for c in range(ramp.end_gains.shape[1]):
            if ramp.start_gains[v, c] != _f(0) or ramp.end_gains[v, c] != _f(0):
                drawing[v] = True
        for j in range(count):
            if voice_at(rows, j)[plan.DIM] and ramp.history[j] == v:
                drawing[v] = True


@kernel
def _mix_logits(rows, i, a, ramp, z):
    """z[levels] = what voice i draws from, up to a constant: sum_j L_ij l_j / (tau_j T_i), the row normalised."""
    # log softmax(l) is l less one number for all tokens, which softmax(z) does not see: no logarithms needed.
    count, levels = rows.slots, voice_at(rows, i)[plan.LEVELS]
    total = _f(0)
    for j in range(count):
        total += ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
    temperature = ramp.start_temperature[i] + a * (ramp.end_temperature[i] - ramp.start_temperature[i])
    for t in range(levels):
        z[t] = _f(0)
    for j in range(count):
        weight = ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
        if weight != _f(0) and voice_at(rows, j)[plan.DIM]:
            weight *= floats_at(voice_at(rows, j)[plan.SIGNAL])[plan.INVERSE_TAU] / (total * temperature)
            logits = floats_at(voice_at(rows, j)[plan.LOGITS])
            for t in range(levels):
                z[t] += weight * logits[t]


@kernel
def _draw(z, levels, u, groups):
    """The token at quantile u of softmax(z[:levels]). z is overwritten; groups: scratch for 16 sums."""
    peak, top = z[0], 0
    for t in range(levels):
        peak = max(peak, z[t])
    for t in range(levels):
        z[t] = exp(z[t] - peak)
    for t in range(levels, MAX_LEVELS):
        z[t] = _f(0)
    total = _f(0)
    for g in range(MAX_LEVELS // GROUP):
        part = _f(0)
        for t in range(GROUP):
            part += z[g * GROUP + t]
        groups[g] = part
        total += part
    rest = u * total
    for g in range(MAX_LEVELS // GROUP):
        if rest < groups[g]:
            for t in range(g * GROUP, (g + 1) * GROUP):
                if rest < z[t]:
                    return t
                rest -= z[t]
            break
        rest -= groups[g]
    # Rounding left the target a hair beyond the sums. The likeliest token is the one that cannot click.
    for t in range(levels):
        if z[t] > z[top]:
            top = t
    return top


@kernel
def draw_all(rows, ramp, s, a, work, drawn):
    """Append token s of every voice to its stream; a voice that does not draw repeats what it hears."""
    count, drawing, scores = rows.slots, bytes_at(work.drawing), floats_at(work.scores)
    for v in range(count):
        voice = voice_at(rows, v)
        if voice[plan.DIM]:
            if drawing[v]:
                _mix_logits(rows, v, a, ramp, scores)
                u = uniform(voice[plan.KEY], voice[plan.COUNTER])
                drawn[v, s] = _draw(scores, voice[plan.LEVELS], u, floats_at(work.groups))
            voice[plan.COUNTER] += 1
    for v in range(count):
        voice = voice_at(rows, v)
        if voice[plan.DIM]:
            if not drawing[v]:
                drawn[v, s] = drawn[ramp.history[v], s]
            token = drawn[v, s]
            if voice[plan.FORCED]:
                token = bytes_at(voice[plan.FORCED])[s]
            bytes_at(voice[plan.STREAM])[plan.WINDOW + s] = token
