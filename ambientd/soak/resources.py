"""What the daemon's processes hold: memory, handles, threads. The soak's process; Linux."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.soak.scenario import NotTried


@dataclass(frozen=True)
class Held:
    """By all processes together, at one time. at: seconds.

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
    folders = [Path(f"/proc/{row['pid']}") for row in status["processes"] if row["pid"]]
    kilobytes = sum(_field(folder, "VmRSS") - _field(folder, "RssShmem") for folder in folders)
    handles = sum(len(list((folder / "fd").iterdir())) for folder in folders)
    return Held(at, kilobytes << 10, handles, sum(_field(folder, "Threads") for folder in folders))


def slope(samples: list[Held]) -> float:
    """Bytes per second: the straight line through the samples (least squares)."""
    times, sizes = np.array([s.at for s in samples]), np.array([s.bytes for s in samples], np.float64)
    return float(np.polyfit(times - times[0], sizes, 1)[0])


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _field(folder: Path, name: str) -> int:
    lines = (folder / "status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
