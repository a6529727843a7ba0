"""SHA-256 of files, and those that were published beside them: SHA256SUMS, as `sha256sum` writes and checks it.

Any process; light.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from ambientd.errors import CheckpointError

NAME = "SHA256SUMS"
LARGEST = 1 << 20
"""Bytes of it that are read."""


def sum_of(path: Path) -> str:
    """64 hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sum(path: Path) -> str:
    """A checkpoint's sum. Raises CheckpointError where another one was published beside it; reads the whole file."""
    try:
        found = sum_of(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "Check its permissions") from None
    if recorded_sum(path) not in (None, found):
        what = f"{path} is not the file that was published (sha256 {found[:12]})"
        raise CheckpointError(what, f"Fetch it again, or leave it out of {path.parent / NAME} if you changed it")
    return found


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
