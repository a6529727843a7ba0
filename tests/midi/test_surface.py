"""Messages in, actions out; several targets, ranges, buttons, feedback; and whatever arrives, nothing breaks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mido import Message

from ambientd.midi.mapping import Addresses, Mapping
from ambientd.midi.surface import QUIET_SECONDS, Do, Set, Surface
from ambientd.parameters import ParameterTable, builtin_parameters

ADDRESSES = Addresses(p.id for p in builtin_parameters(2))


class Played:
    """A surface on a real table."""

    def __init__(self, *mappings: dict[str, Any]) -> None:
        self.table = ParameterTable(builtin_parameters(2))
        self.surface = Surface([Mapping(**mapping) for mapping in mappings], ADDRESSES)
        self.now = 0.0
        self.done: list[Do] = []

    def hear(self, message: Message) -> None:
        for action in self.surface.hear(message, self.now, self.table.get_normalised):
            if isinstance(action, Set):
                self.table.set_normalised(action.address, action.position)
            else:
                self.done.append(action)

    def turn(self, number: int, value: int, channel: int = 0) -> None:
        self.hear(Message("control_change", control=number, value=value, channel=channel))

    def show(self) -> list[list[int]]:
        return [message.bytes() for message in self.surface.show(self.now, self.table.get_normalised)]


def test_one_knob_moves_several_things_each_its_own_way() -> None:
    played = Played({"cc": 1, "takeover": "jump", "to": [
        "slot/1/pan", {"address": "slot/2/pan", "invert": True},
        {"address": "slot/1/temperature", "range": [0.25, 0.75]}, {"address": "slot/1/freeze", "range": [1, 0.5]},
    ]})  # fmt: skip
    played.turn(1, 127)
    ids = ("slot/1/pan", "slot/2/pan", "slot/1/temperature", "slot/1/freeze")
    assert [played.table.get_normalised(id) for id in ids] == pytest.approx([1, 0, 0.75, 0.5])
    played.turn(1, 0)
    assert [played.table.get_normalised(id) for id in ids] == pytest.approx([0, 1, 0.25, 1])


def test_channels_are_told_apart_and_none_means_any() -> None:
    played = Played(
        {"cc": 1, "channel": 2, "takeover": "jump", "to": "slot/1/freeze"},
        {"cc": 2, "takeover": "jump", "to": "slot/2/freeze"},
    )
    played.turn(1, 127, channel=0)
    assert played.table.get("slot/1/freeze") == 0
    played.turn(1, 127, channel=1)
    played.turn(2, 127, channel=9)
    assert played.table.get("slot/1/freeze") == played.table.get("slot/2/freeze") == 1


def test_buttons() -> None:
    played = Played(
        {"note": 1, "to": "slot/1/freeze"},
        {"cc": 2, "press": "hold", "to": "slot/1/chaos"},
        {"note": 3, "press": "trigger", "to": {"address": "slot/1/pan", "range": [0, 0.5]}},
        {"note": 4, "to": {"address": "stop", "arguments": [8.0]}},
        {"cc": 5, "to": "play"},
        {"program": 6, "to": {"address": "preset/recall", "arguments": ["dawn"]}},
    )
    press, release = (Message("note_on", note=1, velocity=v) for v in (99, 0))
    states = []
    for message in (press, release, press, release):
        played.hear(message)
        states.append(played.table.get("slot/1/freeze"))
    assert states == [1, 1, 0, 0]
    for value, held in ((127, 1), (0, 0)):
        played.turn(2, value)
        assert played.table.get("slot/1/chaos") == held
    played.table.set_value("slot/1/pan", -1)
    played.hear(Message("note_on", note=3, velocity=1))
    assert played.table.get("slot/1/pan") == 0
    for message in (Message("note_on", note=4), Message("note_off", note=4), Message("program_change", program=6)):
        played.hear(message)
    for value in (10, 60, 70, 127, 20, 100):  # a knob that is turned past its middle, twice
        played.turn(5, value)
    assert played.done == [Do("stop", (8.0,)), Do("preset/recall", ("dawn",)), Do("play", ()), Do("play", ())]


def test_an_encoder_goes_on_from_wherever_the_value_is() -> None:
    played = Played({"cc": 1, "encoder": "twos-complement", "step": 0.1, "to": "slot/1/pan"})
    played.turn(1, 1)
    played.turn(1, 2)
    assert played.table.get_normalised("slot/1/pan") == pytest.approx(0.8)
    played.table.set_normalised("slot/1/pan", 0.3)
    played.turn(1, 127)
    assert played.table.get_normalised("slot/1/pan") == pytest.approx(0.2)


def test_feedback_waits_for_the_hand() -> None:
    played = Played(
        {"cc": 1, "channel": 3, "takeover": "pickup", "feedback": "motor", "to": "slot/1/pan"},
        {"note": 2, "feedback": "light", "lights": [12, 60], "to": "slot/1/freeze"},
        {"cc14": [3, 35], "feedback": "motor", "to": {"address": "slot/2/pan", "invert": True}},
        {"nrpn": 300, "feedback": "light", "to": "slot/2/freeze"},
        {"pitchbend": True, "feedback": "motor", "to": "slot/2/chaos"},
    )
    played.now = 10
    first = played.show()
    assert [0xB2, 1, 64] in first
    assert [0x90, 2, 12] in first
    assert [0xB0, 3, 64] in first
    assert [m for m in first if m[1] in (99, 98, 6, 38)] == [[0xB0, 99, 2], [0xB0, 98, 44], [0xB0, 6, 0], [0xB0, 38, 0]]
    assert [0xE0, 0, 0] in first
    assert played.show() == []
    played.turn(1, 64, channel=2)
    played.table.set_normalised("slot/1/pan", 1.0)
    assert played.show() == []
    assert not played.surface.settled(played.now)
    played.now += QUIET_SECONDS
    assert played.show() == [[0xB2, 1, 127]]
    assert played.surface.settled(played.now)
    played.turn(1, 120, channel=2)
    assert played.table.get_normalised("slot/1/pan") == pytest.approx(120 / 127), "the motor took it there, so it holds"
    played.table.set_value("slot/1/freeze", 1)
    assert [0x90, 2, 60] in played.show()


ANY_MAPPING = [
    {"cc": 1, "to": "slot/1/pan"}, {"cc": 2, "takeover": "scale", "to": "slot/1/gain"},
    {"cc14": [3, 35], "takeover": "relative", "to": "slot/2/gain"}, {"nrpn": 5, "to": "volume"},
    {"cc": 4, "encoder": "sign-magnitude", "to": "slot/2/pan"}, {"note": 1, "to": "slot/1/freeze"},
    {"pitchbend": True, "to": "slot/1/chaos"}, {"program": "any", "names": ["a"], "to": "preset/recall"},
]  # fmt: skip
channel_messages = st.builds(
    lambda kind, channel, first, second: [kind | channel, first] + ([] if kind in (0xC0, 0xD0) else [second]),
    st.sampled_from([0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0]), st.integers(0, 15), st.integers(0, 127),
    st.integers(0, 127),
)  # fmt: skip
few_controllers = st.builds(
    lambda number, value: [0xB0, number, value],
    st.sampled_from([1, 2, 3, 35, 4, 6, 38, 96, 97, 98, 99, 100, 101]), st.integers(0, 127),
)  # fmt: skip


@given(st.lists(channel_messages | few_controllers | st.just([0xF8]), max_size=60))
def test_whatever_arrives_every_value_stays_in_its_range(messages: list) -> None:
    played = Played(*ANY_MAPPING)
    for data in messages:
        played.now += 0.01
        played.hear(Message.from_bytes(data))
    for parameter in played.table:
        assert parameter.low <= played.table.get(parameter.id) <= parameter.high


def test_a_parameter_that_is_not_there_at_the_moment_is_left_out() -> None:
    addresses = Addresses(["mashup/blend/weight/1", "volume"])
    surface = Surface([Mapping(cc=1, takeover="jump", to=["mashup/weight/1", "volume"])], addresses)  # type: ignore[call-arg]
    table = ParameterTable(builtin_parameters(1))  # no mashup is selected
    actions = surface.hear(Message("control_change", control=1, value=0), 0.0, table.get_normalised)
    assert actions == [Set("volume", 0.0)]
