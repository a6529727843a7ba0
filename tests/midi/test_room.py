"""The supervisor's MIDI room with its real process, a real MIDI server and a controller in another process."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ambientd.config import Midi
from ambientd.errors import ConfigError
from ambientd.ipc.memory import Segment
from ambientd.ipc.transport import Transport
from ambientd.midi.mapping import learned_path, load
from ambientd.parameters import Parameter, ParameterTable, builtin_parameters, mashup_parameters
from ambientd.supervisor.midi_room import MidiRoom

SECONDS = 20.0
CYCLES = int(os.environ.get("AMBIENTD_MIDI_CYCLES", "5"))
MAPPINGS = """
port = "Test Mix"
channel = 1
[[map]]
cc = 7
to = "volume"
[[map]]
cc = 8
to = "slot/1/pan"
takeover = "jump"
feedback = "light"
[[map]]
note = 1
to = "stop"
[[map]]
note = 2
to = { address = "slot/1/reprime" }
[[map]]
program = "any"
to = "preset/recall"
names = ["dawn", "noon"]
"""


class Room:
    """A room, its table, and what was asked of the instrument and said to people."""

    def __init__(self, config: Midi) -> None:
        knobs = [*builtin_parameters(2), *mashup_parameters("blend", [Parameter("weight/1", "A weight")])]
        self.table = ParameterTable(knobs)
        self.table.point("mashup", "mashup/blend")
        self.asked: list[tuple[str, list[Any]]] = []
        self.said: list[str] = []
        self.selector = selectors.DefaultSelector()
        self.transport = Transport(Segment.create(Transport.nbytes()))
        self.room = MidiRoom(
            config, self.table, lambda address, arguments: self.asked.append((address, arguments)),
            self.transport, self.selector, self.said.append,
        )  # fmt: skip
        self.room.start()

    def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> float:
        """Turn until it is so; returns how long that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, (self.room.info(), self.said[-5:])
            self.selector.select(0.02)
            self.room.turn()
        return time.monotonic() - began

    def connected(self) -> bool:
        return bool(self.room.info()["ports"])


@pytest.fixture
def play(jack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Room]]:
    for name in ("JACK_DEFAULT_SERVER", "JACK_NO_START_SERVER"):
        monkeypatch.setenv(name, jack.env[name])
    path = tmp_path / "test.toml"
    path.write_text(MAPPINGS)
    rooms: list[Room] = []

    def make(**options: Any) -> Room:
        rooms.append(Room(Midi(controllers=[str(path)], api="jack", **options)))
        return rooms[-1]

    yield make
    for room in rooms:
        room.room.close()


def test_a_controller_plays_and_is_shown_the_state(play: Any, plug_in: Any) -> None:
    room = play()
    room.until(lambda: room.room.info()["server"] is True)
    assert room.room.info()["awaited"] == ["Test Mix"]
    peer = plug_in("Test Mix")
    room.until(room.connected)
    assert room.room.info()["awaited"] == []
    # The pan is shown as soon as the controller is there, whose output may come after its input.
    room.until(lambda: [0xB0, 8, 64] in peer.received())
    peer.send(0xB0, 8, 127)
    room.until(lambda: room.table.get("slot/1/pan") == 1.0)
    peer.send(0xB0, 7, 10)
    peer.send(0x90, 1, 100)
    room.until(lambda: ("stop", []) in room.asked)
    assert room.table.get("volume") == 1.0, "the fader has not been picked up"
    peer.send(0xB0, 7, 127)
    room.until(lambda: room.room.info()["handled"] >= 2)
    peer.send(0xB0, 7, 120)
    room.until(lambda: room.table.get_normalised("volume") == pytest.approx(120 / 127))
    peer.send(0x90, 2, 1)
    peer.send(0xC0, 1)
    peer.send(0xC0, 5)
    room.until(lambda: ("preset/recall", ["noon"]) in room.asked)
    assert room.asked == [("stop", []), ("slot/1/reprime", []), ("preset/recall", ["noon"])]
    room.table.set_value("slot/1/pan", -1.0)
    room.until(lambda: [0xB0, 8, 0] in peer.received())


def test_an_output_that_comes_after_its_input_is_lit(play: Any, plug_in: Any) -> None:
    room = play()
    peer = plug_in("Test Mix", gap=0.5)  # several looks
    room.until(lambda: [0xB0, 8, 64] in peer.received())


def test_unplugged_and_plugged_in_again(play: Any, plug_in: Any) -> None:
    """CYCLES times: healed within 2 s, and nothing jumps although the fader comes back somewhere else."""
    room, peer = play(), plug_in("Test Mix")
    room.until(room.connected)
    slowest = 0.0
    for cycle in range(CYCLES):
        volume = room.table.get("volume")
        peer.unplug()
        room.until(lambda: not room.connected(), 2.0)
        peer.plug()
        handled = room.room.info()["handled"]
        slowest = max(slowest, room.until(room.connected, 2.0))
        peer.send(0xB0, 7, 10 + cycle % 50)  # far from the value, and on the other side of it than before
        peer.send(0x90, 1, 100)
        room.until(lambda h=handled: room.room.info()["handled"] == h + 1, 2.0)
        assert room.table.get("volume") == volume
    assert slowest < 2.0
    assert not room.room.supervised.restarts
    print(f"{CYCLES} cycles, slowest {slowest:.2f} s")


def test_the_midi_server_dies_and_comes_back(play: Any, plug_in: Any, jack: Any) -> None:
    room, peer = play(), plug_in("Test Mix")
    room.until(room.connected)
    jack.kill()
    peer.close()
    room.until(lambda: room.room.info()["server"] is False)
    assert room.room.info()["ports"] == []
    assert "21" in room.room.supervised.faults[0], "it ended for another reason than the lost server"
    jack.start()
    peer = plug_in("Test Mix")
    room.until(room.connected)
    peer.send(0x90, 1, 100)
    room.until(lambda: room.asked == [("stop", [])])


def test_the_process_may_die_or_hang(play: Any, plug_in: Any) -> None:
    room, peer = play(), plug_in("Test Mix")
    for fault in (signal.SIGKILL, signal.SIGSTOP):
        room.until(room.connected)
        before = room.room.supervised.restarts
        os.kill(room.room.supervised.pid, fault)
        room.until(lambda b=before: room.room.supervised.restarts > b)
        room.until(room.connected)
        room.asked.clear()
        peer.send(0x90, 1, 100)
        room.until(lambda: room.asked == [("stop", [])])


def test_learn(play: Any, plug_in: Any) -> None:
    room, peer = play(), plug_in("Other [3] Box")
    with pytest.raises(ConfigError, match=r"did you mean|Did you mean 'slot/1/gain'"):
        room.room.learn("/ambientd/slot/1/gian")
    room.room.learn("/ambientd/slot/2/gain")
    room.until(room.connected)
    for value in (65, 65, 66, 63, 63, 62):
        peer.send(0xB3, 40, value)
    room.until(lambda: room.room.info()["learned"] != "")
    (mapping,) = load(learned_path(), room.room._addresses)
    assert (mapping.cc, mapping.channel, mapping.encoder) == (40, 4, "offset")
    assert mapping.port.startswith("Other [*] Box")
    room.until(lambda: room.room.info()["mappings"] == 6 and room.connected())
    before = room.table.get_normalised("slot/2/gain")
    peer.send(0xB3, 40, 63)
    room.until(lambda: room.table.get_normalised("slot/2/gain") == pytest.approx(before - 1 / 127))


def test_a_clock_reaches_the_generator(play: Any, plug_in: Any) -> None:
    room, peer = play(clock="Drums"), plug_in("Drums")
    room.until(room.connected)
    peer.send(0xFA)
    due, sent = time.monotonic(), 0
    while sent < 60 or room.transport.read().tempo != pytest.approx(120, rel=0.2):  # the machine may be busy
        assert sent < 24 * 2 * SECONDS, room.transport.read()
        peer.send(0xF8)
        sent += 1
        due += 60 / 120 / 24
        room.until(lambda d=due: time.monotonic() >= d)
    clocked = room.transport.read()
    assert clocked.rolling
    assert 0 < clocked.beat <= (sent - 1) / 24


def test_a_bad_edit_leaves_the_mappings_in_force(play: Any, plug_in: Any, tmp_path: Path) -> None:
    room, peer = play(), plug_in("Test Mix")
    room.until(room.connected)
    path = tmp_path / "test.toml"
    path.write_text(MAPPINGS.replace('"volume"', '"volum"'))
    room.until(lambda: any("volum" in line for line in room.said))
    assert any(str(path) in line and "map.0.to" in line and "'volume'" in line for line in room.said)
    peer.send(0x90, 1, 100)
    room.until(lambda: room.asked == [("stop", [])])
    path.write_text(MAPPINGS.replace("note = 1", "note = 9"))
    room.until(lambda: room.room.info()["ports"] != [] and _hears(room, peer, 9))


def _hears(room: Room, peer: Any, note: int) -> bool:
    before = len(room.asked)
    peer.send(0x90, note, 100)
    deadline = time.monotonic() + 0.2
    while len(room.asked) == before and time.monotonic() < deadline:
        room.selector.select(0.02)
        room.room.turn()
    return len(room.asked) > before
