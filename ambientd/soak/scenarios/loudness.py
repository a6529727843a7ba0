"""Promise 5: whatever a plugin or a model does it is not too loud, comes in softly, and stops at once when told to."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ambientd.soak import sick
from ambientd.soak.listening import SILENCE
from ambientd.soak.loudness import after_silence, before_silence, fade_seconds, loudness, step_at, true_peak
from ambientd.soak.rig import Rig
from ambientd.soak.running import makes_new_sound, process
from ambientd.soak.scenario import Effort, Measure, Scenario, at_least, at_most, happened

if TYPE_CHECKING:
    from ambientd.arrays import Floats

MOST_TRUE_PEAK = -1.0
"""dBTP."""
CEILING, TOLERANCE = -20.0, 1.0
"""LUFS of three seconds; EBU R 128 allows what is live 1 LU."""
SETTLES, SHORT_TERM = 9.0, 3.0
"""Seconds: at 2 dB each, for the hiss to come down, and then to be judged."""
LOUD_SECONDS = 2.0
"""Of the model that is 40 dB too loud, before the mashup comes as well; which needs as much for all its gains."""
FADE, FADE_HEARD = 2.0, 2.5
"""Seconds; a fade is measured to a tenth of one."""
PANIC_MS, PANIC_SECONDS, PANIC_WINDOW = 50.0, 1.0, 0.002
PATIENCE = 30.0
HISS = sick.only(32, 224)
"""Two levels by chance: a hiss that is steady, and of which nothing has to be limited."""
MASHUP = """
from math import inf, nan
from ambientd.plugin import Mashup, hookimpl

GAINS = 16.0, 100.0, 0.0, -100.0, inf, -16.0, nan, 16.0, 1e38, -inf
# 16 is the most that a mix may ask for; the others are refused

class Soak(Mashup):
    name = "soak"
    def next_mix(self, controls, clock, mix):
        mix.gains[:] = GAINS[int(10 * clock.seconds) % len(GAINS)]

@hookimpl
def register_mashups():
    return [Soak]
"""


def too_loud(rig: Rig, effort: Effort) -> list[Measure]:
    """A hiss above the ceiling; a model 40 dB too loud; then a mashup that tries all that a gain must not be."""
    sets = f"loudness.ceiling={CEILING}", "engine.level_voices=false", "loading.fade=0.5"
    with _hissing(rig, *sets, plugins={"soak": MASHUP}) as other:
        before = other.status()
        other.listen(SETTLES)
        settled = other.mark()
        other.listen(SHORT_TERM)
        calm = loudness(other.since(settled), other.rate)
        other.osc("/ambientd/slot/1/load", "deafening")
        other.until(lambda s: s["slots"][0]["id"] == "deafening" and not s["loading"], PATIENCE)
        loud = other.mark()
        other.listen(LOUD_SECONDS)
        other.osc("/ambientd/mashup/select", "soak")
        other.until(lambda s: s["mashup"] == "soak", PATIENCE)
        other.listen(LOUD_SECONDS)
        after, heard = other.status(), other.since(0)
        return [
            at_most("true peak, 4 times oversampled", round(true_peak(heard), 2), "dBTP", MOST_TRUE_PEAK),
            at_least("of a model 40 dB too loud it is", round(true_peak(other.since(loud)), 2), "dBTP", -3.0),
            at_most("loudness under a ceiling", round(calm, 1), "LUFS", CEILING + TOLERANCE),
            at_most("processes that ended", after["restarts"] - before["restarts"], "", 0),
        ]


def softly(rig: Rig, effort: Effort) -> list[Measure]:
    """A start, a panic, and `effort.rounds` times a new player; all of a hiss, by which a fade can be measured."""
    with _hissing(rig, "loudness.ceiling=off") as other:
        started = _fade_in(other, 0)
        stops = _panic_fade(other)
        players = []
        for _ in range(effort.rounds):
            lost = other.mark()
            _replace(other, "player")
            players.append(_fade_in(other, lost))
        return [
            at_least("a start fades in", started, "s", FADE / effort.patience),
            at_least("a new player fades in", min(players), "s", FADE / effort.patience),
            at_most("panic fades out", round(stops, 1), "ms", PANIC_MS),
        ]


def panic(rig: Rig, effort: Effort) -> list[Measure]:
    """`effort.rounds` times, each over a player that is killed."""
    delays, loudest, released = [], 0.0, 0
    latency = 1000 * (rig.server.held() if rig.server else 0.0)  # more than PortAudio knows of
    for _ in range(effort.rounds):
        told = _panic(rig)
        rig.until(lambda s: s["rms"] == 0, PATIENCE)
        rig.listen(PANIC_SECONDS)
        silent = told + len(before_silence(rig.since(told)))
        delays.append(1000 * (silent - told) / rig.rate)
        _replace(rig, "player")
        rig.listen(PANIC_SECONDS)
        loudest = max(loudest, float(np.abs(rig.since(silent)).max()))
        rig.osc("/ambientd/panic", 0)
        rig.until(lambda s: s["rms"] > 0, PATIENCE)
        rig.listen(FADE)
        released += bool(np.abs(rig.since(silent)).max() > SILENCE)
    return [
        at_most("silent", round(max(delays), 1), "ms", (PANIC_MS + latency) * effort.patience),
        at_most("of which what the sound server holds", round(latency, 1), "ms", float(round(latency, 1))),
        at_most("amplitude until it is released", loudest, "", SILENCE),
        happened("plays again when it is released", released, effort.rounds),
    ]


def _panic(rig: Rig) -> int:
    """The frame of what is heard at which it was told. The server makes a click then; without one, what has come."""
    began = rig.mark()
    if rig.server is None:
        rig.osc("/ambientd/panic", 1)
        return began
    with ExitStack() as stack:
        click = rig.server.clicker(stack)
        rig.listen(0.1)
        rig.osc("/ambientd/panic", 1)
        click()  # a moment later, for what comes before the message is sent takes longer
        rig.listen(0.5)
    return began + step_at(rig.since(began), rig.rate)


def _replace(rig: Rig, role: str) -> None:
    """Kill a process and wait until another one does its work."""
    restarts = process(rig.until(makes_new_sound, PATIENCE), role)["restarts"]
    rig.signal(role, signal.SIGKILL)
    rig.until(lambda s: process(s, role)["restarts"] > restarts and makes_new_sound(s), PATIENCE)


def _fade_in(rig: Rig, since: int) -> float:
    """Seconds, to a tenth, of the fade in after the longest silence."""
    rig.listen(FADE + 1.0)
    heard: Floats = after_silence(rig.since(since))
    return round(fade_seconds(heard[: int(FADE_HEARD * rig.rate)], rig.rate), 1)


def _panic_fade(rig: Rig) -> float:
    """Milliseconds of the fade out."""
    began = rig.mark()
    rig.osc("/ambientd/panic", 1)
    rig.until(lambda s: s["rms"] == 0, PATIENCE)
    rig.listen(PANIC_SECONDS)
    heard = before_silence(rig.since(began))[::-1]
    rig.osc("/ambientd/panic", 0)
    rig.until(lambda s: s["rms"] > 0, PATIENCE)
    return 1000 * fade_seconds(heard[: int(1.5 * PANIC_MS / 1000 * rig.rate)], rig.rate, window=PANIC_WINDOW)


@contextmanager
def _hissing(rig: Rig, *sets: str, plugins: dict[str, str] | None = None) -> Iterator[Rig]:
    """A daemon with one voice that hisses, and another model beside it that is 40 dB louder."""
    with tempfile.TemporaryDirectory(prefix="ambientd-soak-") as name:
        hiss = _hiss(Path(name) / "hiss.safetensors", 1.0)
        with rig.fresh(*sets, plugins=plugins, models=[hiss], start=False) as other:
            other.furnish()
            _hiss(other.disk / "data" / "ambientd" / "models" / "deafening.safetensors", 0.01)
            with other:
                yield other


def _hiss(path: Path, album_gain: float) -> Path:
    return sick.write(path, HISS, pre_emphasis=0.0, album_gain=album_gain, album={}, rate=16_000)


SCENARIOS = (
    Scenario("too-loud", 5, "A model and a mashup play far too loud", "real: 40 dB too loud, and gains that are none",
             too_loud, 24.0),
    Scenario("comes-in-softly", 5, "It starts, panics, and loses its player", "real: SIGKILL",
             softly, 20.0, 2),
    Scenario("panic", 5, "Panic, and the player is killed meanwhile", "real: SIGKILL", panic, 6.0, 5),
)  # fmt: skip
