"""Duet: who leads when, and how the turn is handed on."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.rehearsal import RATE, VOICES, rehearse
from ambientd_plugins.duet import Duet

SECOND = RATE / 256


def votes(seconds: float, voices: int = 2, **controls: float) -> np.ndarray:
    """[blocks, V]: everybody's share of the draw, in turns of 5 s."""
    mixes = rehearse(Duet, controls={"turn": 5, **controls}, slots=VOICES[:voices], blocks=round(seconds * SECOND))
    assert all((mix.history == 0).all() for mix in mixes)
    return np.array([mix.logits[0] for mix in mixes])


def test_voices_take_turns_leading() -> None:
    shares = votes(16, voices=3, lead=0.8)
    at = [shares[round(seconds * SECOND)] for seconds in (1, 6, 11, 15.5)]
    np.testing.assert_allclose(at, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]], atol=1e-5)


def test_the_turn_is_handed_on_evenly() -> None:
    shares = votes(10.5, lead=0.9)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert shares[round(3.75 * SECOND)] == pytest.approx([0.5, 0.5], abs=0.01)
    assert np.abs(np.diff(shares, axis=0)).max() < 0.01


def test_without_a_handover_the_turn_changes_at_once() -> None:
    assert set(votes(6, lead=1, handover=0)[:, 0].round(6).tolist()) == {0, 1}


def test_alone_a_voice_plays() -> None:
    np.testing.assert_array_equal(votes(1, voices=1, lead=0), 1)
