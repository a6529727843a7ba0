"""How fast this machine reads memory: the roof over every kernel that streams weights. `ambientd bench engine`."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"

from __future__ import annotations

import statistics
import threading
import time

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import I32, aligned_bytes, call, constant, load, offset, vector

LANES, VECTORS = 16, 8
STEP = 4 * LANES * VECTORS
LEAST_READ = 32 << 20
"""Bytes read between two looks at the clock."""


@intrinsic
def _sum(typingctx, address, steps):
    """The sum of `steps` times STEP bytes, as int32: as fast as they can be loaded."""

    def generate(context, builder, signature, args):
        address, steps = args
        kind = vector(I32, LANES)
        sums = [cgutils.alloca_once(builder, kind) for _ in range(VECTORS)]
        for slot in sums:
            builder.store(ir.Constant(kind, None), slot)
        with cgutils.for_range(builder, steps) as loop:
            base = offset(builder, address, loop.index, STEP)
            for v, slot in enumerate(sums):
                value = load(builder, builder.add(base, constant(4 * LANES * v)), kind)
                builder.store(builder.add(builder.load(slot), value), slot)
        total = builder.load(sums[0])
        for slot in sums[1:]:
            total = builder.add(total, builder.load(slot))
        return call(builder, f"llvm.vector.reduce.add.v{LANES}i32", I32, [total])

    return types.int32(types.int64, types.int64), generate


@kernel
def _read(address, nbytes, times):
    """Read `nbytes` as often as that."""
    total = 0
    for _ in range(times):
        total ^= _sum(address, nbytes // STEP)
    return total


def read_bandwidth(nbytes: int, threads: int, seconds: float) -> float:
    """Bytes per second that `threads` read together, each a part of `nbytes`, again and again; a median."""
    part = max(STEP, nbytes // threads // STEP * STEP)
    buffers = [aligned_bytes(part) for _ in range(threads)]
    for buffer in buffers:
        buffer[:] = 1  # memory that was never written to is one and the same page of zeros
    times = max(1, LEAST_READ // part)
    _read(buffers[0].ctypes.data, part, 1)
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while len(rates) < 3 or time.perf_counter() < end:
        helpers = [threading.Thread(target=_read, args=(buffer.ctypes.data, part, times)) for buffer in buffers[1:]]
        began = time.perf_counter()
        for helper in helpers:
            helper.start()
        _read(buffers[0].ctypes.data, part, times)
        for helper in helpers:
            helper.join()
        rates.append(threads * part * times / (time.perf_counter() - began))
    return statistics.median(rates)
