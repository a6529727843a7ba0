"""Matrix-vector products emitted as LLVM IR through Numba intrinsics. Compiled into the render thread.

Numba's own loops reach a third of what these do: it cannot be told to keep a block of sums in registers.
Vectors are a generic <16 x float>: LLVM makes one AVX-512, two AVX2 or four NEON registers of each.

Layout: blocks of 64 rows, and inside a block column after column, so that one step broadcasts one x and
reads 64 consecutive weights; no horizontal sums. Two columns are in flight, which makes 8 accumulators:
enough to hide the latency of a fused multiply-add. Addresses are int64, 64-byte aligned.

Another precision is another `pack_*` function and another intrinsic of the same signature. Intrinsics
stay at module level: Numba's cache never finds one that a closure captured.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated, no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ambientd.arrays import Floats

ALIGNMENT = 64
ROWS = 64
LANES = 16
VECTORS = ROWS // LANES
COLUMNS = 2

_f32, _i8, _i64 = ir.FloatType(), ir.IntType(8), ir.IntType(64)
_vector = ir.VectorType(_f32, LANES)
_contract = ("contract",)  # allow a fused multiply-add where the processor has one


def padded(n: int, multiple: int = ROWS) -> int:
    """n rounded up to whole row blocks."""
    return -(-n // multiple) * multiple


def aligned(count: int) -> Floats:
    """Zeroed float32 [count], 64-byte aligned."""
    raw = np.zeros(count * 4 + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * 4].view(np.float32)


def pack_f32(matrix: Floats) -> Floats:
    """[R, C] (R a multiple of 64, C even) -> its weights in the order in which `gemv_f32` reads them."""
    rows, columns = matrix.shape
    out = aligned(matrix.size)
    out[:] = matrix.reshape(rows // ROWS, ROWS, columns).transpose(0, 2, 1).ravel()
    return out


def _constant(value: int) -> ir.Constant:
    return ir.Constant(_i64, value)


def _load(builder: Any, address: Any, kind: Any, align: int) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def _load_row(builder: Any, address: Any) -> list[Any]:
    """64 consecutive floats."""
    return [_load(builder, builder.add(address, _constant(4 * LANES * v)), _vector, ALIGNMENT) for v in range(VECTORS)]


def _store_row(builder: Any, row: list[Any], address: Any) -> None:
    for v, value in enumerate(row):
        at = builder.add(address, _constant(4 * LANES * v))
        builder.store(value, builder.inttoptr(at, _vector.as_pointer()), align=ALIGNMENT)


def _broadcast(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


class _Sums:
    """64 running sums that LLVM's mem2reg keeps in registers."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.slots = [cgutils.alloca_once(builder, _vector) for _ in range(VECTORS)]

    def set(self, row: list[Any]) -> None:
        for slot, value in zip(self.slots, row, strict=True):
            self.builder.store(value, slot)

    def get(self) -> list[Any]:
        return [self.builder.load(slot) for slot in self.slots]

    def add(self, row: list[Any]) -> None:
        self.set([self.builder.fadd(s, r, flags=_contract) for s, r in zip(self.get(), row, strict=True)])


@intrinsic
def gemv_f32(typingctx, weights, x, out, bias, columns, blocks):
    """out[64 * blocks] = weights @ x[columns] + bias; addresses of float32, counts. out and bias may be one."""

    def generate(context, builder, signature, args):
        weights, x, out, bias, columns, blocks = args
        block_bytes = builder.mul(columns, _constant(4 * ROWS))
        sums = [_Sums(builder) for _ in range(COLUMNS)]
        zero = [ir.Constant(_vector, None)] * VECTORS
        with cgutils.for_range(builder, blocks) as block:
            base = builder.add(weights, builder.mul(block.index, block_bytes))
            offset = builder.mul(block.index, _constant(4 * ROWS))
            sums[0].set(_load_row(builder, builder.add(bias, offset)))
            sums[1].set(zero)
            with cgutils.for_range(builder, builder.udiv(columns, _constant(COLUMNS))) as pair:
                for u in range(COLUMNS):
                    column = builder.add(builder.mul(pair.index, _constant(COLUMNS)), _constant(u))
                    scalar = _load(builder, builder.add(x, builder.mul(column, _constant(4))), _f32, 4)
                    factor = _broadcast(builder, scalar)
                    row = _load_row(builder, builder.add(base, builder.mul(column, _constant(4 * ROWS))))
                    sums[u].add([builder.fmul(factor, w, flags=_contract) for w in row])
            sums[0].add(sums[1].get())
            _store_row(builder, sums[0].get(), builder.add(out, offset))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), generate


@intrinsic
def lookup_relu(typingctx, table, tokens, conditioning, out, positions, levels, dim):
    """out[dim] = relu(conditioning[dim] + sum_i table[i, tokens[i]]). table: float32 [positions, levels, dim].

    tokens: address of uint8 [positions]; dim a multiple of 64.
    """

    def generate(context, builder, signature, args):
        table, tokens, conditioning, out, positions, levels, dim = args
        row_bytes = builder.mul(dim, _constant(4))
        sums = _Sums(builder)
        zero = ir.Constant(_vector, None)
        with cgutils.for_range(builder, builder.udiv(dim, _constant(ROWS))) as block:
            offset = builder.mul(block.index, _constant(4 * ROWS))
            sums.set(_load_row(builder, builder.add(conditioning, offset)))
            with cgutils.for_range(builder, positions) as position:
                token = builder.zext(_load(builder, builder.add(tokens, position.index), _i8, 1), _i64)
                row = builder.add(builder.mul(position.index, levels), token)
                sums.add(_load_row(builder, builder.add(table, builder.add(builder.mul(row, row_bytes), offset))))
            positive = [builder.select(builder.fcmp_ordered(">", s, zero), s, zero) for s in sums.get()]
            _store_row(builder, positive, builder.add(out, offset))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


@intrinsic
def floats_at(typingctx, address):
    """A C pointer to float32 at an int64 address."""
    pointer = types.CPointer(types.float32)
    return pointer(types.int64), lambda context, builder, signature, args: builder.inttoptr(
        args[0], context.get_value_type(pointer)
    )


@intrinsic
def bytes_at(typingctx, address):
    """A C pointer to uint8 at an int64 address."""
    pointer = types.CPointer(types.uint8)
    return pointer(types.int64), lambda context, builder, signature, args: builder.inttoptr(
        args[0], context.get_value_type(pointer)
    )


@intrinsic
def float_from_bits(typingctx, bits):
    """The float32 with these 32 bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], _f32)
