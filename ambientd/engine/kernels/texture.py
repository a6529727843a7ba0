"""Stretch, freeze and chaos: how they bend the frame tiers' states. The render thread.

What they mean is in `reference.py`.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.elementary import uniform
from ambientd.engine.kernels.emit import floats_at
from ambientd.engine.kernels.rows import voice_at

_f = np.float32


class Texture(NamedTuple):
    """A tier's at one frame; plain: 1, 0, 0. In `reference.py` too."""

    rate: float  # the share of a plain step that the states take
    freeze: float  # how much of the held state the tier below hears
    chaos: float  # the size of the noise on the states


@kernel
def set_textures(rows, ramp):
    """Put them where a frame finds them."""
    for v in range(rows.slots):
        if voice_at(rows, v)[plan.DIM]:
            signal = floats_at(voice_at(rows, v)[plan.SIGNAL])
            signal[plan.START_STRETCH], signal[plan.END_STRETCH] = ramp.start_stretch[v], ramp.end_stretch[v]
            signal[plan.START_FREEZE], signal[plan.END_FREEZE] = ramp.start_freeze[v], ramp.end_freeze[v]
            signal[plan.START_CHAOS], signal[plan.END_CHAOS] = ramp.start_chaos[v], ramp.end_chaos[v]


@kernel
def texture_at(voice, a, slow):
    """Of one of the voice's tiers, `a` of the way through the block; slow: whether stretch and freeze move it."""
    signal = floats_at(voice[plan.SIGNAL])
    chaos = signal[plan.START_CHAOS] + a * (signal[plan.END_CHAOS] - signal[plan.START_CHAOS])
    if not slow:
        return Texture(_f(1), _f(0), chaos)
    rate = _f(1) / (signal[plan.START_STRETCH] + a * (signal[plan.END_STRETCH] - signal[plan.START_STRETCH]))
    # A block that begins unfrozen is plain throughout, and what it ends with is what the next one holds.
    freeze = _f(0)
    if signal[plan.START_FREEZE] != _f(0):
        freeze = signal[plan.START_FREEZE] + a * (signal[plan.END_FREEZE] - signal[plan.START_FREEZE])
    return Texture(rate, freeze, chaos)


@kernel
def disturb(voice, state, chaos, first):
    """Noise of the size `chaos` onto a state. first: the number of its first draw in the voice's noise stream."""
    h = floats_at(state)
    for i in range(voice[plan.UNITS]):
        noise = _f(2) * uniform(voice[plan.NOISE_KEY], first + i) - _f(1)
        h[i] = min(max(h[i] + chaos * noise, _f(-1)), _f(1))


@kernel
def hold(dim, held, state, freeze, out):
    """Address of what the tier below hears of `state` [dim]: itself, or a blend with the held one, in `out`."""
    h, kept, blend = floats_at(state), floats_at(held), floats_at(out)
    if freeze == _f(0):
        for i in range(dim):
            kept[i] = h[i]
        return state
    for i in range(dim):
        blend[i] = kept[i] + (_f(1) - freeze) * (h[i] - kept[i])
    return out
