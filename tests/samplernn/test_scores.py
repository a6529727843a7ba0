"""Every measure sees what it is for, and lets pass what it is not for; the order of takes is an ear's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ambientd.samplernn.profile import Profile
from ambientd.samplernn.scores import Scores, fault, flatness, quality, score, score_album

from .sounds import RATE, at_level, mixed, noise, phrases

ALBUM = [phrases(20), phrases(20, 1)]
PROFILE = Profile.of(ALBUM, RATE)
OWN = score_album(ALBUM, RATE)


def take(audio) -> Scores:
    return score(audio, RATE, PROFILE)


def test_a_take_like_its_album_has_no_fault():
    scores = take(phrases(20, 2))
    assert fault(scores, OWN) == fault(scores) == fault(OWN) == ""
    assert quality(scores, OWN) > 0.7
    assert quality(OWN, OWN) == pytest.approx(1)


def test_the_plain_measures():
    sound = np.concatenate([at_level(noise(3)), np.zeros(RATE, np.float32)])
    scores = score(sound, RATE)
    assert scores.silent_share == pytest.approx(0.25)
    assert scores.level_db == pytest.approx(-20 + 10 * np.log10(0.75), abs=0.01)
    assert (scores.distance, scores.clipped_share, scores.loop_repeats) == (None, 0, 0)
    quiet = score(at_level(sound, -50), RATE)
    assert quiet.silent_share == pytest.approx(0.25)


def test_flatness_is_of_what_sounds():
    white = flatness(noise(4), RATE)
    assert white == pytest.approx(np.exp(-np.euler_gamma), abs=0.03)  # of exponentially distributed power
    gapped = np.concatenate([noise(4), np.zeros(4 * RATE, np.float32)])
    assert flatness(gapped, RATE) == pytest.approx(white, abs=0.01)
    assert flatness(noise(4) * np.float32(0.02), RATE) == pytest.approx(white, abs=0.01)
    assert flatness(phrases(4), RATE) < 0.01
    assert flatness(np.zeros(RATE, np.float32), RATE) == 0


def test_a_tone_that_feeds_itself_is_a_whistle():
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(20 * RATE) / RATE)).astype(np.float32)
    album = score_album([mixed(phrases(20), noise(20), 0.1)], RATE)
    assert fault(take(tone), album).startswith("whistle")
    assert fault(album, album) == ""


def test_flatness_hardly_sees_the_quantiser():
    empty_above = noise(8, high=2000, slope=1)
    quantised = np.round(empty_above * 128 * 4) / (128 * 4)
    assert flatness(quantised.astype(np.float32), RATE) < 1.5 * flatness(empty_above, RATE)


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (np.concatenate([phrases(20, 2), np.zeros(10 * RATE, np.float32)]), "silent for 3"),
        (noise(20), "hiss"),
        (mixed(phrases(20, 2), noise(20), 0.9), "hiss"),
        (np.tile(phrases(11, 2), 4), "loop of"),
        (np.clip(phrases(20, 2) * 20, -1, 1), "clipped for"),
    ],
)
def test_a_collapse_has_its_reason(sound, reason):
    found = take(sound)
    assert fault(found, OWN).startswith(reason)
    assert quality(found, OWN) < 0 < quality(take(phrases(20, 2)), OWN)


@pytest.mark.parametrize("sound", [np.zeros(9 * RATE, np.float32), noise(20), np.tile(phrases(11), 4)])
def test_a_plain_collapse_is_seen_without_an_album(sound):
    assert fault(score(sound, RATE))


def test_an_album_with_silence_and_repeats_allows_them():
    loop = replace(take(np.tile(phrases(11, 2), 4)), silent_share=0.2)
    assert fault(loop, OWN)
    assert fault(loop, replace(OWN, silent_share=0.18, loop_repeats=5)) == ""


def test_quality_wants_tones_and_likeness():
    plain = replace(OWN)
    assert quality(replace(plain, tonality=OWN.tonality / 2), OWN) == pytest.approx(0.5**0.5)
    assert quality(replace(plain, distance=4 * OWN.distance), OWN) == pytest.approx(0.5)
    assert quality(replace(plain, tonality=1.0, distance=0.0), OWN) == pytest.approx(1)
    assert quality(plain, replace(OWN, distance=None)) == pytest.approx(1)
    assert quality(plain) == OWN.tonality


def test_scores_go_into_a_card_and_back():
    for scores in (OWN, score(noise(1), RATE)):
        found = scores.to_dict()
        assert all(isinstance(value, (int, float)) for value in found.values())
        assert Scores.from_dict(found) == scores
    assert Scores.from_dict({}) is Scores.from_dict({"tonality": 0.5}) is None


def test_an_instant_can_be_scored_and_nonsense_cannot():
    assert take(noise(0.02)).distance is None
    assert score_album([noise(0.02)], RATE).distance is None
    for nonsense in (np.zeros(0, np.float32), np.full(9, np.nan, np.float32), np.zeros((9, 2), np.float32)):
        with pytest.raises(ValueError, match="mono"):
            score(nonsense, RATE)
