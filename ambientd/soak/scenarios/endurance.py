"""Promise 9: it plays on, and holds no more after days than after an hour."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ambientd.soak.listening import hearing
from ambientd.soak.resources import Held, held, size, slope
from ambientd.soak.rig import Rig
from ambientd.soak.scenario import Effort, Measure, Scenario, at_least, at_most, worst

MOST_MB_PER_DAY = 20.0
NOISE_MB = 4.0
"""What a few hours may differ by, without anything growing."""
WARM_UP_SECONDS = 3600.0
WARM_UP_SHARE = 1 / 3
"""Of a run that is shorter than three hours."""
SHARE_OF_MARGIN = 0.3
"""Of what the generator could do at most: it does not run alone."""
LOOK_SECONDS = 1.0
PIECE_SECONDS = 240.0
"""That are listened to together."""
MOST_BED_PERCENT = 50.0
"""More, and it is not what plays that was watched. The clock does not wait for a machine that is busy."""
LOG_MB, REPLAY_MB = 1, 32
DAY = 86_400.0


def real(rig: Rig, effort: Effort) -> list[Measure]:
    """As it is in the room: at the speed of music, with the models that were asked for."""
    before, samples, heard = rig.status(), [], rig.mark()
    pieces: list[list[Measure]] = []
    ends = time.monotonic() + effort.seconds
    piece_ends = time.monotonic() + PIECE_SECONDS
    while time.monotonic() < ends:
        rig.listen(LOOK_SECONDS)
        samples.append(held(time.monotonic(), rig.status()))
        if time.monotonic() >= min(piece_ends, ends):
            piece_ends += PIECE_SECONDS
            pieces.append(hearing(rig.since(heard), rig.rate))
            heard = rig.mark()
    after = rig.status()
    return [
        *worst(pieces),
        at_most("underruns", after["underruns"] - before["underruns"], "", 100 * (effort.patience - 1)),
        at_most("processes that ended", after["restarts"] - before["restarts"], "", 0),
        *_growth(samples, effort),
    ]


def accelerated(rig: Rig, effort: Effort) -> list[Measure]:
    """The whole daemon with a small model, to a clock that runs faster; logs at their smallest."""
    sets = [f"log.limit_mb={LOG_MB}", f"replay.limit_mb={REPLAY_MB}"]
    with TemporaryDirectory() as folder:
        models = [small_model(Path(folder))]
        with rig.fresh(models=models) as trial:
            trial.listen(2.0)
            speed = max(1.5, round(SHARE_OF_MARGIN * trial.status()["margin"], 1))
        with rig.fresh(*sets, models=models, speed=speed) as other:
            return [at_least("times as fast as music", speed, "x", 1.5), *_watched(other, effort)]


def _watched(other: Rig, effort: Effort) -> list[Measure]:
    begin, samples = other.mark(), []
    before = other.status()
    ends = time.monotonic() + effort.seconds
    while time.monotonic() < ends:
        time.sleep(LOOK_SECONDS / 2)
        samples.append(held((other.mark() - begin) / other.rate, other.status()))
    after = other.status()
    bed = (after["bed_seconds"] - before["bed_seconds"]) / max(samples[-1].at, 1.0)
    return [
        *_growth(samples, effort),
        at_most("of it from the bed", round(100 * bed, 1), "%", MOST_BED_PERCENT * effort.patience),
        at_most("processes that ended", after["restarts"] - before["restarts"], "", 0),
        *_logs(other, after),
    ]


def small_model(folder: Path) -> Path:
    """A checkpoint that draws noise, quickly."""
    from ambientd.engine.warm import random_checkpoint
    from ambientd.samplernn.checkpoint import Architecture, save

    checkpoint = random_checkpoint(Architecture(dim=16, frame_sizes=(16, 64), n_rnn=1), 0)
    save(path := folder / "small.safetensors", checkpoint.card, checkpoint.tensors, checkpoint.prime)
    return path


def _growth(samples: list[Held], effort: Effort) -> list[Measure]:
    """After the first hour, or what there is of it. Times are of audio."""
    length = samples[-1].at - samples[0].at
    warm = samples[0].at + min(WARM_UP_SECONDS, WARM_UP_SHARE * length)
    after = [sample for sample in samples if sample.at >= warm]
    hours = (after[-1].at - after[0].at) / 3600
    grown = slope(after) * 3600 * hours / 2**20
    limit = MOST_MB_PER_DAY * hours * 3600 / DAY + NOISE_MB
    middle = len(after) // 2
    return [
        at_most(f"memory grown in {hours:.2g} h of music", round(grown, 2), "MB", round(limit * effort.patience, 2)),
        at_most("handles more", _more([s.handles for s in after], middle), "", 0),
        at_most("threads more", _more([s.threads for s in after], middle), "", 0),
    ]


def _more(counts: list[int], middle: int) -> int:
    """The least of the second half over the least of the first: what is opened and closed again is no growth."""
    return min(counts[middle:]) - min(counts[:middle] or counts)


def _logs(rig: Rig, status: dict[str, Any]) -> list[Measure]:
    log, replay = Path(status["log"]["file"]).parent, rig.disk / "data" / "ambientd" / "replay"
    return [
        at_most("log", round(size(log) / 2**20, 2), "MB", LOG_MB),
        at_most("log of the replay", round(size(replay) / 2**20, 2), "MB", REPLAY_MB),
    ]


SCENARIOS = (
    Scenario("hours-accelerated", 9, "Hours of music, faster", "real: but for the clock and a small model",
             accelerated, 25.0, fault=False, lasting=True),
    Scenario("hours-real", 9, "Hours of music in the room", "real", real, 20.0, fault=False, lasting=True),
)  # fmt: skip
