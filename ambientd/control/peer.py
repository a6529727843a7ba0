"""Who sent a message, and how to answer. Supervisor."""

from __future__ import annotations

import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pythonosc.osc_message_builder import OscMessageBuilder

from ambientd.control.osc_check import BUNDLE

ROOT = "/ambientd/"
Values = tuple[Any, ...]
_IMMEDIATELY = struct.pack(">Q", 1)
BUNDLE_BYTES = 1_400
"""Of what is sent: a datagram that fits into one Ethernet frame."""


def encode(id: str, values: Values) -> bytes:
    """An OSC message to the address of `id`, which is what follows /ambientd/."""
    builder = OscMessageBuilder(ROOT + id)
    for value in values:
        builder.add_arg(value)
    return bytes(builder.build().dgram)


def bundles(messages: Iterable[bytes]) -> Iterator[bytes]:
    """The messages in as few bundles as fit into frames of a network, to be taken at once."""
    bundle = BUNDLE + _IMMEDIATELY
    for message in messages:
        if len(bundle) + 4 + len(message) > BUNDLE_BYTES and len(bundle) > 16:
            yield bundle
            bundle = BUNDLE + _IMMEDIATELY
        bundle += struct.pack(">i", len(message)) + message
    if len(bundle) > 16:
        yield bundle


class Peer(ABC):
    """A surface, as far as a packet tells. Two peers that are equal are the same surface.

    address: as a socket gives it, host and port first. also: where the same surface listens as well.
    bundled: whether it may be sent several messages in one packet.
    """

    address: tuple[Any, ...]
    also: Peer | None = None
    bundled = True

    @property
    def host(self) -> str:
        return str(self.address[0])

    @property
    def source(self) -> tuple[Any, ...]:
        """What a token bucket belongs to."""
        return self.address[:2]

    @abstractmethod
    def send(self, packet: bytes) -> None:
        """Send an OSC packet. Never waits: what cannot be sent is lost."""

    def tell(self, id: str, values: Values) -> None:
        """Answer, also where the surface listens as well."""
        packet = encode(id, values)
        self.send(packet)
        if self.also:
            self.also.send(packet)


class _Nobody(Peer):
    address = ("nobody", 0)

    def send(self, packet: bytes) -> None:
        return


NOBODY = _Nobody()
"""Takes no answers."""


@dataclass(frozen=True)
class UdpPeer(Peer):
    address: tuple[Any, ...]
    socket: socket.socket = field(compare=False, repr=False)
    also: UdpPeer | None = field(default=None, compare=False, repr=False)

    def send(self, packet: bytes) -> None:
        try:
            self.socket.sendto(packet, self.address)
        except OSError:
            return  # word of an earlier answer that nobody took, or a full buffer


def udp_peer(address: tuple[Any, ...], socket: socket.socket, reply_port: int | None) -> UdpPeer:
    """The sender of a datagram. reply_port: where surfaces listen beside the port that they send from."""
    if reply_port in (None, address[1]):
        return UdpPeer(address, socket)
    return UdpPeer(address, socket, UdpPeer((address[0], reply_port, *address[2:]), socket))
