"""What is measured along a blend, and whether it is one: numbers only. `ambientd blend-report`; NumPy and SciPy.

The mathematics is in docs/blend-report.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ambientd.samplernn.scores import Scores, fault

LEAST_CORRELATION = 0.9
DEEPEST_VALLEY = 0.3
"""Bits per sample that the better of two judges may lose between the ends: more is music that neither knows."""
MEASURES = ("level_db", "flatness", "silent_share", "tonality")
"""Of `Scores`, those that are shown along the curve."""


@dataclass(frozen=True)
class Take:
    """One seed at one weight. bits_a, bits_b: negative log-likelihood under each judge, bits per sample."""

    seed: int
    bits_a: float
    bits_b: float
    scores: Scores

    @property
    def d(self) -> float:
        return self.bits_a - self.bits_b

    @property
    def fault(self) -> str:
        """As of a take without an album: only plain collapse is seen. The bits of silence or of a hum say nothing."""
        return fault(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        head = {"seed": self.seed, "bits_a": self.bits_a, "bits_b": self.bits_b, "fault": self.fault}
        return head | self.scores.to_dict()


@dataclass(frozen=True)
class Point:
    """One weight of B, 0 to 1, with its takes; each property is a mean of theirs."""

    weight: float
    takes: tuple[Take, ...]

    @property
    def bits_a(self) -> float:
        return float(np.mean([take.bits_a for take in self.takes]))

    @property
    def bits_b(self) -> float:
        return float(np.mean([take.bits_b for take in self.takes]))

    @property
    def d(self) -> float:
        """Bits that judge B knows the music better than judge A: negative near A, positive near B."""
        return self.bits_a - self.bits_b

    @property
    def spread(self) -> float:
        """Standard deviation of d from seed to seed; 0 of one."""
        return float(np.std([take.d for take in self.takes], ddof=1)) if len(self.takes) > 1 else 0.0

    @property
    def better(self) -> float:
        """Bits under the judge that knows it better."""
        return min(self.bits_a, self.bits_b)

    @property
    def faults(self) -> list[str]:
        """Of those takes that have one."""
        return [take.fault for take in self.takes if take.fault]

    def measure(self, name: str) -> float:
        """The mean of one of MEASURES."""
        return float(np.mean([getattr(take.scores, name) for take in self.takes]))

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        bits = {"bits_a": self.bits_a, "bits_b": self.bits_b, "d": self.d, "spread": self.spread}
        measures = {name: self.measure(name) for name in MEASURES}
        takes = [take.to_dict() for take in self.takes]
        return {"weight": self.weight} | bits | measures | {"faults": self.faults, "takes": takes}


@dataclass(frozen=True)
class Curve:
    """Points by rising weight, from 0 to 1; at least three."""

    points: Sequence[Point]

    @cached_property
    def correlation(self) -> float:
        """Spearman's, of d with the weight; 0 where d is the same everywhere."""
        from scipy.stats import rankdata

        ranks = rankdata([point.d for point in self.points]), rankdata([point.weight for point in self.points])
        if np.ptp(ranks[0]) == 0:
            return 0.0
        return round(float(np.corrcoef(*ranks)[0, 1]), 12)  # 0.9 must not miss 0.9 by rounding

    @property
    def limit(self) -> float:
        """Bits that the better judge may need anywhere: those at the worst end, and DEEPEST_VALLEY."""
        return max(self.points[0].better, self.points[-1].better) + DEEPEST_VALLEY

    @property
    def valley(self) -> float:
        """Bits by which the worst point lies above the worst end; 0 where an end is the worst."""
        return max(point.better for point in self.points) - (self.limit - DEEPEST_VALLEY)

    @property
    def follows(self) -> bool:
        """The first test: what is heard follows the weight."""
        return self.correlation >= LEAST_CORRELATION

    @property
    def holds(self) -> bool:
        """The second, the valley test: nowhere on the way is it music that neither judge knows."""
        return self.valley <= DEEPEST_VALLEY

    @property
    def passed(self) -> bool:
        return self.follows and self.holds

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "points": [point.to_dict() for point in self.points],
            "correlation": self.correlation,
            "follows": self.follows,
            "valley": self.valley,
            "holds": self.holds,
            "passed": self.passed,
        }


def weights(count: int) -> list[float]:
    """`count` weights from 0 to 1."""
    return [round(float(weight), 6) for weight in np.linspace(0, 1, count)]
