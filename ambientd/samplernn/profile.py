"""What an album sounds like over time, as one Gaussian; and how far another sound is from it. Any process.

The distance is that of Frechet between Gaussians of features, as in FID (Heusel et al. 2017, eq. 6) and FAD
(Kilgour et al. 2019), whose learned features are replaced by log-mel levels and their changes: nothing has to be
downloaded, and the unit is the decibel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats
from ambientd.samplernn.mel import log_mel

BANDS = 24
FEATURES = 2 * BANDS
"""Each band's level, and its change from the moment before."""
MOMENT = 0.25
"""Seconds over which levels are averaged."""
WINDOW, HOP = 0.064, 0.03125
"""Seconds: eight spectra a moment."""
PARTS = 4
"""Into how many an album is cut for its own distance."""


@dataclass(frozen=True)
class Profile:
    """mean [FEATURES] dB, covariance [FEATURES, FEATURES] dB^2: of an album's moments."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, tracks: Sequence[Floats], sample_rate: int) -> Profile:
        """tracks: [n] each, at full scale 1. Raises ValueError where they hold less than a second.

        Minutes make a good estimate: 20 seconds of an album are up to twice as far from it as a minute is.
        """
        return cls._of_moments(np.concatenate([moments(track, sample_rate) for track in tracks]))

    @classmethod
    def _of_moments(cls, rows: Floats) -> Profile:
        if len(rows) < 2:
            raise ValueError("a profile needs a second of audio")
        return cls(rows.mean(0, np.float64), np.cov(rows, rowvar=False))

    def to_array(self) -> Floats:
        """[1 + FEATURES, FEATURES]: the mean, then the covariance, as a checkpoint stores it."""
        return np.vstack([self.mean, self.covariance]).astype(np.float32)

    @classmethod
    def from_array(cls, array: Floats) -> Profile:
        """The inverse of `to_array`. Raises ValueError for a profile of other features."""
        if array.shape != (1 + FEATURES, FEATURES):
            raise ValueError(f"a profile is [{1 + FEATURES}, {FEATURES}] and this is {list(array.shape)}")
        rows = array.astype(np.float64)
        return cls(rows[0], rows[1:])


def moments(audio: Floats, sample_rate: int) -> Floats:
    """[moments, FEATURES]: log-mel levels averaged over a MOMENT, and their change; audio [n]."""
    spectra = log_mel(audio, sample_rate, BANDS, WINDOW, HOP)
    each = round(MOMENT / HOP)
    count = len(spectra) // each
    levels = spectra[: count * each].reshape(count, each, BANDS).mean(1)
    return np.hstack([levels[1:], np.diff(levels, axis=0)]) if count > 1 else np.zeros((0, FEATURES), np.float32)


def frechet(a: Profile, b: Profile) -> float:
    """Distance in dB a feature: sqrt((|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^1/2)) / FEATURES); 0 for the same.

    tr (A B)^1/2 is taken as that of (A^1/2 B A^1/2)^1/2, which is symmetric and so has no complex roots.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b.covariance @ root).clip(0)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return float(np.sqrt(max(0.0, np.square(a.mean - b.mean).sum() + spread) / FEATURES))


def own_distance(tracks: Sequence[Floats], sample_rate: int) -> float:
    """The yardstick: mean distance of each quarter of an album, by time, from the other three. ValueError as `of`."""
    rows = np.concatenate([moments(track, sample_rate) for track in tracks])
    cut = np.linspace(0, len(rows), PARTS + 1).round().astype(int)
    found = []
    for start, end in pairwise(cut):
        rest = np.concatenate([rows[:start], rows[end:]])
        found.append(frechet(Profile._of_moments(rows[start:end]), Profile._of_moments(rest)))
    return float(np.mean(found))
