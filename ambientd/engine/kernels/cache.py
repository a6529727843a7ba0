"""Where compiled kernels are kept. Must run before the first kernel is decorated; any process that renders.

Numba notices an edit only in the file that holds a function, not in those it calls, so the folder is keyed
by all kernel sources. Its cache is made of pickles, so the folder belongs to the user alone.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from pathlib import Path

from ambientd.errors import DaemonError


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
        path.chmod(0o700)
        found = path.lstat()
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

    folder = _folder()
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    return folder


def is_empty() -> bool:
    """Whether nothing was compiled yet for these sources and this processor: the first start takes a minute."""
    return not any(_folder().iterdir())


def _folder() -> Path:
    from platformdirs import user_cache_path

    return private_folder(private_folder(user_cache_path("ambientd") / "kernels") / sources_digest())
