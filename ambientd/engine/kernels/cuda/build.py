"""CUDA C++ -> machine code for one kind of processor, by NVRTC. No GPU is needed. A loading thread; some seconds, once.

Machine code rather than PTX, because a driver that is older than the compiler refuses the latter. Kept in the user's
cache, by what it was made of.
"""

from __future__ import annotations

import hashlib
import os
from importlib.resources import files
from pathlib import Path

from ambientd.engine.kernels.cache import private_folder
from ambientd.engine.kernels.cuda.persistent import Geometry
from ambientd.errors import DeviceError

THREADS = 1024
"""Of a block."""
KERNEL = "make_block"


def source_folder() -> Path:
    return Path(str(files("ambientd.engine.kernels.cuda"))) / "source"


def macros(geometry: Geometry) -> dict[str, str]:
    """What the source is to be compiled with."""
    return {
        "CLUSTER": str(int(geometry.cluster)),
        "SAMPLE_BITS": str(geometry.sample_bits),
        "FRAME_BITS": str(geometry.frame_bits),
        "THREADS": str(THREADS),
    }


def machine_code(architecture: str, geometry: Geometry, folder: Path | None = None) -> bytes:
    """A cubin for, say, "sm_90a". folder: of the cache, by default the user's. Raises DeviceError."""
    if folder is None:
        from platformdirs import user_cache_path

        folder = private_folder(user_cache_path("ambientd") / "cuda")
    made = folder / f"{_digest(architecture, geometry)}.cubin"
    if not made.exists():
        found = compile_source(architecture, geometry)
        part = made.with_suffix(f".{os.getpid()}")
        part.write_bytes(found)
        part.replace(made)
    return made.read_bytes()


def compile_source(architecture: str, geometry: Geometry) -> bytes:
    """The same, anew. Raises DeviceError where the compiler is missing or refuses."""
    try:
        from cuda.core import Program, ProgramOptions
    except ImportError:
        raise DeviceError(
            "the CUDA compiler is not installed", 'Run: .venv/bin/pip install -c constraints.txt -e ".[cuda]"'
        ) from None
    folder = source_folder()
    options = ProgramOptions(
        arch=architecture, std="c++17", include_path=str(folder), define_macro=list(macros(geometry).items())
    )
    try:
        found = Program((folder / "persistent.cu").read_text(), "c++", options).compile("cubin").code
    except Exception as error:  # whatever the bindings raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DeviceError(f"the GPU kernel cannot be compiled for {architecture} ({reason[0]})") from error
    return bytes(found)


def _digest(architecture: str, geometry: Geometry) -> str:
    import cuda.bindings

    digest = hashlib.sha256(repr((architecture, macros(geometry), cuda.bindings.__version__)).encode())
    for path in sorted(source_folder().iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:24]
