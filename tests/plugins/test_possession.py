"""Possession: who plays, who listens, and what a voice that is let go begins with."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ambientd.plugin import Mix
from ambientd.rehearsal import RATE, VOICES, rehearse
from ambientd_plugins.possession import Possession

SECOND = RATE / 256
CONTROLS = {"turn": 5, "hold": 2, "fade": 1}


def played(seconds: float, voices: int = 2, **controls: float) -> list[Mix]:
    blocks = round(seconds * SECOND)
    return rehearse(Possession, controls=CONTROLS | controls, slots=VOICES[:voices], blocks=blocks, channels=1)


def test_the_next_voice_listens_in_silence_and_then_plays() -> None:
    mixes = played(16, voices=3)
    at = {seconds: mixes[round(seconds * SECOND)] for seconds in (1, 4, 6.5, 9, 14, 15.9)}
    assert [mix.history.tolist() for mix in at.values()] == [
        [0, 1, 2], [0, 0, 2], [0, 1, 2], [0, 1, 1], [2, 1, 2], [0, 1, 2],
    ]  # fmt: skip
    heard = [np.flatnonzero(mix.gains[:, 0] > 1e-6).tolist() for mix in at.values()]
    assert heard == [[0], [0], [1], [1], [2], [0, 2]]


def test_one_goes_out_while_the_other_comes_in_at_equal_power() -> None:
    mixes = played(12)
    gains = np.array([mix.gains[:, 0] for mix in mixes])
    np.testing.assert_allclose((gains**2).sum(axis=1), gains[0, 0] ** 2, rtol=1e-5)
    assert np.abs(np.diff(gains, axis=0)).max() < 0.03


@pytest.mark.parametrize("controls", [{"hold": 60}, {"fade": 20}, {"hold": 0.5, "fade": 0.05}])
def test_whoever_is_heard_never_changes_its_history(controls: dict[str, float]) -> None:
    mixes = played(30, **controls)
    for before, after in pairwise(mixes):
        # The engine switches a silent voice's history at once, and a heard one's through a gap.
        assert not ((before.history != after.history) & (before.gains[:, 0] > 1e-6)).any()


def test_a_voice_that_cannot_hear_the_same_samples_stays_out() -> None:
    odd = replace(VOICES[1], q_levels=128)
    mixes = rehearse(Possession, controls=CONTROLS, slots=(VOICES[0], odd), blocks=round(12 * SECOND))
    assert all((mix.history == [0, 1]).all() and not mix.gains[1].any() for mix in mixes)
