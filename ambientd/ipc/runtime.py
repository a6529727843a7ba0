"""Where a running daemon is found, and how it is asked how it does. Supervisor and command line.

Whoever asks trusts a socket of the same user, of root, or of the user that the machine's service runs as, in a folder
that nobody else can put one into.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ambientd.errors import AmbientdError, DaemonError

PATIENCE_SECONDS = 5.0
LONGEST_ANSWER = 1 << 20
LONGEST_PATH = 103
"""Bytes that macOS has for a Unix socket's path; Linux has four more."""
SYSTEM = Path("/run/ambientd")
"""Of the machine's service. systemd makes it for the service's user, in a folder that only root can write to."""
SOCKET = "status.sock"
ROOT = 0


class Refused(AmbientdError):
    """The daemon said no, in the words and with the exit code of the error that it met."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(str(answer["error"]), str(answer.get("remedy", "")))
        self.exit_code = int(answer["exit_code"])


def runtime_folder() -> Path:
    """The user's own folder for sockets, made where it is missing. Raises DaemonError when it is not private."""
    folder = _own_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise DaemonError(f"{folder} cannot be made ({error.strerror})", "Set XDG_RUNTIME_DIR") from None
    # In a shared temporary folder somebody else may have been there first, to be asked in the daemon's place.
    if not _is_owners_alone(found) or found.st_uid != os.getuid():
        raise DaemonError(f"{folder} is not yours alone", "Remove it, or set XDG_RUNTIME_DIR")
    return folder


def status_socket_path() -> Path:
    """The Unix socket at which the running daemon answers one JSON line with another."""
    return _socket_in(runtime_folder())


def socket_to_ask(system: bool = False) -> Path:
    """Where the user's own daemon is asked, or the machine's service; it may not be running, and nothing is made.

    Raises DaemonError where another could answer, or this user may not ask.
    """
    folder = SYSTEM if system else _own_folder()
    try:
        found = folder.lstat()
        # Who owns the service's folder was root's choice; elsewhere somebody else may have been there first.
        trusted = {ROOT, os.getuid()} | ({found.st_uid} if system and _is_roots_alone(folder.parent) else set())
        if found.st_uid not in trusted:
            remedy = "Ask as that user; the machine's service is asked with --system"
            raise DaemonError(f"{folder} is another user's", remedy)
        there = (folder / SOCKET).lstat()
        safe = _is_owners_alone(found) and there.st_uid in trusted and stat.S_ISSOCK(there.st_mode)
    except FileNotFoundError:
        safe = True
    except PermissionError:
        raise DaemonError("only root and its own user may ask the machine's service", "Use sudo") from None
    if not safe:
        raise DaemonError(f"somebody else could answer at {folder}", "Set XDG_RUNTIME_DIR to a folder of yours alone")
    return _socket_in(folder)


def ask_status(path: Path | None = None) -> dict[str, Any]:
    """What the running daemon says of itself. Raises DaemonError when there is none, or it does not answer."""
    return ask({"ask": "status"}, path)


def ask(request: Mapping[str, Any], path: Path | None = None, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """The running daemon's answer to a request, see `ambientd.supervisor.status_socket`.

    patience: seconds to wait for it. Raises DaemonError when there is no daemon, or it does not answer; Refused with
    its reason when it says no.
    """
    path = path or socket_to_ask()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(patience)
        try:
            peer.connect(str(path))
            peer.sendall(json.dumps(request).encode() + b"\n")
            line = peer.makefile("rb").readline(LONGEST_ANSWER)
        except (FileNotFoundError, ConnectionRefusedError):
            raise _not_running(path) from None
        except OSError as error:
            raise DaemonError(f"the daemon at {path} does not answer ({error})", "Restart it") from None
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise DaemonError(f"the daemon at {path} broke off its answer", "Ask again")
    if "error" in answer:
        raise Refused(answer)
    return answer


def _own_folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "ambientd" if base else Path(tempfile.gettempdir()) / f"ambientd-{os.getuid()}"


def _socket_in(folder: Path) -> Path:
    path = folder / SOCKET
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise DaemonError(f"{path} is too long for a socket", "Set XDG_RUNTIME_DIR to a shorter folder")
    return path


def _is_owners_alone(found: os.stat_result) -> bool:
    """A folder, and no link to one, that nobody but its owner can put anything into."""
    return stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022


def _is_roots_alone(folder: Path) -> bool:
    found = folder.stat()
    return found.st_uid in (ROOT, os.getuid()) and _is_owners_alone(found)


def _not_running(path: Path) -> DaemonError:
    if path.parent == SYSTEM:
        return DaemonError("the machine's service is not running", "Start it: systemctl start ambientd")
    other = "; the machine's service is asked with --system" if os.path.lexists(SYSTEM) else ""
    return DaemonError("ambientd is not running", f"Start it with `ambientd run`{other}")
