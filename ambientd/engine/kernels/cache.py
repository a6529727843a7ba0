"""Where compiled kernels are kept. Must run before the first kernel is decorated; any process that renders.

Numba notices an edit only in the file that holds a function, not in those it calls, so the folder is keyed
by all kernel sources. Its cache is made of pickles, so the folder belongs to the user alone. Where its disk is
read-only, what is in it is found from a folder beside the daemon's socket.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
from pathlib import Path

from ambientd.errors import DaemonError
from ambientd.ipc.runtime import runtime_folder

PRIVATE = 0o700


@functools.cache
def sources_digest() -> str:
    """Changes with any kernel source, the compiler and the processor."""
    import llvmlite
    import llvmlite.binding as llvm
    import numba

    from ambientd.engine.kernels.processor import FEATURES, WANTED

    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    facts = (numba.__version__, llvmlite.__version__, llvm.get_host_cpu_name(), *sorted(FEATURES), WANTED or "")
    for fact in facts:
        digest.update(fact.encode())
    return digest.hexdigest()[:16]


def private_folder(path: Path) -> Path:
    """Create `path` for this user alone; refuse one that somebody else could have filled."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) != PRIVATE:
            path.chmod(PRIVATE)
    except OSError as error:
        raise DaemonError(
            f"the kernel cache {path} cannot be used ({error.strerror})", "Set XDG_CACHE_HOME to a writable folder"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise DaemonError(f"the kernel cache {path} belongs to somebody else", "Remove it, or set XDG_CACHE_HOME")
    return path


def use_kernel_cache() -> Path:
    """Point Numba's cache at the folder of these sources and this processor."""
    import numba

    folder = kernel_folder()
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return folder


def is_empty() -> bool:
    """Whether nothing was compiled yet for these sources and this processor: the first start takes a minute."""
    return not any(kernel_folder().iterdir())


def kernel_folder() -> Path:
    """Of these sources and this processor; can be written."""
    from platformdirs import user_cache_path

    folder = user_cache_path("ambientd") / "kernels" / sources_digest()
    if _can_be_written(folder):
        return private_folder(private_folder(folder.parent) / folder.name)
    return _shadow(folder)


def _can_be_written(path: Path) -> bool:
    """Or made, where it is not there."""
    there = next(place for place in (path, *path.parents) if place.exists())
    return os.access(there, os.W_OK)


def _shadow(folder: Path) -> Path:
    """One that can be written, for Numba insists, and holds what a folder on a read-only disk has compiled."""
    shadow = private_folder(private_folder(runtime_folder() / "kernels") / folder.name)
    compiled = [path for path in private_folder(folder).rglob("*") if path.is_file()] if folder.is_dir() else []
    for path in compiled:
        link = shadow / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
        with contextlib.suppress(FileExistsError):  # of an earlier start, or compiled since
            link.symlink_to(path)
    return shadow
