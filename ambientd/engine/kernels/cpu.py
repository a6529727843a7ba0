"""The CPU kernel: one call makes a block of samples for all voices in lockstep. The generator's render thread.

`render` is the outline. For each sample: `prediction.py` makes every voice's logits, `drawing.py` mixes them and
draws the tokens, and here the tokens become sound.

It releases the GIL, allocates nothing and has run-time shapes, so that one compilation serves every
checkpoint. What it computes is in `reference.py`; what it is called with, in `operands.py` and `rows.py`.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.conditioning import set_shares
from ambientd.engine.kernels.drawing import draw_all, mark_drawing, set_mixtures
from ambientd.engine.kernels.emit import bytes_at, floats_at
from ambientd.engine.kernels.groups import group
from ambientd.engine.kernels.mailbox import close_block, open_block
from ambientd.engine.kernels.prediction import predict
from ambientd.engine.kernels.rows import voice_at
from ambientd.engine.kernels.sound import filtered
from ambientd.engine.kernels.texture import set_textures

_f = np.float32


@kernel
def _keep_logits(rows, s, result):
    for v in range(rows.slots):
        if voice_at(rows, v)[plan.DIM]:
            logits = floats_at(voice_at(rows, v)[plan.LOGITS])
            for t in range(voice_at(rows, v)[plan.LEVELS]):
                result.logits[v, s, t] = logits[t]


@kernel
def render(rows, ramp, textures, blends, work, result):
    """Make result.audio.shape[0] samples.

    rows: `Rows`; textures: `TextureRamp`; blends: `BlendRamp`; the rest by name.
    """
    audio, drawn = result.audio, result.drawn
    count, frames, channels = rows.slots, audio.shape[0], audio.shape[1]
    mark_drawing(rows, ramp, bytes_at(work.drawing))
    set_textures(rows, textures)
    set_mixtures(rows, blends)
    set_shares(rows, blends)
    groups, history = group(rows, work), ramp.history.ctypes.data
    open_block(work.box)
    for s in range(frames):
        a = _f(s + 1) / _f(frames)
        predict(rows, history, a, s, work, groups)
        if result.logits.shape[1]:
            _keep_logits(rows, s, result)
        draw_all(rows, ramp, s, a, work, drawn)
        for c in range(channels):
            audio[s, c] = _f(0)
        for v in range(count):
            if voice_at(rows, v)[plan.DIM]:
                voice = voice_at(rows, v)
                token = bytes_at(voice[plan.STREAM])[plan.WINDOW + s]
                y = filtered(floats_at(voice[plan.SIGNAL]), floats_at(voice[plan.DECODE])[token])
                for c in range(channels):
                    gain = ramp.start_gains[v, c] + a * (ramp.end_gains[v, c] - ramp.start_gains[v, c])
                    audio[s, c] += gain * y
    for v in range(count):
        if voice_at(rows, v)[plan.DIM]:
            stream = bytes_at(voice_at(rows, v)[plan.STREAM])
            for i in range(plan.WINDOW):
                stream[i] = stream[i + frames]
    close_block(work.box)
