"""Answers `ambientd status`: a socket in the user's runtime folder that gives one JSON line to whoever connects.

Supervisor, inside its selector loop; never waits for a reader.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ambientd.errors import DaemonError

LARGEST_ANSWER = 1 << 18
"""Bytes that fit into a socket's buffer; macOS has only 8192 unless it is asked for more."""


class StatusSocket:
    """The listening side. It also keeps a second daemon of the same user from starting."""

    def __init__(self, path: Path, status: Callable[[], dict[str, Any]]) -> None:
        self.path, self._status = path, status
        self._clear_stale()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        try:
            self._socket.bind(str(path))
        except OSError as error:
            raise DaemonError(f"{path} cannot be made ({error.strerror})", "Set XDG_RUNTIME_DIR") from None
        os.chmod(path, 0o600)
        self._socket.listen()

    def fileno(self) -> int:
        return self._socket.fileno()

    def answer(self) -> None:
        """Someone connected."""
        try:
            peer, _ = self._socket.accept()
        except OSError:
            return
        with peer:
            # Room for one answer is in the socket's buffer; a peer that does not read loses it.
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_ANSWER)
            try:
                peer.send(json.dumps(self._status()).encode() + b"\n")
            except OSError:
                return

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _clear_stale(self) -> None:
        if not self.path.exists():
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            try:
                probe.connect(str(self.path))
            except OSError:
                self.path.unlink(missing_ok=True)  # left by a daemon that was killed
                return
        raise DaemonError("ambientd is already running", "See `ambientd status`; stop it first")
