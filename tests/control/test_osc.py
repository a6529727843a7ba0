"""OSC over real sockets: what moves, what answers, and what changes nothing."""

from __future__ import annotations

import json
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from ambientd.config import Osc
from ambientd.control.osc import DATAGRAMS_PER_WAKE_UP, OscServer
from ambientd.errors import CheckpointError, DaemonError, PluginError, UsageError
from ambientd.parameters import Parameter, ParameterTable, builtin_parameters, mashup_parameters

PATIENCE = 10.0


def knobs() -> ParameterTable:
    table = ParameterTable([*builtin_parameters(2), *mashup_parameters("blend", [Parameter("weight/1", "A weight")])])
    table.point("mashup", "mashup/blend")
    return table


@dataclass
class Recorder:
    """An instrument that remembers what was asked of it."""

    parameters: ParameterTable = field(default_factory=knobs)
    selected_mashup: str = "blend"
    panicked: bool = False
    seeds: dict[int, int] = field(default_factory=lambda: {2: 2**40})
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def info(self) -> dict[str, Any]:
        slots = [{"slot": slot, "seed": seed, "id": "calm"} for slot, seed in self.seeds.items()]
        return {"version": "1", "mashup": self.selected_mashup, "panic": self.panicked, "slots": slots}

    def play(self, fade: float | None) -> None:
        self.asked.append(("play", fade))

    def stop(self, fade: float | None) -> None:
        self.asked.append(("stop", fade))

    def panic(self, on: bool) -> None:
        self.panicked = on

    def select_mashup(self, name: str) -> None:
        if name != "other":
            raise PluginError(f"no mashup is called {name!r}")
        self.selected_mashup = name

    def reprime(self, slot: int, seed: int | None) -> None:
        if slot not in self.seeds:
            raise UsageError(f"slot {slot} is empty")
        self.asked.append(("reprime", slot, seed))

    def load(self, slot: int, id: str, prime: str | None, tell: Callable[..., None]) -> None:
        if id == "broken":
            raise CheckpointError("broken is damaged", "Fetch it again")
        self.asked.append(("load", slot, id, prime))
        tell(f"slot/{slot}/loaded", (id,))

    def unload(self, slot: int, tell: Callable[..., None]) -> None:
        self.asked.append(("unload", slot))
        tell(f"slot/{slot}/unloaded", ())

    def learn_midi(self, address: str) -> None:
        self.asked.append(("learn", address))

    def state(self) -> object:
        values = [self.parameters.get(parameter.id) for parameter in self.parameters]
        return values, self.selected_mashup, self.panicked, list(self.asked)


class Wire:
    """A client's socket, a server, and an instrument behind it."""

    def __init__(self, reply_port: int | None = None) -> None:
        self.instrument = Recorder()
        self.server = OscServer(Osc(port=0, reply_port=reply_port), self.instrument)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.settimeout(PATIENCE)

    def deliver(self, *datagrams: bytes) -> None:
        """Send, and let the server handle what arrived."""
        for datagram in datagrams:
            self.client.sendto(datagram, ("127.0.0.1", self.server.port))
        self.serve()

    def serve(self) -> None:
        assert select.select([self.server], [], [], PATIENCE)[0], "nothing arrived"
        self.server.handle_ready()

    def send(self, address: str, *values: Any) -> None:
        self.deliver(message(address, *values))

    def ask(self, address: str) -> list[Any]:
        self.send(address)
        answer = OscMessage(self.client.recv(65_536))
        assert answer.address == address
        return answer.params

    def close(self) -> None:
        self.server.close()
        self.client.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


def message(address: str, *values: Any) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram


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
    assert (wire.server.handled, wire.server.rejected, wire.server.malformed) == (2, 0, 0)


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
    assert wire.server.rejected == 1


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
    assert (wire.server.rejected, wire.server.handled, wire.server.malformed) == (1, 0, 0)
    assert address in wire.server.last_fault
    assert wire.server.info()["rejected"] == 1


def test_a_bundle_is_handled_at_once_even_when_it_is_dated_ahead(wire: Wire) -> None:
    builder = OscBundleBuilder(time.time() + 3600)
    for address, value in (("/ambientd/volume/value", 0.5), ("/ambientd/slot/1/pan/value", -0.5)):
        part = OscMessageBuilder(address)
        part.add_arg(value)
        builder.add_content(part.build())
    wire.deliver(builder.build().dgram)
    assert wire.instrument.parameters.get("volume") == 0.5
    assert wire.instrument.parameters.get("slot/1/pan") == -0.5


def test_a_bundle_with_one_malformed_message_changes_nothing(wire: Wire) -> None:
    parts = (message("/ambientd/volume", 0.5), b"/a\0\0,f\0\0")
    before = wire.instrument.state()
    wire.deliver(b"#bundle\0" + bytes(8) + b"".join(struct.pack(">i", len(part)) + part for part in parts))
    assert wire.instrument.state() == before
    assert wire.server.malformed == 1


def test_a_flood_is_handled_a_part_at_a_time(wire: Wire) -> None:
    flood = [message("/ambientd/volume", 0.5)] * (DATAGRAMS_PER_WAKE_UP + 10)
    wire.deliver(*flood)
    assert wire.server.handled <= DATAGRAMS_PER_WAKE_UP
    while wire.server.handled < len(flood):
        wire.serve()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_noise_changes_nothing_and_the_server_answers_afterwards(wire: Wire, noise: bytes) -> None:
    before = wire.instrument.state()
    wire.deliver(noise)
    assert wire.instrument.state() == before
    assert wire.ask("/ambientd/ping") == ["pong"]


def test_an_address_that_cannot_be_had_is_one_clear_line(wire: Wire) -> None:
    with pytest.raises(DaemonError, match=rf"cannot listen on 127\.0\.0\.1:{wire.server.port} .*osc\.port"):
        OscServer(Osc(port=wire.server.port), wire.instrument)
    for host in ("a..b", "::1%nowhere"):
        with pytest.raises(DaemonError, match="is no address"):
            OscServer(Osc(host=host), wire.instrument)


@pytest.mark.skipif(not shutil.which("oscsend"), reason="oscsend (liblo-tools) is not installed")
def test_another_implementation_is_understood(wire: Wire) -> None:
    url = f"osc.udp://127.0.0.1:{wire.server.port}"
    subprocess.run(["oscsend", url, "/ambientd/volume/value", "f", "0.125"], check=True, timeout=PATIENCE)
    wire.serve()
    assert wire.instrument.parameters.get("volume") == 0.125
    subprocess.run(["oscsend", url, "/ambientd/mashup/select", "s", "other"], check=True, timeout=PATIENCE)
    wire.serve()
    assert wire.instrument.selected_mashup == "other"


def test_models_come_and_go_and_whoever_asked_is_told(wire: Wire) -> None:
    def hear() -> tuple[str, list[Any]]:
        answer = OscMessage(wire.client.recv(65_536))
        return answer.address, answer.params

    wire.send("/ambientd/slot/3/load", "calm")
    assert hear() == ("/ambientd/slot/3/loaded", ["calm"])
    wire.send("/ambientd/slot/3/load", "calm", "now")
    assert hear()[1] == ["calm"]
    wire.send("/ambientd/slot/3/unload")
    assert hear() == ("/ambientd/slot/3/unloaded", [])
    wire.send("/ambientd/slot/3/unload", 0)  # a button that is let go
    assert wire.instrument.asked == [("load", 3, "calm", None), ("load", 3, "calm", "now"), ("unload", 3)]
    assert wire.ask("/ambientd/slot/2/load") == ["calm"]
    assert wire.ask("/ambientd/slot/3/load") == [""]
    wire.send("/ambientd/slot/1/load", "broken")
    assert hear() == ("/ambientd/error", ["/ambientd/slot/1/load", "broken is damaged. Fetch it again"])
    for values in ((5,), ("calm", 1), ("calm", "now", "then")):
        wire.send("/ambientd/slot/1/load", *values)
        assert hear()[0] == "/ambientd/error"
    assert wire.server.rejected == 4
