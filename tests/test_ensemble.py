"""What mashups have in common, and that every bundled one survives whoever is there."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.ensemble import Stopwatch, siblings, together
from ambientd.plugin import BlockClock, Mashup, VoiceInfo
from ambientd.rehearsal import VOICES, rehearse

NAMES = ("blend", "conditioning", "drift", "duet", "morph", "possession", "surface", "tierswap")
VOICE = VOICES[0]
KINDS: dict[str, type[Mashup]] = {
    name: import_module(f"ambientd_plugins.{name}").register_mashups()[0] for name in NAMES
}
ANYBODY = st.sampled_from(
    [
        None,
        VOICE,
        replace(VOICE, album_gain=100.0),
        replace(VOICE, family=None),
        replace(VOICE, frame_sizes=(64,)),
        replace(VOICE, pre_emphasis=0.85),
    ]
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(slots=st.lists(ANYBODY, min_size=1, max_size=10), ways=st.lists(st.floats(0, 1), min_size=16, max_size=16))
def test_every_mix_is_one_that_can_be_rendered(name: str, slots: list[VoiceInfo | None], ways: list[float]) -> None:
    kind = KINDS[name]
    controls = {p.id: p.denormalise(way) for p, way in zip(kind.parameters, ways, strict=False)}
    for mix in rehearse(kind, controls=controls, slots=slots, blocks=4):
        heard = mix.gains.any(axis=1)
        assert not any(heard[slot] for slot, voice in enumerate(slots) if voice is None)
        assert heard.sum() <= 1  # one music


@pytest.mark.parametrize("name", NAMES)
def test_it_follows_voices_that_come_and_go(name: str) -> None:
    kind = KINDS[name]
    mashup = kind(kind.Config(), (None, None))
    for index, slots in enumerate([(None, None), (VOICE, None), (VOICE, VOICE), (None, VOICE)]):
        mashup.voices_changed(slots)
        mix = rehearse(kind, slots=slots, blocks=1)[0]
        mix.gains[:] = 1
        mashup.next_mix({p.id: p.default for p in kind.parameters}, BlockClock(index, 16_000), mix)
        assert mix.gains.any() == any(slots)


def test_who_can_play_together_and_who_is_of_one_family() -> None:
    odd, cousin = replace(VOICE, quantization="linear"), replace(VOICE, family="other")
    assert list(together((None, VOICE, odd, cousin, VOICE))) == [1, 3, 4]
    assert list(siblings((None, VOICE, odd, cousin, VOICE))) == [1, 4]
    assert list(siblings((replace(VOICE, family=None),) * 2)) == [0]
    assert together((None, None)) == siblings(()) == {}
    assert len(together((VOICE,) * 10)) == 8


def test_a_stopwatch_begins_with_the_first_block_that_it_sees() -> None:
    watch = Stopwatch()
    assert [watch.lap(BlockClock(index, 16_000)) for index in (1000, 1010, 1005)] == pytest.approx([0, 0.16, 0])
