"""Variations of an album to train on: the same music a little higher or lower, and softer. The training process.

A short album is learnt by heart. Its variations are made from the audio before anything is cut or quantised, so that
each is as clean as the original and a forecast follows it as it would any track; of what is held out there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ambientd.samplernn.checkpoint import Architecture
from ambientd_plugins.training.albums.tracks import Track
from ambientd_plugins.training.dataset import Tokens, nothing_else, tokenise

SEMITONES = 1.0
"""Up and down, by resampling: the tempo goes along, as on a tape."""
SOFTER_DB = 6.0
"""Never louder: the album's gain brings its peaks to full scale."""


def varying(
    tracks: Sequence[Track], dc: float, architecture: Architecture, sample_rate: int, copies: int, seed: int
) -> Callable[[int, int], list[Tokens]]:
    """What `dataset.split` asks for variations: `copies` of a track's first samples, each at one pitch and gain."""
    none: Callable[[int, int], list[Tokens]] = nothing_else
    if not copies:
        return none

    def vary(index: int, length: int) -> list[Tokens]:
        import soxr

        track, made = tracks[index], []
        for pitch, gain in _drawn(copies, np.random.default_rng([seed, index])):
            audio = soxr.resample(track.audio[:length] - np.float32(dc), sample_rate * pitch, sample_rate)
            made.append(tokenise(Track(track.name, audio * np.float32(gain), track.sha256), 0.0, architecture))
        return made

    return vary


def _drawn(copies: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """(pitch as a ratio of frequencies, gain as a factor) of each copy, the pitches spread over the whole range."""
    semitones = SEMITONES * (2 * (np.arange(copies) + rng.uniform(size=copies)) / copies - 1)
    return list(zip(2 ** (semitones / 12), 10 ** (-SOFTER_DB * rng.uniform(size=copies) / 20), strict=True))
