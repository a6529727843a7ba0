"""Whether to look for a GPU at all, which takes torch and seconds. Supervisor, generator; the standard library only."""

from __future__ import annotations

from pathlib import Path

SIGNS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/proc/driver/nvidia/version")
"""Of an NVIDIA GPU: what its driver shows, on Linux and on Windows' own."""


def seems_there() -> bool:
    return any(Path(sign).exists() for sign in SIGNS)
