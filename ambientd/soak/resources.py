"""What the daemon's processes hold: memory, handles, threads. The soak's process; Linux."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.soak.scenario import NotTried


@dataclass(frozen=True)
class Held:
    """By all processes together, children of children among them, at one time. at: seconds.

    bytes: resident, without what they share: ring, bed and tap have the size they were made with, and count as
    resident only from when they are filled.
    """

    at: float
    bytes: int
    handles: int
    threads: int


def held(at: float, status: dict[str, Any]) -> Held:
    """Raises NotTried where the system does not tell."""
    if not Path("/proc/self/fd").is_dir():
        raise NotTried("only Linux tells what another process holds")
    pids = family(row["pid"] for row in status["processes"] if row["pid"])
    found = [_held(Path(f"/proc/{pid}")) for pid in pids]
    return Held(at, *map(sum, zip(*found, strict=True)))


def family(pids: Iterable[int]) -> set[int]:
    """These processes, and all that they and theirs have started: who holds the device is the player's child."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            children.setdefault(_field(folder, "PPid"), []).append(int(folder.name))
    found, left = set(), list(pids)
    while left:
        found.add(pid := left.pop())
        left += children.get(pid, [])
    return found


def slope(samples: list[Held]) -> float:
    """Bytes per second: the straight line through the samples (least squares)."""
    times, sizes = np.array([s.at for s in samples]), np.array([s.bytes for s in samples], np.float64)
    return float(np.polyfit(times - times[0], sizes, 1)[0])


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _held(folder: Path) -> tuple[int, int, int]:
    """Bytes, handles and threads of one process; nothing where it has ended meanwhile."""
    try:
        kilobytes = _field(folder, "VmRSS") - _field(folder, "RssShmem")
        return kilobytes << 10, len(list((folder / "fd").iterdir())), _field(folder, "Threads")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0, 0, 0


def _field(folder: Path, name: str) -> int:
    lines = (folder / "status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
