"""Where checkpoints live and how an id finds one. Any process; no NumPy.

The user's library comes first, so that a retrained album replaces a bundled one by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ambientd.errors import CheckpointError

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Entry:
    """One checkpoint of the library. origin: "user" or "bundled"."""

    id: str
    path: Path
    origin: str


def user_folder() -> Path:
    """Where `ambientd train --install` puts checkpoints."""
    from platformdirs import user_data_path

    return user_data_path("ambientd") / "models"


def bundled_folder() -> Path:
    """models/ of the checkout, or of the installed package."""
    return Path(str(resources.files("ambientd_models")))


def bundled_judge(id: str) -> Path:
    """Where the judge of a bundled model's album is, if there is one: a small model that only ever listens."""
    return bundled_folder() / "judges" / f"{id}{SUFFIX}"


def entries() -> list[Entry]:
    """Every checkpoint by id, sorted; the user's own shadow bundled ones."""
    found: dict[str, Entry] = {}
    for folder, origin in ((bundled_folder(), "bundled"), (user_folder(), "user")):
        if folder.is_dir():
            for path in folder.glob(f"*{SUFFIX}"):
                found[path.stem] = Entry(path.stem, path, origin)
    return [found[name] for name in sorted(found)]


def resolve(id: str) -> Path:
    """The file of the checkpoint called `id`, or CheckpointError naming the nearest."""
    import difflib

    paths = {entry.id: entry.path for entry in entries()}
    if id in paths:
        return paths[id]
    near = difflib.get_close_matches(id, paths, 1)
    known = f"Did you mean {near[0]!r}?" if near else f"The library has: {', '.join(paths) or 'nothing yet'}"
    raise CheckpointError(f"no model is called {id!r}", known)


def hear_it(id_or_path: str, name: str) -> str:
    """A line with the command that plays the checkpoint, NAME.wav, for whoever has just made it."""
    import shlex

    words = ["ambientd", "render", "--model", id_or_path, "--seconds", "30", "--out", f"{name}.wav"]
    return f"hear it: {shlex.join(words)}"


def resolve_local(id_or_path: str) -> Path:
    """As `resolve`, but a local command's user may also give a path."""
    if id_or_path.endswith(SUFFIX) or "/" in id_or_path:
        return Path(id_or_path)
    return resolve(id_or_path)
