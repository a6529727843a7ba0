"""The CPU kernel: one call makes a block of samples for all voices in lockstep. The generator's render thread.

It releases the GIL, allocates nothing and has run-time shapes, so that one compilation serves every
checkpoint. What it computes is in `reference.py`; how its operands lie in memory is in `plan.py`.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated, no-any-return"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ambientd.arrays import Floats, Ints, Tokens
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.cache import use_kernel_cache
from ambientd.engine.kernels.gemv import ROWS, bytes_at, float_from_bits, floats_at, gemv_f32, lookup_relu

use_kernel_cache()
_options: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": True,
    "boundscheck": False,
    "error_model": "numpy",
}

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


class Result(NamedTuple):
    """Where a block goes. n <= BLOCK frames."""

    audio: Floats  # [n, C], overwritten
    drawn: Tokens  # [V, n]: what each voice drew, whether it was taken or not
    logits: Floats  # [V, n, 256] for the tests, or [V, 0, 256]


@njit(**_options)
def _exp(x):
    """exp(x) to the last bit or two: 2**k times a polynomial for 2**r, r in -0.5..0.5; clamped, never inf."""
    t = min(max(x, _f(-87)), _f(87)) * _f(1.4426950408889634)
    k = np.floor(t + _f(0.5))
    r = t - k
    p = _f(1.534579497e-4)
    p = p * r + _f(1.339993163e-3)
    p = p * r + _f(9.618489025e-3)
    p = p * r + _f(5.550328776e-2)
    p = p * r + _f(2.402264689e-1)
    p = p * r + _f(6.931472057e-1)
    p = p * r + _f(1)
    return p * float_from_bits((np.int32(k) + np.int32(127)) << np.int32(23))


@njit(**_options)
def _uniform(key, counter):
    """As in the reference: SplitMix64 of the counter, 24 bits, the lowest set."""
    x = np.uint64(key) + (np.uint64(counter) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return _f(np.uint32((x >> np.uint64(40)) | np.uint64(1))) * _f(1 / (1 << 24))


@njit(**_options)
def _sigmoid(x):
    return _f(1) / (_f(1) + _exp(-x))


@njit(**_options)
def _gru_gates(dim, gates_input, gates_state, state, rate):
    """The element-wise half of a GRU step; state [dim] goes `rate` of the way to the next one."""
    a, g, h = floats_at(gates_input), floats_at(gates_state), floats_at(state)
    for i in range(dim):
        r = _sigmoid(a[i] + g[i])
        z = _sigmoid(a[dim + i] + g[dim + i])
        n = _f(2) * _sigmoid(_f(2) * (a[2 * dim + i] + r * g[2 * dim + i])) - _f(1)
        # At rate 1 the plain formula, because the other rounds differently and a draw would tell.
        h[i] = n + z * (h[i] - n) if rate == _f(1) else h[i] + rate * (_f(1) - z) * (n - h[i])


@njit(**_options)
def _disturb(voice, state, chaos, first):
    """Noise of the size `chaos` onto a state. first: the number of its first draw in the voice's noise stream."""
    h = floats_at(state)
    for i in range(voice[plan.UNITS]):
        noise = _f(2) * _uniform(voice[plan.NOISE_KEY], first + i) - _f(1)
        h[i] = min(max(h[i] + chaos * noise, _f(-1)), _f(1))


@njit(**_options)
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


@njit(**_options)
def _frame(voice, tier, layers, above, heard, texture, noise):
    """One frame of one tier. above: the vector [dim] from above, input bias included; heard: end of the past.

    noise: the number of the frame's first draw in the voice's noise stream.
    """
    dim, size, columns = voice[plan.DIM], tier[plan.FRAME_SIZE], tier[plan.INPUT_COLUMNS]
    tokens, frame, signal = bytes_at(heard - size), floats_at(voice[plan.FRAME]), floats_at(voice[plan.SIGNAL])
    for i in range(size):
        frame[i] = (_f(tokens[i]) - signal[plan.SCALE_OFFSET]) * signal[plan.SCALE_FACTOR]
    for i in range(size, columns):
        frame[i] = _f(0)
    x = voice[plan.X]
    gemv_f32(tier[plan.INPUT_WEIGHT], voice[plan.FRAME], x, above, columns, dim // ROWS)
    gates_input, gates_state = voice[plan.GATES_INPUT], voice[plan.GATES_STATE]
    for n in range(voice[plan.LAYERS]):
        layer = layers[n]
        state = layer[plan.STATE]
        gemv_f32(layer[plan.WEIGHT_IH], x, gates_input, layer[plan.BIAS_IH], dim, 3 * dim // ROWS)
        gemv_f32(layer[plan.WEIGHT_HH], state, gates_state, layer[plan.BIAS_HH], dim, 3 * dim // ROWS)
        _gru_gates(dim, gates_input, gates_state, state, texture.rate)
        if texture.chaos != _f(0):
            _disturb(voice, state, texture.chaos, noise + (n << plan.NOISE_LAYER))
        x = state
    x = _hold(dim, tier[plan.HELD], x, texture.freeze, voice[plan.X])
    # All of the frame's vectors in one burst: the weights stream through the cache once, in order.
    blocks = tier[plan.RATIO] * dim // ROWS
    gemv_f32(tier[plan.UPSAMPLE_WEIGHT], x, tier[plan.CONDITIONING], tier[plan.UPSAMPLE_BIAS], dim, blocks)


@njit(**_options)
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


@njit(**_options)
def _predict(voice, tiers, layers, heard, a):
    """Logits of the sample after `heard` (address just past the newest token), into the voice's LOGITS."""
    dim, position = voice[plan.DIM], voice[plan.POSITION]
    for k in range(voice[plan.TIERS] - 1, -1, -1):
        size = tiers[k, plan.FRAME_SIZE]
        if position % size == 0:
            above = tiers[k, plan.INPUT_BIAS]
            if k + 1 < voice[plan.TIERS]:
                above = tiers[k + 1, plan.CONDITIONING] + 4 * dim * ((position // size) % tiers[k + 1, plan.RATIO])
            texture = _texture(voice, a, k > 0 or voice[plan.TIERS] == 1)
            noise = (voice[plan.COUNTER] << plan.NOISE_FRAME) + (k << plan.NOISE_TIER)
            _frame(voice, tiers[k], layers[k], above, heard, texture, noise)
    conditioning = tiers[0, plan.CONDITIONING] + 4 * dim * (position % tiers[0, plan.RATIO])
    width, levels, x, h = voice[plan.POSITIONS], voice[plan.LEVELS], voice[plan.X], voice[plan.HIDDEN]
    lookup_relu(voice[plan.TABLE], heard - width, conditioning, x, width, levels, dim)
    gemv_f32(voice[plan.HIDDEN_WEIGHT], x, h, voice[plan.HIDDEN_BIAS], dim, dim // ROWS)
    hidden = floats_at(h)
    for i in range(dim):
        hidden[i] = max(hidden[i], _f(0))
    blocks = (levels + ROWS - 1) // ROWS
    gemv_f32(voice[plan.OUTPUT_WEIGHT], h, voice[plan.LOGITS], voice[plan.OUTPUT_BIAS], dim, blocks)
    voice[plan.POSITION] = position + 1


@njit(**_options)
def _mix_logits(voices, i, a, ramp, z):
    """z[levels] = what voice i draws from, up to a constant: sum_j L_ij l_j / (tau_j T_i), the row normalised."""
    # log softmax(l) is l less one number for all tokens, which softmax(z) does not see: no logarithms needed.
    count, levels = voices.shape[0], voices[i, plan.LEVELS]
    total = _f(0)
    for j in range(count):
        total += ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
    temperature = ramp.start_temperature[i] + a * (ramp.end_temperature[i] - ramp.start_temperature[i])
    for t in range(levels):
        z[t] = _f(0)
    for j in range(count):
        weight = ramp.start_logits[i, j] + a * (ramp.end_logits[i, j] - ramp.start_logits[i, j])
        if weight != _f(0) and voices[j, plan.DIM]:
            weight *= floats_at(voices[j, plan.SIGNAL])[plan.INVERSE_TAU] / (total * temperature)
            logits = floats_at(voices[j, plan.LOGITS])
            for t in range(levels):
                z[t] += weight * logits[t]


@njit(**_options)
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


@njit(**_options)
def _sound(signal, x):
    """One sample through the voice's filters: de-emphasis, then DC removal."""
    y = x + signal[plan.PRE_EMPHASIS] * signal[plan.EMPHASIS_STATE]
    signal[plan.EMPHASIS_STATE] = y
    out = y - signal[plan.DC_INPUT] + signal[plan.DC_POLE] * signal[plan.DC_OUTPUT]
    signal[plan.DC_INPUT] = y
    signal[plan.DC_OUTPUT] = out
    return out


@njit(**_options)
def _mark_drawing(voices, ramp, drawing):
    """drawing[v]: whether anybody hears what v draws, through a gain or as a history."""
    count = voices.shape[0]
    for v in range(count):
        drawing[v] = False
        for c in range(ramp.end_gains.shape[1]):
            if ramp.start_gains[v, c] != _f(0) or ramp.end_gains[v, c] != _f(0):
                drawing[v] = True
        for j in range(count):
            if voices[j, plan.DIM] and ramp.history[j] == v:
                drawing[v] = True


@njit(**_options)
def _set_textures(voices, ramp):
    """Put them where a frame finds them."""
    for v in range(voices.shape[0]):
        if voices[v, plan.DIM]:
            signal = floats_at(voices[v, plan.SIGNAL])
            signal[plan.START_STRETCH], signal[plan.END_STRETCH] = ramp.start_stretch[v], ramp.end_stretch[v]
            signal[plan.START_FREEZE], signal[plan.END_FREEZE] = ramp.start_freeze[v], ramp.end_freeze[v]
            signal[plan.START_CHAOS], signal[plan.END_CHAOS] = ramp.start_chaos[v], ramp.end_chaos[v]


@njit(**_options)
def _draw_all(voices, ramp, drawing, s, a, scratch, result):
    """Append token s of every voice to its stream; a voice that does not draw repeats what it hears."""
    count = voices.shape[0]
    for v in range(count):
        if voices[v, plan.DIM]:
            if drawing[v]:
                _mix_logits(voices, v, a, ramp, scratch[0])
                u = _uniform(voices[v, plan.KEY], voices[v, plan.COUNTER])
                result.drawn[v, s] = _draw(scratch[0], voices[v, plan.LEVELS], u, scratch[1])
            voices[v, plan.COUNTER] += 1
    for v in range(count):
        if voices[v, plan.DIM]:
            if not drawing[v]:
                result.drawn[v, s] = result.drawn[ramp.history[v], s]
            token = result.drawn[v, s]
            if voices[v, plan.FORCED]:
                token = bytes_at(voices[v, plan.FORCED])[s]
            bytes_at(voices[v, plan.STREAM])[plan.WINDOW + s] = token


@njit(**_options)
def render(rows, ramp, textures, drawing, scratch, result):
    """Make result.audio.shape[0] samples. rows: Plan; drawing: bool [V]; scratch: float32 [2, 256]."""
    voices, audio = rows.voices, result.audio
    count, frames, channels = voices.shape[0], audio.shape[0], audio.shape[1]
    _mark_drawing(voices, ramp, drawing)
    _set_textures(voices, textures)
    for s in range(frames):
        a = _f(s + 1) / _f(frames)
        for v in range(count):
            if voices[v, plan.DIM]:
                heard = voices[ramp.history[v], plan.STREAM] + plan.WINDOW + s
                _predict(voices[v], rows.tiers[v], rows.layers[v], heard, a)
                if result.logits.shape[1]:
                    logits = floats_at(voices[v, plan.LOGITS])
                    for t in range(voices[v, plan.LEVELS]):
                        result.logits[v, s, t] = logits[t]
        _draw_all(voices, ramp, drawing, s, a, scratch, result)
        for c in range(channels):
            audio[s, c] = _f(0)
        for v in range(count):
            if voices[v, plan.DIM]:
                token = bytes_at(voices[v, plan.STREAM])[plan.WINDOW + s]
                y = _sound(floats_at(voices[v, plan.SIGNAL]), floats_at(voices[v, plan.DECODE])[token])
                for c in range(channels):
                    gain = ramp.start_gains[v, c] + a * (ramp.end_gains[v, c] - ramp.start_gains[v, c])
                    audio[s, c] += gain * y
    for v in range(count):
        if voices[v, plan.DIM]:
            stream = bytes_at(voices[v, plan.STREAM])
            for i in range(plan.WINDOW):
                stream[i] = stream[i + frames]
