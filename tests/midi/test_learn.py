"""Which control was moved, and of what kind it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mido import Message

from ambientd.midi.learn import REST_SECONDS, Learner, encoder, port_pattern
from ambientd.midi.mapping import Addresses, Mapping

ADDRESSES = Addresses(["volume", "slot/1/gain"])


def learn(*messages: list[int], address: str = "volume") -> Mapping:
    learner = Learner(address, ADDRESSES)
    assert learner.result(100.0) is None
    for number, data in enumerate(messages):
        learner.hear("Box MIDI 1 24:0", Message.from_bytes(data), number / 100)
        if number < 60:
            assert learner.result(number / 100) is None, "the hand has not come to rest"
    mapping = learner.result(len(messages) / 100 + REST_SECONDS)
    assert mapping is not None
    assert mapping.port == "Box MIDI 1"
    return mapping


def facts(mapping: Mapping) -> dict[str, Any]:
    return mapping.model_dump(exclude_defaults=True, exclude={"to", "port", "channel"})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([30, 32, 35, 33, 31], {"cc": 20}),
        ([0, 1, 2, 3, 4, 3, 2, 1, 0, 0], {"cc": 20}),
        ([120, 125, 127, 127, 126, 120], {"cc": 20}),
        ([60, 61, 62, 63, 64, 65, 66], {"cc": 20}),
        ([1, 1, 2, 1, 127, 127, 126], {"cc": 20, "encoder": "twos-complement"}),
        ([65, 65, 67, 63, 63], {"cc": 20, "encoder": "offset"}),
        ([1, 1, 1, 65, 65, 66], {"cc": 20, "encoder": "sign-magnitude"}),
        ([1, 1, 1, 1], {"cc": 20, "encoder": "twos-complement"}),
        ([65, 65, 65], {"cc": 20, "encoder": "offset"}),
        ([127, 0, 127, 0], {"cc": 20, "press": "toggle"}),
    ],
)
def test_seven_bits(values: list, expected: dict) -> None:
    assert facts(learn(*([0xB0, 20, value] for value in values))) == expected


def test_the_other_kinds() -> None:
    pairs = [
        message for value in range(1000, 3000, 150) for message in ([0xB1, 7, value >> 7], [0xB1, 39, value & 127])
    ]
    learned = learn(*pairs)
    assert facts(learned) == {"cc14": (7, 39)}
    assert learned.channel == 2
    chosen = [[0xB0, 99, 2], [0xB0, 98, 44]]
    values = [[0xB0, 6, 10], [0xB0, 38, 5], [0xB0, 6, 11], [0xB0, 38, 90]]
    assert facts(learn(*chosen, *values)) == {"nrpn": 300}
    assert facts(learn(*chosen, [0xB0, 6, 10], *chosen, [0xB0, 6, 11])) == {"nrpn": 300, "bits": 7}
    assert facts(learn([0xE0, 0, 64], [0xE0, 9, 70])) == {"pitchbend": True}
    assert facts(learn([0x90, 60, 99], [0x80, 60, 0], address="play")) == {"note": 60}
    assert facts(learn([0xC0, 5], address="play")) == {"program": 5}
    assert facts(learn([0xB0, 41, 127], [0xB0, 41, 0], address="play")) == {"cc": 41, "press": "trigger"}


def test_the_control_that_moves_most_is_meant() -> None:
    moved = [[0xB0, 20, value] for value in range(30, 45)]
    assert facts(learn([0xB0, 3, 9], *moved, [0xB0, 52, 1], [0x90, 60, 1])) == {"cc": 20}


@given(st.lists(st.integers(0, 127), min_size=1))
def test_a_control_that_never_repeats_is_no_encoder_and_an_encoding_is_never_invented(values: list) -> None:
    changes = [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    if changes.count(127) <= 2:
        assert encoder(changes) is None
    assert encoder([*values, 40, 40]) is None


def test_port_patterns() -> None:
    assert port_pattern("nanoKONTROL2:nanoKONTROL2 MIDI 1 24:0") == "nanoKONTROL2:nanoKONTROL2 MIDI 1"
    assert port_pattern("a2j:MIDI Mix [28] (capture): MIDI Mix") == "a2j:MIDI Mix [*] (capture): MIDI Mix"
