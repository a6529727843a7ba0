"""What matrices are multiplied with: quantizing a vector, and looking the newest samples up. The render thread.

Emitted as LLVM IR for speed and so that every path rounds alike; see `plan.py` for what an activation is.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated, no-any-return"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.emit import (
    F32,
    I8,
    I16,
    I32,
    I64,
    broadcast,
    call,
    constant,
    load,
    multiply_add,
    offset,
    store,
    vector,
)

LANES = 16
VECTORS = plan.ROWS // LANES
SMALLEST = 1e-20
"""Less than this is silence, and not to be divided by."""
_floats, _ints = vector(F32, LANES), vector(I32, LANES)


def _maximum(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _emit_peak(builder: Any, x: Any, dim: Any, positive: bool) -> Any:
    """The largest magnitude of x [dim]; positive: what is below 0 is made 0 first."""
    zero = ir.Constant(_floats, None)
    peaks = [cgutils.alloca_once(builder, _floats) for _ in range(VECTORS)]
    for slot in peaks:
        builder.store(zero, slot)
    with cgutils.for_range(builder, builder.udiv(dim, constant(plan.ROWS))) as block:
        for v, slot in enumerate(peaks):
            address = builder.add(offset(builder, x, block.index, 4 * plan.ROWS), constant(4 * LANES * v))
            value = load(builder, address, _floats)
            if positive:
                value = _maximum(builder, value, zero)
                store(builder, value, address)
            else:
                value = call(builder, f"llvm.fabs.v{LANES}f32", _floats, [value])
            builder.store(_maximum(builder, value, builder.load(slot)), slot)
    first, second, third, fourth = (builder.load(slot) for slot in peaks)
    largest = _maximum(builder, _maximum(builder, first, second), _maximum(builder, third, fourth))
    return call(builder, f"llvm.vector.reduce.fmax.v{LANES}f32", F32, [largest])


def _emit_numbers(builder: Any, x: Any, to: Any, dim: Any, factor: Any, shift: Any, number: ir.Type) -> None:
    """to[dim] = x[dim] * factor + shift, cut off to whole ones."""
    size = number.width // 8
    factors, shifts = broadcast(builder, factor, LANES), broadcast(builder, shift, LANES)
    with cgutils.for_range(builder, builder.udiv(dim, constant(LANES))) as loop:
        value = load(builder, offset(builder, x, loop.index, 4 * LANES), _floats)
        whole = builder.fptosi(multiply_add(builder, value, factors, shifts), _ints)
        narrow = builder.trunc(whole, vector(number, LANES))
        store(builder, narrow, offset(builder, to, loop.index, size * LANES), size * LANES)


@intrinsic(prefer_literal=True)
def quantize(typingctx, activation, dim, form, positive):
    """Fill in the quantized half of an activation; form: FLOATS (nothing is needed), BYTES or SHORTS.

    positive (known at compile time): it goes through a ReLU first, and gets all 256 levels for its one side.
    """
    one_sided = bool(positive.literal_value)
    levels, zero = (255, 0) if one_sided else (127, 128)

    def generate(context, builder, signature, args):
        x, dim, form, _ = args
        peak = _emit_peak(builder, x, dim, one_sided)
        with builder.if_then(builder.icmp_signed("!=", form, constant(plan.FLOATS))):
            peak = _maximum(builder, peak, ir.Constant(F32, SMALLEST))
            numbers = offset(builder, x, dim, plan.NUMBERS_AT)
            store(builder, builder.fdiv(peak, ir.Constant(F32, levels)), numbers, 4)
            store(builder, ir.Constant(I32, zero), builder.add(numbers, constant(4)), 4)
            factor, shift = builder.fdiv(ir.Constant(F32, levels), peak), ir.Constant(F32, zero + 0.5)
            to = offset(builder, x, dim, plan.QUANTIZED_AT)
            with builder.if_else(builder.icmp_signed("==", form, constant(plan.BYTES))) as (then, otherwise):
                with then:
                    _emit_numbers(builder, x, to, dim, factor, shift, I8)
                with otherwise:
                    _emit_numbers(builder, x, to, dim, factor, shift, I16)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, positive), generate


def _emit_lookup(builder: Any, number: ir.Type, args: list[Any]) -> None:
    table, tokens, conditioning, out, positions, levels, dim, scale = args
    is_float = number is F32
    size = 4 if is_float else number.width // 8
    kind = _floats if is_float else _ints
    sums = [cgutils.alloca_once(builder, kind) for _ in range(VECTORS)]
    row_bytes = builder.mul(dim, constant(size))
    with cgutils.for_range(builder, builder.udiv(dim, constant(plan.ROWS))) as block:
        column = builder.mul(block.index, constant(plan.ROWS))
        start = offset(builder, table, column, size)
        for slot in sums:
            builder.store(ir.Constant(kind, None), slot)
        with cgutils.for_range(builder, positions) as position:
            token = builder.zext(load(builder, builder.add(tokens, position.index), I8, 1), I64)
            row = builder.add(builder.mul(position.index, levels), token)
            address = builder.add(start, builder.mul(row, row_bytes))
            for v, slot in enumerate(sums):
                at = builder.add(address, constant(size * LANES * v))
                value = load(builder, at, vector(number, LANES), size * LANES)
                if is_float:
                    builder.store(builder.fadd(builder.load(slot), value), slot)
                else:
                    builder.store(builder.add(builder.load(slot), builder.sext(value, _ints)), slot)
        for v, slot in enumerate(sums):
            at = builder.add(offset(builder, constant(0), column, 4), constant(4 * LANES * v))
            base, total = load(builder, builder.add(conditioning, at), _floats), builder.load(slot)
            if is_float:
                total = builder.fadd(base, total)
            else:
                total = multiply_add(builder, builder.sitofp(total, _floats), broadcast(builder, scale, LANES), base)
            store(builder, total, builder.add(out, at))


@intrinsic
def look_up(typingctx, table, tokens, conditioning, out, positions, levels, dim, scale):
    """out[dim] = conditioning[dim] + sum_i table[i, tokens[i]]; table: [positions, levels, dim] at an address.

    tokens: address of uint8 [positions]; scale: what an int16 of the table counts, or 0 where it is float32.
    """

    def generate(context, builder, signature, args):
        in_floats = builder.fcmp_ordered("==", args[-1], ir.Constant(F32, 0))
        with builder.if_else(in_floats) as (then, otherwise):
            with then:
                _emit_lookup(builder, F32, args)
            with otherwise:
                _emit_lookup(builder, I16, args)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7, types.float32), generate
