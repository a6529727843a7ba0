"""The OSC server: UDP and TCP at one port, OSCQuery at another. Supervisor, inside its selector loop.

Which addresses there are: `osc_methods`, `osc_commands`, docs/osc.md. What becomes of a packet: `reception`.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from ambientd.config import Osc
from ambientd.control.connection import Connection, Listener, bind_both
from ambientd.control.discovery import Advert, services
from ambientd.control.osc_commands import Instrument
from ambientd.control.osc_stream import OscConnection
from ambientd.control.oscquery_server import QueryServer
from ambientd.control.peer import udp_peer
from ambientd.control.reception import Reception
from ambientd.control.sources import AllowList

DATAGRAMS_PER_WAKE_UP = 64
"""A flood of messages must leave the supervisor time for its other work."""


class OscServer:
    """Register `fileno()` for reading, call `handle_ready()` when it is, and `turn()` at least each `patience()`."""

    def __init__(self, config: Osc, instrument: Instrument, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds. Raises DaemonError when the address cannot be had."""
        self.reception = Reception(instrument, clock)
        self._config = config
        self._allow = AllowList(config.allow)
        self._refused = 0
        self._advert: Advert | None = None
        self._datagrams, streams = bind_both(config.host, config.port)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._datagrams, selectors.EVENT_READ, self._read_datagrams)
        forget = self.reception.feedback.forget
        self._listener = Listener(streams, self._selector, self._allow.admits, self._connect, forget)
        self.query: QueryServer | None = None
        if config.oscquery:
            address = (self.host, config.query_port)
            self.query = QueryServer(address, self.port, self._selector, self._allow.admits, self.reception)

    @property
    def host(self) -> str:
        return str(self._datagrams.getsockname()[0])

    @property
    def port(self) -> int:
        return int(self._datagrams.getsockname()[1])

    def fileno(self) -> int:
        return self._selector.fileno()

    def advertise(self) -> None:
        """Tell the network, in a thread of its own, where the configuration says so."""
        if self._config.advertise:
            self._advert = Advert(self.host, services(self.port, self.query.port if self.query else None))

    def close(self) -> None:
        if self._advert:
            self._advert.close()
        if self.query:
            self.query.close()
        self._listener.close()
        self.reception.close()
        self._datagrams.close()
        self._selector.close()

    def info(self) -> dict[str, Any]:
        """Where it listens and what it has counted, for `ambientd status`. refused: of nobody who is allowed."""
        reception = self.reception
        return {
            "host": self.host,
            "port": self.port,
            "query_port": self.query.port if self.query else None,
            "advertised": self._advert.state if self._advert else "no",
            "handled": reception.handled,
            "malformed": reception.malformed,
            "rejected": reception.rejected,
            "dropped": reception.dropped,
            "refused": self._refused + self._listener.refused + (self.query.refused if self.query else 0),
            "waiting": reception.waiting,
            "surfaces": len(reception.feedback),
            "connections": len(self._listener),
            "last_fault": reception.last_fault,
        }

    def handle_ready(self) -> None:
        """Handle what has arrived, but no more than a part of a flood."""
        for key, events in self._selector.select(0):
            key.data(events)

    def patience(self) -> float:
        """Seconds until `turn` has something to do; infinite when only a packet could give it that."""
        return self.reception.patience()

    def turn(self) -> None:
        """Do what is due: dated bundles, feedback, connections that have had their time."""
        self.reception.turn()
        self._listener.turn(self.reception.clock())
        if self.query:
            self.query.turn()

    def _read_datagrams(self, events: int) -> None:
        for _ in range(DATAGRAMS_PER_WAKE_UP):
            try:
                packet, address = self._datagrams.recvfrom(65_536)
            except OSError:  # nothing more, or word of an answer that nobody took
                return
            if self._allow.admits(address[0]):
                self.reception.receive(packet, udp_peer(address, self._datagrams, self._config.reply_port))
            else:
                self._refused += 1

    def _connect(self, stream: socket.socket, address: tuple[Any, ...]) -> Connection:
        return OscConnection(stream, address, self._selector, self.reception.receive, self.reception.count_malformed)
