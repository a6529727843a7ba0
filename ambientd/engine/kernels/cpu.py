"""The CPU kernel: one call makes a block of samples for all voices in lockstep. The generator's render thread.

It releases the GIL, allocates nothing and has run-time shapes, so that one compilation serves every
checkpoint. What it computes is in `reference.py`; how its operands lie in memory is in `plan.py`.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated, no-any-return"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats, Ints, Tokens
from ambientd.engine.kernels import mailbox, plan
from ambientd.engine.kernels.activations import look_up, quantize
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import bytes_at, float_from_bits, floats_at, fma, ints_at, shorts_at, words_at
from ambientd.engine.kernels.gemv import multiply
from ambientd.engine.kernels.mailbox import (
    BACKGROUND,
    MOST_VECTORS,
    URGENT,
    close_block,
    collect,
    helped,
    open_block,
    post,
)

GROUP = 16
"""Tokens per group of the two-level inverse CDF."""
MAX_LEVELS = 256
_f = np.float32


class Ramp(NamedTuple):
    """`MixRamp` as arrays. V voices, C channels."""

    start_logits: Floats  # [V, V]
    end_logits: Floats
    start_temperature: Floats  # [V]
    end_temperature: Floats
    start_gains: Floats  # [V, C]
    end_gains: Floats
    history: Ints  # [V]


class TextureRamp(NamedTuple):
    """The rest of `MixRamp`, [V] each; apart, because `Ramp` is handed on at every sample and its size is felt."""

    start_stretch: Floats
    end_stretch: Floats
    start_freeze: Floats
    end_freeze: Floats
    start_chaos: Floats
    end_chaos: Floats


class Texture(NamedTuple):
    """A tier's at one frame; plain: 1, 0, 0. In `reference.py` too."""

    rate: float  # the share of a plain step that the states take
    freeze: float  # how much of the held state the tier below hears
    chaos: float  # the size of the noise on the states


class Plan(NamedTuple):
    """The voices as rows of `plan.py`'s fields."""

    voices: NDArray[np.int64]  # [V, VOICE_FIELDS]
    tiers: NDArray[np.int64]  # [V, most tiers, TIER_FIELDS]
    layers: NDArray[np.int64]  # [V, most tiers, most layers, LAYER_FIELDS]


class Rows(NamedTuple):
    """A `Plan` by addresses.

    Not arrays, because Numba counts references to each that is taken out of a tuple or sliced: that was a quarter
    of a sample's time at dim 256.
    """

    voices: int
    tiers: int
    layers: int
    slots: int
    most_tiers: int
    most_layers: int

    @classmethod
    def of(cls, plan: Plan) -> Rows:
        """Good for as long as the plan's arrays live."""
        slots, tiers, layers, _ = plan.layers.shape
        return cls(*(array.ctypes.data for array in plan), slots, tiers, layers)


class Work(NamedTuple):
    """The kernel's notes while it renders, by addresses too. `Notes` owns them. V slots."""

    drawing: int  # uint8 [V]: whose tokens somebody hears
    members: int  # int64 [V, V]: row g: the voices of one checkpoint, which share every matrix's weights
    sizes: int  # int64 [V]: how many those are
    due: int  # int64 [V]: voices at the start of a frame
    inputs: int  # int64 [V]: addresses for `multiply`
    outputs: int  # int64 [V]
    staged: int  # int64 [V]: as outputs, of the second core
    single: int  # int64 [3]: the three of one voice
    box: int  # the second core's mailbox
    scores: int  # float32 [256]
    groups: int  # float32 [256 / GROUP]


class Notes:
    """Memory for the kernel's notes on so many slots."""

    def __init__(self, slots: int) -> None:
        self.box = mailbox.mailbox()
        self._lists = np.zeros((slots + 8, max(slots, 3)), np.int64)
        self._scores = np.zeros((2, MAX_LEVELS), np.float32)
        lists = [row.ctypes.data for row in self._lists[slots:]]
        members, scores, groups = self._lists.ctypes.data, *(row.ctypes.data for row in self._scores)
        drawing, sizes, due, inputs, outputs, staged, single, _ = lists
        self.work = Work(
            drawing, members, sizes, due, inputs, outputs, staged, single, self.box.ctypes.data, scores, groups
        )


class Result(NamedTuple):
    """Where a block goes. n <= BLOCK frames."""

    audio: Floats  # [n, C], overwritten
    drawn: Tokens  # [V, n]: what each voice drew, whether it was taken or not
    logits: Floats  # [V, n, 256] for the tests, or [V, 0, 256]


@kernel
def _voice(rows, v):
    return words_at(rows.voices + 8 * plan.VOICE_FIELDS * v)


@kernel
def _tier(rows, v, k):
    return words_at(rows.tiers + 8 * plan.TIER_FIELDS * (v * rows.most_tiers + k))


@kernel
def _layer(rows, v, k, n):
    return words_at(rows.layers + 8 * plan.LAYER_FIELDS * ((v * rows.most_tiers + k) * rows.most_layers + n))


@kernel
def _members(rows, work, g):
    """The list of group g."""
    return words_at(work.members + 8 * max(rows.slots, 3) * g)


@kernel
def _exp(x):
    """exp(x) to the last bit or two: 2**k times a polynomial for 2**r, r in -0.5..0.5; clamped, never inf."""
    t = min(max(x, _f(-87)), _f(87)) * _f(1.4426950408889634)
    k = np.floor(t + _f(0.5))
    r = t - k
    p = _f(1.534579497e-4)
    p = fma(p, r, _f(1.339993163e-3))
    p = fma(p, r, _f(9.618489025e-3))
    p = fma(p, r, _f(5.550328776e-2))
    p = fma(p, r, _f(2.402264689e-1))
    p = fma(p, r, _f(6.931472057e-1))
    p = fma(p, r, _f(1))
    return p * float_from_bits((np.int32(k) + np.int32(127)) << np.int32(23))


@kernel
def _uniform(key, counter):
    """As in the reference: SplitMix64 of the counter, 24 bits, the lowest set."""
    x = np.uint64(key) + (np.uint64(counter) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return _f(np.uint32((x >> np.uint64(40)) | np.uint64(1))) * _f(1 / (1 << 24))


@kernel
def _sigmoid(x):
    return _f(1) / (_f(1) + _exp(-x))


@kernel
def _gru_gates(dim, gates_input, gates_state, state, rate):
    """The element-wise half of a GRU step; state [dim] goes `rate` of the way to the next one."""
    a, g, h = floats_at(gates_input), floats_at(gates_state), floats_at(state)
    for i in range(dim):
        r = _sigmoid(a[i] + g[i])
        z = _sigmoid(a[dim + i] + g[dim + i])
        n = _f(2) * _sigmoid(_f(2) * (a[2 * dim + i] + r * g[2 * dim + i])) - _f(1)
        # At rate 1 the plain formula, because the other rounds differently and a draw would tell.
        h[i] = n + z * (h[i] - n) if rate == _f(1) else h[i] + rate * (_f(1) - z) * (n - h[i])


@kernel
def _disturb(voice, state, chaos, first):
    """Noise of the size `chaos` onto a state. first: the number of its first draw in the voice's noise stream."""
    h = floats_at(state)
    for i in range(voice[plan.UNITS]):
        noise = _f(2) * _uniform(voice[plan.NOISE_KEY], first + i) - _f(1)
        h[i] = min(max(h[i] + chaos * noise, _f(-1)), _f(1))


@kernel
def _hold(dim, held, state, freeze, out):
    """Address of what the tier below hears of `state` [dim]: itself, or a blend with the held one, in `out`."""
    h, kept, blend = floats_at(state), floats_at(held), floats_at(out)
    if freeze == _f(0):
        for i in range(dim):
            kept[i] = h[i]
        return state
    for i in range(dim):
        blend[i] = kept[i] + (_f(1) - freeze) * (h[i] - kept[i])
    return out


@kernel
def _texture(voice, a, slow):
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
def _multiply_all(matrix, work, count):
    """The whole matrix times the vectors at work.inputs, into those at work.outputs."""
    blocks = words_at(matrix)[plan.BLOCKS]
    multiply(matrix, work.inputs, work.outputs, count, 0, blocks)


@kernel
def _is_helped(work, count):
    return count <= MOST_VECTORS and helped(work.box)


@kernel
def _job_blocks(dim):
    """Blocks of rows to a job in the background: some 256 kB of weights, so that urgent ones never wait long."""
    blocks = dim // plan.ROWS
    return blocks // 4 if dim > 512 and blocks % 4 == 0 else blocks


@kernel
def _multiply_shared(matrix, dim, work, count):
    """As `_multiply_all`, half of it on the second core, and at once. An output has room for twice its rows."""
    blocks, box = words_at(matrix)[plan.BLOCKS], work.box
    half = blocks - blocks // 2
    for i in range(count):
        words_at(work.staged)[i] = words_at(work.outputs)[i] + 4 * plan.ROWS * blocks
    job = post(box, URGENT, matrix, work.inputs, work.staged, count, half, blocks)
    multiply(matrix, work.inputs, work.outputs, count, 0, half)
    collect(box, URGENT, job, matrix, work.inputs, work.staged, work.outputs, count, half, blocks)


@kernel
def _multiply_ahead(rows, k, n, dim, work, count):
    """MATRIX_HH of layer n: what the second core has made of it since the last frame, and the rest here."""
    due = words_at(work.due)
    matrix, job = _layer(rows, due[0], k, n)[plan.MATRIX_HH], _layer(rows, due[0], k, n)[plan.AHEAD_JOB]
    for i in range(count):
        words_at(work.staged)[i] = _layer(rows, due[i], k, n)[plan.GATES_AHEAD]
        job = min(job, _layer(rows, due[i], k, n)[plan.AHEAD_JOB])
        _layer(rows, due[i], k, n)[plan.AHEAD_JOB] = -1
    if job < 0:
        _multiply_all(matrix, work, count)
        return
    step = _job_blocks(dim)
    for first in range(0, words_at(matrix)[plan.BLOCKS], step):
        number = job + first // step
        collect(
            work.box, BACKGROUND, number, matrix, work.inputs, work.staged, work.outputs, count, first, first + step
        )


@kernel
def _share(rows, k, work, count):
    """Give the second core what the frame just begun leaves to be done: vectors, then the next frame's MATRIX_HH."""
    due = words_at(work.due)
    lead, tier = _voice(rows, due[0]), _tier(rows, due[0], k)
    dim, ratio = lead[plan.DIM], tier[plan.RATIO]
    step = _job_blocks(dim)
    for i in range(count):
        words_at(work.inputs)[i] = _tier(rows, due[i], k)[plan.SHARED_INPUT]
        words_at(work.staged)[i] = _tier(rows, due[i], k)[plan.CONDITIONING] + 4 * dim * ratio
    first_job = -1
    for first in range(dim // plan.ROWS, ratio * dim // plan.ROWS, step):
        matrix = tier[plan.UPSAMPLE_MATRIX]
        job = post(work.box, BACKGROUND, matrix, work.inputs, work.staged, count, first, first + step)
        first_job = job if first_job < 0 else first_job
    for i in range(count):
        _tier(rows, due[i], k)[plan.SHARED_JOB] = first_job
    for n in range(lead[plan.LAYERS]):
        for i in range(count):
            words_at(work.inputs)[i] = _layer(rows, due[i], k, n)[plan.STATE]
            words_at(work.staged)[i] = _layer(rows, due[i], k, n)[plan.GATES_AHEAD]
        first_job = -1
        for first in range(0, 3 * dim // plan.ROWS, step):
            matrix = _layer(rows, due[0], k, n)[plan.MATRIX_HH]
            job = post(work.box, BACKGROUND, matrix, work.inputs, work.staged, count, first, first + step)
            first_job = job if first_job < 0 else first_job
        for i in range(count):
            _layer(rows, due[i], k, n)[plan.AHEAD_JOB] = first_job


@kernel
def _fetch(rows, v, k, vector, work):
    """Have a vector of tier k in voice v's CONDITIONING, if it was left to the second core."""
    tier, dim, single = _tier(rows, v, k), _voice(rows, v)[plan.DIM], words_at(work.single)
    start = tier[plan.SHARED_FROM]
    if vector < start:
        return
    blocks, step = dim // plan.ROWS, _job_blocks(dim)
    single[0], single[2] = tier[plan.SHARED_INPUT], tier[plan.CONDITIONING]
    single[1] = tier[plan.CONDITIONING] + 4 * dim * tier[plan.RATIO]
    inputs, staged, outputs = work.single, work.single + 8, work.single + 16
    for part in range(blocks // step):
        job = tier[plan.SHARED_JOB]
        if job >= 0:
            job += (vector - start) * (blocks // step) + part
        first = vector * blocks + part * step
        matrix = tier[plan.UPSAMPLE_MATRIX]
        collect(work.box, BACKGROUND, job, matrix, inputs, staged, outputs, 1, first, first + step)


@kernel
def _read_frame(rows, v, k, heard):
    """The newest samples that tier k of voice v hears, as numbers, into its FRAME. heard: the end of the past."""
    voice, size, columns = _voice(rows, v), _tier(rows, v, k)[plan.FRAME_SIZE], _tier(rows, v, k)[plan.INPUT_COLUMNS]
    tokens, frame, signal = bytes_at(heard - size), floats_at(voice[plan.FRAME]), floats_at(voice[plan.SIGNAL])
    for i in range(size):
        frame[i] = (_f(tokens[i]) - signal[plan.SCALE_OFFSET]) * signal[plan.SCALE_FACTOR]
    for i in range(size, columns):
        frame[i] = _f(0)


@kernel
def _add_from_above(rows, v, k, work):
    """Onto X of voice v, the vector that the tier above k has made for this frame, the input's bias in it."""
    voice, above = _voice(rows, v), _tier(rows, v, k + 1)
    frame = voice[plan.POSITION] // _tier(rows, v, k)[plan.FRAME_SIZE]
    x = floats_at(voice[plan.X])
    _fetch(rows, v, k + 1, frame % above[plan.RATIO], work)
    vector = floats_at(above[plan.CONDITIONING] + 4 * voice[plan.DIM] * (frame % above[plan.RATIO]))
    for i in range(voice[plan.DIM]):
        x[i] += vector[i]


@kernel
def _recur(rows, a, k, n, work, count):
    """Layer n of tier k of the voices that are due; their inputs are at work.inputs, and so is then their state."""
    due = words_at(work.due)
    lead = _voice(rows, due[0])
    dim, form, slow = lead[plan.DIM], lead[plan.QUANTIZED], k > 0 or lead[plan.TIERS] == 1
    for i in range(count):
        words_at(work.outputs)[i] = _voice(rows, due[i])[plan.GATES_INPUT]
    if _is_helped(work, count):
        _multiply_shared(_layer(rows, due[0], k, n)[plan.MATRIX_IH], dim, work, count)
    else:
        _multiply_all(_layer(rows, due[0], k, n)[plan.MATRIX_IH], work, count)
    for i in range(count):
        words_at(work.inputs)[i] = _layer(rows, due[i], k, n)[plan.STATE]
        words_at(work.outputs)[i] = _voice(rows, due[i])[plan.GATES_STATE]
        if _layer(rows, due[i], k, n)[plan.AHEAD_JOB] < 0:
            quantize(words_at(work.inputs)[i], dim, form, 0)
    _multiply_ahead(rows, k, n, dim, work, count)
    for i in range(count):
        voice, state = _voice(rows, due[i]), words_at(work.inputs)[i]
        texture = _texture(voice, a, slow)
        _gru_gates(dim, voice[plan.GATES_INPUT], voice[plan.GATES_STATE], state, texture.rate)
        if texture.chaos != _f(0):
            frame = (voice[plan.COUNTER] << plan.NOISE_FRAME) + (k << plan.NOISE_TIER)
            _disturb(voice, state, texture.chaos, frame + (n << plan.NOISE_LAYER))
        quantize(state, dim, form, 0)


@kernel
def _frames(rows, ramp, a, s, k, work, count):
    """One frame of tier k of the voices that are due: all of one checkpoint. Whether there is more to `_share`."""
    due = words_at(work.due)
    lead = _voice(rows, due[0])
    dim, form = lead[plan.DIM], lead[plan.QUANTIZED]
    for i in range(count):
        _read_frame(rows, due[i], k, _voice(rows, ramp.history[due[i]])[plan.STREAM] + plan.WINDOW + s)
        words_at(work.inputs)[i], words_at(work.outputs)[i] = (
            _voice(rows, due[i])[plan.FRAME],
            _voice(rows, due[i])[plan.X],
        )
    _multiply_all(_tier(rows, due[0], k)[plan.INPUT_MATRIX], work, count)
    for i in range(count):
        if k + 1 < lead[plan.TIERS]:
            _add_from_above(rows, due[i], k, work)
        words_at(work.inputs)[i] = _voice(rows, due[i])[plan.X]
        quantize(words_at(work.inputs)[i], dim, form, 0)
    for n in range(lead[plan.LAYERS]):
        _recur(rows, a, k, n, work, count)
    for i in range(count):
        texture = _texture(_voice(rows, due[i]), a, k > 0 or lead[plan.TIERS] == 1)
        state, heard = words_at(work.inputs)[i], _tier(rows, due[i], k)[plan.HEARD]
        words_at(work.inputs)[i] = _hold(dim, _tier(rows, due[i], k)[plan.HELD], state, texture.freeze, heard)
        if words_at(work.inputs)[i] == heard:
            quantize(heard, dim, form, 0)
        words_at(work.outputs)[i] = _tier(rows, due[i], k)[plan.CONDITIONING]
    # All of the frame's vectors in one burst: the weights stream through the cache once, in order. Or with a
    # second core only the one that is needed now.
    shared = _is_helped(work, count)
    vectors = 1 if shared else _tier(rows, due[0], k)[plan.RATIO]
    for i in range(count):
        _tier(rows, due[i], k)[plan.SHARED_FROM] = vectors
        _tier(rows, due[i], k)[plan.SHARED_INPUT] = words_at(work.inputs)[i]
        _tier(rows, due[i], k)[plan.SHARED_JOB] = -1
    matrix, blocks = _tier(rows, due[0], k)[plan.UPSAMPLE_MATRIX], vectors * dim // plan.ROWS
    multiply(matrix, work.inputs, work.outputs, count, 0, blocks)
    return shared


@kernel
def _look_up_all(rows, ramp, s, work, members, count):
    """The newest samples' sum of each voice, into its X, through a ReLU."""
    for i in range(count):
        voice, tier = _voice(rows, members[i]), _tier(rows, members[i], 0)
        _fetch(rows, members[i], 0, voice[plan.POSITION] % tier[plan.RATIO], work)
        dim, width = voice[plan.DIM], voice[plan.POSITIONS]
        conditioning = tier[plan.CONDITIONING] + 4 * dim * (voice[plan.POSITION] % tier[plan.RATIO])
        newest = _voice(rows, ramp.history[members[i]])[plan.STREAM] + plan.WINDOW + s - width
        scale = float_from_bits(np.int32(voice[plan.TABLE_SCALE]))
        x = voice[plan.X]
        look_up(voice[plan.TABLE], newest, conditioning, x, width, voice[plan.LEVELS], dim, scale)
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
def _find_due(rows, frame_size, work, members, count):
    """List in work.due those whose frame begins with this sample; how many they are."""
    due = 0
    for i in range(count):
        if _voice(rows, members[i])[plan.POSITION] % frame_size == 0:
            words_at(work.due)[due] = members[i]
            due += 1
    return due


@kernel
def _predict(rows, ramp, a, s, work, members, count):
    """Logits of sample s of the block, for the `count` voices of one checkpoint, into their LOGITS."""
    lead = members[0]
    shared = 0
    for k in range(_voice(rows, lead)[plan.TIERS] - 1, -1, -1):
        due = _find_due(rows, _tier(rows, lead, k)[plan.FRAME_SIZE], work, members, count)
        if due and _frames(rows, ramp, a, s, k, work, due):
            shared |= 1 << k
    # The lowest tier's first: they are needed soonest.
    for k in range(_voice(rows, lead)[plan.TIERS]):
        if shared >> k & 1:
            _share(rows, k, work, _find_due(rows, _tier(rows, lead, k)[plan.FRAME_SIZE], work, members, count))
    _look_up_all(rows, ramp, s, work, members, count)
    _multiply_all(_voice(rows, lead)[plan.HIDDEN_MATRIX], work, count)
    for i in range(count):
        voice = _voice(rows, members[i])
        if voice[plan.HIDDEN_QUANTIZED] == plan.PLACES:
            _find_places(voice[plan.HIDDEN], voice[plan.DIM])
        else:
            quantize(voice[plan.HIDDEN], voice[plan.DIM], voice[plan.HIDDEN_QUANTIZED], 1)
        words_at(work.inputs)[i], words_at(work.outputs)[i] = voice[plan.HIDDEN], voice[plan.LOGITS]
        voice[plan.POSITION] += 1
    _multiply_all(_voice(rows, lead)[plan.OUTPUT_MATRIX], work, count)


@kernel
def _mix_logits(rows, i, a, ramp, z):
    """z[levels] = what voice i draws from, up to a constant: sum_j L_ij l_j / (tau_j T_i), the row normalised."""
    # log softmax(l) is l less one number for all tokens, which softmax(z) does not see: no logarithms needed.
    count, levels = rows.slots, _voice(rows, i)[plan.LEVELS]
    total = _f(0)
    for j in range(count):
        total += ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
    temperature = ramp.start_temperature[i] + a * (ramp.end_temperature[i] - ramp.start_temperature[i])
    for t in range(levels):
        z[t] = _f(0)
    for j in range(count):
        weight = ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
        if weight != _f(0) and _voice(rows, j)[plan.DIM]:
            weight *= floats_at(_voice(rows, j)[plan.SIGNAL])[plan.INVERSE_TAU] / (total * temperature)
            logits = floats_at(_voice(rows, j)[plan.LOGITS])
            for t in range(levels):
                z[t] += weight * logits[t]


@kernel
def _draw(z, levels, u, groups):
    """The token at quantile u of softmax(z[:levels]). z is overwritten; groups: scratch for 16 sums."""
    peak, top = z[0], 0
    for t in range(levels):
        peak = max(peak, z[t])
    for t in range(levels):
        z[t] = _exp(z[t] - peak)
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
def _sound(signal, x):
    """One sample through the voice's filters: de-emphasis, then DC removal."""
    y = x + signal[plan.PRE_EMPHASIS] * signal[plan.EMPHASIS_STATE]
    signal[plan.EMPHASIS_STATE] = y
    out = y - signal[plan.DC_INPUT] + signal[plan.DC_POLE] * signal[plan.DC_OUTPUT]
    signal[plan.DC_INPUT] = y
    signal[plan.DC_OUTPUT] = out
    return out


@kernel
def _group(rows, work):
    """Voices of one checkpoint together."""
    sizes, groups = words_at(work.sizes), 0
    for v in range(rows.slots):
        if _voice(rows, v)[plan.DIM]:
            checkpoint, g = _voice(rows, v)[plan.HIDDEN_MATRIX], 0
            while g < groups and _voice(rows, _members(rows, work, g)[0])[plan.HIDDEN_MATRIX] != checkpoint:
                g += 1
            if g == groups:
                sizes[g] = 0
                groups += 1
            _members(rows, work, g)[sizes[g]] = v
            sizes[g] += 1
    return groups


@kernel
def _mark_drawing(rows, ramp, drawing):
    """drawing[v]: whether anybody hears what v draws, through a gain or as a history."""
    count = rows.slots
    for v in range(count):
        drawing[v] = False
        for c in range(ramp.end_gains.shape[1]):
            if ramp.start_gains[v, c] != _f(0) or ramp.end_gains[v, c] != _f(0):
                drawing[v] = True
        for j in range(count):
            if _voice(rows, j)[plan.DIM] and ramp.history[j] == v:
                drawing[v] = True


@kernel
def _set_textures(rows, ramp):
    """Put them where a frame finds them."""
    for v in range(rows.slots):
        if _voice(rows, v)[plan.DIM]:
            signal = floats_at(_voice(rows, v)[plan.SIGNAL])
            signal[plan.START_STRETCH], signal[plan.END_STRETCH] = ramp.start_stretch[v], ramp.end_stretch[v]
            signal[plan.START_FREEZE], signal[plan.END_FREEZE] = ramp.start_freeze[v], ramp.end_freeze[v]
            signal[plan.START_CHAOS], signal[plan.END_CHAOS] = ramp.start_chaos[v], ramp.end_chaos[v]


@kernel
def _draw_all(rows, ramp, s, a, work, drawn):
    """Append token s of every voice to its stream; a voice that does not draw repeats what it hears."""
    count, drawing, scores = rows.slots, bytes_at(work.drawing), floats_at(work.scores)
    for v in range(count):
        voice = _voice(rows, v)
        if voice[plan.DIM]:
            if drawing[v]:
                _mix_logits(rows, v, a, ramp, scores)
                u = _uniform(voice[plan.KEY], voice[plan.COUNTER])
                drawn[v, s] = _draw(scores, voice[plan.LEVELS], u, floats_at(work.groups))
            voice[plan.COUNTER] += 1
    for v in range(count):
        voice = _voice(rows, v)
        if voice[plan.DIM]:
            if not drawing[v]:
                drawn[v, s] = drawn[ramp.history[v], s]
            token = drawn[v, s]
            if voice[plan.FORCED]:
                token = bytes_at(voice[plan.FORCED])[s]
            bytes_at(voice[plan.STREAM])[plan.WINDOW + s] = token


@kernel
def _keep_logits(rows, s, result):
    for v in range(rows.slots):
        if _voice(rows, v)[plan.DIM]:
            logits = floats_at(_voice(rows, v)[plan.LOGITS])
            for t in range(_voice(rows, v)[plan.LEVELS]):
                result.logits[v, s, t] = logits[t]


@kernel
def render(rows, ramp, textures, work, result):
    """Make result.audio.shape[0] samples. rows: Plan."""
    audio, drawn = result.audio, result.drawn
    count, frames, channels = rows.slots, audio.shape[0], audio.shape[1]
    _mark_drawing(rows, ramp, bytes_at(work.drawing))
    _set_textures(rows, textures)
    groups = _group(rows, work)
    open_block(work.box)
    for s in range(frames):
        a = _f(s + 1) / _f(frames)
        for g in range(groups):
            _predict(rows, ramp, a, s, work, _members(rows, work, g), words_at(work.sizes)[g])
        if result.logits.shape[1]:
            _keep_logits(rows, s, result)
        _draw_all(rows, ramp, s, a, work, drawn)
        for c in range(channels):
            audio[s, c] = _f(0)
        for v in range(count):
            if _voice(rows, v)[plan.DIM]:
                token = bytes_at(_voice(rows, v)[plan.STREAM])[plan.WINDOW + s]
                y = _sound(floats_at(_voice(rows, v)[plan.SIGNAL]), floats_at(_voice(rows, v)[plan.DECODE])[token])
                for c in range(channels):
                    gain = ramp.start_gains[v, c] + a * (ramp.end_gains[v, c] - ramp.start_gains[v, c])
                    audio[s, c] += gain * y
    for v in range(count):
        if _voice(rows, v)[plan.DIM]:
            stream = bytes_at(_voice(rows, v)[plan.STREAM])
            for i in range(plan.WINDOW):
                stream[i] = stream[i + frames]
    close_block(work.box)
