"""OSC over real sockets: what moves, what answers, and what changes nothing."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

import pytest
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from ambientd.config import Osc
from ambientd.control.osc import DATAGRAMS_PER_WAKE_UP, OscServer
from ambientd.control.schedule import LONGEST_AHEAD, MOST_WAITING
from ambientd.errors import DaemonError

from .wire import PATIENCE, Wire, message, serve


@pytest.mark.parametrize(
    ("address", "sent", "id", "expected"),
    [
        ("/ambientd/volume", 0.0, "volume", 0.0),
        ("/ambientd/volume/value", 0.25, "volume", 0.25),
        ("/ambientd/slot/1/pan", 0.75, "slot/1/pan", 0.5),
        ("/ambientd/slot/2/temperature", 0, "slot/2/temperature", 0.5),
        ("/ambientd/slot/2/temperature/value", 1.25, "slot/2/temperature", 1.25),
        ("/ambientd/slot/2/gain/value", 99, "slot/2/gain", 2.0),
        ("/ambientd/slot/1/stretch", 1.0, "slot/1/stretch", 8.0),
        ("/ambientd/slot/1/freeze/value", 0.25, "slot/1/freeze", 0.25),
        ("/ambientd/slot/2/chaos", 0.5, "slot/2/chaos", 1 / 11),
        ("/ambientd/mashup/weight/1", 0.5, "mashup/blend/weight/1", 0.5),
    ],
)
def test_a_float_moves_a_parameter(wire: Wire, address: str, sent: float, id: str, expected: float) -> None:
    wire.instrument.parameters.set_normalised(id, 0.9)
    wire.send(address, sent)
    assert wire.instrument.parameters.get(id) == pytest.approx(expected)
    assert wire.ask(address) == [pytest.approx(min(sent, 2.0))]
    assert wire.counted("handled", "rejected", "malformed") == (2, 0, 0)


def test_commands(wire: Wire) -> None:
    wire.send("/ambientd/play")
    wire.send("/ambientd/stop", 2.5)
    wire.send("/ambientd/panic", 1)
    assert wire.instrument.asked == [("play", None), ("stop", 2.5)]
    assert wire.ask("/ambientd/panic") == [1]
    wire.send("/ambientd/panic", 0)
    assert wire.instrument.panicked is False
    wire.send("/ambientd/mashup/select", "other")
    assert wire.ask("/ambientd/mashup/select") == ["other"]
    assert wire.ask("/ambientd/ping") == ["pong"]
    assert wire.ask("/ambientd/playing") == [1]
    assert json.loads(wire.ask("/ambientd/info")[0]) == wire.instrument.info()


def test_a_voice_starts_over(wire: Wire) -> None:
    wire.send("/ambientd/slot/2/reprime")
    wire.send("/ambientd/slot/2/reprime", 1.0)
    wire.send("/ambientd/slot/2/reprime", 0.0)  # the button is let go
    assert wire.instrument.asked == [("reprime", 2, None)] * 2
    assert wire.ask("/ambientd/slot/2/seed") == [2**40]
    wire.send("/ambientd/slot/2/seed", 7)
    wire.send("/ambientd/slot/2/seed", 8.0)
    assert wire.instrument.asked[2:] == [("reprime", 2, 7), ("reprime", 2, 8)]


def test_midi_is_taught_from_a_surface(wire: Wire) -> None:
    wire.send("/ambientd/midi/learn", "/ambientd/volume")
    assert wire.instrument.asked == [("learn", "/ambientd/volume")]
    wire.send("/ambientd/midi/learn", 1)
    assert wire.counted("rejected") == (1,)


def test_answers_also_go_to_the_configured_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as surface:
        surface.bind(("127.0.0.1", 0))
        surface.settimeout(PATIENCE)
        wire = Wire(reply_port=surface.getsockname()[1])
        assert wire.ask("/ambientd/ping") == ["pong"]
        assert OscMessage(surface.recv(1024)).params == ["pong"]
        wire.close()


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/ambientd/volume", ["loud"]),
        ("/ambientd/volume", [True]),
        ("/ambientd/volume", [0.5, 0.5]),
        ("/ambientd/volume", [None]),
        ("/ambientd/volume/value/value", [0.5]),
        ("/ambientd/slot/3/gain", [0.5]),
        ("/ambientd/slot/0/gain", []),
        ("/ambientd/", [0.5]),
        ("/elsewhere/volume", [0.5]),
        ("/ambientd/play", ["now"]),
        ("/ambientd/play", [-1.0]),
        ("/ambientd/stop", [1e9]),
        ("/ambientd/panic", ["on"]),
        ("/ambientd/mashup/select", [1]),
        ("/ambientd/mashup/select", ["nobody"]),
        ("/ambientd/ping", [1]),
        ("/ambientd/slot/1/reprime", []),
        ("/ambientd/slot/2/reprime", ["now"]),
        ("/ambientd/slot/02/reprime", []),
        ("/ambientd/slot/1/seed", []),
        ("/ambientd/slot/2/seed", [-1]),
        ("/ambientd/slot/2/seed", [0.5]),
    ],
)
def test_what_cannot_be_honoured_changes_nothing_and_is_counted(wire: Wire, address: str, values: list) -> None:
    before = wire.instrument.state()
    wire.send(address, *values)
    assert wire.instrument.state() == before
    assert wire.counted("rejected", "handled", "malformed") == (1, 0, 0)
    assert address in wire.server.info()["last_fault"]


def dated(seconds_ahead: float, *messages: tuple[str, Any]) -> bytes:
    builder = OscBundleBuilder(time.time() + seconds_ahead)
    for address, value in messages:
        part = OscMessageBuilder(address)
        part.add_arg(value)
        builder.add_content(part.build())
    return builder.build().dgram


def test_a_bundle_dated_ahead_waits_while_others_are_served(wire: Wire) -> None:
    wire.deliver(dated(100, ("/ambientd/volume/value", 0.5), ("/ambientd/slot/1/pan/value", -0.5)))
    wire.deliver(dated(50, ("/ambientd/slot/2/pan/value", 0.25)))
    assert wire.ask("/ambientd/volume/value") == [1.0]
    assert wire.counted("waiting") == (2,)
    assert 49 < wire.server.patience() < 50
    wire.tick(51)
    assert wire.instrument.parameters.get("slot/2/pan") == 0.25
    assert wire.instrument.parameters.get("volume") == 1.0
    wire.tick(50)
    assert wire.instrument.parameters.get("volume") == 0.5
    assert wire.instrument.parameters.get("slot/1/pan") == -0.5
    assert wire.counted("waiting", "handled") == (0, 4)


def test_a_bundle_dated_back_is_handled_at_once(wire: Wire) -> None:
    wire.deliver(dated(-3600, ("/ambientd/volume/value", 0.5)))
    assert wire.instrument.parameters.get("volume") == 0.5


def test_a_bundle_is_not_kept_for_ever_nor_are_any_number(wire: Wire) -> None:
    wire.deliver(dated(LONGEST_AHEAD + 10, ("/ambientd/volume/value", 0.5)))
    assert wire.counted("waiting", "rejected") == (0, 1)
    assert "dated 610 s ahead" in wire.server.info()["last_fault"]
    for _ in range(MOST_WAITING + 1):
        wire.deliver(dated(60, ("/ambientd/volume/value", 0.5)))
    assert wire.counted("waiting", "rejected") == (MOST_WAITING, 2)


def test_a_bundle_with_one_malformed_message_changes_nothing(wire: Wire) -> None:
    parts = (message("/ambientd/volume", 0.5), b"/a\0\0,f\0\0")
    before = wire.instrument.state()
    wire.deliver(b"#bundle\0" + bytes(8) + b"".join(struct.pack(">i", len(part)) + part for part in parts))
    assert wire.instrument.state() == before
    assert wire.counted("malformed") == (1,)


def test_a_flood_is_handled_a_part_at_a_time(wire: Wire) -> None:
    flood = [message("/ambientd/volume", 0.5)] * (DATAGRAMS_PER_WAKE_UP + 10)
    wire.deliver(*flood)
    assert wire.counted("handled") <= (DATAGRAMS_PER_WAKE_UP,)
    while wire.counted("handled") < (len(flood),):
        serve(wire.server)


def test_a_flood_of_garbage_costs_only_its_source(wire: Wire) -> None:
    other = wire.surface()
    for _ in range(400):
        other.deliver(b"/a\0\0,f\0\0")
    malformed, dropped = wire.counted("malformed", "dropped")
    assert malformed < 200 < dropped
    assert malformed + dropped == 400
    wire.send("/ambientd/volume/value", 0.5)
    assert wire.instrument.parameters.get("volume") == 0.5
    other.send("/ambientd/volume/value", 0.25)
    assert wire.instrument.parameters.get("volume") == 0.5
    wire.tick(1)
    other.send("/ambientd/volume/value", 0.25)
    assert wire.instrument.parameters.get("volume") == 0.25


def test_only_networks_that_are_allowed_are_heard() -> None:
    wire = Wire(allow=["192.168.0.0/16", "2001:db8::/32"])
    before = wire.instrument.state()
    wire.send("/ambientd/volume", 0.5)
    with socket.create_connection(("127.0.0.1", wire.server.port)) as stream:
        serve(wire.server)
        stream.settimeout(PATIENCE)
        assert stream.recv(1) == b""
    assert wire.instrument.state() == before
    assert wire.counted("refused", "handled") == (2, 0)
    wire.close()


def test_an_address_that_cannot_be_had_is_one_clear_line(wire: Wire) -> None:
    with pytest.raises(DaemonError, match=rf"cannot listen on 127\.0\.0\.1:{wire.server.port} .*osc\.port"):
        OscServer(Osc(port=wire.server.port), wire.instrument)
    for host in ("a..b", "::1%nowhere"):
        with pytest.raises(DaemonError, match="is no address"):
            OscServer(Osc(host=host), wire.instrument)


def test_models_come_and_go_and_whoever_asked_is_told(wire: Wire) -> None:
    def hear() -> tuple[str, list[Any]]:
        answer = OscMessage(wire.socket.recv(65_536))
        return answer.address, answer.params

    wire.send("/ambientd/slot/2/load", "calm")
    assert hear() == ("/ambientd/slot/2/loaded", ["calm"])
    wire.send("/ambientd/slot/2/load", "calm", "now")
    assert hear()[1] == ["calm"]
    wire.send("/ambientd/slot/2/unload")
    assert hear() == ("/ambientd/slot/2/unloaded", [])
    wire.send("/ambientd/slot/2/unload", 0)  # a button that is let go
    assert wire.instrument.asked == [("load", 2, "calm", None), ("load", 2, "calm", "now"), ("unload", 2)]
    for arguments in (["broken"], [3], ["calm", "then"]):
        wire.send("/ambientd/slot/2/load", *arguments)
        assert hear()[0] == "/ambientd/error"
    assert wire.ask("/ambientd/slot/2/load") == ["calm"]
    wire.send("/ambientd/slot/99/load", "calm")
    assert hear()[0] == "/ambientd/error"
