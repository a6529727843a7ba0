"""A blend played at one weight after the other, by the engine that plays it live. `ambientd blend-report`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ambientd_plugins.training.errors import JudgeError

if TYPE_CHECKING:
    from ambientd.plugin import Floats

SETTLING = 3.0
"""Seconds at the start that are rendered and not used: a voice begins in a piece of its album, whatever the weight."""


@dataclass(frozen=True)
class Sweep:
    """What is to be played. models: A and B. sets: the mashup's options, KEY=VALUE. seconds: of each take."""

    models: tuple[Path, Path]
    mashup: str
    sets: Sequence[str]
    seconds: float
    seeds: Sequence[int]
    """Neighbours; the same at every weight, so that the weight is all that differs."""

    def play(self, weights: Sequence[float], played: Callable[[], None]) -> list[list[Floats]]:
        """[weight][seed] -> audio [samples], mono, at the models' rate. played: told after each weight, any thread.

        One process a weight, each of which plays its seeds on threads of their own. Raises JudgeError.
        """
        together = max(1, (os.cpu_count() or 1) // len(self.seeds))
        with TemporaryDirectory() as folder, ThreadPoolExecutor(together) as pool:
            waiting = [pool.submit(self._render, weight, Path(folder), played) for weight in weights]
            try:
                return [future.result() for future in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _render(self, weight: float, folder: Path, played: Callable[[], None]) -> list[Floats]:
        """One audio a seed, in their order."""
        import soundfile

        command = [sys.executable, "-m", "ambientd", "render", "--model", *map(str, self.models)]
        command += ["--mashup", self.mashup, "--between", repr(weight), *(["--set", *self.sets] if self.sets else [])]
        command += ["--seconds", f"{self.seconds + SETTLING:g}", "--out", str(folder / f"{weight}.wav"), "--json"]
        command += ["--seed", str(self.seeds[0]), "--count", str(len(self.seeds))]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise JudgeError(f"{self.mashup} at {weight:g} cannot be played: {last}")
        found = []
        for take in sorted(json.loads(done.stdout), key=lambda take: int(take["seed"])):
            audio, rate = soundfile.read(take["file"], dtype="float32")
            found.append(audio[round(SETTLING * rate) :])
        played()
        return found
