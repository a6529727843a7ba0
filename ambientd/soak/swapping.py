"""Pushes another process's memory out to swap, as a machine does that runs short. The soak's process; Linux."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
from pathlib import Path

from ambientd.soak.scenario import NotTried

PROCESS_MADVISE, MADV_PAGEOUT = 440, 21
"""The call has the same number on every architecture, and no name in older C libraries."""


def push_out(pid: int) -> int:
    """All that no file holds; returns the bytes that are in swap now. Raises NotTried where that is not allowed."""
    folder, call, process = Path(f"/proc/{pid}"), ctypes.CDLL(None, use_errno=True).syscall, os.pidfd_open(pid)
    try:
        for area in re.findall(r"^(\w+)-(\w+) rw-p \S+ \S+ 0 ", (folder / "maps").read_text(), re.MULTILINE):
            start, end = (int(address, 16) for address in area)
            words = struct.pack("NN", start, end - start), ctypes.c_size_t(1), MADV_PAGEOUT, 0
            # Other errors are of an area that is locked, or gone since.
            if call(PROCESS_MADVISE, process, *words) < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
                reason = os.strerror(ctypes.get_errno())
                raise NotTried(f"pushing memory out to swap needs the right CAP_SYS_NICE, and Linux 5.10: {reason}")
    finally:
        os.close(process)
    return 1024 * sum(map(int, re.findall(r"^VmSwap:\s*(\d+)", (folder / "status").read_text(), re.MULTILINE)))
