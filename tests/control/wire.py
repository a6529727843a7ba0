"""A client's socket, an OSC server, and an instrument behind it that remembers what was asked of it."""

from __future__ import annotations

import select
import socket
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from ambientd.config import Osc
from ambientd.control.osc import OscServer
from ambientd.errors import CheckpointError, PluginError, UsageError
from ambientd.parameters import Parameter, ParameterTable, builtin_parameters, mashup_parameters

PATIENCE = 10.0


def knobs() -> ParameterTable:
    """Two slots and two mashups."""
    mashups = {
        "blend": [Parameter("weight/1", "A weight"), Parameter("weight/2", "A weight")],
        "other": [Parameter("depth", "How deep", 20.0, 2000.0, 200.0, "Hz", "exponential")],
    }
    theirs = [p for name, parameters in mashups.items() for p in mashup_parameters(name, parameters)]
    table = ParameterTable([*builtin_parameters(2), *theirs], array("d", bytes(8 * 64)))
    table.point("mashup", "mashup/blend")
    return table


class Shelf:
    """Presets by name, of which only the names are kept."""

    def __init__(self) -> None:
        self.current, self.excluded, self._names = "", [], ["dawn"]

    def names(self) -> list[str]:
        return self._names

    def recall(self, name: str, fade: float | None) -> None:
        if name not in self._names:
            raise UsageError(f"no preset is called {name!r}")
        self.current = name

    def store(self, name: str) -> None:
        self._names.append(name)

    def hold(self) -> None:
        self.excluded.append("held")

    def exclude(self, pattern: str, on: bool) -> None:
        self.excluded.append(pattern)


@dataclass
class Recorder:
    """An instrument that remembers what was asked of it."""

    parameters: ParameterTable = field(default_factory=knobs)
    selected_mashup: str = "blend"
    panicked: bool = False
    playing: bool = True
    rms: float = 0.0
    seeds: dict[int, int] = field(default_factory=lambda: {2: 2**40})
    presets: Shelf = field(default_factory=Shelf)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def info(self) -> dict[str, Any]:
        slots = [{"slot": slot, "id": "calm", "seed": seed} for slot, seed in self.seeds.items()]
        states = {"mashup": self.selected_mashup, "panic": self.panicked, "playing": self.playing, "rms": self.rms}
        return {"version": "1", "slots": slots, **states}

    def load(self, slot: int, id: str, prime: str | None, tell: Callable[..., None]) -> None:
        if id == "broken":
            raise CheckpointError("broken is damaged", "Fetch it again")
        self.asked.append(("load", slot, id, prime))
        tell(f"slot/{slot}/loaded", (id,))

    def unload(self, slot: int, tell: Callable[..., None]) -> None:
        self.asked.append(("unload", slot))
        tell(f"slot/{slot}/unloaded", ())

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
        self.parameters.point("mashup", f"mashup/{name}")

    def reprime(self, slot: int, seed: int | None) -> None:
        if slot not in self.seeds:
            raise UsageError(f"slot {slot} is empty")
        self.asked.append(("reprime", slot, seed))

    def learn_midi(self, address: str) -> None:
        self.asked.append(("learn", address))

    def state(self) -> object:
        values = [self.parameters.get(parameter.id) for parameter in self.parameters]
        return values, self.selected_mashup, self.panicked, list(self.asked), repr(vars(self.presets))


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Surface:
    """Somebody with a UDP socket."""

    def __init__(self, server: OscServer) -> None:
        self._server = server
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def send(self, address: str, *values: Any) -> None:
        """Send, and let the server handle it."""
        self.deliver(message(address, *values))

    def deliver(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.socket.sendto(datagram, ("127.0.0.1", self._server.port))
        serve(self._server)

    def heard(self) -> dict[str, Any]:
        """All that has arrived by now: each address with its last values, alone or in a tuple."""
        packets = []
        while select.select([self.socket], [], [], 0)[0]:
            packets.append(self.socket.recv(65_536))
        return told(packets)


def told(packets: list[bytes]) -> dict[str, Any]:
    messages = [timed.message for packet in packets for timed in OscPacket(packet).messages]
    return {m.address: m.params[0] if len(m.params) == 1 else tuple(m.params) for m in messages}


def serve(server: OscServer) -> None:
    """Let the server handle what is on its way."""
    assert select.select([server], [], [], PATIENCE)[0], "nothing arrived"
    server.handle_ready()


def serve_until(server: OscServer, condition: Callable[[], object]) -> None:
    while not condition():
        serve(server)


class Wire(Surface):
    """A surface, with the server that it talks to."""

    def __init__(self, **config: Any) -> None:
        self.instrument, self.clock = Recorder(), Clock()
        config = {"port": 0, "query_port": 0, "advertise": False} | config
        self.server = OscServer(Osc(**config), self.instrument, self.clock)
        super().__init__(self.server)
        self._surfaces = [self.socket]

    def surface(self) -> Surface:
        """Another one."""
        other = Surface(self.server)
        self._surfaces.append(other.socket)
        return other

    def ask(self, address: str) -> list[Any]:
        self.send(address)
        answer = OscMessage(self.socket.recv(65_536))
        assert answer.address == address
        return answer.params

    def tick(self, seconds: float = 0.05) -> None:
        """Let time pass."""
        self.clock.now += seconds
        self.server.turn()

    def counted(self, *names: str) -> tuple[int, ...]:
        return tuple(self.server.info()[name] for name in names)

    def close(self) -> None:
        self.server.close()
        for each in self._surfaces:
            each.close()


def message(address: str, *values: Any) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram
