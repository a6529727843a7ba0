"""SHA-256 of files, and those that were published beside them: SHA256SUMS, as `sha256sum` writes and checks it."""

from __future__ import annotations

import hashlib
from pathlib import Path

NAME = "SHA256SUMS"
LARGEST = 1 << 20
"""Bytes of it that are read."""


def sum_of(path: Path) -> str:
    """64 hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded_sum(path: Path) -> str | None:
    """What SHA256SUMS in the file's folder says of it; None where that says nothing."""
    try:
        with (path.parent / NAME).open(encoding="utf-8") as file:
            lines = file.read(LARGEST).splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    pairs = [line.split(maxsplit=1) for line in lines]
    found = {pair[1].removeprefix("*"): pair[0] for pair in pairs if len(pair) == 2}  # a star marks a binary file
    return found.get(path.name)
