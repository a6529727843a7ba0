"""What a voice expects of its next sample, from a cascade of adaptive filters: `samplernn.forecast`. The render thread.

To the last bit that of `samplernn.forecast.Forecaster`: sums are taken in the order that `dot` there gives, and
nothing is contracted, so that a voice sounds the same in a batch and on another processor. All state is in the
voice's own memory; see `plan.py`.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated, no-any-return"

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.activations import look_up
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.elementary import exp
from ambientd.engine.kernels.emit import (
    F32,
    I32,
    bits_of_float,
    broadcast,
    bytes_at,
    constant,
    doubles_at,
    float_from_bits,
    floats_at,
    fma,
    load,
    offset,
    store,
    vector,
    words_at,
)
from ambientd.samplernn.forecast import HORIZONS, LANES, LEAST_ERROR, LEAST_POWER, SCALES, WILD

VECTOR = 16
SUMS = LANES // VECTOR
"""Vectors of sums: so many adds are in flight at once."""
WILD_BITS = int(np.float32(WILD).view(np.int32))
MOST_INVERSE = 1e18
"""1 / width is not more: its square must be a float32."""
FIRST_MAGNITUDE = (127 - 16) * 16
_f = np.float32
_floats = vector(F32, VECTOR)


def _upper_half_onto_lower(builder: Any, value: Any) -> Any:
    lanes = value.type.count // 2
    undefined = ir.Constant(value.type, ir.Undefined)
    halves = [
        builder.shuffle_vector(value, undefined, ir.Constant(vector(I32, lanes), [first + i for i in range(lanes)]))
        for first in (0, lanes)
    ]
    return builder.fadd(*halves)


@intrinsic
def adapt(typingctx, weights, inputs, step, order):
    """weights += step * inputs[:-1], and then weights . inputs[1:]. Addresses of float32 [order], [order + 1].

    One way through memory instead of two. Any alignment of the inputs; order: a multiple of 16.
    """

    def generate(context, builder, signature, args):
        weights, inputs, step, order = args
        steps = broadcast(builder, step, VECTOR)
        sums = [cgutils.alloca_once(builder, _floats) for _ in range(SUMS)]
        for slot in sums:
            builder.store(ir.Constant(_floats, None), slot)

        def one(index: Any, slot: Any) -> None:
            at, x = (offset(builder, address, index, 4 * VECTOR) for address in (weights, inputs))
            change = builder.fmul(steps, load(builder, x, _floats, 4))
            weight = builder.fadd(load(builder, at, _floats), change)
            store(builder, weight, at)
            following = load(builder, builder.add(x, constant(4)), _floats, 4)
            builder.store(builder.fadd(builder.load(slot), builder.fmul(weight, following)), slot)

        vectors = builder.udiv(order, constant(VECTOR))
        with cgutils.for_range(builder, builder.udiv(vectors, constant(SUMS))) as loop:
            for n, slot in enumerate(sums):
                one(builder.add(builder.mul(loop.index, constant(SUMS)), constant(n)), slot)
        rest = builder.urem(vectors, constant(SUMS))
        done = builder.sub(vectors, rest)
        for n, slot in enumerate(sums[:-1]):
            with builder.if_then(builder.icmp_unsigned(">", rest, constant(n))):
                one(builder.add(done, constant(n)), slot)
        values = [builder.load(slot) for slot in sums]
        while len(values) > 1:
            half = len(values) // 2
            values = [builder.fadd(a, b) for a, b in zip(values[:half], values[half:], strict=True)]
        total = values[0]
        while total.type.count > 2:
            total = _upper_half_onto_lower(builder, total)
        return builder.fadd(*(builder.extract_element(total, ir.Constant(I32, n)) for n in (0, 1)))

    return types.float32(types.int64, types.int64, types.float32, types.int64), generate


@kernel
def _stage_at(forecaster, k):
    """Address of the row of stage k."""
    return forecaster + 8 * (plan.FORECASTER_FIELDS + plan.STAGE_FIELDS * k)


@kernel
def _start_over(forecaster):
    """All stages: as if nothing had been heard."""
    for k in range(words_at(forecaster)[plan.STAGES]):
        stage, numbers = words_at(_stage_at(forecaster, k)), doubles_at(_stage_at(forecaster, k))
        weights, inputs = floats_at(stage[plan.TAPS]), floats_at(stage[plan.INPUTS])
        for i in range(stage[plan.ORDER]):
            weights[i] = _f(0)
            inputs[i] = _f(0)
        stage[plan.OLDEST] = 0
        numbers[plan.ENERGY] = numbers[plan.PART] = 0.0


@kernel
def _learn(row, rest, left):
    """One stage hears `rest`, of which its forecast had left `left`; its next forecast. row: its address."""
    stage, numbers = words_at(row), doubles_at(row)
    order, inputs = stage[plan.ORDER], stage[plan.INPUTS] + 4 * stage[plan.OLDEST]
    step = _f(numbers[plan.RATE] * np.float64(left) / (numbers[plan.ENERGY] + LEAST_POWER * order))
    heard, oldest = np.float64(rest), np.float64(floats_at(inputs)[0])
    numbers[plan.ENERGY] = max(0.0, numbers[plan.ENERGY] + heard * heard - oldest * oldest)
    floats_at(inputs)[order] = rest
    part = adapt(stage[plan.TAPS], inputs, step, order)
    stage[plan.OLDEST] += 1
    if stage[plan.OLDEST] == plan.SLACK:
        first, last = floats_at(stage[plan.INPUTS]), floats_at(stage[plan.INPUTS] + 4 * plan.SLACK)
        for i in range(order):
            first[i] = last[i]
        stage[plan.OLDEST] = 0
    return part


@kernel
def _hear(forecaster, token):
    """The sample that was forecast has come: learn from it, and forecast the next."""
    shared, numbers = words_at(forecaster), doubles_at(forecaster)
    rest = floats_at(shared[plan.LEVEL_VALUES])[token]
    centre, wild = _f(0), False
    for k in range(shared[plan.STAGES]):
        stage = doubles_at(_stage_at(forecaster, k))
        left = rest - _f(stage[plan.PART])
        part = _learn(_stage_at(forecaster, k), rest, left)
        # By its bits, because a comparison may be compiled as if there were no NaN.
        wild |= (bits_of_float(part) & 0x7FFFFFFF) > WILD_BITS
        stage[plan.PART] = np.float64(part)
        centre += part
        rest = left
    fast, slow = _f(numbers[plan.FAST_ERROR]), _f(numbers[plan.SLOW_ERROR])
    numbers[plan.FAST_ERROR] = max(np.float64(fast + (abs(rest) - fast) / _f(HORIZONS[0])), numbers[plan.LEAST_FAST])
    if not shared[plan.GUIDED]:
        numbers[plan.SLOW_ERROR] = np.float64(slow + (abs(rest) - slow) / _f(HORIZONS[1]))
    if wild:
        _start_over(forecaster)
        centre = _f(0)
    numbers[plan.CENTRE] = np.float64(min(max(centre, _f(-1)), _f(1)))


@kernel
def _magnitude(error):
    token = (bits_of_float(_f(error) + _f(LEAST_ERROR)) >> 19) - FIRST_MAGNITUDE
    return min(max(token, 0), SCALES - 1)


@kernel
def add_forecast(voice, newest):
    """Onto the voice's X, what its forecast and recent errors come to. newest: address of the token it hears."""
    forecaster = voice[plan.FORECASTER]
    shared, numbers = words_at(forecaster), doubles_at(forecaster)
    if voice[plan.POSITION]:
        _hear(forecaster, bytes_at(newest)[0])
    centre, midpoints, nearest = _f(numbers[plan.CENTRE]), floats_at(shared[plan.MIDPOINTS]), np.int32(0)
    for i in range(voice[plan.LEVELS] - 1):
        nearest += np.int32(midpoints[i] < centre)
    tokens = bytes_at(forecaster + 8 * plan.TOKENS)
    tokens[0] = nearest
    tokens[1] = _magnitude(numbers[plan.FAST_ERROR])
    tokens[2] = _magnitude(numbers[plan.SLOW_ERROR])
    scale, x = float_from_bits(np.int32(shared[plan.FORECAST_SCALE])), voice[plan.X]
    look_up(shared[plan.FORECAST_TABLE], forecaster + 8 * plan.TOKENS, x, x, 3, SCALES, voice[plan.DIM], scale)


@kernel
def add_prior(voice):
    """Onto the voice's LOGITS, a hyperbolic distribution around its forecast, as wide as recent errors say."""
    shared, numbers = words_at(voice[plan.FORECASTER]), doubles_at(voice[plan.FORECASTER])
    tokens, widths = bytes_at(voice[plan.FORECASTER] + 8 * plan.TOKENS), floats_at(shared[plan.WIDTHS])
    inverse = min(exp(-(widths[tokens[1]] + widths[SCALES + tokens[2]])), _f(MOST_INVERSE))
    centre, slope = _f(numbers[plan.CENTRE]), _f(numbers[plan.SLOPE])
    levels, logits = floats_at(shared[plan.LEVEL_VALUES]), floats_at(voice[plan.LOGITS])
    for t in range(voice[plan.LEVELS]):
        off = (levels[t] - centre) * inverse
        logits[t] -= slope * math.sqrt(fma(off, off, _f(1)))
