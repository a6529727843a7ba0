"""Hostile packets against a real server: nothing hangs, raises, or changes a value.

The corpus is drawn from what has broken OSC servers: truncation, numbers that are none, sizes below nothing, bundles
in bundles, wildcards that match everything, mutations of what is sound.
"""

from __future__ import annotations

import socket
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pythonosc.osc_packet import OscPacket

from ambientd.control.osc_check import MAX_BYTES, Malformed, check
from ambientd.control.osc_stream import LengthPrefixed, Slip

from .wire import PATIENCE, Wire, message, serve_until

SOUND = [message("/ambientd/volume", 0.5), message("/ambientd/slot/1/gain/value", 1.5), message("/ambientd/panic", 1)]
LONGEST = 0.25
"""Seconds for one packet, on a busy machine: ten times what the dearest takes on an idle one."""

garbage = st.binary(max_size=300)
truncated = st.builds(lambda whole, cut: whole[: len(whole) - cut], st.sampled_from(SOUND), st.integers(1, 3))
no_numbers = st.builds(
    lambda address, tag, value: message(address)[:-4] + b"," + tag + b"\0\0" + struct.pack(b">" + tag, value),
    st.sampled_from(["/ambientd/volume", "/ambientd/slot/1/pan/value", "/ambientd/stop"]),
    st.sampled_from([b"f", b"d"]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
)
bad_sizes = st.builds(
    lambda size, rest: b"#bundle\0" + bytes(7) + b"\1" + struct.pack(">i", size) + rest,
    st.one_of(st.integers(-(2**31), 0), st.integers(400, 2**31 - 1), st.just(-4)),
    st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4]),
)
all_wild = st.lists(st.sampled_from(["*", "**", "?*", "*?", "*[!.]*", "[a-z0-9]*"]), min_size=1, max_size=6).map(
    lambda parts: message("/" + "/".join(parts), 0.5)
)


def nested(depth: int, inner: bytes) -> bytes:
    for _ in range(depth):
        inner = b"#bundle\0" + bytes(7) + b"\1" + struct.pack(">i", len(inner)) + inner
    return inner


deep = st.builds(nested, st.integers(5, 700), st.sampled_from(SOUND)).filter(lambda packet: len(packet) <= MAX_BYTES)
hostile = st.one_of(garbage, truncated, no_numbers, bad_sizes, all_wild, deep)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400)
@given(hostile)
def test_a_hostile_packet_changes_nothing(wire: Wire, packet: bytes) -> None:
    before = wire.instrument.state()
    start = time.perf_counter()
    wire.deliver(packet)
    wire.tick(1)
    assert time.perf_counter() - start < LONGEST
    assert wire.instrument.state() == before
    assert wire.ask("/ambientd/ping") == ["pong"]


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(
        [nested(2, SOUND[0]), nested(1, message("/a", "text", b"blob", 3)), nested(1, b"#bundle\0" + bytes(8)), *SOUND]
    ),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_mutation_is_refused_or_reads_back(packet: bytes, changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(packet)
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    try:
        check(bytes(mutated))
    except Malformed:
        return
    OscPacket(bytes(mutated))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text("/*?[]{}!-,ab0ambientdslogi", max_size=200), st.booleans())
def test_any_address_is_answered_in_time(wire: Wire, address: str, asks: bool) -> None:
    start = time.perf_counter()
    wire.deliver(message("/" + address, *([] if asks else ["no number"])))
    assert time.perf_counter() - start < LONGEST
    wire.heard()
    assert wire.ask("/ambientd/ping") == ["pong"]
    wire.tick(1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(hostile, max_size=5), st.sampled_from([LengthPrefixed, Slip]), st.binary(max_size=20))
def test_a_hostile_stream_changes_nothing(wire: Wire, packets: list[bytes], framing: type, rest: bytes) -> None:
    before = wire.instrument.state()
    with socket.create_connection(("127.0.0.1", wire.server.port), PATIENCE) as stream:
        stream.sendall(b"".join(map(framing().wrap, packets)) + rest)
        stream.shutdown(socket.SHUT_WR)
        wire.tick(1)
        serve_until(wire.server, lambda: all(c.closed for c in wire.server._listener._connections) and reached(wire))
    wire.tick(1)
    assert wire.counted("connections") == (0,)
    assert wire.instrument.state() == before


def reached(wire: Wire) -> bool:
    """The connection has been seen, before it was found to be closed."""
    return len(wire.server._listener) > 0


@pytest.mark.parametrize("count", [100, 512])
def test_the_dearest_packet_there_can_be_is_still_quick(wire: Wire, count: int) -> None:
    part = message("/ambientd/volume", 0.5)
    packet = b"#bundle\0" + bytes(7) + b"\1" + (struct.pack(">i", len(part)) + part) * count
    start = time.perf_counter()
    if len(packet) > MAX_BYTES:
        packet = packet[: 16 + (MAX_BYTES - 16) // (len(part) + 4) * (len(part) + 4)]
    wire.deliver(packet)
    assert time.perf_counter() - start < LONGEST
    assert wire.counted("malformed") == (0,)
