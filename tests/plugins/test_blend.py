"""Blend: who hears whom, whose opinion counts, and how loud the result is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.config import validate
from ambientd.engine.kernels.reference import blend as pool
from ambientd.engine.mix import validate as validate_mix
from ambientd.errors import ConfigError
from ambientd.parameters import mashup_parameters
from ambientd.plugin import BlockClock, Mix, VoiceInfo
from ambientd_plugins.blend import Blend, BlendConfig

VOICE = VoiceInfo(
    id="one",
    title="One",
    sample_rate=16_000,
    dim=256,
    frame_sizes=(16, 64),
    q_levels=256,
    quantization="mu-law",
    pre_emphasis=0.0,
    album_gain=1.0,
    temperature=0.95,
    family=None,
)
CLOCK = BlockClock(index=0, sample_rate=16_000)


def blended(slots: tuple[VoiceInfo | None, ...], weights: list[float], mix: Mix | None = None) -> Mix:
    """The mix that `blend` makes of solo voices at unit gain."""
    if mix is None:
        mix = Mix.solo(len(slots), 2)
        mix.gains[:] = 1
    controls = {p.id: p.default for p in Blend.parameters} | Blend.initial_values(BlendConfig(weights=weights))
    Blend(BlendConfig(weights=weights), slots).next_mix(controls, CLOCK, mix)
    return mix


def test_everyone_hears_the_leader_and_votes_by_weight() -> None:
    mix = blended((None, VOICE, VOICE, None, VOICE), [1, 0.75, 0.25, 1, 0])
    np.testing.assert_array_equal(mix.history, [0, 1, 1, 3, 1])
    np.testing.assert_allclose(mix.logits[1], [0, 0.75, 0.25, 0, 0])
    np.testing.assert_array_equal(np.flatnonzero(mix.gains.any(axis=1)), [1])


def test_only_the_proportion_of_the_weights_matters() -> None:
    for half, full in zip(
        blended((VOICE,) * 2, [0.5, 0.25]).logits, blended((VOICE,) * 2, [1, 0.5]).logits, strict=True
    ):
        np.testing.assert_allclose(half, full)


@pytest.mark.parametrize(
    "change", [{"sample_rate": 8_000}, {"q_levels": 128}, {"quantization": "linear"}, {"pre_emphasis": 0.85}]
)
def test_a_voice_that_cannot_share_stays_out(change: dict) -> None:
    mix = blended((VOICE, replace(VOICE, id="odd", **change), VOICE), [1, 1, 1])
    np.testing.assert_array_equal(mix.history, [0, 1, 0])
    np.testing.assert_allclose(mix.logits[0], [0.5, 0, 0.5])
    np.testing.assert_array_equal(mix.gains[1], 0)


def test_gain_pan_and_temperature_are_the_slots_own_by_weight() -> None:
    mix = Mix.solo(2, 2)
    mix.gains[:] = [[1.0, 0.0], [0.0, 0.5]]
    mix.temperature[:] = [0.9, 1.1]
    blended((VOICE, VOICE), [0.5, 0.5], mix)
    np.testing.assert_allclose(mix.gains, [[0.5, 0.25], [0, 0]])
    assert mix.temperature[0] == pytest.approx(1.0)


def test_texture_stays_each_voices_own() -> None:
    mix = Mix.solo(2, 1)
    mix.stretch[:], mix.freeze[:], mix.chaos[:] = [2, 1], [0, 1], [0.1, 0]
    blended((VOICE, VOICE), [0.5, 0.5], mix)
    assert (mix.stretch.tolist(), mix.freeze.tolist()) == ([2, 1], [0, 1])
    np.testing.assert_allclose(mix.chaos, [0.1, 0])


def test_the_level_is_the_geometric_mean_of_the_albums_levels() -> None:
    quiet, loud = replace(VOICE, album_gain=16.0), replace(VOICE, album_gain=1.0)
    decoded = blended((quiet, loud), [1, 1]).gains[0, 0] / quiet.album_gain
    assert decoded == pytest.approx(np.sqrt(1 / 16))
    assert blended((quiet, loud), [1, 0]).gains[0, 0] == pytest.approx(1)


def test_all_weights_at_zero_are_silence_and_change_nobody_elses_history() -> None:
    mix = blended((VOICE, VOICE), [0, 0])
    np.testing.assert_array_equal(mix.gains, 0)
    np.testing.assert_array_equal(mix.history, [0, 0])
    assert mix.logits[0].sum() > 0


def test_without_voices_it_is_silent() -> None:
    np.testing.assert_array_equal(blended((None, None), []).gains, 0)


def test_a_new_voice_joins_in() -> None:
    blend = Blend(BlendConfig(), (VOICE, None))
    blend.voices_changed((VOICE, VOICE))
    mix = Mix.solo(2, 2)
    blend.next_mix({p.id: p.default for p in Blend.parameters}, CLOCK, mix)
    np.testing.assert_allclose(mix.logits[0], [0.5, 0.5])


def test_trims_are_averaged_as_levels_are_and_gains_are_left():
    quiet, loud = replace(VOICE, album_gain=16.0, trim=4.0), replace(VOICE, album_gain=1.0, trim=0.25)
    for weights, level in (([1, 0], 1 / 4), ([0, 1], 1 / 4), ([1, 1], 1 / 4)):
        mix = Mix.solo(2, 1)
        mix.gains[:, 0] = 0.5 * quiet.trim, 0.5 * loud.trim  # as the slots of gain 0.5 have them
        mix = blended((quiet, loud), weights, mix)
        assert mix.gains[0, 0] / quiet.album_gain == pytest.approx(0.5 * level)


@given(
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
    st.lists(
        st.sampled_from([None, VOICE, replace(VOICE, album_gain=100.0), replace(VOICE, pre_emphasis=0.85)]),
        min_size=1,
        max_size=10,
    ),
)
def test_every_mix_is_one_that_can_be_rendered(weights: list[float], slots: list[VoiceInfo | None]) -> None:
    mix = blended(tuple(slots), weights)
    validate_mix(mix, slots, 2)
    np.testing.assert_allclose(mix.logits.sum(axis=1), 1, atol=1e-5)


def test_parameters_and_options() -> None:
    assert [p.id for p in mashup_parameters("blend", Blend.parameters)][7] == "mashup/blend/weight/8"
    with pytest.raises(ConfigError, match=r"'mashup\.weights\.1' is 2"):
        validate(BlendConfig, {"weights": [1, 2]}, "a.toml", "mashup")


def entropy(logits: np.ndarray) -> float:
    """Of softmax(logits), in bits."""
    p = np.exp(logits - logits.max())
    p /= p.sum()
    return float(-(p * np.log2(p + 1e-300)).sum())


@pytest.mark.parametrize("widths", [(6, 6), (3, 12)])
def test_chance_stays_as_loud_between_voices_as_they_have_it(widths: tuple[float, float]) -> None:
    """Weights that sum to 1 are the compensation: with 1 and 1, agreeing voices would be half a bit surer together."""
    levels, places = np.arange(256), zip((110, 140), widths, strict=True)
    votes = {i: -(((levels - centre) / width) ** 2) / 2 for i, (centre, width) in enumerate(places)}
    votes = {i: vote - np.log(np.exp(vote).sum()) for i, vote in votes.items()}
    own = [entropy(vote) for vote in votes.values()]
    for weight in np.linspace(0.05, 0.95, 10):
        logits = blended((VOICE, VOICE), [1 - weight, weight]).logits[0]
        assert min(own) - 0.01 <= entropy(pool(logits, 0.0, votes)) <= max(own) + 0.01
    assert entropy(pool(np.ones(2, np.float32), 0.0, votes)) < max(own) - 0.45
