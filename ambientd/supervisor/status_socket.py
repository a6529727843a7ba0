"""Answers `ambientd status` and `ambientd reload`: a socket in the user's runtime folder, one JSON line for another.

    {"ask": "status"}                               everything about the daemon
    {"ask": "reload", "config": "/a/room.toml"}     see `lifecycle.reconfigure`; config may be left out
A request that is refused is answered with {"error": what, "remedy": ..., "exit_code": ...}.

Supervisor, inside its selector loop; never waits for a reader or a writer.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ambientd.errors import AmbientdError, DaemonError, UsageError

LARGEST_ANSWER = 1 << 18
"""Bytes that fit into a socket's buffer; macOS has only 8192 unless it is asked for more."""
LARGEST_REQUEST = 1 << 13
MOST_PEERS = 16
"""Who connects and says nothing is let go when so many others came."""

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes the request; raises AmbientdError to refuse it."""


class StatusSocket:
    """The listening side, and whoever has connected. It also keeps a second daemon of the same user from starting.

    Register `fileno()` for reading, and call `answer()` when it is.
    """

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        """answers: by what is asked."""
        self.path, self._answers = path, answers
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
        self._asking: dict[socket.socket, bytes] = {}
        """What each peer has said so far, the longest connected first."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def fileno(self) -> int:
        return self._selector.fileno()

    def answer(self) -> None:
        """Someone connected, or asked."""
        for key, _ in self._selector.select(0):
            if key.fileobj is self._socket:
                self._accept()
            elif key.fileobj in self._asking:
                self._hear(key.fileobj)

    def close(self) -> None:
        for peer in list(self._asking):
            self._let_go(peer)
        self._selector.close()
        # In this order: once it is closed, another daemon may have made its own there.
        self.path.unlink(missing_ok=True)
        self._socket.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._socket.accept()
        except OSError:
            return
        if len(self._asking) >= MOST_PEERS:
            self._let_go(next(iter(self._asking)))
        peer.setblocking(False)
        self._asking[peer] = b""
        self._selector.register(peer, selectors.EVENT_READ)

    def _hear(self, peer: socket.socket) -> None:
        try:
            more = peer.recv(LARGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        said = self._asking[peer] = self._asking[peer] + more
        if b"\n" in said:
            self._reply(peer, said.partition(b"\n")[0])
        if not more or b"\n" in said or len(said) > LARGEST_REQUEST:
            self._let_go(peer)

    def _reply(self, peer: socket.socket, line: bytes) -> None:
        try:
            answer = self._answer_to(line)
        except AmbientdError as error:
            answer = {"error": error.what, "remedy": error.remedy, "exit_code": error.exit_code}
        # Room for one answer is in the socket's buffer; a peer that does not read loses it.
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_ANSWER)
            peer.send(json.dumps(answer).encode() + b"\n")

    def _answer_to(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        asked = request.get("ask") if isinstance(request, dict) else None
        if not isinstance(asked, str) or asked not in self._answers:
            raise UsageError("the daemon does not know this request", f"It answers to {', '.join(self._answers)}")
        return self._answers[asked](request)

    def _let_go(self, peer: socket.socket) -> None:
        self._selector.unregister(peer)
        del self._asking[peer]
        peer.close()

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
