"""From logits to tokens: mixing the voices' distributions and drawing from the mixture. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.elementary import exp, log, uniform
from ambientd.engine.kernels.emit import bytes_at, floats_at
from ambientd.engine.kernels.operands import MAX_LEVELS
from ambientd.engine.kernels.rows import voice_at

GROUP = 16
"""Tokens per group of the two-level inverse CDF."""
NOBODY = -1e30
"""The log-probability of what no voice has been asked about yet."""
LEAST_SHARE = 1e-30
"""A voice that counts less is heard as if it counted that much: no logarithm of 0."""
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
def set_mixtures(rows, blends):
    """Put them where a draw finds them."""
    for v in range(rows.slots):
        if voice_at(rows, v)[plan.DIM]:
            signal = floats_at(voice_at(rows, v)[plan.SIGNAL])
            signal[plan.START_MIXTURE], signal[plan.END_MIXTURE] = blends.start_mixture[v], blends.end_mixture[v]


@kernel
def _sum_in_groups(z, levels, groups):
    """The sum of z[:levels], in groups[g] that of each group; what is behind the levels is overwritten."""
    for t in range(levels, MAX_LEVELS):
        z[t] = _f(0)
    total = _f(0)
    for g in range(MAX_LEVELS // GROUP):
        part = _f(0)
        for t in range(GROUP):
            part += z[g * GROUP + t]
        groups[g] = part
        total += part
    return total


@kernel
def _log_sum(logits, levels, inverse, powers, groups):
    """log sum_t exp(logits[t] * inverse). powers, groups: scratch."""
    peak = logits[0]
    for t in range(levels):
        peak = max(peak, logits[t])
    for t in range(levels):
        powers[t] = exp((logits[t] - peak) * inverse)
    return peak * inverse + log(_sum_in_groups(powers, levels, groups))


@kernel
def _average(rows, i, a, ramp, total, work):
    """The first of work.average = log sum_j L_ij softmax(l_j / tau_j), the row's sum being `total`."""
    levels, average = voice_at(rows, i)[plan.LEVELS], floats_at(work.average)
    powers, groups = floats_at(work.average + 4 * MAX_LEVELS), floats_at(work.groups)
    for t in range(levels):
        average[t] = _f(NOBODY)
    for j in range(rows.slots):
        weight = ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
        if weight != _f(0) and voice_at(rows, j)[plan.DIM]:
            inverse = floats_at(voice_at(rows, j)[plan.SIGNAL])[plan.INVERSE_TAU]
            logits = floats_at(voice_at(rows, j)[plan.LOGITS])
            shift = log(max(weight / total, _f(LEAST_SHARE))) - _log_sum(logits, levels, inverse, powers, groups)
            for t in range(levels):
                x = logits[t] * inverse + shift
                high, low = max(average[t], x), min(average[t], x)
                average[t] = high + log(_f(1) + exp(low - high))


@kernel
def _mix_logits(rows, i, a, ramp, z, work):
    """z[levels] = what voice i draws from, up to a constant, as `Mix` says.

    All product: sum_j L_ij l_j / (tau_j T_i), the row normalised.
    """
    # log softmax(l) is l less one number for all tokens, which softmax(z) does not see: no logarithms needed.
    count, levels = rows.slots, voice_at(rows, i)[plan.LEVELS]
    total = _f(0)
    for j in range(count):
        total += ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
    temperature = ramp.start_temperature[i] + a * (ramp.end_temperature[i] - ramp.start_temperature[i])
    for t in range(levels):
        z[t] = _f(0)
    voters = 0
    for j in range(count):
        weight = ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
        if weight != _f(0) and voice_at(rows, j)[plan.DIM]:
            voters += 1
            weight *= floats_at(voice_at(rows, j)[plan.SIGNAL])[plan.INVERSE_TAU] / (total * temperature)
            logits = floats_at(voice_at(rows, j)[plan.LOGITS])
            for t in range(levels):
                z[t] += weight * logits[t]
    signal = floats_at(voice_at(rows, i)[plan.SIGNAL])
    mixture = signal[plan.START_MIXTURE] + a * (signal[plan.END_MIXTURE] - signal[plan.START_MIXTURE])
    if mixture != _f(0) and voters > 1:
        _average(rows, i, a, ramp, total, work)
        average = floats_at(work.average)
        for t in range(levels):
            z[t] += mixture * (average[t] / temperature - z[t])


@kernel
def _draw(z, levels, u, groups):
    """The token at quantile u of softmax(z[:levels]). z is overwritten; groups: scratch for 16 sums."""
    peak, top = z[0], 0
    for t in range(levels):
        peak = max(peak, z[t])
    for t in range(levels):
        z[t] = exp(z[t] - peak)
    rest = u * _sum_in_groups(z, levels, groups)
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
                _mix_logits(rows, v, a, ramp, scores, work)
                u = uniform(voice[plan.KEY], voice[plan.COUNTER])
                drawn[v, s] = _draw(scores, voice[plan.LEVELS], u, floats_at(work.groups))
            voice[plan.COUNTER] += 1
            voice[plan.POSITION] += 1
    for v in range(count):
        voice = voice_at(rows, v)
        if voice[plan.DIM]:
            if not drawing[v]:
                drawn[v, s] = drawn[ramp.history[v], s]
            token = drawn[v, s]
            if voice[plan.FORCED]:
                token = bytes_at(voice[plan.FORCED])[s]
            bytes_at(voice[plan.STREAM])[plan.WINDOW + s] = token
