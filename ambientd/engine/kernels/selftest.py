"""Which way of multiplying this process takes: the best that gives the right sums. Any thread; once a process.

A processor may claim what a compiler gets wrong, and an LLVM may give an instruction other operands: music
must not find out. So each path multiplies once before it is chosen, and what fails is told and passed over.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"

from __future__ import annotations

import sys
from functools import cache

import numpy as np

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.activations import quantize
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.gemv import multiply
from ambientd.engine.kernels.matrices import Format, Matrix, Precision, activation, to_int8
from ambientd.engine.kernels.processor import SUPPORTED, WANTED, Path

ROWS, COLUMNS, VECTORS = 128, 192, 7
fallbacks: list[str] = []
"""One line for each path that failed here."""


@kernel
def _products(matrix, inputs, outputs, dim, form):
    """Quantize each input, and multiply all of them with the matrix."""
    for address in inputs:
        quantize(address, dim, form, 0)
    multiply(matrix, inputs.ctypes.data, outputs.ctypes.data, inputs.size, 0, ROWS // plan.ROWS)


def right(path: Path) -> bool:
    """Whether the 8-bit products on `path` are NumPy's, to the last bit of their sums."""
    rng = np.random.default_rng(1)
    # Whole numbers from one end to the other: quantizing changes nothing, so the sums are exact.
    weights = rng.integers(-127, 128, (ROWS, COLUMNS)).astype(np.float32)
    weights[:, 0] = 127
    xs = rng.integers(-127, 128, (VECTORS, COLUMNS)).astype(np.float32)
    xs[:, 0] = 127
    format = Format.of("int8", path)
    matrix = Matrix(weights, np.zeros(ROWS, np.float32), format.kind)
    inputs, outputs = [activation(COLUMNS) for _ in xs], [activation(ROWS) for _ in xs]
    for buffer, x in zip(inputs, xs, strict=True):
        buffer[:COLUMNS] = x
    addresses = (np.array([b.ctypes.data for b in buffers], np.int64) for buffers in (inputs, outputs))
    _products(matrix.address, *addresses, COLUMNS, format.form)
    expected = xs @ to_int8(weights)[0].T.astype(np.float32)
    return bool(np.array_equal([buffer[:ROWS] for buffer in outputs], expected))


@cache
def best_path() -> Path:
    """The path for 8-bit products: the one asked for, or the fastest that is right."""
    candidates = [WANTED] if WANTED else []
    candidates += [path for path in SUPPORTED if path != WANTED]
    for path in candidates:
        try:
            if right(path):
                return path
            reason = "its sums are wrong"
        except Exception as error:  # whatever a compiler may raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        fallbacks.append(f"the {path} kernel cannot be used here ({reason}); playing goes on with a slower one")
        print(fallbacks[-1], file=sys.stderr)
    raise RuntimeError("no kernel multiplies correctly on this processor")


def choose(precision: Precision | str = "auto", path: Path | None = None) -> Format:
    """How to compute at `precision`; "auto" is int8."""
    chosen: Precision = "int8" if precision == "auto" else precision  # type: ignore[assignment]
    if chosen != "int8":
        return Format.of(chosen, "portable")
    return Format.of(chosen, path or best_path())
