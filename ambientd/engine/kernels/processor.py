"""What the processor that kernels are compiled for can do. Import-time facts; any process that renders.

A path is a way to multiply 8-bit integers. All of them give the same sums, bit for bit:
    avx512    vpdpbusd: 64 products of unsigned and signed bytes an instruction
    avx2      vpmaddwd: 16 products of 16-bit integers an instruction
    portable  vectors of LLVM's own, for whatever there is (NEON, SSE)
AMBIENTD_KERNELS names one to be taken where the best one is not wanted.
"""

from __future__ import annotations

import os
from typing import Literal, get_args

from ambientd.errors import UsageError

Path = Literal["avx512", "avx2", "portable"]
PATHS: tuple[Path, ...] = get_args(Path)
"""The fastest first."""
VARIABLE = "AMBIENTD_KERNELS"


def _target() -> tuple[str, frozenset[str]]:
    """(triple, features) that Numba compiles for: the host's, unless NUMBA_CPU_NAME says otherwise."""
    from numba.core.registry import cpu_target

    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return triple, frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


TRIPLE, FEATURES = _target()
HAS_FMA = "fma" in FEATURES or TRIPLE.startswith(("aarch64", "arm64"))


def _wanted() -> Path | None:
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    for path in PATHS:
        if path == name:
            return path
    raise UsageError(f"{VARIABLE} is {name!r}", f"Valid are: {', '.join(PATHS)}")


WANTED = _wanted()
_NEEDS: dict[Path, set[str]] = {"avx512": {"avx512vnni", "avx512bw"}, "avx2": {"avx2"}, "portable": set()}
# Whoever names a path knows what a processor that was named by hand can do.
SUPPORTED = tuple(path for path in PATHS if _NEEDS[path] <= FEATURES or path == WANTED)
