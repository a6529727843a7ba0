"""Do changes of voices make steps of level, or does the music? The bundled models and `blend`, as fast as they go.

    python benchmarks/changeovers.py --changes 40

A weight is turned anywhere every 256 ms. Five seconds before each load, swap or removal nothing happens, and as long a
stretch of that as the change takes is measured as well: what is heard there, nobody changed.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.conductor import Request, conduct
from ambientd.engine.engine import Engine
from ambientd.engine.level_steps import LevelSteps
from ambientd.engine.mix import slot_mix
from ambientd.engine.recent import Recent, requantised
from ambientd.engine.voice import Voice, VoiceLoader, open_voice
from ambientd.parameters import SLOT_PARAMETERS
from ambientd.samplernn import library
from ambientd.types import BLOCK, BlockClock
from ambientd_plugins.blend import Blend, BlendConfig

RATE, VOICES = 16_000, 3
TURN_BLOCKS = 16
REST = 5 * RATE // BLOCK
AFTER = 4 * RATE // 10 // BLOCK
"""Blocks that still count when voices have changed."""
STEP_BLOCKS = 6
"""About 100 ms."""


@dataclass
class Heard:
    """Of each block: the largest step that came to its end, what the music was used to, what a change made."""

    steps: list[float] = field(default_factory=list)
    usual: list[float] = field(default_factory=list)
    made: list[float] = field(default_factory=list)

    def heard(self, start: int, end: int) -> float:
        return max(0.0, max(self.steps[start:end]) - self.usual[start])

    def made_most(self, start: int, end: int) -> float:
        sums = np.convolve(self.made, np.ones(STEP_BLOCKS))[start:end]
        return float(np.abs(sums).max())


class Performance:
    """An engine, its mashup, and hands on its knobs."""

    def __init__(self, seed: int, fade: float) -> None:
        self._random, self._fade = random.Random(seed), fade
        self._loader, self._models = VoiceLoader(), sorted(library.bundled_folder().glob(f"*{library.SUFFIX}"))
        self._engine, self._recent, self._level = Engine(VOICES, 1, RATE), Recent(RATE), LevelSteps(RATE)
        self._mashup = Blend(BlendConfig(), self._engine.infos)
        self._knobs = {parameter.id: parameter.default for parameter in self._mashup.parameters}
        self._turned = dict(self._knobs)
        self._out, self._block = np.zeros((BLOCK, 1), np.float32), 0
        self.heard = Heard()
        for slot in (0, 1):
            self._engine.place(slot, self._voice(own=True))

    def play(self) -> int:
        """A block; its number."""
        if self._block % TURN_BLOCKS == 0:
            self._turned[f"weight/{self._random.randint(1, VOICES)}"] = self._random.random()
        for id, wanted in self._turned.items():
            self._knobs[id] += (wanted - self._knobs[id]) * 2 * BLOCK / RATE / 0.2
        infos, values = self._engine.infos, [[parameter.default for parameter in SLOT_PARAMETERS]] * VOICES
        own = slot_mix(infos, values, 1)
        mix = conduct(self._mashup, Request(BlockClock(self._block, RATE), infos, self._knobs, own))
        self._engine.render(mix, self._out)
        self._recent.add(self._out)
        self.heard.steps.append(self._level.add(self._out))
        self.heard.usual.append(self._level.usual)
        self.heard.made.append(self._engine.made)
        self._block += 1
        return self._block

    def change(self) -> tuple[int, int]:
        """One, until it is over: its blocks."""
        loaded, began = np.flatnonzero(self._engine.present).tolist(), self._block
        if len(loaded) > 1 and self._random.random() < 0.25:
            self._engine.place(self._random.choice(loaded), None, self._fade)
        else:
            self._engine.place(self._random.randrange(VOICES), self._voice(self._random.random() < 0.5), self._fade)
        self.play()
        while self._engine.changing:
            self.play()
        for _ in range(AFTER):
            self.play()
        return began, self._block

    def _voice(self, own: bool) -> Voice:
        checkpoint, packed, _ = self._loader.read(self._random.choice(self._models))
        heard = None if own else requantised(self._recent.last(), checkpoint.info)
        return open_voice(checkpoint, self._random.randrange(2**31), packed, heard)


def summary(found: Floats) -> dict[str, Any]:
    numbers = {"median": np.median(found), "90%": np.percentile(found, 90), "most": np.max(found)}
    return {"above 3 dB": int((found >= 3).sum())} | {name: round(float(n), 2) for name, n in numbers.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--fade", type=float, default=2.0, help="Seconds, as loading.fade.")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    performance, spans = Performance(asked.seed, asked.fade), []
    for _ in range(asked.changes):
        for _ in range(REST):
            performance.play()
        spans.append(performance.change())
    heard = performance.heard
    result = {
        "changes": len(spans),
        "level step, by the change": summary(np.array([heard.made_most(*span) for span in spans])),
        "heard step, with a change": summary(np.array([heard.heard(*span) for span in spans])),
        "heard step, with nothing": summary(np.array([heard.heard(2 * a - b, a) for a, b in spans])),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
