"""A run's best checkpoint into the user's library, without taking another model's place. The training process."""

from __future__ import annotations

from pathlib import Path

from ambientd.samplernn.checkpoint import valid_id, write_atomically
from ambientd.samplernn.library import SUFFIX, user_folder
from ambientd_plugins.training.albums.tracks import sha256_of
from ambientd_plugins.training.errors import TrainingError, way_out
from ambientd_plugins.training.folder import RunFolder

NOTE = "installed.sha256"
"""In the run folder: the hash of the library's model, so that the same command may replace what it has installed."""


def library_place(run: Path, name: str, replace: bool) -> Path:
    """Where the model called `name` goes. Raises TrainingError where `run` may not put it there.

    A model that this run has installed may be replaced by it, any other only where `replace` says so.
    """
    if not valid_id(name):
        raise TrainingError(
            f"--install: {name!r} cannot name a model",
            "Use an --exp of letters, digits, -, _ and dots, or no --install",
        )
    target = user_folder() / f"{name}{SUFFIX}"
    if target.exists() and not replace and not _installed_by(run, target):
        raise TrainingError(
            f"--install: the library has a {name!r} of other origin ({target})", "Use another --exp, or add --replace"
        )
    return target


def install_best(run: Path, name: str, replace: bool) -> Path:
    """Copy the best checkpoint there. Raises TrainingError, as `library_place` and where it cannot be written."""
    target, best = library_place(run, name, replace), RunFolder(run).best
    try:
        write_atomically(target, best.read_bytes())
        write_atomically(run / NOTE, sha256_of(target).encode())
    except OSError as error:
        raise TrainingError(
            f"{best} could not be installed as {target} ({error.strerror or error})",
            f"{way_out(error)}, and give the same command again: the training itself is done",
        ) from None
    return target


def _installed_by(run: Path, target: Path) -> bool:
    try:
        return bool((run / NOTE).read_text() == sha256_of(target))
    except (OSError, ValueError):
        return False
