"""What a port has heard, and when."""

from __future__ import annotations

import pytest

from ambientd.midi.ports import Ports


class Port:
    """As rtmidi's input: messages with the seconds since the one before."""

    def __init__(self, *messages: tuple[list[int], float]) -> None:
        self._messages = list(messages)

    def get_message(self) -> tuple[list[int], float] | None:
        return self._messages.pop(0) if self._messages else None


def test_messages_that_waited_together_keep_their_distances() -> None:
    ports = Ports.__new__(Ports)  # rtmidi needs no server for this
    ports.inputs = {("Drums", 0): Port(([0xF8], 7.0), ([0xF8], 0.02), ([0xFC], 0.03)), ("Mix", 0): Port(([0xFA], 1.0))}
    heard = list(ports.hear())
    assert [(name, data) for name, _, data in heard] == [
        ("Drums", [0xF8]), ("Drums", [0xF8]), ("Drums", [0xFC]), ("Mix", [0xFA]),
    ]  # fmt: skip
    assert [age for _, age, _ in heard] == pytest.approx([0.05, 0.03, 0.0, 0.0])
