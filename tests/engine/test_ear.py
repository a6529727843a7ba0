"""Each way to degenerate, made by a checkpoint's weights and heard by its ear; and what is none."""

import numpy as np
import pytest

from ambientd.engine.ear import Ear, State
from ambientd.engine.engine import Engine
from ambientd.engine.mix import slot_mix
from ambientd.engine.voice import VoiceLoader
from ambientd.samplernn.checkpoint import load
from ambientd.samplernn.scores import Scores
from ambientd.soak.sick import ALBUM, RATE, circle, only, soft, tone, write
from ambientd.types import BLOCK


def drawn(path, seconds, seed=1):
    """What a voice draws: tokens [seconds, RATE]."""
    engine = Engine(1, 1, RATE)
    engine.place(0, VoiceLoader().load(path, seed))
    mix, out = slot_mix(engine.infos, [[1.0, 0.0, 1.0, 1.0, 0.0, 0.0]], 1), np.zeros((BLOCK, 1), np.float32)
    tokens = []
    for _ in range(-(-seconds * RATE // BLOCK)):
        engine.render(mix, out)
        tokens.append(engine.drawn[0].copy())
    engine.close()
    return np.concatenate(tokens)[: seconds * RATE].reshape(seconds, RATE)


def ear_for(path):
    checkpoint = load(path)
    return Ear(checkpoint.info, Scores.from_dict(checkpoint.card.album_scores))


def verdicts(ear, seconds, held=False):
    return [ear.hear(second, held) for second in seconds]


@pytest.mark.parametrize(
    ("bias", "state"),
    [
        (only(128), State.SILENT),
        (only(180), State.DC),
        (only(0, 255), State.CLIPPED),
        (np.zeros(256), State.NOISE),
    ],
)
def test_what_a_second_tells_is_heard_within_ten(tmp_path, bias, state):
    path = write(tmp_path / "sick.safetensors", bias)
    found = verdicts(ear_for(path), drawn(path, 10))
    assert found[0] is State.HEALTHY  # one second is nothing yet
    assert found[-1] is state
    assert set(found) == {State.HEALTHY, state}


def phrases(seconds, seed=3):
    """Music enough: tones that come and go, and never twice the same. Tokens [seconds, RATE]."""
    random = np.random.default_rng(seed)
    time = np.arange(seconds * RATE) / RATE
    sound = sum(
        np.sin(2 * np.pi * f * time + random.uniform(0, 6))
        * np.interp(time, np.arange(0, seconds + 1, 0.5), random.uniform(0, 1, 2 * seconds + 2))
        for f in random.uniform(100, 2000, 8)
    )
    return np.clip(128 + 10 * sound, 1, 254).astype(np.uint8).reshape(seconds, RATE)


@pytest.mark.parametrize("period", [0.3, 1.0, 4.0])
def test_a_loop_is_heard_within_ten_seconds_and_music_is_none(tmp_path, period):
    ear = ear_for(write(tmp_path / "any.safetensors", soft()))
    music = phrases(60)
    assert set(verdicts(ear, music)) == {State.HEALTHY}
    piece = music.reshape(-1)[: round(period * RATE)]
    found = verdicts(ear, np.resize(piece, (10, RATE)))
    assert found[-1] is State.LOOP
    assert verdicts(ear, phrases(10, seed=4))[-1] is State.HEALTHY


def test_what_stands_still_is_heard_after_half_a_minute_unless_it_is_held(tmp_path):
    path = write(tmp_path / "still.safetensors", soft())
    tone = 20 * np.sin(2 * np.pi * 220 * np.arange(31 * RATE) / RATE)
    hum = np.random.default_rng(1).normal(128 + tone, 0.5)
    still = hum.round().astype(np.uint8).reshape(31, RATE)
    found = verdicts(ear_for(path), still)
    assert found[25] is State.HEALTHY
    assert found[-1] is State.FROZEN
    assert set(verdicts(ear_for(path), still, held=True)) == {State.HEALTHY}


@pytest.mark.parametrize(("weights", "seconds", "state"), [(circle(), 10, State.LOOP), (tone(), 30, State.FROZEN)])
def test_a_network_that_goes_round_and_one_that_stands_still_are_heard(tmp_path, weights, seconds, state):
    path = write(tmp_path / "stuck.safetensors", weights["sample.output.bias"], weights=weights)
    found = verdicts(ear_for(path), drawn(path, seconds))
    assert set(found) == {State.HEALTHY, state}
    assert found[-1] is state


def test_an_album_that_is_like_that_excuses_it(tmp_path):
    pausing = write(tmp_path / "a.safetensors", only(128), album=ALBUM | {"silent_share": 0.3})
    assert set(verdicts(ear_for(pausing), drawn(pausing, 12))) == {State.HEALTHY}
    rain = write(tmp_path / "b.safetensors", np.zeros(256), album=ALBUM | {"flatness": 0.4})
    assert State.NOISE not in verdicts(ear_for(rain), drawn(rain, 8))
    unknown = write(tmp_path / "c.safetensors", np.zeros(256), album={})
    assert set(verdicts(ear_for(unknown), drawn(unknown, 8))) == {State.HEALTHY}


def test_one_that_was_ill_is_well_after_two_good_seconds(tmp_path):
    ear = ear_for(write(tmp_path / "sick.safetensors", only(128)))
    assert verdicts(ear, np.full((8, RATE), 128, np.uint8))[-1] is State.SILENT
    ear.forget()
    assert verdicts(ear, phrases(3)) == [State.SILENT, State.HEALTHY, State.HEALTHY]
