"""The next sample's logits: the tiers whose frames begin, then the sample level. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.activations import look_up, quantize
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.conditioning import add_shared, is_shared, own_vector
from ambientd.engine.kernels.emit import float_from_bits, floats_at, ints_at, shorts_at, words_at
from ambientd.engine.kernels.forecasting import add_forecast, add_prior
from ambientd.engine.kernels.frames import make_frames
from ambientd.engine.kernels.groups import members_of, size_of
from ambientd.engine.kernels.rows import tier_at, voice_at
from ambientd.engine.kernels.sharing import is_to_be_shared, multiply_all, share

_f = np.float32


@kernel
def _find_due(rows, k, work, g):
    """List in work.due those of group g who have a tier k, and begin a frame with this sample; how many they are."""
    members, due = members_of(rows, work, g), 0
    if k >= voice_at(rows, members[0])[plan.TIERS]:
        return 0
    frame_size = tier_at(rows, members[0], k)[plan.FRAME_SIZE]
    for i in range(size_of(work, g)):
        if voice_at(rows, members[i])[plan.POSITION] % frame_size == 0:
            words_at(work.due)[due] = members[i]
            due += 1
    return due


@kernel
def _begin_frames(rows, history, a, s, work, groups):
    """The frames that begin with sample s: of all voices, before any tier below hears them."""
    shared = 0
    for k in range(rows.most_tiers - 1, -1, -1):
        for g in range(groups):
            due = _find_due(rows, k, work, g)
            if due and make_frames(rows, history, a, s, k, work, due):
                shared |= 1 << k
    # The lowest tier's first: they are needed soonest.
    for k in range(rows.most_tiers):
        if shared >> k & 1:
            for g in range(groups):
                due = _find_due(rows, k, work, g)
                if due and is_to_be_shared(rows, k, work):
                    share(rows, k, work, due)


@kernel
def _conditioning(rows, v, a, work):
    """Address of what the lowest tier says to the sample level of voice v: float32 [dim], maybe its X."""
    if not is_shared(rows, v, 0):
        return own_vector(rows, v, 0, 1, work)
    voice = voice_at(rows, v)
    x = floats_at(voice[plan.X])
    for i in range(voice[plan.DIM]):
        x[i] = _f(0)
    add_shared(rows, v, 0, 1, a, work)
    return voice[plan.X]


@kernel
def _look_up_all(rows, history, a, s, work, members, count):
    """The newest samples' sum of each voice, and what it forecasts, into its X, through a ReLU."""
    for i in range(count):
        voice = voice_at(rows, members[i])
        dim, width = voice[plan.DIM], voice[plan.POSITIONS]
        newest = voice_at(rows, ints_at(history)[members[i]])[plan.STREAM] + plan.WINDOW + s - width
        scale = float_from_bits(np.int32(voice[plan.TABLE_SCALE]))
        x = voice[plan.X]
        conditioning = _conditioning(rows, members[i], a, work)
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
def _run_sample_level(rows, history, a, s, work, members, count):
    """Logits of sample s of the block, for the `count` voices of one checkpoint, into their LOGITS."""
    lead = members[0]
    _look_up_all(rows, history, a, s, work, members, count)
    multiply_all(voice_at(rows, lead)[plan.HIDDEN_MATRIX], work, count)
    for i in range(count):
        voice = voice_at(rows, members[i])
        if voice[plan.HIDDEN_QUANTIZED] == plan.PLACES:
            _find_places(voice[plan.HIDDEN], voice[plan.DIM])
        else:
            quantize(voice[plan.HIDDEN], voice[plan.DIM], voice[plan.HIDDEN_QUANTIZED], 1)
        words_at(work.inputs)[i], words_at(work.outputs)[i] = voice[plan.HIDDEN], voice[plan.LOGITS]
    multiply_all(voice_at(rows, lead)[plan.OUTPUT_MATRIX], work, count)
    if voice_at(rows, lead)[plan.FORECASTER]:
        for i in range(count):
            add_prior(voice_at(rows, members[i]))


@kernel
def predict(rows, history, a, s, work, groups):
    """Every voice's logits of sample s of the block, `a` of the way through it. history: address of the ramp's."""
    _begin_frames(rows, history, a, s, work, groups)
    for g in range(groups):
        _run_sample_level(rows, history, a, s, work, members_of(rows, work, g), size_of(work, g))
