"""From tokens to sound: each voice's filters and gains. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import floats_at
from ambientd.engine.kernels.rows import voice_at

_f = np.float32


@kernel
def filtered(signal, x):
    """One sample through the voice's filters: de-emphasis, then DC removal."""
    y = x + signal[plan.PRE_EMPHASIS] * signal[plan.EMPHASIS_STATE]
    signal[plan.EMPHASIS_STATE] = y
    out = y - signal[plan.DC_INPUT] + signal[plan.DC_POLE] * signal[plan.DC_OUTPUT]
    signal[plan.DC_INPUT] = y
    signal[plan.DC_OUTPUT] = out
    return out


@kernel
def make_sound(rows, ramp, tokens, audio):
    """A block of tokens [V, n] that were drawn elsewhere -> audio [n, C], overwritten. rows: `Rows`; ramp: `Ramp`."""
    frames, channels = audio.shape
    for s in range(frames):
        for c in range(channels):
            audio[s, c] = _f(0)
    for v in range(rows.slots):
        voice = voice_at(rows, v)
        if voice[plan.DIM]:
            signal, decode = floats_at(voice[plan.SIGNAL]), floats_at(voice[plan.DECODE])
            for s in range(frames):
                a = _f(s + 1) / _f(frames)
                y = filtered(signal, decode[tokens[v, s]])
                for c in range(channels):
                    gain = ramp.start_gains[v, c] + a * (ramp.end_gains[v, c] - ramp.start_gains[v, c])
                    audio[s, c] += gain * y
