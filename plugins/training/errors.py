"""What can go wrong with an album, a training or a report."""

from __future__ import annotations

import errno

from ambientd.plugin import AmbientdError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class AlbumError(AmbientdError):
    """An album cannot be read, or holds no usable audio."""

    exit_code = 5


class TrainingError(AmbientdError):
    """A training cannot start, or cannot go on."""

    exit_code = 9


class JudgeError(AmbientdError):
    """A blend cannot be played or judged."""

    exit_code = 9


def way_out(error: OSError) -> str:
    """What to do about a file that could not be written."""
    if error.errno in FULL:
        return "Make room"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Make it writable"
    return "See to that place"
