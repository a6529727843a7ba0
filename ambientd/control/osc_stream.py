"""OSC over TCP: packets with their length before them (OSC 1.0), or as SLIP frames (1.1, RFC 1055). Supervisor.

A connection's first byte tells which: the length of a packet that is not too long begins with 0, a SLIP frame with
its END mark or with the packet itself, `/` or `#`. Anything else, such as a browser's POST, ends the connection.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ambientd.control.connection import Connection
from ambientd.control.osc_check import MAX_BYTES
from ambientd.control.peer import Peer

END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"


class BadFrame(Exception):
    """After this nobody can tell where the next packet begins."""


class Framing(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that are whole now. Raises BadFrame."""
        ...

    def wrap(self, packet: bytes) -> bytes: ...


class LengthPrefixed:
    """int32, big-endian, and so many bytes."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._held += data
        while len(self._held) >= 4:
            (size,) = struct.unpack_from(">i", self._held)
            if not 0 < size <= MAX_BYTES:
                raise BadFrame(f"a packet of {size} bytes")
            if len(self._held) < 4 + size:
                return
            packet = bytes(self._held[4 : 4 + size])
            del self._held[: 4 + size]
            yield packet

    def wrap(self, packet: bytes) -> bytes:
        return struct.pack(">i", len(packet)) + packet


class Slip:
    """END at both sides. What is escaped wrongly comes out as it is, for the check to find."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        *whole, rest = data.split(END)
        for part in whole:
            frame = self._held + part
            self._held = bytearray()
            if frame:
                yield bytes(frame).replace(ESCAPED_END, END).replace(ESCAPED_ESCAPE, ESCAPE)
        self._held += rest
        if len(self._held) > 2 * MAX_BYTES:
            raise BadFrame(f"a frame of more than {MAX_BYTES} bytes")

    def wrap(self, packet: bytes) -> bytes:
        return END + packet.replace(ESCAPE, ESCAPED_ESCAPE).replace(END, ESCAPED_END) + END


def framing_of(first: int) -> Framing:
    """By a connection's first byte. Raises BadFrame."""
    if first == 0:
        return LengthPrefixed()
    if first in b"\xc0/#":
        return Slip()
    raise BadFrame(f"a connection that begins with {first:#04x}")


class OscConnection(Connection):
    """A surface on TCP; answers go back in the framing that it uses.

    packet: takes each packet, and says whether it was sound. fault: takes the reason for the connection's end.
    """

    def __init__(
        self,
        stream: socket.socket,
        address: tuple[Any, ...],
        selector: selectors.BaseSelector,
        packet: Callable[[bytes, Peer], bool],
        fault: Callable[[str], None],
    ) -> None:
        super().__init__(stream, address, selector)
        self._packet, self._fault = packet, fault
        self._framing: Framing | None = None

    def received(self, data: bytes) -> None:
        if not data:
            return
        try:
            self._framing = self._framing or framing_of(data[0])
            for packet in self._framing.feed(data):
                self.understood = self._packet(packet, self) or self.understood
        except BadFrame as fault:
            self._fault(str(fault))
            self.close()

    def send(self, packet: bytes) -> None:
        if self._framing:
            self.write(self._framing.wrap(packet))
