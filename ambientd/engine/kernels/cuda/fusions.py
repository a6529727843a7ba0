"""What lies between a step's matrix products, each part in one launch: Triton kernels for `fused.py`.

V slots, n voices of a group, D units, q levels; tensors are contiguous unless a stride says otherwise. A sample's place
in the block is `step` after what `start` on the device says. What is None is left out of what is compiled.
With TRITON_INTERPRET=1 in the environment before the first import they run on the CPU, in NumPy.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ambientd import types
from ambientd.engine.kernels import operands, plan
from ambientd.engine.kernels.cuda import elementary, forecasts, memory
from ambientd.samplernn import forecast

UNITS = 128
"""Of a layer, for one program."""
SOURCES = 16
"""Voices that are mixed, and rows of a table that are summed, at once."""

_UNITS, _SOURCES = tl.constexpr(UNITS), tl.constexpr(SOURCES)
WINDOW, BLOCK = tl.constexpr(plan.WINDOW), tl.constexpr(types.BLOCK)
LEVELS, STREAM = tl.constexpr(operands.MAX_LEVELS), tl.constexpr(plan.WINDOW + types.BLOCK)
PART, CENTRE, FAST = tl.constexpr(memory.PART), tl.constexpr(memory.CENTRE), tl.constexpr(memory.FAST)
SLOW, LEAST, NUMBERS = tl.constexpr(memory.SLOW), tl.constexpr(memory.LEAST), tl.constexpr(len(memory.NUMBERS))
SCALES, FIRST_MAGNITUDE = tl.constexpr(forecast.SCALES), tl.constexpr(forecasts.FIRST_MAGNITUDE)
HORIZON, WILD = tl.constexpr(forecast.HORIZONS[0]), tl.constexpr(forecast.WILD)
LEAST_ERROR = tl.constexpr(forecast.LEAST_ERROR)
# As uint64, which Triton shifts without a sign.
GOLDEN = tl.constexpr(elementary.GOLDEN % (1 << 64))
FIRST, SECOND = tl.constexpr(elementary.FIRST % (1 << 64)), tl.constexpr(elementary.SECOND % (1 << 64))
LEAST_PROBABILITY = tl.constexpr(1.2e-38)  # what is no normal float32 would make float64 of all that it meets


@triton.jit
def _ramped(starts, ends, places, there, at):
    """A field of the mix at a sample."""
    before = tl.load(starts + places, mask=there, other=0.0)
    return before + (at + 1).to(tl.float32) / BLOCK * (tl.load(ends + places, mask=there, other=0.0) - before)


@triton.jit
def _uniform(key, counter):
    """`elementary.uniform`."""
    x = key.to(tl.uint64, bitcast=True) + (counter + 1).to(tl.uint64, bitcast=True) * GOLDEN
    x = (x ^ (x >> 30)) * FIRST
    x = (x ^ (x >> 27)) * SECOND
    x = x ^ (x >> 31)
    return ((x >> 40) | 1).to(tl.int32).to(tl.float32) * (1.0 / (1 << 24))


@triton.jit
def _sum(raw, bias, place, unit, there):
    """A product's result at `place`, of whatever precision, and its bias of `unit`: float32."""
    return tl.load(raw + place, mask=there, other=0.0).to(tl.float32) + tl.load(bias + unit, mask=there, other=0.0)


@triton.jit
def _relu(x):
    """As torch's: what is no number stays none, and is found out."""
    return tl.where(x < 0.0, 0.0, x)


@triton.jit
def _magnitude(error):
    """`samplernn.forecast.magnitude`."""
    bits = (error + LEAST_ERROR).to(tl.int32, bitcast=True) >> 19
    return tl.minimum(tl.maximum(bits - FIRST_MAGNITUDE, 0), SCALES - 1)


@triton.jit(do_not_specialize=["step", "count", "order"])
def follow(
    start,
    step,
    slots,
    history,
    phases,
    tokens,
    numbers,
    inputs,
    taps,
    levels,
    midpoints,
    words,
    centres,
    count,
    order,
    TAPS: tl.constexpr,
):
    """`Forecasts.hear` but for its table, a program a voice: into numbers [V, NUMBERS], words [n, 3], centres [n].

    levels [count], midpoints [count - 1], inputs [V, order + BLOCK], taps [V, order]; TAPS: not below order and UNITS.
    """
    voice = tl.program_id(0)
    at = tl.load(start) + step
    slot = tl.load(slots + voice)
    begun = tl.load(phases + slot) + at > 0
    token = tl.load(tokens + tl.load(history + slot).to(tl.int64) * STREAM + at + WINDOW - 1)
    heard = tl.where(begun, tl.load(levels + token.to(tl.int32)), 0.0)
    place = tl.arange(0, TAPS)
    row, width = inputs + slot * (order + BLOCK), order + BLOCK
    # The newest is not read back from where it is stored: another thread would have to have seen it.
    past = tl.load(row + at + 1 + place, mask=place < order - 1, other=0.0)
    past = tl.where(place == order - 1, heard, past)
    # All threads have read these when the sum is there, and only then one of them writes: TAPS is more than a warp.
    own = numbers + slot * NUMBERS
    before, fast, slow, least = tl.load(own + PART), tl.load(own + FAST), tl.load(own + SLOW), tl.load(own + LEAST)
    last_centre = tl.load(own + CENTRE)
    said = tl.sum(past * tl.load(taps + slot * order + place, mask=place < order, other=0.0))
    tame = tl.abs(said) <= WILD
    tl.store(row + at + order, tl.where(tame, heard, 0.0))
    if tame == 0:
        tl.store(taps + slot * order + place, tl.zeros_like(past), mask=place < order)
        for first in range(0, width, TAPS):
            tl.store(row + first + place, tl.zeros_like(past), mask=first + place < width)
    nearer = tl.maximum(fast + (tl.abs(heard - before) - fast) / HORIZON, least)
    fast = tl.where(begun, nearer, fast)
    said = tl.where(tame & begun, said, 0.0)
    centre = tl.where(begun, tl.minimum(tl.maximum(said, -1.0), 1.0), last_centre)
    tl.store(own + PART, said)
    tl.store(own + CENTRE, centre)
    tl.store(own + FAST, fast)
    middle = tl.arange(0, LEVELS)
    below = tl.load(midpoints + middle, mask=middle < count - 1, other=float("inf")) < centre
    tl.store(words + voice * 3, tl.sum(below.to(tl.int32)))
    tl.store(words + voice * 3 + 1, _magnitude(fast))
    tl.store(words + voice * 3 + 2, _magnitude(slow))
    tl.store(centres + voice, centre)


@triton.jit(do_not_specialize=["step", "count", "reach", "voices"])
def hear(
    start,
    step,
    slots,
    history,
    tokens,
    table,
    vectors,
    weights_start,
    weights_end,
    words,
    word_table,
    out,
    dim,
    count,
    reach,
    voices,
    stride,
):
    """relu of what comes into the sample tier: out [n, D]. A program for each voice and UNITS units.

    table [reach, count, D]; vectors [V, stride]: the lowest tier's for this sample; weights [V, V]: of all vectors,
    where they are shared; words [n, 3] and word_table [3, SCALES, D]: where it forecasts.
    """
    voice = tl.program_id(0)
    at = tl.load(start) + step
    slot = tl.load(slots + voice)
    unit = tl.program_id(1) * _UNITS + tl.arange(0, _UNITS)
    there = unit < dim
    newest = tokens + tl.load(history + slot).to(tl.int64) * STREAM + at + WINDOW - reach
    x = tl.zeros([_UNITS], tl.float32)
    for first in range(0, reach, _SOURCES):
        place = first + tl.arange(0, _SOURCES)
        rows = place * count + tl.load(newest + place, mask=place < reach, other=0).to(tl.int32)
        within = (place < reach)[:, None] & there[None, :]
        x += tl.sum(tl.load(table + rows[:, None] * dim + unit[None, :], mask=within, other=0.0), 0)
    if weights_start is not None:
        mixed, total = tl.zeros_like(x), 0.0
        for source in range(voices):
            weight = _ramped(weights_start, weights_end, slot * voices + source, True, at)
            if weight != 0:
                mixed += weight * tl.load(vectors + tl.cast(source, tl.int64) * stride + unit, mask=there, other=0.0)
                total += weight
        x += mixed / total
    else:
        x += tl.load(vectors + slot * stride + unit, mask=there, other=0.0)
    if words is not None:
        for kind in tl.static_range(3):
            word = kind * SCALES + tl.load(words + voice * 3 + kind)
            x += tl.load(word_table + word * dim + unit, mask=there, other=0.0)
    tl.store(out + voice * dim + unit, _relu(x).to(out.dtype.element_ty), mask=there)


@triton.jit
def activate(raw, bias, out, dim):
    """relu(raw + bias): raw and out [n, D]. A program for each voice and UNITS units."""
    row = tl.program_id(0) * dim
    unit = tl.program_id(1) * _UNITS + tl.arange(0, _UNITS)
    there = unit < dim
    x = _sum(raw, bias, row + unit, unit, there)
    tl.store(out + row + unit, _relu(x).to(out.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=["step", "count"])
def predict(
    start,
    step,
    slots,
    raw,
    bias,
    words,
    centres,
    widths,
    levels,
    slope,
    logits,
    kept,
    count,
):
    """Logits of a group: raw [n, q] + bias, and what the forecast says, into logits [V, 256]. A program a voice.

    words, centres, widths [2, SCALES], levels [q], slope: of `Forecasts.prior`, or None; kept: [V, BLOCK, 256] or None.
    """
    voice = tl.program_id(0)
    slot = tl.load(slots + voice)
    token = tl.arange(0, LEVELS)
    there = token < count
    z = _sum(raw, bias, voice * count + token, token, there)
    if words is not None:
        width = tl.load(widths + tl.load(words + voice * 3 + 1))
        width += tl.load(widths + SCALES + tl.load(words + voice * 3 + 2))
        level = tl.load(levels + token, mask=there, other=0.0)
        away = (level - tl.load(centres + voice)) * tl.exp(-width)
        z -= slope * tl.sqrt(1.0 + away * away)
    tl.store(logits + slot * LEVELS + token, z, mask=there)
    if kept is not None:
        tl.store(kept + (slot * BLOCK + tl.load(start) + step) * LEVELS + token, z, mask=there)


@triton.jit
def _mixed(logits, inverse_tau, weights_start, weights_end, slot, voices, at, votes):
    """(z [256], p [256], how many) of a voice's sources: the mean of their logits and, with `votes`, probabilities."""
    token = tl.arange(0, LEVELS)
    z, p = tl.zeros([LEVELS], tl.float32), tl.zeros([LEVELS], tl.float32)
    total, several = 0.0, 0
    for first in range(0, voices, _SOURCES):
        source = first + tl.arange(0, _SOURCES)
        there = source < voices
        weight = _ramped(weights_start, weights_end, slot * voices + source, there, at)
        if tl.max(weight, 0) > 0:
            tau = tl.load(inverse_tau + source, mask=there, other=0.0)
            said = tl.load(logits + source[:, None] * LEVELS + token[None, :], mask=there[:, None], other=0.0)
            said = said * tau[:, None]
            if votes is not None:
                said = said - tl.max(said, 1)[:, None]
                said = said - tl.log(tl.sum(tl.exp(said), 1))[:, None]
                p += tl.sum(weight[:, None] * tl.exp(said), 0)
            z += tl.sum(weight[:, None] * said, 0)
            total += tl.sum(weight, 0)
            several += tl.sum((weight > 0).to(tl.int32), 0)
    return z / total, p / total, several


@triton.jit(do_not_specialize=["step", "voices"])
def draw(
    start,
    step,
    logits,
    inverse_tau,
    last,
    blended,
    weights_start,
    weights_end,
    votes_start,
    votes_end,
    temperature_start,
    temperature_end,
    drawing,
    history,
    keys,
    counters,
    forced,
    drawn,
    tokens,
    voices,
):
    """A token for every slot, a program each: into drawn [V, BLOCK], and it or what is forced into tokens [V, STREAM].

    weights: of all logits, for who is `blended`; votes: of their probabilities against them, None where nobody asks.
    """
    voice = tl.program_id(0)
    at = tl.load(start) + step
    # Who is not heard draws nothing; its stream is that of the one whose history it shares.
    slot = tl.where(tl.load(drawing + voice) != 0, voice, tl.load(history + voice))
    temperature = _ramped(temperature_start, temperature_end, slot, True, at)
    token = tl.arange(0, LEVELS)
    z = tl.load(logits + slot * LEVELS + token) * tl.load(inverse_tau + slot)
    if tl.load(blended + slot) != 0:
        z, p, several = _mixed(logits, inverse_tau, weights_start, weights_end, slot, voices, at, votes_start)
        if votes_start is not None:
            votes = tl.where(several > 1, _ramped(votes_start, votes_end, slot, True, at), 0.0)
            z = (1.0 - votes) * z + votes * tl.log(tl.maximum(p, LEAST_PROBABILITY))
    z = z / temperature
    sums = tl.cumsum(tl.exp(z - tl.max(z, 0)).to(tl.float64), 0)
    target = _uniform(tl.load(keys + slot), tl.load(counters + slot) + at) * tl.max(sums, 0)
    taken = tl.minimum(tl.sum((sums <= target).to(tl.int32), 0), tl.load(last + slot))
    tl.store(drawn + voice * BLOCK + at, taken.to(tl.uint8))
    instead = tl.load(forced + voice * BLOCK + at)
    tl.store(tokens + voice * STREAM + WINDOW + at, tl.where(instead >= 0, instead, taken).to(tl.uint8))


@triton.jit
def gates(heard, held, heard_bias, held_bias, before, after, stride, dim):
    """A GRU's step from its products: heard and held [n, 3 D] -> after [n, D]. before: [n, D], rows `stride` apart."""
    voice = tl.program_id(0)
    unit = tl.program_id(1) * _UNITS + tl.arange(0, _UNITS)
    there = unit < dim
    r, z, n = voice * 3 * dim + unit, voice * 3 * dim + dim + unit, voice * 3 * dim + 2 * dim + unit
    reset = tl.sigmoid(_sum(heard, heard_bias, r, unit, there) + _sum(held, held_bias, r, unit, there))
    update = tl.sigmoid(_sum(heard, heard_bias, z, dim + unit, there) + _sum(held, held_bias, z, dim + unit, there))
    new = _sum(heard, heard_bias, n, 2 * dim + unit, there) + reset * _sum(held, held_bias, n, 2 * dim + unit, there)
    new = 2.0 * tl.sigmoid(2.0 * new) - 1.0
    old = tl.load(before + voice * stride + unit, mask=there, other=0.0)
    tl.store(after + voice * dim + unit, new + update * (old - new), mask=there)
