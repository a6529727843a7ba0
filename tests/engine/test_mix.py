"""What a mashup may fill in, and how one mix becomes the next."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ambientd.engine.mix import InvalidMix, MixRamp, effective, equal_gain, least_missed, pan_gains, slot_mix, validate
from ambientd.errors import IncompatibleVoices
from ambientd.types import MOST_TIERS, Mix


@pytest.fixture
def infos(make_checkpoint):
    """Two voices that agree, an empty slot between them."""
    first, second = (make_checkpoint(seed=seed).info for seed in (1, 2))
    return (first, None, second)


def spoilt(field, index, value):
    mix = Mix.solo(3, 2)
    getattr(mix, field)[index] = value
    return mix


@pytest.mark.parametrize(
    ("field", "index", "value"),
    [
        ("logits", (0, 0), np.nan),
        ("logits", (0, 2), -0.1),
        ("history", 0, 3),
        ("history", 0, -1),
        ("temperature", 0, 0.0),
        ("temperature", 2, 11.0),
        ("stretch", 0, 0.5),
        ("stretch", 2, 65.0),
        ("freeze", 0, -0.1),
        ("freeze", 0, np.nan),
        ("chaos", 2, 1.1),
        ("gains", (2, 1), np.inf),
        ("gains", (0, 0), -17.0),
        ("logits", (0, 2), 0.5),  # without hearing the same
        ("mixture", 0, 1.1),
        ("mixture", 2, np.nan),
        ("conditioning", (0, 0, 2), -0.1),
        ("conditioning", (MOST_TIERS - 1, 1, 1), np.inf),
    ],
)
def test_a_mix_that_cannot_be_rendered_is_named(infos, field, index, value):
    with pytest.raises(InvalidMix, match=field):
        validate(spoilt(field, index, value), infos, 2)


def test_a_replaced_array_of_another_shape_is_named(infos):
    mix = Mix.solo(3, 2)
    mix.gains = np.zeros((3, 1), np.float32)
    with pytest.raises(InvalidMix, match=r"gains has shape \(3, 1\)"):
        validate(mix, infos, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [("q_levels", 128), ("quantization", "linear"), ("pre_emphasis", 0.5), ("sample_rate", 22_050)],
)
def test_voices_that_cannot_share_are_named_with_the_field(infos, field, value):
    other = dataclasses.replace(infos[2], **{field: value})
    mix = Mix.solo(3, 2)
    validate(mix, (infos[0], None, other), 2)
    mix.history[2] = 0
    with pytest.raises(IncompatibleVoices, match=field) as caught:
        validate(mix, (infos[0], None, other), 2)
    assert infos[0].id in str(caught.value)
    assert other.id in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"), [("family", "strangers"), ("dim", 32), ("frame_sizes", (4, 12)), ("frame_sizes", (4, 8, 16))]
)
def test_only_siblings_of_one_shape_condition_each_other(infos, field, value):
    first, sibling = (dataclasses.replace(info, family="sea") for info in (infos[0], infos[2]))
    other = dataclasses.replace(sibling, **{field: value})
    mix = Mix.solo(3, 2)
    mix.conditioning[1, 2] = (0.5, 0.5, 0)  # the first, and the empty slot
    validate(mix, (first, None, sibling), 2)
    validate(mix, (None, None, other), 2)
    with pytest.raises(IncompatibleVoices, match=field) as caught:
        validate(mix, (first, None, other), 2)
    assert first.id in str(caught.value)
    assert other.id in str(caught.value)


@pytest.mark.parametrize("field", ["conditioning", "morph"])
def test_voices_of_no_family_share_no_tiers_and_no_weights(infos, field):
    first, other = (dataclasses.replace(info, family=None) for info in (infos[0], infos[2]))
    mix = Mix.solo(3, 2)
    validate(mix, (first, None, other), 2)
    getattr(mix, field)[..., 2, 0] = 0.5
    with pytest.raises(IncompatibleVoices, match="family") as caught:
        validate(mix, (first, None, other), 2)
    assert first.id in str(caught.value)
    assert other.id in str(caught.value)


def test_tiers_that_a_voice_does_not_have_are_nobodys_business(infos):
    mix = Mix.solo(3, 2)
    mix.conditioning[len(infos[0].frame_sizes) :] = 1
    validate(mix, infos, 2)


def test_an_empty_slot_conditions_nobody_and_is_not_conditioned():
    mix, out = Mix.solo(3, 1), Mix.solo(3, 1)
    mix.conditioning[0] = ((1, 1, 0), (0, 0, 1), (0, 1, 0))
    effective(mix, np.array([True, False, True]), out)
    assert (out.conditioning == np.eye(3)).all()
    mix.conditioning[0, 0, 2] = 0.5
    effective(mix, np.array([True, False, True]), out)
    assert out.conditioning[0, 0].tolist() == [1, 0, 0.5]


def test_shared_logits_over_a_shared_history_are_fine(infos):
    mix = Mix.solo(3, 2)
    mix.history[2] = 0
    mix.logits[0, 2] = 0.5
    validate(mix, infos, 2)


def test_an_empty_slot_is_nobody(infos):
    mix, out = Mix.solo(3, 1), Mix.solo(3, 1)
    mix.gains[:] = 1
    mix.history[:] = 1
    mix.logits[0] = (0, 1, 0)
    mix.logits[2] = 1
    effective(mix, np.array([info is not None for info in infos]), out)
    assert out.gains[:, 0].tolist() == [1, 0, 1]
    assert out.history.tolist() == [0, 1, 2]
    assert out.logits.tolist() == np.eye(3).tolist()


def test_the_voice_that_is_missed_least():
    everyone = np.ones(3, np.bool_)
    mix = Mix.solo(3, 2)
    mix.gains[:] = 0.5
    assert least_missed(mix, everyone) == 2
    mix.gains[1] = (0.1, -0.3)
    assert least_missed(mix, everyone) == 1
    assert least_missed(mix, np.array([True, False, True])) == 2
    assert least_missed(mix, np.array([False, True, False])) is None

    mix.gains[:] = ((0, 0), (1, 1), (0, 0))  # a blend: voice 1 leads, whatever its own weight
    mix.history[:] = 1
    mix.logits[1] = (3, 0, 1)
    assert least_missed(mix, everyone) == 2
    assert least_missed(mix, np.array([True, True, False])) == 0


def test_a_voice_that_conditions_one_that_is_heard_is_missed():
    mix = Mix.solo(3, 1)
    mix.gains[0] = 1
    assert least_missed(mix, np.ones(3, np.bool_)) == 2
    mix.conditioning[1, 0] = (0, 0, 1)
    assert least_missed(mix, np.ones(3, np.bool_)) == 1


def test_the_ramp_goes_on_from_where_the_last_one_ended():
    ramp, first, second = MixRamp(2, 1), Mix.solo(2, 1), Mix.solo(2, 1)
    first.gains[0], second.gains[1] = 1, 1
    ramp.advance(first)
    ramp.advance(second)
    assert ramp.start.gains.tolist() == [[1], [0]]
    assert ramp.end.gains.tolist() == [[0], [1]]


def test_a_heard_voice_changes_its_history_in_silence():
    ramp, solo, shared = MixRamp(2, 1), Mix.solo(2, 1), Mix.solo(2, 1)
    solo.gains[:] = shared.gains[:] = 1
    shared.history[1] = 0
    shared.conditioning[0] = ((0, 1), (1, 0))
    ramp.advance(solo)
    ramp.advance(shared)
    assert (ramp.end.history.tolist(), ramp.end.gains[:, 0].tolist()) == ([0, 1], [1, 0])
    assert ramp.end.conditioning[0].tolist() == [[0, 1], [1, 0]]  # which waits for no history
    ramp.advance(shared)
    assert (ramp.end.history.tolist(), ramp.start.gains[:, 0].tolist()) == ([0, 0], [1, 0])
    assert ramp.end.gains[:, 0].tolist() == [1, 1]


def test_panning_keeps_the_power():
    for pan in (-1, -0.3, 0, 1):
        assert np.square(pan_gains(0.5, pan, 2)).sum() == pytest.approx(0.25)
    assert pan_gains(0.5, -1, 2) == pytest.approx([0.5, 0], abs=1e-6)
    assert pan_gains(0.5, 1, 1) == pytest.approx([0.5])


def test_a_slots_gain_has_its_voices_trim(infos):
    quiet = [dataclasses.replace(info, trim=3.0) if info else None for info in infos]
    assert slot_mix(quiet, [(0.5, 0.0, 1, 1, 0, 0)] * 3, 1).gains[:, 0] == pytest.approx([1.5, 0, 1.5])


def test_equal_gain_keeps_the_slots_parameters(infos):
    own = slot_mix(infos, [(1.0, 0.0, 0.9, 2.0, 0.3, 0.1)] * 3, 1)
    mix = equal_gain(infos, own)
    assert mix.gains[:, 0] == pytest.approx([0.5**0.5, 0, 0.5**0.5])
    found = [float(getattr(mix, field)[0]) for field in ("temperature", "stretch", "freeze", "chaos")]
    assert found == pytest.approx([0.9, 2.0, 0.3, 0.1])
