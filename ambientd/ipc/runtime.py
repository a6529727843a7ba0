"""Where a running daemon is found, and how it is asked how it does. Supervisor and command line."""

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


class Refused(AmbientdError):
    """The daemon said no, in the words and with the exit code of the error that it met."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(str(answer["error"]), str(answer.get("remedy", "")))
        self.exit_code = int(answer["exit_code"])


def runtime_folder() -> Path:
    """The user's own folder for sockets, made where it is missing. Raises DaemonError when it is not private."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "ambientd" if base else Path(tempfile.gettempdir()) / f"ambientd-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.lstat()
    except OSError as error:
        raise DaemonError(f"{folder} cannot be made ({error.strerror})", "Set XDG_RUNTIME_DIR") from None
    # In a shared temporary folder somebody else may have been there first, to be asked in the daemon's place.
    if not stat.S_ISDIR(owner.st_mode) or owner.st_uid != os.getuid() or owner.st_mode & 0o022:
        raise DaemonError(f"{folder} is not yours alone", "Remove it, or set XDG_RUNTIME_DIR")
    return folder


def status_socket_path() -> Path:
    """The Unix socket at which the running daemon answers one JSON line with another."""
    path = runtime_folder() / "status.sock"
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise DaemonError(f"{path} is too long for a socket", "Set XDG_RUNTIME_DIR to a shorter folder")
    return path


def ask_status(path: Path | None = None) -> dict[str, Any]:
    """What the running daemon says of itself. Raises DaemonError when there is none, or it does not answer."""
    return ask({"ask": "status"}, path)


def ask(request: Mapping[str, Any], path: Path | None = None, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """The running daemon's answer to a request, see `ambientd.status_socket`; patience: seconds to wait for it.

    Raises DaemonError when there is no daemon, or it does not answer; Refused with its reason when it says no.
    """
    path = path or status_socket_path()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(patience)
        try:
            peer.connect(str(path))
            peer.sendall(json.dumps(request).encode() + b"\n")
            line = peer.makefile("rb").readline(LONGEST_ANSWER)
        except (FileNotFoundError, ConnectionRefusedError):
            raise DaemonError("ambientd is not running", "Start it with `ambientd run`") from None
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
