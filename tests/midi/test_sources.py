"""What messages mean: pairs, parameters by number, encoders, buttons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from mido import Message

from ambientd.midi.sources import (
    ControlChange,
    Encoder,
    Note,
    Nrpn,
    Nudged,
    Pair,
    PitchBend,
    Pressed,
    Program,
    Turned,
    clicks,
)

seven = st.integers(0, 127)


def change(number: int, value: int) -> Message:
    return Message("control_change", control=number, value=value)


class FourteenBits(RuleBasedStateMachine):
    """A pair among other controllers: what it says is always one of the values that were sent, never a mixture."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(1, 33)
        self.coarse: int | None = None

    @rule(value=st.integers(0, 16_383))
    def the_device_sends_both_halves(self, value: int) -> None:
        coarse, fine = divmod(value, 128)
        assert self.pair.hear(change(1, coarse)) is None
        self.coarse = coarse
        assert self.pair.hear(change(33, fine)) == Turned(value / 16_383)

    @rule(fine=seven)
    def it_leaves_the_coarse_half_out(self, fine: int) -> None:
        said = self.pair.hear(change(33, fine))
        assert said == (None if self.coarse is None else Turned((self.coarse * 128 + fine) / 16_383))

    @rule(number=seven.filter(lambda n: n not in (1, 33)), value=seven)
    def another_knob_moves(self, number: int, value: int) -> None:
        assert self.pair.hear(change(number, value)) is None

    @rule()
    def it_is_plugged_in_again(self) -> None:
        self.pair, self.coarse = Pair(1, 33), None


TestFourteenBits = FourteenBits.TestCase


@given(st.lists(st.integers(0, 16_383), min_size=2).map(sorted))
def test_a_slow_sweep_never_steps_back(values: list) -> None:
    pair, heard = Pair(7, 39), []
    for value in values:
        heard += [pair.hear(change(7, value >> 7)), pair.hear(change(39, value & 127))]
    said = [one.position for one in heard if isinstance(one, Turned)]
    assert said == sorted(said)
    assert len(said) == len(values)


def test_no_pair_is_ever_guessed() -> None:
    plain = ControlChange(1, button=False)
    assert plain.hear(change(1, 127)) == Turned(1.0)
    assert plain.hear(change(33, 5)) is None


@given(st.integers(0, 16_382), st.integers(0, 16_383))
def test_a_parameter_by_number(number: int, value: int) -> None:
    source = Nrpn(number, bits=14)
    high, low = divmod(number, 128)
    assert source.hear(change(6, 1)) is None, "nothing is chosen yet"
    for message in (change(99, high), change(98, low), change(6, value >> 7)):
        assert source.hear(message) is None
    assert source.hear(change(38, value & 127)) == Turned(value / 16_383)
    assert source.hear(change(96, 0)) == Nudged(1)
    assert source.hear(change(97, 0)) == Nudged(-1)
    source.hear(change(101, 0))
    assert source.hear(change(6, 3)) is None, "a registered parameter is chosen"
    source.hear(change(99, high))
    source.hear(change(98, (low + 1) % 128))
    assert source.hear(change(96, 0)) is None, "another one is chosen"


def test_a_parameter_by_number_of_seven_bits_does_not_wait() -> None:
    source = Nrpn(300, bits=7)
    source.hear(change(99, 2))
    source.hear(change(98, 44))
    assert source.hear(change(6, 127)) == Turned(1.0)


@pytest.mark.parametrize(
    ("encoding", "right", "left"),
    [("twos-complement", [1, 3], [127, 125]), ("offset", [65, 67], [63, 61]), ("sign-magnitude", [1, 3], [65, 67])],
)
def test_encoders(encoding: str, right: list, left: list) -> None:
    source = Encoder(5, encoding)  # type: ignore[arg-type]
    assert [source.hear(change(5, value)) for value in right] == [Nudged(1), Nudged(3)]
    assert [source.hear(change(5, value)) for value in left] == [Nudged(-1), Nudged(-3)]
    assert source.hear(change(6, 1)) is None


@given(seven, st.sampled_from(["twos-complement", "offset", "sign-magnitude"]))
def test_clicks_are_bounded(value: int, encoding: str) -> None:
    assert -64 <= clicks(value, encoding) <= 63  # type: ignore[arg-type]


def test_buttons_bends_and_programs() -> None:
    assert ControlChange(41, button=True).hear(change(41, 127)) == Pressed(True)
    note = Note(60)
    assert note.hear(Message("note_on", note=60, velocity=90)) == Pressed(True)
    assert note.hear(Message("note_on", note=60, velocity=0)) == Pressed(False)
    assert note.hear(Message("note_off", note=60)) == Pressed(False)
    assert note.hear(Message("note_on", note=61)) is None
    assert Program(None).hear(Message("program_change", program=9)) == Pressed(True, 9)
    assert Program(3).hear(Message("program_change", program=9)) is None
    bends = [PitchBend().hear(Message("pitchwheel", pitch=pitch)) for pitch in (-8192, 8191)]
    assert bends == [Turned(0.0), Turned(1.0)]
