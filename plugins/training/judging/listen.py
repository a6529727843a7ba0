"""Judging by ear: a checkpoint is run freely at several temperatures, and what is heard is scored. Training process.

Likelihood alone does not pick what sounds best: a model may predict music well and, left to itself, fall silent,
drown in noise or turn in circles. So it is heard as its users will hear it, through `ambientd render`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.profile import Profile
from ambientd.samplernn.scores import Scores, fault, quality, score, score_album
from ambientd_plugins.training.dataset import Split, Tokens
from ambientd_plugins.training.errors import TrainingError, way_out

if TYPE_CHECKING:
    from ambientd.plugin import Floats

TEMPERATURES = (0.85, 0.9, 0.95, 1.0, 1.05)
UPHILL = 2.5
"""A way up counts so many times one down: above its best temperature a model soon hisses, below it lasts longer."""
ALBUM_SECONDS = 600.0
"""More of an album would not change its scores, and takes as long as it takes."""
HELD_OUT_SECONDS = 60.0
"""With less than this held out, what is held out alone makes no profile: then the whole album does."""
SEED = 1


@dataclass(frozen=True)
class Heard:
    """What one temperature sounded like. fault: why it is not to be used, or empty. quality: best highest."""

    temperature: float
    scores: Scores
    fault: str
    quality: float


class Ear:
    """Knows the album, and listens to models of it.

    profile: of what is held out. album: the album's own scores, the yardstick. Both of the tokens decoded, for
    nothing beyond them can be learnt.
    """

    def __init__(self, data: Split, architecture: Architecture, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        a = architecture

        def audio(tracks: Sequence[Tokens]) -> list[Floats]:
            excerpts = _excerpts(tracks, round(ALBUM_SECONDS * sample_rate))
            return [quantize.decode(t, a.q_levels, a.quantization, a.pre_emphasis, a.album_gain) for t in excerpts]

        whole = audio([*data.train, *data.validation, *data.test])
        held = audio([*data.validation, *data.test])
        enough = sum(map(len, held)) >= HELD_OUT_SECONDS * sample_rate
        self.album: Scores = score_album(whole, sample_rate)
        try:
            self.profile: Profile | None = Profile.of(held if enough else whole, sample_rate)
        except ValueError:
            self.profile = None

    def listen(
        self,
        checkpoint: Path,
        own_temperature: float,
        out: Callable[[float], Path],
        length: float,
        seconds: float,
        interrupted: Callable[[], bool],
    ) -> list[Heard]:
        """Hear `length` seconds at one temperature after the other until `seconds` have passed; at least at one.

        own_temperature: the one on the checkpoint's card, and the first. out: which file to leave for a temperature.
        Raises TrainingError where the checkpoint cannot be played, KeyboardInterrupt when `interrupted`.
        """
        until = time.monotonic() + seconds
        found: list[Heard] = []
        for temperature in outward(own_temperature):
            if found and time.monotonic() > until:
                break
            found.append(self.hear(checkpoint, out(temperature), length, temperature, own_temperature, interrupted))
        return sorted(found, key=lambda heard: heard.temperature)

    def hear(
        self,
        checkpoint: Path,
        out: Path,
        length: float,
        temperature: float,
        own_temperature: float,
        interrupted: Callable[[], bool],
    ) -> Heard:
        """`length` seconds at one temperature, left in `out`. Raises as `listen`."""
        try:
            audio = render(checkpoint, out, length, temperature / own_temperature, SEED)
        finally:
            if interrupted():
                raise KeyboardInterrupt
        return self.judged(temperature, score(audio, self.sample_rate, self.profile))

    def judged(self, temperature: float, scores: Scores) -> Heard:
        """What was scored, against the album."""
        return Heard(temperature, scores, fault(scores, self.album), quality(scores, self.album))


def outward(first: float) -> list[float]:
    """TEMPERATURES in the order of listening: wherever time ends, what was heard lies around `first` without a gap."""
    return sorted(TEMPERATURES, key=lambda t: max(first - t, UPHILL * (t - first)))


def best_of(heard: Sequence[Heard], before: Sequence[Heard] = ()) -> tuple[Heard, tuple[float, float] | None]:
    """(the best, the safe range: from the lowest to the highest temperature around it without a fault in between).

    None where the best has a fault itself. heard: not empty.
    before: shorter takes of the same checkpoint. Where a temperature was not heard again they say whether it is safe;
    the best is one of them only where all of `heard` has a fault.
    """
    by_temperature = {h.temperature: h for h in [*before, *heard]}
    takes = [by_temperature[t] for t in sorted(by_temperature)]
    best = max([h for h in heard if not h.fault] or takes, key=lambda h: h.quality)
    if best.fault:
        return best, None
    low = high = takes.index(best)
    while low > 0 and not takes[low - 1].fault:
        low -= 1
    while high + 1 < len(takes) and not takes[high + 1].fault:
        high += 1
    return best, (takes[low].temperature, takes[high].temperature)


def render(checkpoint: Path, out: Path, seconds: float, temperature: float, seed: int) -> Floats:
    """[samples] at the checkpoint's rate; `out` is the WAV that is left behind. Raises TrainingError.

    temperature: 1 is the checkpoint's own.
    """
    import soundfile

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out.parent} cannot be made ({error.strerror})", way_out(error)) from None
    command = [sys.executable, "-m", "ambientd", "render", "--model", str(checkpoint), "--seed", str(seed)]
    command += ["--seconds", f"{seconds:g}", "--temperature", repr(temperature), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise TrainingError(f"`ambientd render` ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    audio: Floats = soundfile.read(out, dtype="float32", always_2d=True)[0].mean(axis=1)
    return audio


def _excerpts(tracks: Sequence[Tokens], most: int) -> list[Tokens]:
    """The same share of each track, from its middle, so that they hold at most `most` samples."""
    share = min(1.0, most / sum(map(len, tracks)))
    cuts = [(round(len(t) * (1 - share) / 2), round(len(t) * share)) for t in tracks]
    return [t[start : start + length] for t, (start, length) in zip(tracks, cuts, strict=True) if length]
