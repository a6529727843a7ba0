"""The time machine: what the real generator played, rendered again from its log, bit for bit."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ambientd.cli import main
from ambientd.engine.generator_config import MODULE, GeneratorConfig, GeneratorStatus, SlotConfig
from ambientd.engine.journal_files import Log, LogError
from ambientd.engine.replay import Contents, Replay, survey
from ambientd.ipc.child import Child
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.values import Values
from ambientd.parameters import ParameterTable, builtin_parameters, mashup_parameters
from ambientd.plugin_manager import Plugins
from ambientd.samplernn.checkpoint import Forecast, save

DEADLINE = 60.0
RATE = 16_000
SLOTS = 3


class Performance:
    """A generator that logs, and all that it has played."""

    def __init__(self, folder: Path, models: list[Path], limit_mb: int = 64, snapshot: float = 0.5) -> None:
        blend = Plugins.discover().mashup("blend")
        parameters = [*builtin_parameters(SLOTS), *mashup_parameters("blend", blend.parameters)]
        values = Segment.create(Values.nbytes(len(parameters)))
        self.table = ParameterTable(parameters, Values(values, len(parameters)))
        ring, status = Segment.create(Ring.nbytes(1024, 2)), Segment.create(Values.nbytes(len(GeneratorStatus)))
        self.ring, self.heard, self.events = Ring(ring, 1024, 2), np.zeros((0, 2), np.float32), []
        self._segments = ring, status, values
        config = GeneratorConfig(
            slots=[SlotConfig(n, path.stem, str(path), 7 + n) for n, path in enumerate(models[:2])],
            max_slots=SLOTS,
            sample_rate=RATE,
            channels=2,
            ring_fd=ring.fd,
            ring_frames=1024,
            values_fd=values.fd,
            cells={parameter.id: self.table.index(parameter.id) for parameter in parameters},
            status_fd=status.fd,
            mashup="blend",
            fade=0.05,
            log_folder=str(folder),
            log_limit_mb=limit_mb,
            log_snapshot_seconds=snapshot,
        )
        self.child = Child.spawn(MODULE, config.to_json(), config.fds)

    def play(self, frames: int) -> None:
        out, end, done = np.zeros((frames, 2), np.float32), time.monotonic() + DEADLINE, 0
        while done < frames:
            assert time.monotonic() < end, self.events
            assert self.child.alive, self.events
            done += self.ring.read_into(out[done:])
            self.events += self.child.poll()
            time.sleep(0.0005)
        self.heard = np.concatenate((self.heard, out))

    def until(self, condition) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, self.events
            self.play(2048)

    def close(self) -> None:
        self.child.close()
        for segment in self._segments:
            segment.close()


@pytest.fixture
def models(tmp_path, make_checkpoint) -> list[Path]:
    """Two alike, one of which expects what its album's guide does, and one of another kind with long frames."""
    shapes = [
        {}, {"forecast": Forecast(orders=(32, 16), rates=(0.002, 0.01))}, {"frame_sizes": (16, 512), "n_rnn": 2},
    ]  # fmt: skip
    paths = []
    for seed, shape in enumerate(shapes):
        checkpoint = make_checkpoint(**{"dim": 32, "frame_sizes": (4, 16), "seed": seed} | shape)
        paths.append(tmp_path / f"model-{seed}.safetensors")
        save(paths[-1], checkpoint.card, checkpoint.tensors, checkpoint.prime, guide=checkpoint.guide)
    return paths


def perform(show: Performance, models: list[Path], random: random.Random) -> None:
    """Turn knobs, change voices and mashups, as chance will have it."""
    ids = [parameter.id for parameter in show.table if parameter.id != "volume"]
    commands = [
        {"cmd": "reprime", "slot": 0}, {"cmd": "reprime", "slot": 1, "seed": 5}, {"cmd": "unload", "slot": 0},
        {"cmd": "load", "slot": 2, "id": "model-2", "path": str(models[2]), "seed": 3},
        {"cmd": "load", "slot": 0, "id": "model-1", "path": str(models[1]), "seed": 4},
        {"cmd": "select", "name": "blend", "options": {}},
        {"cmd": "load", "slot": 1, "id": "x", "path": "x", "seed": 1},
    ]  # fmt: skip
    show.play(4000)
    for command in commands:
        for _ in range(4):
            show.table.set_normalised(random.choice(ids), random.random())
            show.play(random.randrange(200, 2000))
        show.child.send(command)
        show.play(random.randrange(200, 4000))


def log_of(folder: Path):
    log = Log(folder)
    return log, survey(log)


def logged(folder: Path) -> Contents:
    """What is on disk by now; there may be nothing yet."""
    try:
        return log_of(folder)[1]
    except LogError:
        return Contents((), 0, (), (), ())


def again(folder: Path, start: int, end: int) -> np.ndarray:
    log, contents = log_of(folder)
    return np.concatenate(list(Replay(log, contents, start, end).blocks()))


def test_what_was_played_is_played_again_from_the_beginning_and_from_every_snapshot(tmp_path, models) -> None:
    folder = tmp_path / "logs" / "show"
    show = Performance(folder, models)
    try:
        perform(show, models, random.Random(1))
        show.until(lambda: {event["event"] for event in show.events} >= {"loaded", "unloaded", "failed"})
        length = len(show.heard)
        show.until(lambda: logged(folder).end >= length)
    finally:
        show.close()
    log, contents = log_of(folder)
    assert contents.models == ("model-0", "model-1", "model-2")
    assert contents.gaps == ()
    end = min(contents.end, len(show.heard))
    assert end > 2 * RATE
    assert len(contents.points) >= 4
    assert np.abs(show.heard).max() > 0.01
    np.testing.assert_array_equal(again(folder, 0, end), show.heard[:end])
    for point in contents.points[1:]:
        start = point.at + 100
        replay = Replay(log, contents, start, min(end, start + RATE))
        assert replay.seconds_before == 100 / RATE
        np.testing.assert_array_equal(np.concatenate(list(replay.blocks())), show.heard[start:][:RATE][: end - start])
    lines = [line for _, line in log.lines()]
    assert sum("set" in line for line in lines) > 10
    assert any("keep" in line for line in lines)  # where a voice had come and the mashup did not know of it yet
    assert [line["command"]["cmd"] for line in lines if "command" in line].count("reprime") == 2

    # The same through the command, by sample time, into a file.
    words = ["replay", str(folder), "--from", "1", "--to", "1.5", "--out", str(tmp_path / "again.wav"), "--json"]
    done = CliRunner().invoke(main, words)
    assert json.loads(done.output)["seconds"] == 0.5
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "again.wav", dtype="float32")[0], show.heard[RATE:][: RATE // 2]
    )

    with pytest.raises(LogError, match="does not hold"):
        again(folder, 0, contents.end + 1)
    models[1].write_bytes(models[0].read_bytes())
    with pytest.raises(LogError, match="'model-1' is not any more what it was"):
        again(folder, 0, end)


def test_a_log_that_broke_off_holds_what_came_before(tmp_path, models) -> None:
    folder = tmp_path / "logs" / "show"
    show = Performance(folder, models, snapshot=0.3)
    try:
        show.play(4096)
        show.until(lambda: len(logged(folder).points) > 3)
    finally:
        show.close()
    lines, blobs = folder / "000001.jsonl", folder / "000001.bin"
    whole = log_of(folder)[1]
    text = lines.read_bytes()
    lines.write_bytes(text[: text.rindex(b'"snapshot"') + 20])
    assert [p.at for p in log_of(folder)[1].points] == [p.at for p in whole.points[:-1]]
    # A blob is written before its line; behind the last one there may be another.
    start, size = json.loads([line for line in text.splitlines() if b'"snapshot"' in line][-1])["blob"]
    blobs.write_bytes(blobs.read_bytes()[: start + size - 10])
    lines.write_bytes(text)
    contents = log_of(folder)[1]
    assert [p.at for p in contents.points] == [p.at for p in whole.points[:-1]]
    np.testing.assert_array_equal(again(folder, 1000, contents.end), show.heard[1000 : contents.end])
    shutil.rmtree(folder)
    with pytest.raises(LogError, match="holds no log"):
        log_of(folder)
