"""Whose vectors a tier, or the sample level, hears of the tier above it. The render thread.

A voice that hears only its own, as in every solo, takes them from where they are and pays nothing. Otherwise
vectors are blended where they are consumed, after all voices have made theirs: no tier runs twice.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import floats_at
from ambientd.engine.kernels.rows import tier_at, voice_at
from ambientd.engine.kernels.sharing import fetch

_f = np.float32


@kernel
def set_shares(rows, blends):
    """Tell every tier of every voice whose vectors are heard below it during this block."""
    tiers, slots, _ = blends.start_conditioning.shape
    starts, ends = blends.start_conditioning.ctypes.data, blends.end_conditioning.ctypes.data
    for v in range(rows.slots):
        for k in range(min(voice_at(rows, v)[plan.TIERS], tiers)):
            at = 4 * slots * (k * slots + v)
            start, end, shared = floats_at(starts + at), floats_at(ends + at), False
            for j in range(slots):
                shared |= j != v and (start[j] != _f(0) or end[j] != _f(0))
            tier_at(rows, v, k)[plan.START_SHARES] = starts + at if shared else 0
            tier_at(rows, v, k)[plan.END_SHARES] = ends + at


@kernel
def own_vector(rows, v, k, period, work):
    """Address of the vector that tier k of voice v hands down now: float32 [dim], FOLDED_BIAS in it.

    period: for so many samples each, which is the frame size of the tier below.
    """
    voice, tier = voice_at(rows, v), tier_at(rows, v, k)
    vector = voice[plan.POSITION] // period % tier[plan.RATIO]
    fetch(rows, v, k, vector, work)
    return tier[plan.CONDITIONING] + 4 * voice[plan.DIM] * vector


@kernel
def is_shared(rows, v, k):
    """Whether what is below tier k of voice v hears vectors of others."""
    return tier_at(rows, v, k)[plan.START_SHARES] != 0


@kernel
def add_shared(rows, v, k, period, a, work):
    """Onto X of voice v, the blend of tier k's vectors `a` of the way through the block, v's own FOLDED_BIAS in it.

    Whose vectors they are, their voices are of v's dim and frame sizes: `mix.validate` sees to it.
    """
    voice, tier = voice_at(rows, v), tier_at(rows, v, k)
    start, end = floats_at(tier[plan.START_SHARES]), floats_at(tier[plan.END_SHARES])
    total = _f(0)
    for j in range(rows.slots):
        total += start[j] + a * (end[j] - start[j])
    x, own = floats_at(voice[plan.X]), floats_at(tier[plan.FOLDED_BIAS])
    for j in range(rows.slots):
        share = (start[j] + a * (end[j] - start[j])) / total
        if share != _f(0) and voice_at(rows, j)[plan.DIM]:
            vector = floats_at(own_vector(rows, j, k, period, work))
            theirs = floats_at(tier_at(rows, j, k)[plan.FOLDED_BIAS])
            for i in range(voice[plan.DIM]):
                x[i] += share * (vector[i] - theirs[i])
    for i in range(voice[plan.DIM]):
        x[i] += own[i]
