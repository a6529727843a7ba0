"""OSCQuery's HTTP and WebSocket server, in the supervisor's selector loop; websockets does both protocols.

HTTP describes; a WebSocket takes OSC packets as UDP does, LISTEN and IGNORE, and tells of changes. One request a
connection. A page from elsewhere in a browser on this machine must not play, though it reaches loopback: so `Origin`
must name the host that was asked, and `Host` must be no name that anybody can point here.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ambientd.control.connection import Connection, Listener, bind
from ambientd.control.osc_check import MAX_BYTES
from ambientd.control.oscquery import ATTRIBUTES, describe, host_info
from ambientd.control.peer import ROOT
from ambientd.control.reception import Reception
from ambientd.errors import AmbientdError, DaemonError

if TYPE_CHECKING:
    from websockets.http11 import Request

PRICE_OF_A_TREE = 50.0
"""Tokens for an answer over HTTP, for it lists every address."""


class QueryServer:
    """port: where it listens; another than asked for where that is taken."""

    def __init__(
        self,
        address: tuple[str, int],
        osc_port: int,
        selector: selectors.BaseSelector,
        admits: Callable[[str], bool],
        reception: Reception,
    ) -> None:
        self.reception, self._osc_port, self._selector = reception, osc_port, selector
        self._version = reception.space.version
        host, port = address
        try:
            listening = bind(host, port, socket.SOCK_STREAM)
        except DaemonError:
            listening = bind(host, 0, socket.SOCK_STREAM)
        self._listener = Listener(listening, selector, admits, self._connect, reception.feedback.forget)

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def refused(self) -> int:
        return self._listener.refused

    def turn(self) -> None:
        """Let go of connections that have had their time, and tell the others when the tree has changed."""
        self._listener.turn(self.reception.clock())
        if self._version != self.reception.space.version:
            self._version = self.reception.space.version
            for connection in self._listener.connections:
                if isinstance(connection, QueryConnection):
                    connection.command("PATH_CHANGED", ROOT.rstrip("/"))

    def close(self) -> None:
        self._listener.close()

    def answer(self, target: str) -> tuple[int, Any]:
        """The HTTP status and what to put into JSON for a request's target."""
        path, _, attribute = target.partition("#")[0].partition("?")
        if attribute == "HOST_INFO":
            return 200, host_info(self._osc_port)
        node = describe(self.reception.space, unquote(path))
        if node is None:
            return 404, {"ERROR": "there is no such address"}
        if not attribute:
            return 200, node
        if attribute not in ATTRIBUTES:
            return 400, {"ERROR": f"there are HOST_INFO, {', '.join(ATTRIBUTES)}"}
        return (200, {attribute: node[attribute]}) if attribute in node else (204, None)

    def _connect(self, stream: socket.socket, address: tuple[Any, ...]) -> Connection:
        return QueryConnection(stream, address, self._selector, self)


class QueryConnection(Connection):
    """One request over HTTP, or a WebSocket."""

    bundled = False

    def __init__(
        self, stream: socket.socket, address: tuple[Any, ...], selector: selectors.BaseSelector, server: QueryServer
    ) -> None:
        from websockets.server import ServerProtocol

        super().__init__(stream, address, selector)
        self._server, self._reception = server, server.reception
        self._protocol = ServerProtocol(max_size=MAX_BYTES)

    def received(self, data: bytes) -> None:
        from websockets.http11 import Request

        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._requested(event)
            else:
                self._frame(event)
        self._drain()

    def send(self, packet: bytes) -> None:
        if self.understood and not self.closed:
            self._protocol.send_binary(packet)
            self._drain()

    def command(self, name: str, data: str) -> None:
        if self.understood and not self.closed:
            self._protocol.send_text(json.dumps({"COMMAND": name, "DATA": data}).encode())
            self._drain()

    def _drain(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.write(data)
            else:
                self.end()

    def _requested(self, request: Request) -> None:
        if not _trusted(request):
            self._respond(403, {"ERROR": "ask by address, not through a page from elsewhere"})
        elif request.method != "GET":
            self._respond(405, {"ERROR": "only GET"})
        elif "upgrade" in request.headers.get("Connection", "").lower():
            response = self._protocol.accept(request)
            self._protocol.send_response(response)
            self.understood = response.status_code == 101
        elif not self._reception.buckets.take(self.host, PRICE_OF_A_TREE, self._reception.clock()):
            self._respond(429, {"ERROR": "too many requests"})
        else:
            self._respond(*self._server.answer(request.path))

    def _respond(self, status: int, body: Any) -> None:
        response = self._protocol.reject(status, "" if body is None else json.dumps(body))
        del response.headers["Content-Type"]
        if body is None:
            del response.headers["Content-Length"]
        else:
            response.headers["Content-Type"] = "application/json"
        self._protocol.send_response(response)

    def _frame(self, frame: Any) -> None:
        from websockets.frames import CloseCode, Opcode

        if (frame.opcode in (Opcode.TEXT, Opcode.BINARY) and not frame.fin) or frame.opcode is Opcode.CONT:
            self._protocol.fail(CloseCode.MESSAGE_TOO_BIG, "one frame a message")
        elif frame.opcode is Opcode.BINARY:
            self._reception.receive(bytes(frame.data), self)
        elif frame.opcode is Opcode.TEXT:
            self._commanded(frame.data)

    def _commanded(self, text: bytes) -> None:
        """LISTEN or IGNORE; what is neither, or names no address, is nothing."""
        try:
            command = json.loads(text)
            name, address = command["COMMAND"], command["DATA"].removeprefix(ROOT)
            if name == "LISTEN":
                self._reception.feedback.listen(self, address)
            elif name == "IGNORE":
                self._reception.feedback.ignore(self, address)
        except (AmbientdError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
            return


def _trusted(request: Request) -> bool:
    host = _name(f"//{request.headers.get('Host', '')}")
    origin = request.headers.get("Origin")
    return _is_ours(host) and (origin is None or _name(origin) == host)


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_ours(host: str) -> bool:
    """An address, or a name that only this machine or its own network gives out."""
    if host in ("localhost", socket.gethostname().lower()) or host.endswith(".local"):
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
