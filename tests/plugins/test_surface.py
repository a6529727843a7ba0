"""Surface: the nearer, the louder in the vote."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.errors import ConfigError
from ambientd.rehearsal import VOICES, rehearse
from ambientd_plugins.surface import Surface


def shares(x: float, y: float, voices: int = 4, **options) -> np.ndarray:
    """[V]: who has how much of the leader's draw."""
    return rehearse(Surface, options, {"x": x, "y": y}, VOICES[:voices], blocks=1)[0].logits[0]


@pytest.mark.parametrize(("slot", "place"), list(enumerate([(0, 0), (1, 1), (1, 0), (0, 1)])))
def test_on_a_voices_place_it_plays_alone(slot: int, place: tuple[float, float]) -> None:
    np.testing.assert_allclose(shares(*place), np.eye(4)[slot], atol=1e-6)


def test_halfway_between_voices_they_count_the_same() -> None:
    np.testing.assert_allclose(shares(0.5, 0.5), 0.25)
    left, _, _, right = shares(0, 0.5)
    assert left == pytest.approx(right)
    assert left > 0.25


def test_it_fades_evenly_from_the_first_of_two_to_the_second() -> None:
    second = [
        shares(*Surface.between(weight).values(), voices=2, sharpness=1)[1] for weight in np.linspace(0, 1, 11).tolist()
    ]
    np.testing.assert_allclose(second, np.linspace(0, 1, 11), atol=1e-5)


def test_positions_are_configurable_and_may_be_the_same() -> None:
    np.testing.assert_allclose(shares(0.3, 0.4, 2, positions=[[0.3, 0.4], [0.3, 0.4]]), [0.5, 0.5])
    np.testing.assert_allclose(shares(0.3, 0.4, 2, positions=[[0.3, 0.4], [1, 0]]), [1, 0], atol=1e-6)


def test_a_place_off_the_plane_is_refused() -> None:
    with pytest.raises(ConfigError, match="positions"):
        shares(0, 0, positions=[[2, 0]])
