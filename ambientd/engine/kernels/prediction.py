"""The next sample's logits: the tiers whose frames begin, then the sample level. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.activations import look_up, quantize
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import float_from_bits, floats_at, ints_at, shorts_at, words_at
from ambientd.engine.kernels.forecasting import add_forecast, add_prior
from ambientd.engine.kernels.frames import make_frames
from ambientd.engine.kernels.rows import tier_at, voice_at
from ambientd.engine.kernels.sharing import fetch, multiply_all, share

_f = np.float32


@kernel
def _find_due(rows, frame_size, work, members, count):
    """List in work.due those whose frame begins with this sample; how many they are."""
    due = 0
    for i in range(count):
        if voice_at(rows, members[i])[plan.POSITION] % frame_size == 0:
            words_at(work.due)[due] = members[i]
            due += 1
    return due


@kernel
def _look_up_all(rows, ramp, s, work, members, count):
    """The newest samples' sum of each voice, and what it forecasts, into its X, through a ReLU."""
    for i in range(count):
        voice, tier = voice_at(rows, members[i]), tier_at(rows, members[i], 0)
        fetch(rows, members[i], 0, voice[plan.POSITION] % tier[plan.RATIO], work)
        dim, width = voice[plan.DIM], voice[plan.POSITIONS]
        conditioning = tier[plan.CONDITIONING] + 4 * dim * (voice[plan.POSITION] % tier[plan.RATIO])
        newest = voice_at(rows, ramp.history[members[i]])[plan.STREAM] + plan.WINDOW + s - width
        scale = float_from_bits(np.int32(voice[plan.TABLE_SCALE]))
        x = voice[plan.X]
        look_up(voice[plan.TABLE], newest, conditioning, x, width, voice[plan.LEVELS], dim, scale)
        if voice[plan.FORECASTER]:
            add_forecast(voice, newest + width - 1)
        quantize(x, dim, voice[plan.QUANTIZED], 1)
        words_at(work.inputs)[i], words_at(work.outputs)[i] = x, voice[plan.HIDDEN]


@kernel
def _find_places(activation, dim):
    """Put an activation through a ReLU, and note where it is not 0; an even number of places."""
    x, numbers = floats_at(activation), ints_at(activation + plan.NUMBERS_AT * dim)
    places = shorts_at(activation + plan.QUANTIZED_AT * dim)
    count, empty = 0, 0
    for i in range(dim):
        x[i] = max(x[i], _f(0))
    for i in range(dim):
        # Without a branch, which would be mispredicted: what is not counted is overwritten.
        places[count] = i
        count += x[i] > _f(0)
    if count % 2:
        while x[empty] > _f(0):
            empty += 1
        places[count] = empty
        count += 1
    numbers[0] = count


@kernel
def predict(rows, ramp, a, s, work, members, count):
    """Logits of sample s of the block, for the `count` voices of one checkpoint, into their LOGITS."""
    lead = members[0]
    shared = 0
    for k in range(voice_at(rows, lead)[plan.TIERS] - 1, -1, -1):
        due = _find_due(rows, tier_at(rows, lead, k)[plan.FRAME_SIZE], work, members, count)
        if due and make_frames(rows, ramp, a, s, k, work, due):
            shared |= 1 << k
    # The lowest tier's first: they are needed soonest.
    for k in range(voice_at(rows, lead)[plan.TIERS]):
        if shared >> k & 1:
            share(rows, k, work, _find_due(rows, tier_at(rows, lead, k)[plan.FRAME_SIZE], work, members, count))
    _look_up_all(rows, ramp, s, work, members, count)
    multiply_all(voice_at(rows, lead)[plan.HIDDEN_MATRIX], work, count)
    for i in range(count):
        voice = voice_at(rows, members[i])
        if voice[plan.HIDDEN_QUANTIZED] == plan.PLACES:
            _find_places(voice[plan.HIDDEN], voice[plan.DIM])
        else:
            quantize(voice[plan.HIDDEN], voice[plan.DIM], voice[plan.HIDDEN_QUANTIZED], 1)
        words_at(work.inputs)[i], words_at(work.outputs)[i] = voice[plan.HIDDEN], voice[plan.LOGITS]
        voice[plan.POSITION] += 1
    multiply_all(voice_at(rows, lead)[plan.OUTPUT_MATRIX], work, count)
    if voice_at(rows, lead)[plan.FORECASTER]:
        for i in range(count):
            add_prior(voice_at(rows, members[i]))
