"""Matrices in the kernels' layouts. The one place that says what a precision is. Any thread, NumPy only.

fp32  float32 throughout: what the reference computes, to its last bits.
bf16  weights rounded to the upper half of a float32; everything else as fp32.
int8  weights in 8 bits with a scale per row, activations in 8 bits with a scale per vector, sums exact. The
      output layer is the exception: a trained model's last hidden units are silent for 93 % of the time and
      more, its weights then span orders of magnitude, and 8 bits for them were 20 times worse than all the
      rest together (benchmarks/engine.md). bf16 for the few that speak is both exact enough and faster.
In both of the latter the look-up table has 16 bits, and a tier's own input, which is small, stays in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.emit import aligned, aligned_bytes
from ambientd.engine.kernels.gemv import KINDS
from ambientd.engine.kernels.processor import Path

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LARGEST = 127
COLUMNS = 4
"""Every kind's steps go evenly into this many columns, or into a whole dim."""
_INT8: dict[Path, int] = {
    "avx512": plan.INT8_AVX512,
    "avx2": plan.INT8_AVX2,
    "portable": plan.INT8_PORTABLE,
}


@dataclass(frozen=True)
class Format:
    """A precision as this processor computes it. kind: of matrices (see `plan.py`); form: of activations.

    output_kind, hidden_form: of the output layer, and of the hidden units that it is multiplied with.
    """

    precision: Precision
    kind: int
    form: int
    output_kind: int
    hidden_form: int

    @classmethod
    def of(cls, precision: Precision, path: Path) -> Format:
        if precision == "int8":
            form = plan.BYTES if path == "avx512" else plan.SHORTS
            return cls(precision, _INT8[path], form, plan.BF16_SPARSE, plan.PLACES)
        kind = plan.FP32 if precision == "fp32" else plan.BF16
        return cls(precision, kind, plan.FLOATS, kind, plan.FLOATS)


def padded(n: int, multiple: int = plan.ROWS) -> int:
    """n rounded up to whole row blocks."""
    return -(-n // multiple) * multiple


def pad(parts: Floats, rows: int, columns: int) -> Floats:
    """[P, R, C] -> [P * rows, columns], zeros where there was nothing."""
    out = np.zeros((parts.shape[0], rows, columns), np.float32)
    out[:, : parts.shape[1], : parts.shape[2]] = parts
    return out.reshape(-1, columns)


class Matrix:
    """A matrix that kernels can multiply with. `row`: its fields as in `plan.py`; lives as long as this does."""

    def __init__(self, weights: Floats, bias: Floats, kind: int) -> None:
        """weights: [R, C], bias: [R], both padded: R a multiple of 64, C of 4."""
        rows, columns = weights.shape
        self.row = aligned_bytes(8 * plan.MATRIX_FIELDS).view(np.int64)
        self._kept: list[NDArray[Any]] = []
        self.row[plan.KIND], self.row[plan.COLUMNS], self.row[plan.BLOCKS] = kind, columns, rows // plan.ROWS
        self.row[plan.BIAS] = self._keep(bias, np.float32)
        values: NDArray[Any] = weights
        if kind in (plan.BF16, plan.BF16_SPARSE):
            values = to_bf16(weights)
        elif kind != plan.FP32:
            values, scale = to_int8(weights)
            self.row[plan.SCALE] = self._keep(scale, np.float32)
            self.row[plan.ROW_SUM] = self._keep(values.sum(axis=1, dtype=np.int32), np.int32)
        group = KINDS[kind].group
        blocks = values.reshape(rows // plan.ROWS, plan.ROWS, columns // group, group).transpose(0, 2, 1, 3)
        self.row[plan.WEIGHT] = self._keep(blocks.ravel(), values.dtype)

    @property
    def address(self) -> int:
        return int(self.row.ctypes.data)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._kept)

    def _keep(self, values: NDArray[Any], dtype: Any) -> int:
        kept = aligned_bytes(values.size * np.dtype(dtype).itemsize).view(dtype)
        kept[:] = values
        self._kept.append(kept)
        return int(kept.ctypes.data)


def to_bf16(values: Floats) -> NDArray[np.uint16]:
    """The upper halves, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def to_int8(weights: Floats) -> tuple[NDArray[np.int8], Floats]:
    """(q, scale [R]) with weights [R, C] ~ q * scale, q in -127..127."""
    peak = np.abs(weights).max(axis=1)
    scale = np.where(peak > 0, peak / LARGEST, 1).astype(np.float32)
    return np.rint(weights / scale[:, None]).astype(np.int8), scale


def to_int16(table: Floats) -> tuple[NDArray[np.int16], np.float32]:
    """(q, scale) with table ~ q * scale: better than float16 where it counts, and its sums are exact."""
    scale = np.float32(max(float(np.abs(table).max(initial=0)), 1e-20) / 32767)
    return np.rint(table / scale).astype(np.int16), scale


def activation_floats(dim: int) -> int:
    """How many float32 an activation takes."""
    return (plan.NUMBERS_AT * dim + plan.NUMBER_BYTES) // 4


def activation(dim: int) -> Floats:
    """An activation's memory; its first [dim] are the vector."""
    return aligned(activation_floats(dim))
