"""Small pieces of LLVM IR, and memory that kernels may address. Used by the kernels' intrinsics.

Nothing here may round differently from one call to the next: multiply-adds are explicit, so that the
compiler has no choice, and a voice sounds the same alone, in a batch and on two cores.
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
from numpy.typing import NDArray

from ambientd.arrays import Floats
from ambientd.engine.kernels.processor import HAS_FMA

ALIGNMENT = 64
I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()


def aligned_bytes(count: int) -> NDArray[np.uint8]:
    """Zeroed uint8 [count], 64-byte aligned."""
    raw = np.zeros(count + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count]


def aligned(count: int) -> Floats:
    """Zeroed float32 [count], 64-byte aligned."""
    return aligned_bytes(4 * count).view(np.float32)


def constant(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def vector(kind: ir.Type, lanes: int) -> ir.VectorType:
    return ir.VectorType(kind, lanes)


def load(builder: Any, address: Any, kind: ir.Type, align: int = ALIGNMENT) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def store(builder: Any, value: Any, address: Any, align: int = ALIGNMENT) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def offset(builder: Any, address: Any, index: Any, size: int) -> Any:
    """address + index * size."""
    return builder.add(address, builder.mul(index, constant(size)))


def broadcast(builder: Any, scalar: Any, lanes: int) -> Any:
    """The scalar in every lane."""
    undefined = ir.Constant(vector(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(vector(I32, lanes), [0] * lanes))


def call(builder: Any, name: str, result: ir.Type, arguments: list[Any]) -> Any:
    """One of LLVM's intrinsic functions."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c: rounded once where the processor has an instruction for it, else (slowly in software) twice."""
    if not HAS_FMA:
        return builder.fadd(builder.fmul(a, b), c)
    suffix = f"v{a.type.count}f32" if isinstance(a.type, ir.VectorType) else "f32"
    return call(builder, f"llvm.fma.{suffix}", a.type, [a, b, c])


def _pointer(element: types.Type) -> Any:
    kind = types.CPointer(element)

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(kind))

    return kind(types.int64), generate


@intrinsic
def floats_at(typingctx, address):
    """A C pointer to float32 at an int64 address."""
    return _pointer(types.float32)


@intrinsic
def doubles_at(typingctx, address):
    """A C pointer to float64 at an int64 address."""
    return _pointer(types.float64)


@intrinsic
def bytes_at(typingctx, address):
    """A C pointer to uint8 at an int64 address."""
    return _pointer(types.uint8)


@intrinsic
def shorts_at(typingctx, address):
    """A C pointer to uint16 at an int64 address."""
    return _pointer(types.uint16)


@intrinsic
def ints_at(typingctx, address):
    """A C pointer to int32 at an int64 address."""
    return _pointer(types.int32)


@intrinsic
def words_at(typingctx, address):
    """A C pointer to int64 at an int64 address."""
    return _pointer(types.int64)


@intrinsic
def float_from_bits(typingctx, bits):
    """The float32 with these 32 bits."""
    return types.float32(types.int32), lambda context, builder, signature, args: builder.bitcast(args[0], F32)


@intrinsic
def bits_of_float(typingctx, x):
    """The 32 bits of a float32."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], I32)


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c in float32, as `multiply_add`."""
    kind = types.float32
    return kind(kind, kind, kind), lambda context, builder, signature, args: multiply_add(builder, *args)
