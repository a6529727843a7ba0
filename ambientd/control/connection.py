"""TCP connections inside a selector: accepted, bounded, never waited for. Supervisor; standard library only."""

from __future__ import annotations

import logging
import selectors
import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from ambientd.control.peer import Peer
from ambientd.errors import DaemonError

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
READ_BYTES = 65_536
MOST_UNREAD = 262_144
"""A peer that leaves so much unread is gone, or might as well be."""
SILENCE_SECONDS = 10.0
"""What a connection may take to say its first sensible thing; a surface may be silent for hours after that."""


class Connection(Peer):
    """One peer. It belongs to a `Listener`, which calls `ready` and `close`. Equal only to itself."""

    def __init__(self, stream: socket.socket, address: tuple[Any, ...], selector: selectors.BaseSelector) -> None:
        self.address = address
        self.closed = self.understood = False
        """understood: it has said something sensible."""
        self._stream, self._selector = stream, selector
        self._unsent = bytearray()
        self._ending = False
        stream.setblocking(False)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(stream, selectors.EVENT_READ, self.ready)

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes have arrived; b"" when no more will."""

    def ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ and not self.closed:
            self._read()

    def write(self, data: bytes) -> None:
        if self.closed:
            return
        self._unsent += data
        if len(self._unsent) > MOST_UNREAD:
            self.close()
            return
        self._flush()

    def end(self) -> None:
        """Close once everything is sent."""
        self._ending = True
        self._flush()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._selector.unregister(self._stream)
        self._stream.close()

    def _read(self) -> None:
        try:
            data = self._stream.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            self.received(data)
        except Exception:  # what a peer sends, and a library makes of it, must not end the daemon
            log.debug("connection from %s", self.host, exc_info=True)
            data = b""
        if not data:
            self.close()

    def _flush(self) -> None:
        if self.closed:
            return
        try:
            while self._unsent:
                del self._unsent[: self._stream.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._ending and not self._unsent:
            self.close()
            return
        writing = selectors.EVENT_WRITE if self._unsent else 0
        self._selector.modify(self._stream, selectors.EVENT_READ | writing, self.ready)


class Listener:
    """Accepts connections from whom `admits(host)` is true, MOST_CONNECTIONS at a time.

    make: a connection of a socket and its peer's address. gone: told of each that is closed.
    refused: how many were not taken.
    """

    def __init__(
        self,
        listening: socket.socket,
        selector: selectors.BaseSelector,
        admits: Callable[[str], bool],
        make: Callable[[socket.socket, tuple[Any, ...]], Connection],
        gone: Callable[[Connection], None],
    ) -> None:
        self.refused = 0
        self._socket, self._selector = listening, selector
        self._admits, self._make, self._gone = admits, make, gone
        self._connections: dict[Connection, float | None] = {}
        listening.listen()
        selector.register(listening, selectors.EVENT_READ, self._accept)

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def connections(self) -> list[Connection]:
        return [connection for connection in self._connections if not connection.closed]

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def turn(self, now: float) -> None:
        """Let go of what is closed, and of what has had its time to say something."""
        for connection, since in list(self._connections.items()):
            if since is None:
                self._connections[connection] = now
            elif not connection.understood and now - since > SILENCE_SECONDS:
                connection.close()
            if connection.closed:
                del self._connections[connection]
                self._gone(connection)

    def close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()
        for connection in self._connections:
            connection.close()

    def _accept(self, events: int) -> None:
        try:
            stream, address = self._socket.accept()
        except OSError:
            return
        if len(self._connections) >= MOST_CONNECTIONS or not self._admits(str(address[0])):
            self.refused += 1
            stream.close()
            return
        self._connections[self._make(stream, address)] = None


def bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A non-blocking socket at an address. Raises DaemonError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        server = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise DaemonError(f"osc.host {host!r} is no address ({error})", "Use 127.0.0.1") from None
    try:
        server.setblocking(False)
        if kind == socket.SOCK_STREAM:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a restart waits for old connections
        server.bind(address)
    except OSError as error:
        server.close()
        what = f"OSC cannot listen on {host}:{port} ({error.strerror})"
        raise DaemonError(what, "Is another ambientd running? Else choose another osc.port") from None
    return server


def bind_both(host: str, port: int, attempts: int = 20) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP at the same port; where it is 0, at one that the system finds free for both. Raises DaemonError."""
    while True:
        attempts -= 1
        datagrams = bind(host, port, socket.SOCK_DGRAM)
        try:
            return datagrams, bind(host, datagrams.getsockname()[1], socket.SOCK_STREAM)
        except DaemonError:
            datagrams.close()
            if port or not attempts:
                raise
