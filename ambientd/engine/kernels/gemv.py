"""Matrix-vector products, for up to any number of vectors at once, emitted as LLVM IR. The render thread.

Numba's own loops reach a third of what these do: it cannot be told to keep a block of sums in registers.

Layout: blocks of 64 rows; inside a block, groups of 1, 2 or 4 columns one after the other, the group's
weights of a row side by side. One step broadcasts a group of x and reads 64 rows' weights in order; there
are no horizontal sums. Weights are read once for all vectors: 4 at a time share what a step has loaded, and
the next 4 find the block in the nearest cache. A vector's sums do not depend on which others are there.

The matrix of each kind is described in `plan.py`, packed in `matrices.py`. Intrinsics stay at module
level: Numba's cache never finds one that a closure captured.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated, no-any-return"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
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
    words_at,
)
from ambientd.engine.kernels.plan import BF16, BF16_SPARSE, FP32, INT8_AVX2, INT8_AVX512, INT8_PORTABLE
from ambientd.engine.kernels.processor import FEATURES, SUPPORTED, WANTED

ROWS = plan.ROWS
WIDE = "avx512f" in FEATURES or WANTED == "avx512"
MOST_SUMS = 16 if WIDE else 4
"""Vectors of 16 sums to be kept in registers; there are 32 wide ones, or 16 of half the width."""
MOST_COLUMNS = 4


class Kind:
    """How weights of one kind meet their x. A step takes `group` columns of 64 rows."""

    group = 1
    weight_bytes = 1
    x_bytes = 4
    lanes = 16
    sums = MOST_SUMS
    is_float = False
    supported = True

    most_columns = 4

    @property
    def sum_type(self) -> ir.VectorType:
        return vector(F32 if self.is_float else I32, self.lanes)

    @property
    def unroll(self) -> int:
        """Steps in flight with sums of their own. Fixed for floats, or the order of adding would vary."""
        return 2 if self.is_float else 1

    def steps(self, builder: Any, x: Any, columns: Any) -> Any:
        """How many times `unroll` steps there are, for an activation of so many columns."""
        return builder.udiv(columns, constant(self.group * self.unroll))

    def group_at(self, builder: Any, x: Any, columns: Any, step: Any) -> tuple[Any, Any]:
        """(the group of columns that a step takes, the address of their x)."""
        xs = x if self.is_float else offset(builder, x, columns, plan.QUANTIZED_AT)
        return step, offset(builder, xs, step, self.group * self.x_bytes)

    def x(self, builder: Any, address: Any) -> Any:
        """A group of x, in every lane."""
        raise NotImplementedError

    def add(self, builder: Any, total: Any, address: Any, x: Any) -> Any:
        """total + the products with the weights of `lanes` rows at `address`."""
        raise NotImplementedError


class Fp32(Kind):
    weight_bytes = 4
    is_float = True

    def x(self, builder: Any, address: Any) -> Any:
        return broadcast(builder, load(builder, address, F32, 4), self.lanes)

    def add(self, builder: Any, total: Any, address: Any, x: Any) -> Any:
        return multiply_add(builder, x, load(builder, address, self.sum_type), total)


class Bf16(Kind):
    """Two columns a word: each becomes float32 by a shift or a mask."""

    group = 2
    weight_bytes = 2
    is_float = True

    def x(self, builder: Any, address: Any) -> Any:
        first, second = (load(builder, builder.add(address, constant(n)), F32, 4) for n in (0, 4))
        return broadcast(builder, first, self.lanes), broadcast(builder, second, self.lanes)

    def add(self, builder: Any, total: Any, address: Any, x: Any) -> Any:
        words = vector(I32, self.lanes)
        pair = load(builder, address, words)
        low = builder.shl(pair, ir.Constant(words, [16] * self.lanes))
        high = builder.and_(pair, ir.Constant(words, [0xFFFF0000] * self.lanes))
        for factor, weights in zip(x, (low, high), strict=True):
            total = multiply_add(builder, factor, builder.bitcast(weights, self.sum_type), total)
        return total


class Bf16Sparse(Kind):
    """A column at a time, and only those whose x is not 0: for what comes out of a trained model's last ReLU."""

    weight_bytes = 2
    is_float = True
    most_columns = 1

    def steps(self, builder: Any, x: Any, columns: Any) -> Any:
        count = load(builder, offset(builder, x, columns, plan.NUMBERS_AT), I32, 4)
        return builder.udiv(builder.zext(count, I64), constant(self.unroll))

    def group_at(self, builder: Any, x: Any, columns: Any, step: Any) -> tuple[Any, Any]:
        places = offset(builder, x, columns, plan.QUANTIZED_AT)
        place = builder.zext(load(builder, offset(builder, places, step, 2), I16, 2), I64)
        return place, offset(builder, x, place, 4)

    def x(self, builder: Any, address: Any) -> Any:
        return broadcast(builder, load(builder, address, F32, 4), self.lanes)

    def add(self, builder: Any, total: Any, address: Any, x: Any) -> Any:
        words = vector(I32, self.lanes)
        upper = builder.zext(load(builder, address, vector(I16, self.lanes), 2 * self.lanes), words)
        weights = builder.bitcast(builder.shl(upper, ir.Constant(words, [16] * self.lanes)), self.sum_type)
        return multiply_add(builder, x, weights, total)


class Avx512(Kind):
    """x: bytes, unsigned."""

    group = 4
    x_bytes = 1
    supported = "avx512" in SUPPORTED

    @property
    def unroll(self) -> int:
        return 2

    def x(self, builder: Any, address: Any) -> Any:
        return broadcast(builder, load(builder, address, I32, 4), self.lanes)

    def add(self, builder: Any, total: Any, address: Any, x: Any) -> Any:
        # In the types of older LLVMs; newer ones take them as well and turn them into their own.
        weights = load(builder, address, self.sum_type)
        return call(builder, "llvm.x86.avx512.vpdpbusd.512", self.sum_type, [total, x, weights])


class Avx2(Kind):
    """x: the same bytes in 16 bits each. Exact, unlike vpmaddubsw, which saturates."""

    group = 2
    x_bytes = 2
    lanes = 8
    sums = 8
    supported = "avx2" in SUPPORTED

    def x(self, builder: Any, address: Any) -> Any:
        return builder.bitcast(broadcast(builder, load(builder, address, I32, 4), self.lanes), vector(I16, 16))

    def add(self, builder: Any, total: Any, address: Any, x: Any) -> Any:
        weights = builder.sext(load(builder, address, vector(I8, 16), 16), vector(I16, 16))
        return builder.add(total, call(builder, "llvm.x86.avx2.pmadd.wd", self.sum_type, [x, weights]))


class Portable(Kind):
    """As for AVX2, a column at a time; the products of 16-bit numbers are what NEON's smlal adds."""

    x_bytes = 2
    sums = 4

    def x(self, builder: Any, address: Any) -> Any:
        return broadcast(builder, load(builder, address, I16, 2), self.lanes)

    def add(self, builder: Any, total: Any, address: Any, x: Any) -> Any:
        weights = builder.sext(load(builder, address, vector(I8, self.lanes), 16), vector(I16, self.lanes))
        wide = (builder.sext(factor, self.sum_type) for factor in (weights, x))
        return builder.add(total, builder.mul(*wide))


KINDS: dict[int, Kind] = {
    FP32: Fp32(),
    BF16: Bf16(),
    BF16_SPARSE: Bf16Sparse(),
    INT8_AVX512: Avx512(),
    INT8_AVX2: Avx2(),
    INT8_PORTABLE: Portable(),
}


@dataclass(frozen=True)
class _Call:
    """The arguments of one product, as IR values. block: the block of rows in work."""

    builder: Any
    kind: Kind
    matrix: Any
    inputs: Any
    outputs: Any
    block: Any

    def field(self, index: int) -> Any:
        return load(self.builder, self.builder.add(self.matrix, constant(8 * index)), I64, 8)

    def pointer(self, list_of_addresses: Any, index: Any) -> Any:
        return load(self.builder, offset(self.builder, list_of_addresses, index, 8), I64, 8)

    def rows(self, field: int, first: int) -> Any:
        """`lanes` numbers of 4 bytes of the block, from row `first` on, of the array in a field."""
        return self.builder.add(offset(self.builder, self.field(field), self.block, 4 * ROWS), constant(4 * first))


def _emit_columns(at: _Call, first: Any, count: int) -> None:
    """One block of rows for `count` vectors, as many rows and vectors at a time as there are registers for."""
    kind, vectors = at.kind, ROWS // at.kind.lanes
    columns = max(1, min(count, kind.sums // kind.unroll, kind.most_columns))
    height = max(1, min(vectors, kind.sums // (columns * kind.unroll)))
    for start in range(0, count, columns):
        indices = [at.builder.add(first, constant(start + n)) for n in range(min(columns, count - start))]
        for top in range(0, vectors, height):
            _emit_tile(at, indices, range(top * kind.lanes, (top + height) * kind.lanes, kind.lanes))


def _emit_tile(at: _Call, indices: Sequence[Any], rows: Sequence[int]) -> None:
    """The rows at `rows` (each `lanes` of them) times the vectors at `indices`."""
    builder, kind = at.builder, at.kind
    total_columns = at.field(plan.COLUMNS)
    step_bytes = kind.group * ROWS * kind.weight_bytes
    weights = at.field(plan.WEIGHT)
    weights = builder.add(
        weights, builder.mul(builder.mul(at.block, total_columns), constant(ROWS * kind.weight_bytes))
    )
    inputs = [at.pointer(at.inputs, index) for index in indices]
    sums = [[[cgutils.alloca_once(builder, kind.sum_type) for _ in rows] for _ in inputs] for _ in range(kind.unroll)]
    for slot in (slot for unrolled in sums for column in unrolled for slot in column):
        builder.store(ir.Constant(kind.sum_type, None), slot)
    with cgutils.for_range(builder, kind.steps(builder, inputs[0], total_columns)) as loop:
        for u, unrolled in enumerate(sums):
            step = builder.add(builder.mul(loop.index, constant(kind.unroll)), constant(u))
            groups = [kind.group_at(builder, x, total_columns, step) for x in inputs]
            base = offset(builder, weights, groups[0][0], step_bytes)
            factors = [kind.x(builder, address) for _, address in groups]
            for n, row in enumerate(rows):
                address = builder.add(base, constant(row * kind.group * kind.weight_bytes))
                for factor, column in zip(factors, unrolled, strict=True):
                    builder.store(kind.add(builder, builder.load(column[n]), address, factor), column[n])
    for c, index in enumerate(indices):
        output = offset(builder, at.pointer(at.outputs, index), at.block, 4 * ROWS)
        for n, row in enumerate(rows):
            total = builder.load(sums[0][c][n])
            for unrolled in sums[1:]:
                add = builder.fadd if kind.is_float else builder.add
                total = add(total, builder.load(unrolled[c][n]))
            result = _finished(at, total, inputs[c], row)
            store(builder, result, builder.add(output, constant(4 * row)), 4 * kind.lanes)


def _finished(at: _Call, total: Any, x: Any, row: int) -> Any:
    """The sums of `lanes` rows from `row` on as floats, with the bias; for integers also offset and scale."""
    builder, kind = at.builder, at.kind
    floats, ints = vector(F32, kind.lanes), vector(I32, kind.lanes)
    bias = load(builder, at.rows(plan.BIAS, row), floats, 4 * kind.lanes)
    if kind.is_float:
        return builder.fadd(total, bias)
    numbers = offset(builder, x, at.field(plan.COLUMNS), plan.NUMBERS_AT)
    scale = broadcast(builder, load(builder, numbers, F32, 4), kind.lanes)
    zero = broadcast(builder, load(builder, builder.add(numbers, constant(4)), I32, 4), kind.lanes)
    row_sums = load(builder, at.rows(plan.ROW_SUM, row), ints, 4 * kind.lanes)
    exact = builder.sub(total, builder.mul(zero, row_sums))
    row_scale = load(builder, at.rows(plan.SCALE, row), floats, 4 * kind.lanes)
    return multiply_add(builder, builder.sitofp(exact, floats), builder.fmul(scale, row_scale), bias)


@intrinsic(prefer_literal=True)
def product(typingctx, code, matrix, inputs, outputs, count, first, last):
    """Blocks first..last-1 of matrix @ each of `count` vectors. code: the matrix's kind, known at compile time.

    inputs, outputs: addresses of int64 [count] addresses; an input is an activation (`plan.py`), an output
    float32 [rows]. Of another kind than this processor has there is no code: it must not be called.
    """
    kind = KINDS[code.literal_value]

    def generate(context, builder, signature, args):
        _, matrix, inputs, outputs, count, first, last = args
        if kind.supported:
            with cgutils.for_range(builder, last, start=first) as blocks:
                at = _Call(builder, kind, matrix, inputs, outputs, blocks.index)
                with cgutils.for_range(builder, builder.udiv(count, constant(MOST_COLUMNS))) as fours:
                    _emit_columns(at, builder.mul(fours.index, constant(MOST_COLUMNS)), MOST_COLUMNS)
                for rest in (2, 1):
                    with builder.if_then(builder.trunc(builder.udiv(count, constant(rest)), ir.IntType(1))):
                        done = builder.and_(count, constant(-2 * rest))
                        _emit_columns(at, done, rest)
        return context.get_dummy_value()

    return types.void(code, *[types.int64] * 6), generate


@kernel
def multiply(matrix, inputs, outputs, count, first, last):
    """Blocks first..last-1 of the matrix at `matrix`, of any kind, times `count` vectors; see `product`."""
    # By their own names: a module's attribute is no literal to Numba.
    code = words_at(matrix)[plan.KIND]
    if code == INT8_AVX512:
        product(INT8_AVX512, matrix, inputs, outputs, count, first, last)
    elif code == INT8_AVX2:
        product(INT8_AVX2, matrix, inputs, outputs, count, first, last)
    elif code == INT8_PORTABLE:
        product(INT8_PORTABLE, matrix, inputs, outputs, count, first, last)
    elif code == BF16_SPARSE:
        product(BF16_SPARSE, matrix, inputs, outputs, count, first, last)
    elif code == BF16:
        product(BF16, matrix, inputs, outputs, count, first, last)
    else:
        product(FP32, matrix, inputs, outputs, count, first, last)
