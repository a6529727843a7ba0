"""OSC over TCP, in both framings and any slices."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage

from ambientd.control.connection import MOST_CONNECTIONS, SILENCE_SECONDS
from ambientd.control.osc_check import MAX_BYTES
from ambientd.control.osc_stream import BadFrame, LengthPrefixed, Slip, framing_of

from .wire import PATIENCE, Wire, message, serve, serve_until, told


@given(st.sampled_from([LengthPrefixed, Slip]), st.lists(st.binary(min_size=1, max_size=60)), st.data())
def test_packets_come_out_as_they_went_in_however_they_are_sliced(
    framing: type, packets: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(framing().wrap(packet) for packet in packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, found = framing(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += list(reader.feed(stream[start:end]))
    assert found == packets


@given(st.binary(max_size=300))
def test_noise_is_packets_or_the_end(noise: bytes) -> None:
    for first in (0, 0xC0):
        try:
            for packet in framing_of(first).feed(noise):
                assert packet
        except BadFrame:
            continue


def test_what_is_held_back_is_bounded() -> None:
    for size in (-4, 0, MAX_BYTES + 4, 2**31 - 1):
        with pytest.raises(BadFrame):
            list(LengthPrefixed().feed(struct.pack(">i", size)))
    slip = Slip()
    list(slip.feed(bytes(2 * MAX_BYTES)))
    with pytest.raises(BadFrame):
        list(slip.feed(bytes(1)))


@pytest.fixture
def stream(wire: Wire) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", wire.server.port), PATIENCE) as stream:
        serve(wire.server)
        yield stream


@pytest.mark.parametrize("framing", [LengthPrefixed, Slip])
def test_a_stream_plays_asks_and_hears(wire: Wire, stream: socket.socket, framing: type) -> None:
    ours = framing()
    packets: list[bytes] = []

    def read() -> bytes:
        while not packets:
            packets.extend(ours.feed(stream.recv(4096)))
        return packets.pop(0)

    stream.sendall(ours.wrap(message("/ambientd/volume/value", 0.5)) + ours.wrap(message("/ambientd/volume/value")))
    serve_until(wire.server, lambda: wire.counted("handled") == (2,))
    assert OscMessage(read()).params == [0.5]
    stream.sendall(ours.wrap(message("/ambientd/subscribe", 1)))
    serve_until(wire.server, lambda: wire.counted("surfaces") == (1,))
    assert told([read()])["/ambientd/volume"]
    packets.clear()
    wire.send("/ambientd/slot/1/pan", 1.0)
    wire.tick()
    assert told([read()]) == {"/ambientd/slot/1/pan": 1.0}
    stream.close()
    serve(wire.server)
    wire.tick()
    assert wire.counted("surfaces", "connections") == (0, 0)


@pytest.mark.parametrize("begin", [b"POST / HTTP/1.1\r\n\r\n", b"\0\0\xff\xff", b"\xff"])
def test_what_is_not_osc_ends_the_connection(wire: Wire, stream: socket.socket, begin: bytes) -> None:
    before = wire.instrument.state()
    stream.sendall(begin + Slip().wrap(message("/ambientd/volume", 0.0)))
    serve(wire.server)
    wire.tick()
    with contextlib.suppress(ConnectionResetError):
        assert stream.recv(1) == b""
    assert wire.instrument.state() == before
    assert wire.counted("malformed", "connections") == (1, 0)


def test_a_bad_packet_in_a_good_frame_is_counted_and_the_next_is_heard(wire: Wire, stream: socket.socket) -> None:
    packets = b"/a\0\0,f\0\0", b"\xdb", message("/ambientd/volume/value", 0.5)
    stream.sendall(b"".join(map(Slip().wrap, packets)))
    serve_until(wire.server, lambda: wire.counted("handled") == (1,))
    assert wire.counted("malformed") == (2,)


def test_the_silent_make_room(wire: Wire) -> None:
    streams = [socket.create_connection(("127.0.0.1", wire.server.port), PATIENCE) for _ in range(MOST_CONNECTIONS + 1)]
    serve_until(wire.server, lambda: wire.counted("refused") == (1,))
    assert wire.counted("connections") == (MOST_CONNECTIONS,)
    streams[0].sendall(LengthPrefixed().wrap(message("/ambientd/ping")))
    serve_until(wire.server, lambda: wire.counted("handled") == (1,))
    wire.tick()
    wire.tick(SILENCE_SECONDS + 1)
    assert wire.counted("connections") == (1,)
    for stream in streams:
        stream.close()


def test_a_reader_that_does_not_read_is_let_go(wire: Wire, stream: socket.socket) -> None:
    question = LengthPrefixed().wrap(message("/ambientd/slot/*/*"))
    stream.sendall(question)
    serve_until(wire.server, lambda: wire.counted("handled") == (1,))
    (connection,) = wire.server._listener.connections
    while not connection.closed:
        connection.send(bytes(MAX_BYTES))
    wire.tick()
    assert wire.counted("connections") == (0,)
