"""What can go wrong with an album, a training or a report."""

from __future__ import annotations

from ambientd.plugin import AmbientdError


class AlbumError(AmbientdError):
    """An album cannot be read, or holds no usable audio."""

    exit_code = 5


class TrainingError(AmbientdError):
    """A training cannot start, or cannot go on."""

    exit_code = 9


class JudgeError(AmbientdError):
    """A blend cannot be played or judged."""

    exit_code = 9
