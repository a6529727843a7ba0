"""Whether the machine's service will be able to read what it plays from: it is another user than who installs it.

Command line. By mode bits, without becoming that user; where there is an access control list, only the kernel knows,
and the file counts as readable.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ambientd
from ambientd.config import Config
from ambientd.errors import CheckpointError, UsageError
from ambientd.midi import mapping
from ambientd.samplernn import library

STATE = Path("/var/lib/ambientd")
"""The service's own folder and its home; systemd makes it, and hands it over with all that is in it."""
HIDDEN = (Path("/tmp"), Path("/var/tmp"))
"""The service has its own (PrivateTmp=yes)."""
DYNAMIC = range(61184, 65520)
"""The users that systemd makes; the same one again for the same service where it can."""
NOBODY = -1
READ, PASS = 0o4, 0o1
AUDIO = "audio"
"""The unit's supplementary group."""


@dataclass(frozen=True)
class Reader:
    """Who the service will be. name: for people. uid: NOBODY is not known yet. groups: their numbers."""

    name: str
    uid: int
    groups: frozenset[int]

    def may(self, path: Path, wanted: int) -> bool:
        """wanted: READ, PASS or both. Raises OSError."""
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid in self.groups else 0
        return (found.st_mode >> shift) & wanted == wanted or _has_list(path)


def reader(user: str | None) -> Reader:
    """user: one that there is; None: the one that systemd makes, which owns nothing but `STATE`."""
    audio = {group.gr_gid for group in grp.getgrall() if group.gr_name == AUDIO}
    if user is None:
        owner = _owner_of_state()
        return Reader("other users", owner if owner and owner in DYNAMIC else NOBODY, frozenset(audio))
    found = pwd.getpwnam(user)
    return Reader(f"the user {user}", found.pw_uid, frozenset(audio | {*os.getgrouplist(user, found.pw_gid)}))


def check_program(who: Reader) -> None:
    """That the service can start ambientd as it is installed here. Raises UsageError naming what is closed."""
    remedy = "Install ambientd and its Python below /opt, or name a user who may run it: --as USER"
    package = Path(ambientd.__file__).parent
    for path in (Path(sys.executable), Path(sys.prefix), package, library.bundled_folder()):
        check_readable(path, who, remedy, READ | PASS)


def check_played(path: Path | None, config: Config, who: Reader) -> None:
    """That it can read the configuration at `path`, and what that names. Raises UsageError, or CheckpointError."""
    for file in _named(path, config):
        remedy = "Put it below /etc, for example, with read permission for them (chmod a+r)"
        hidden = next((folder for folder in HIDDEN if file.resolve().is_relative_to(folder)), None)
        if hidden:
            raise UsageError(f"{file} is not there for the service, which has a {hidden} of its own", remedy)
        check_readable(file, who, remedy)


def check_readable(path: Path, who: Reader, remedy: str, wanted: int = READ) -> None:
    """Raises UsageError naming the folder, or the file, that is closed to `who`, with the remedy."""
    try:
        if path.is_relative_to(STATE) and who.uid != _owner_of_state():
            path.stat()  # it is handed over with the folder when the service starts
            return
        steps = [(folder, PASS) for folder in _folders(path)] + [(path, wanted)]
        closed = next((step for step, need in steps if not who.may(step, need)), None)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", remedy) from None
    if closed:
        raise UsageError(f"{closed} is closed to {who.name}, so the service could not read {path}", remedy)


def _named(path: Path | None, config: Config) -> Iterator[Path]:
    """The files, as the service will look for them: from its own home, with its own library."""
    if path:
        yield path
    yield from (_model(slot.model) for slot in config.slots)
    if config.dayparts:
        yield _from_home(str(config.dayparts))
    yield from (_from_home(name) for name in config.midi.controllers if name.endswith(mapping.SUFFIX))


def _from_home(path: str) -> Path:
    return STATE / path.removeprefix("~/")


def _model(id: str) -> Path:
    """Its file. Raises CheckpointError where the service's library has none."""
    folders = (STATE / "models", library.bundled_folder())
    found = [path for folder in folders if os.path.exists(path := folder / f"{id}{library.SUFFIX}")]
    if not found:
        raise CheckpointError(f"the service's library has no model {id!r}", f"Copy it into {folders[0]}")
    return found[0]


def _folders(path: Path) -> list[Path]:
    """All on the way to it, with links and without, from the root down."""
    if path.is_relative_to(STATE):
        own = STATE.resolve()  # systemd opens the way to here
        return [own / part for part in reversed(path.relative_to(STATE).parents)]
    return list(dict.fromkeys(folder for way in (path.absolute(), path.resolve()) for folder in reversed(way.parents)))


def _owner_of_state() -> int | None:
    """None where it is not there yet, or shown to root alone."""
    with contextlib.suppress(OSError):
        return STATE.stat().st_uid
    return None


def _has_list(path: Path) -> bool:
    with contextlib.suppress(OSError):  # a file system that has none
        return "system.posix_acl_access" in os.listxattr(path)
    return False
