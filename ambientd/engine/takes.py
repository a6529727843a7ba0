"""Many takes of the same music, and which of them are the best: `ambientd render --count`.

Takes are made side by side, one thread each: the kernel runs without the interpreter's lock. Each is what
`ambientd render` with its seed makes, to the sample.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.audio_file import Stream, frame_count, write
from ambientd.samplernn.checkpoint import load
from ambientd.samplernn.profile import Profile
from ambientd.samplernn.scores import Scores, fault, quality, score

Play = Callable[[int], Stream]
"""From a seed; called by one thread at a time."""


@dataclass(frozen=True)
class Reference:
    """What takes are held against: their album's profile and scores, as far as they are known."""

    profile: Profile | None = None
    album: Scores | None = None

    @classmethod
    def of(cls, models: Sequence[Path]) -> Reference:
        """As one model's checkpoint tells; several models have no album in common, and older files do not tell."""
        if len(models) != 1:
            return cls()
        checkpoint = load(models[0])
        try:
            profile = Profile.from_array(checkpoint.profile) if checkpoint.profile is not None else None
        except ValueError:  # of the features of another version
            profile = None
        return cls(profile, Scores.from_dict(checkpoint.card.album_scores))


@dataclass(frozen=True)
class Take:
    """One take: its file, what was measured, why it is not to be used (or ""), and where it comes in the order."""

    file: Path
    seed: int
    scores: Scores
    fault: str
    quality: float

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        head = {"file": str(self.file), "seed": self.seed, "quality": self.quality, "fault": self.fault}
        return head | self.scores.to_dict()


def take_files(out: Path, count: int) -> list[Path]:
    """NAME-01.wav, NAME-02.wav ..., with as many digits as the last one needs."""
    digits = max(2, len(str(count)))
    return [out.with_name(f"{out.stem}-{number:0{digits}d}{out.suffix}") for number in range(1, count + 1)]


class TakeMaker:
    """Makes takes of `seconds`, each at `rate` or the stream's own, and holds them against `reference`."""

    def __init__(
        self, play: Play, reference: Reference, seconds: float, rate: int | None, tell: Callable[[int], None]
    ) -> None:
        self._play, self._reference = play, reference
        self._seconds, self._rate, self._tell = seconds, rate, tell
        self._opening = threading.Lock()
        self._stopped = threading.Event()

    def run(self, seed: int, files: Sequence[Path]) -> list[Take]:
        """One take a file, with seeds from `seed` on; the best first.

        The first that fails ends them all, and so does Ctrl-C; what is complete stays.
        """
        with ThreadPoolExecutor(min(os.cpu_count() or 1, len(files))) as pool:
            made = [pool.submit(self._take, seed + index, file) for index, file in enumerate(files)]
            try:
                takes = [future.result() for future in as_completed(made)]
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return sorted(takes, key=lambda take: (-take.quality, take.seed))

    def _take(self, seed: int, file: Path) -> Take:
        with self._opening:
            stream = self._play(seed)
        heard: list[Floats] = []
        write(file, replace(stream, blocks=self._listen(stream.blocks, heard)), self._seconds, self._rate, self._tell)
        audio = np.concatenate(heard)[: frame_count(self._seconds, stream.rate)]
        scores = score(audio, stream.rate, self._reference.profile)
        album = self._reference.album
        return Take(file, seed, scores, fault(scores, album), quality(scores, album))

    def _listen(self, blocks: Iterable[Floats], heard: list[Floats]) -> Iterator[Floats]:
        """The blocks; `heard` gets their channels' mean, at the models' rate, for which the album's scores hold."""
        for block in blocks:
            if self._stopped.is_set():
                raise CancelledError
            heard.append(block.mean(1).clip(-1, 1))
            yield block
