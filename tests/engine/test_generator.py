"""The generator process, end to end: commands and parameters in, audio in the ring."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from ambientd.engine.generator import COLLECT_EVERY
from ambientd.engine.generator_config import MODULE, GeneratorConfig, GeneratorStatus, SlotConfig
from ambientd.engine.offline import render_blocks
from ambientd.engine.voice import VoiceLoader, next_seed
from ambientd.ipc.child import Child
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.values import Values
from ambientd.parameters import ParameterTable, builtin_parameters, mashup_parameters
from ambientd.plugin_manager import Plugins
from ambientd.samplernn.checkpoint import save

DEADLINE = 60.0
RING = 4096


class Rig:
    """The supervisor's side of one generator."""

    def __init__(self, slots, mashup="blend", frames=RING, sample_rate=16_000, precision="auto", fade=0.0):
        blend = Plugins.discover().mashup("blend")
        parameters = [*builtin_parameters(4), *mashup_parameters("blend", blend.parameters)]
        values = Segment.create(Values.nbytes(len(parameters)))
        self.table = ParameterTable(parameters, Values(values, len(parameters)))
        ring, status = Segment.create(Ring.nbytes(frames, 2)), Segment.create(Values.nbytes(len(GeneratorStatus)))
        self.ring, self.status = Ring(ring, frames, 2), Values(status, len(GeneratorStatus))
        self._segments = ring, status, values
        self.events: list[dict] = []
        config = GeneratorConfig(
            slots=slots,
            max_slots=4,
            sample_rate=sample_rate,
            channels=2,
            ring_fd=ring.fd,
            ring_frames=frames,
            values_fd=values.fd,
            cells={parameter.id: self.table.index(parameter.id) for parameter in parameters},
            status_fd=status.fd,
            mashup=mashup,
            precision=precision,
            memory_limit_mb=4096,
            fade=fade,
        )
        self.child = Child.spawn(MODULE, config.to_json(), config.fds)

    def read(self, frames):
        """The next `frames` frames, waiting for them."""
        out = np.zeros((frames, 2), np.float32)
        done, end = 0, time.monotonic() + DEADLINE
        while done < frames:
            assert time.monotonic() < end, f"only {done} frames came; {self.events}"
            assert self.child.alive, self.events
            self.ring.skip_splice()
            done += self.ring.read_into(out[done:])
            self.events += self.child.poll()
            time.sleep(0.001)
        return out

    def wait_for(self, **wanted):
        """Keep playing until an event holds these values."""
        end = time.monotonic() + DEADLINE
        while not any(wanted.items() <= event.items() for event in self.events):
            assert time.monotonic() < end, f"{wanted} never came; {self.events}"
            self.read(256)

    def wait_until_full(self):
        """Until the last block is in the ring and counted."""
        end = time.monotonic() + DEADLINE
        while self.ring.free >= 256 or self.status[GeneratorStatus.BLOCKS] * 256 < self.ring.written:
            assert time.monotonic() < end, f"{self.ring.free} frames are free; {self.events}"
            time.sleep(0.001)

    def close(self):
        self.child.close()
        for segment in self._segments:
            segment.close()


@pytest.fixture
def rigged():
    rigs = []

    def make(*arguments, **options):
        rigs.append(Rig(*arguments, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def slot(number, path, seed=7):
    return SlotConfig(number, path.stem, str(path), seed)


def level(audio):
    return np.sqrt(np.mean(np.square(audio), axis=0))


def test_it_fills_the_ring_and_obeys_parameters_and_commands(rigged, model_files):
    rig = rigged([slot(n, path) for n, path in enumerate(model_files)])
    rig.read(RING)
    kinds = [event["event"] for event in rig.events]
    assert kinds[:4] == ["loaded", "loaded", "ready", "mashup"]
    assert min(level(rig.read(RING))) > 1e-3

    for number in (1, 2):
        rig.table.set_value(f"slot/{number}/pan", -1)
    rig.read(2 * RING)
    left, right = level(rig.read(RING))
    assert right < 1e-3 * left
    for number in (1, 2):
        rig.table.set_value(f"mashup/blend/weight/{number}", 0)
    rig.read(2 * RING)
    assert level(rig.read(RING)).max() == 0
    rig.table.set_value("mashup/blend/weight/2", 1)

    rig.child.send({"cmd": "unload", "slot": 0})
    rig.wait_for(event="unloaded", slot=0)
    rig.child.send({"cmd": "load", "slot": 3, "id": "again", "path": str(model_files[0]), "seed": 1})
    rig.wait_for(event="loaded", slot=3, id="again")
    rig.child.send({"cmd": "select", "name": "blend", "options": {"weights": [1]}})
    rig.read(2 * RING)
    assert level(rig.read(RING))[0] > 1e-3
    assert not [event for event in rig.events if event["event"] == "failed"]
    assert rig.status[GeneratorStatus.MARGIN] > 0
    rig.wait_until_full()
    assert rig.status[GeneratorStatus.BLOCKS] * 256 == rig.ring.written


def test_what_fails_is_told_in_one_line_and_the_music_goes_on(rigged, model_files):
    rig = rigged([slot(0, model_files[0]), slot(1, model_files[1].with_name("gone.safetensors"))], mashup="")
    rig.wait_for(event="failed", slot=1)
    rig.child.send({"cmd": "select", "name": "blennd"})
    rig.wait_for(event="failed", what="no mashup is called 'blennd'", exit_code=7)
    rig.child.send({"cmd": "load", "slot": 9, "id": "x", "path": "x", "seed": 1})
    rig.wait_for(event="failed", what="there is no slot 10", slot=9)
    rig.child.send({"cmd": "dance"})
    rig.wait_for(event="failed", exit_code=2, remedy="")
    rig.child.send({"cmd": "select", "name": "blend", "options": {"wights": []}})
    rig.wait_for(event="failed", exit_code=3)
    assert min(level(rig.read(2 * RING))) > 1e-3


def test_a_voice_comes_in_while_another_plays_and_its_cost_is_told(rigged, model_files):
    rig = rigged([slot(0, model_files[0])], fade=0.05)
    rig.read(RING)
    for ticket, prime in enumerate(("own", "now"), 1):
        order = {"cmd": "load", "slot": 0, "id": "next", "path": str(model_files[1]), "seed": 1}
        rig.child.send(order | {"prime": prime, "ticket": ticket})
        rig.wait_for(event="loaded", slot=0, id="next", ticket=ticket)
        rig.wait_for(event="changed", slot=0, ticket=ticket)
        change = next(event for event in rig.events if event["event"] == "changed" and event["ticket"] == ticket)
        assert change["gap_ms"] > 0
        assert 0 <= change["jump"] < 1
        assert min(level(rig.read(RING))) > 1e-3
    rig.child.send({"cmd": "unload", "slot": 0, "ticket": 3})
    rig.wait_for(event="unloaded", slot=0, ticket=3)
    rig.wait_for(event="changed", slot=0, ticket=3)
    while rig.status[GeneratorStatus.BLOCKS] <= COLLECT_EVERY:
        rig.read(256)
    assert rig.status[GeneratorStatus.MEMORY_BYTES] > 0 or sys.platform != "linux"


def test_what_must_not_come_in_is_refused_and_the_music_goes_on(rigged, model_files, tmp_path, make_checkpoint):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(model_files[0].read_bytes()[:-100])
    checkpoint = make_checkpoint(sample_rate=22_050)
    rate = tmp_path / "rate.safetensors"
    save(rate, checkpoint.card, checkpoint.tensors, checkpoint.prime)
    wild = tmp_path / "wild.safetensors"
    tensors = dict(checkpoint.tensors) | {"sample.output.weight": np.full((256, 24), 3e38, np.float32)}
    save(wild, make_checkpoint().card, tensors, checkpoint.prime, half=False)
    rig = rigged([slot(0, model_files[0])])
    rig.read(RING)
    for ticket, path in enumerate((damaged, rate, wild), 1):
        rig.child.send({"cmd": "load", "slot": 1, "id": path.stem, "path": str(path), "seed": 1, "ticket": ticket})
        rig.wait_for(event="failed", slot=1, ticket=ticket, exit_code=4)
    reasons = [event["what"] for event in rig.events if event["event"] == "failed"]
    assert ["damaged" in reasons[0], "22050 Hz" in reasons[1], "no number" in reasons[2]] == [True] * 3
    # An error that nobody foresaw is an answer too, and the next order is heard.
    rig.child.send({"cmd": "load", "slot": 1, "id": "odd", "path": "\0", "seed": 1, "ticket": 4})
    rig.wait_for(event="failed", slot=1, ticket=4, exit_code=4)
    rig.child.send({"cmd": "load", "slot": 1, "id": "good", "path": str(model_files[1]), "seed": 1, "ticket": 5})
    rig.wait_for(event="loaded", slot=1, ticket=5)
    assert min(level(rig.read(2 * RING))) > 1e-3


def wait_for_piece(rig, piece):
    """Keep playing until exactly this is heard."""
    heard, end = np.zeros((0, 2), np.float32), time.monotonic() + DEADLINE
    while True:
        heard = np.concatenate((heard, rig.read(1024)))
        starts = np.flatnonzero(heard[: 1 - len(piece), 0] == piece[0, 0])
        if any((heard[n : n + len(piece)] == piece).all() for n in starts):
            return
        assert time.monotonic() < end, f"never heard; {rig.events}"


def test_a_voice_starts_over_with_its_seed_or_the_next(rigged, model_files):
    def played(seed):
        """What a seed plays once it has faded in."""
        blocks = render_blocks([VoiceLoader().load(model_files[0], seed)], None, {}, channels=2)
        return np.concatenate([next(blocks) for _ in range(4)])[256:]

    rig = rigged([slot(0, model_files[0])], mashup="")
    for command, seed in (({"seed": 5}, 5), ({}, next_seed(5)), ({}, next_seed(next_seed(5))), ({"seed": 5}, 5)):
        rig.child.send({"cmd": "reprime", "slot": 0, **command})
        wait_for_piece(rig, played(seed))
        rig.wait_for(event="loaded", slot=0, seed=seed)
    rig.child.send({"cmd": "reprime", "slot": 2})
    rig.wait_for(event="failed", what="slot 3 is empty")


def test_it_sheds_voices_before_the_ring_is_dry_and_takes_them_back(rigged, tmp_path, make_checkpoint):
    """At such a sample rate no machine keeps up with four such models."""
    rate = 384_000
    checkpoint = make_checkpoint(dim=256, frame_sizes=(4, 16), sample_rate=rate)
    path = tmp_path / "big.safetensors"
    save(path, checkpoint.card, checkpoint.tensors, checkpoint.prime)
    slots = [slot(n, path, seed=n) for n in range(4)]
    frames = rate // 2
    rig = rigged(slots, mashup="", frames=frames, sample_rate=rate, precision="fp32")
    end = time.monotonic() + DEADLINE
    while rig.ring.available < 0.7 * frames:  # so does the player
        assert time.monotonic() < end
        time.sleep(0.01)
    while not any(event["event"] == "governor" for event in rig.events):
        rig.read(256)
    assert rig.ring.available > frames / 4
    first = next(event for event in rig.events if event["event"] == "governor")
    assert (first["step"], first["state"], first["level"]) == ("the voice in slot 4", "shed", 1)
    rig.wait_for(event="governor", state="shed", level=3)
    rig.child.send({"cmd": "unload", "slot": 2})
    rig.wait_for(event="governor", state="gone", shed=["the voice in slot 4", "the voice in slot 2"])
    rig.child.send({"cmd": "reprime", "slot": 1, "seed": 5})  # may well start over while it rests
    rig.wait_for(event="loaded", slot=1, seed=5)
    rig.child.send({"cmd": "unload", "slot": 0})
    rig.wait_for(event="governor", step="the voice in slot 2", state="restored", level=1)


def test_a_full_ring_makes_it_wait(rigged, model_files):
    rig = rigged([slot(0, model_files[0])])
    rig.read(256)
    end = time.monotonic() + DEADLINE
    while rig.ring.free >= 256:
        assert time.monotonic() < end
        time.sleep(0.001)
    written = rig.ring.written
    rig.child.send({"cmd": "unload", "slot": 2})
    while not any(event["event"] == "unloaded" for event in rig.events):
        assert time.monotonic() < end
        rig.events += rig.child.poll()
        time.sleep(0.001)
    assert rig.ring.written == written


def test_without_any_voice_it_ends_and_says_why(rigged, tmp_path):
    rig = rigged([slot(0, tmp_path / "gone.safetensors")])
    assert rig.child.wait(DEADLINE)
    assert rig.child.returncode == 4
    assert [event["event"] for event in rig.child.poll()] == ["failed", "failed"]


def test_it_ends_with_its_supervisor(rigged, model_files):
    rig = rigged([slot(0, model_files[0])])
    rig.read(256)
    rig.child.terminate()
    assert rig.child.wait(DEADLINE)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit a process's data")
def test_the_memory_limit_stops_an_allocation_and_nothing_else():
    code = """
import numpy as np
from ambientd.engine.memory_limit import limit_memory
limit_memory(1024)
np.ones(1 << 20)
try:
    np.ones(1 << 29)
except MemoryError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "refused\n", done.stderr
