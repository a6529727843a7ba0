"""One frame of a tier: from the samples it hears to the vectors for the tier below. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.activations import quantize
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.conditioning import add_shared, is_shared, own_vector
from ambientd.engine.kernels.elementary import sigmoid
from ambientd.engine.kernels.emit import bytes_at, floats_at, ints_at, words_at
from ambientd.engine.kernels.gemv import multiply
from ambientd.engine.kernels.rows import layer_at, tier_at, voice_at
from ambientd.engine.kernels.sharing import is_helped, multiply_ahead, multiply_all, multiply_shared
from ambientd.engine.kernels.texture import disturb, hold, texture_at

_f = np.float32


@kernel
def _read_frame(rows, v, k, heard):
    """The newest samples that tier k of voice v hears, as numbers, into its FRAME. heard: the end of the past."""
    voice, tier = voice_at(rows, v), tier_at(rows, v, k)
    size, columns = tier[plan.FRAME_SIZE], tier[plan.INPUT_COLUMNS]
    tokens, frame, signal = bytes_at(heard - size), floats_at(voice[plan.FRAME]), floats_at(voice[plan.SIGNAL])
    for i in range(size):
        frame[i] = (_f(tokens[i]) - signal[plan.SCALE_OFFSET]) * signal[plan.SCALE_FACTOR]
    for i in range(size, columns):
        frame[i] = _f(0)


@kernel
def _add_from_above(rows, v, k, a, work):
    """Onto X of voice v, what the tier above k says of this frame, the input's bias in it."""
    voice, period = voice_at(rows, v), tier_at(rows, v, k)[plan.FRAME_SIZE]
    if is_shared(rows, v, k + 1):
        add_shared(rows, v, k + 1, period, a, work)
        return
    x, vector = floats_at(voice[plan.X]), floats_at(own_vector(rows, v, k + 1, period, work))
    for i in range(voice[plan.DIM]):
        x[i] += vector[i]


@kernel
def _gru_gates(dim, gates_input, gates_state, state, rate):
    """The element-wise half of a GRU step; state [dim] goes `rate` of the way to the next one."""
    a, g, h = floats_at(gates_input), floats_at(gates_state), floats_at(state)
    for i in range(dim):
        r = sigmoid(a[i] + g[i])
        z = sigmoid(a[dim + i] + g[dim + i])
        n = _f(2) * sigmoid(_f(2) * (a[2 * dim + i] + r * g[2 * dim + i])) - _f(1)
        # At rate 1 the plain formula, because the other rounds differently and a draw would tell.
        h[i] = n + z * (h[i] - n) if rate == _f(1) else h[i] + rate * (_f(1) - z) * (n - h[i])


@kernel
def _recur(rows, a, k, n, work, count):
    """Layer n of tier k of the voices that are due; their inputs are at work.inputs, and so is then their state."""
    due = words_at(work.due)
    lead = voice_at(rows, due[0])
    dim, form, slow = lead[plan.DIM], lead[plan.QUANTIZED], k > 0 or lead[plan.TIERS] == 1
    for i in range(count):
        words_at(work.outputs)[i] = voice_at(rows, due[i])[plan.GATES_INPUT]
    if is_helped(work, count):
        multiply_shared(layer_at(rows, due[0], k, n)[plan.MATRIX_IH], dim, work, count)
    else:
        multiply_all(layer_at(rows, due[0], k, n)[plan.MATRIX_IH], work, count)
    for i in range(count):
        words_at(work.inputs)[i] = layer_at(rows, due[i], k, n)[plan.STATE]
        words_at(work.outputs)[i] = voice_at(rows, due[i])[plan.GATES_STATE]
        if layer_at(rows, due[i], k, n)[plan.AHEAD_JOB] < 0:
            quantize(words_at(work.inputs)[i], dim, form, 0)
    multiply_ahead(rows, k, n, dim, work, count)
    for i in range(count):
        voice, state = voice_at(rows, due[i]), words_at(work.inputs)[i]
        texture = texture_at(voice, a, slow)
        _gru_gates(dim, voice[plan.GATES_INPUT], voice[plan.GATES_STATE], state, texture.rate)
        if texture.chaos != _f(0):
            frame = (voice[plan.COUNTER] << plan.NOISE_FRAME) + (k << plan.NOISE_TIER)
            disturb(voice, state, texture.chaos, frame + (n << plan.NOISE_LAYER))
        quantize(state, dim, form, 0)


@kernel
def make_frames(rows, history, a, s, k, work, count):
    """One frame of tier k of the voices that are due: all of one checkpoint. Whether there is more to `share`.

    history: address of the ramp's; the tuple itself is so large that handing it on is felt.
    """
    due = words_at(work.due)
    lead = voice_at(rows, due[0])
    dim, form = lead[plan.DIM], lead[plan.QUANTIZED]
    for i in range(count):
        _read_frame(rows, due[i], k, voice_at(rows, ints_at(history)[due[i]])[plan.STREAM] + plan.WINDOW + s)
        words_at(work.inputs)[i], words_at(work.outputs)[i] = (
            voice_at(rows, due[i])[plan.FRAME],
            voice_at(rows, due[i])[plan.X],
        )
    multiply_all(tier_at(rows, due[0], k)[plan.INPUT_MATRIX], work, count)
    for i in range(count):
        if k + 1 < lead[plan.TIERS]:
            _add_from_above(rows, due[i], k, a, work)
        words_at(work.inputs)[i] = voice_at(rows, due[i])[plan.X]
        quantize(words_at(work.inputs)[i], dim, form, 0)
    for n in range(lead[plan.LAYERS]):
        _recur(rows, a, k, n, work, count)
    for i in range(count):
        texture = texture_at(voice_at(rows, due[i]), a, k > 0 or lead[plan.TIERS] == 1)
        state, heard = words_at(work.inputs)[i], tier_at(rows, due[i], k)[plan.HEARD]
        words_at(work.inputs)[i] = hold(dim, tier_at(rows, due[i], k)[plan.HELD], state, texture.freeze, heard)
        if words_at(work.inputs)[i] == heard:
            quantize(heard, dim, form, 0)
        words_at(work.outputs)[i] = tier_at(rows, due[i], k)[plan.CONDITIONING]
    # All of the frame's vectors in one burst: the weights stream through the cache once, in order. Or with a
    # second core only the one that is needed now.
    shared = is_helped(work, count)
    vectors = 1 if shared else tier_at(rows, due[0], k)[plan.RATIO]
    for i in range(count):
        tier_at(rows, due[i], k)[plan.SHARED_FROM] = vectors
        tier_at(rows, due[i], k)[plan.SHARED_INPUT] = words_at(work.inputs)[i]
        tier_at(rows, due[i], k)[plan.SHARED_JOB] = -1
    matrix, blocks = tier_at(rows, due[0], k)[plan.UPSAMPLE_MATRIX], vectors * dim // plan.ROWS
    multiply(matrix, work.inputs, work.outputs, count, 0, blocks)
    return shared
