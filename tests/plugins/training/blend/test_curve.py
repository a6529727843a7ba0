"""The two tests of a blend, on curves that can be checked by hand."""

import numpy as np
import pytest

from ambientd.samplernn.scores import score
from ambientd_plugins.training.blend.curve import Curve, Point, Take, weights

SCORES = score(np.zeros(8000, np.float32), 8000)


def curve(*bits):
    steps = weights(len(bits))
    return Curve([Point(w, (Take(1, a, b, SCORES),)) for w, (a, b) in zip(steps, bits, strict=True)])


def test_a_straight_way_passes():
    found = curve((3.0, 4.0), (3.2, 3.8), (3.5, 3.5), (3.7, 3.1), (4.0, 3.0))
    assert [point.d for point in found.points] == pytest.approx([-1, -0.6, 0, 0.6, 1])
    assert found.correlation == pytest.approx(1)
    assert found.valley == pytest.approx(0.5)
    assert found.limit == pytest.approx(3.3)
    assert (found.follows, found.holds, found.passed) == (True, False, False)
    assert curve((3.0, 4.0), (3.2, 3.6), (3.3, 3.4), (3.7, 3.1), (4.0, 3.1)).passed


def test_the_correlation_is_spearman_s():
    # Ranks of d: 1 3 2 5 4; by the textbook 1 - 6 * (0 + 1 + 1 + 1 + 1) / (5 * 24).
    found = curve((0, 5), (0, 2), (0, 3), (0, 0), (0, 1))
    assert found.correlation == pytest.approx(0.8)
    assert not found.follows
    assert curve((5, 0), (2, 0), (0, 0)).correlation == pytest.approx(-1)


def test_a_correlation_of_exactly_nine_tenths_is_enough():
    found = curve((2, 0), (1, 0), (3, 0), (4, 0), (5, 0))
    assert found.correlation == 0.9
    assert found.follows


def test_what_never_changes_follows_nothing():
    found = curve((3, 4), (3, 4), (3, 4))
    assert found.correlation == 0
    assert (found.follows, found.holds) == (False, True)


def test_the_valley_is_measured_from_the_worst_end():
    assert curve((3, 9), (3.7, 9), (9, 3.5)).valley == pytest.approx(0.2)
    assert curve((3, 9), (3.7, 9), (9, 3.5)).holds
    assert curve((3, 9), (3.81, 9), (9, 3.5)).holds is False
    assert curve((3, 9), (2, 9), (9, 3.5)).valley == 0


def test_a_point_is_the_mean_of_its_takes():
    hiss = score(np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1, 8000)
    point = Point(0.5, (Take(1, 3.0, 4.0, SCORES), Take(2, 5.0, 4.5, hiss)))
    assert (point.bits_a, point.bits_b, point.d, point.better) == (4.0, 4.25, -0.25, 4.0)
    assert point.spread == pytest.approx(np.std([-1, 0.5], ddof=1))
    assert point.measure("silent_share") == 0.5
    assert [fault.split()[0] for fault in point.faults] == ["silent", "hiss"]
    assert [take["fault"] for take in point.to_dict()["takes"]] == point.faults


def test_weights_go_from_end_to_end():
    assert weights(5) == [0, 0.25, 0.5, 0.75, 1]
