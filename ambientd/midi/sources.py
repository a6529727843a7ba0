"""From MIDI messages to what a hand did: one small state machine per mapped control. Supervisor; pure.

A source hears every message of its port and channel and answers with a gesture where the message is its own.
Numbers are those of the MIDI 1.0 Detailed Specification (4.2), section "Control Change".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from mido import Message

Encoding = Literal["twos-complement", "offset", "sign-magnitude"]
DATA_MSB, DATA_LSB, INCREMENT, DECREMENT = 6, 38, 96, 97
NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB = 98, 99, 100, 101
PRESSED = 64
"""A controller value from here on is a button held down."""


@dataclass(frozen=True)
class Turned:
    """An absolute control stands at `position` 0..1."""

    position: float


@dataclass(frozen=True)
class Nudged:
    """A relative control went `steps` clicks, negative to the left."""

    steps: int


@dataclass(frozen=True)
class Pressed:
    """A button went down or up; number: the program that was chosen, else 0."""

    down: bool
    number: int = 0


Gesture = Turned | Nudged | Pressed


class Source(Protocol):
    """levels: how many positions the control can tell apart."""

    levels: int

    def hear(self, message: Message) -> Gesture | None: ...


class ControlChange:
    """A 7-bit controller: knob, fader, or a button that sends values."""

    levels = 128

    def __init__(self, number: int, button: bool) -> None:
        self._number, self._button = number, button

    def hear(self, message: Message) -> Gesture | None:
        if message.type != "control_change" or message.control != self._number:
            return None
        return Pressed(message.value >= PRESSED) if self._button else Turned(message.value / 127)


class Pair:
    """A 14-bit controller of two numbers, coarse then fine.

    Only the fine half speaks: a coarse value with the fine half still to come would be a step back and forth.
    A device may leave out the coarse half where it has not changed, so the last one is kept.
    """

    levels = 16_384

    def __init__(self, coarse: int, fine: int) -> None:
        self._coarse, self._fine = coarse, fine
        self._heard: int | None = None

    def hear(self, message: Message) -> Gesture | None:
        if message.type != "control_change":
            return None
        if message.control == self._coarse:
            self._heard = message.value
        elif message.control == self._fine and self._heard is not None:
            return Turned((self._heard * 128 + message.value) / 16_383)
        return None


class Nrpn:
    """A non-registered parameter: chosen by controllers 99 and 98, set by 6 (and 38), stepped by 96 and 97."""

    def __init__(self, number: int, bits: int) -> None:
        self._wanted = divmod(number, 128)
        self._fine = bits == 14
        self.levels = 1 << bits
        self._chosen: tuple[int | None, int | None] = (None, None)
        self._heard: int | None = None

    def hear(self, message: Message) -> Gesture | None:
        if message.type != "control_change":
            return None
        number, value = message.control, message.value
        if number in (NRPN_MSB, NRPN_LSB, RPN_MSB, RPN_LSB):
            self._choose(number, value)
            return None
        return self._data(number, value) if self._chosen == self._wanted else None

    def _choose(self, number: int, value: int) -> None:
        high, low = self._chosen
        if number == NRPN_MSB:
            self._chosen = value, low
        elif number == NRPN_LSB:
            self._chosen = high, value
        else:  # registered parameters share the data controllers
            self._chosen = None, None
        if self._chosen != self._wanted:
            self._heard = None

    def _data(self, number: int, value: int) -> Gesture | None:
        if number in (INCREMENT, DECREMENT):
            return Nudged(1 if number == INCREMENT else -1)
        if number == DATA_MSB:
            self._heard = value
            return None if self._fine else Turned(value / 127)
        if number == DATA_LSB and self._fine and self._heard is not None:
            return Turned((self._heard * 128 + value) / 16_383)
        return None


class PitchBend:
    """A bender, or a fader that sends 14 bits as one."""

    levels = 16_384

    def hear(self, message: Message) -> Gesture | None:
        return Turned((message.pitch + 8192) / 16_383) if message.type == "pitchwheel" else None


class Encoder:
    """A knob without ends that sends how far it was turned."""

    levels = 128

    def __init__(self, number: int, encoding: Encoding) -> None:
        self._number, self._encoding = number, encoding

    def hear(self, message: Message) -> Gesture | None:
        if message.type != "control_change" or message.control != self._number:
            return None
        steps = clicks(message.value, self._encoding)
        return Nudged(steps) if steps else None


class Note:
    """A pad or key. A note-on of velocity 0 is a note-off."""

    levels = 2

    def __init__(self, number: int) -> None:
        self._number = number

    def hear(self, message: Message) -> Gesture | None:
        if message.type not in ("note_on", "note_off") or message.note != self._number:
            return None
        return Pressed(message.type == "note_on" and message.velocity > 0)


class Program:
    """Program changes: one number, or with None any of them. There is no letting go."""

    levels = 2

    def __init__(self, number: int | None) -> None:
        self._number = number

    def hear(self, message: Message) -> Gesture | None:
        if message.type != "program_change" or self._number not in (None, message.program):
            return None
        return Pressed(True, message.program)


def clicks(value: int, encoding: Encoding) -> int:
    """How far an encoder's value 0..127 says it was turned, -64..64.

    twos-complement: 1, 2.. right, 127, 126.. left. offset: 65, 66.. right, 63, 62.. left.
    sign-magnitude: 1, 2.. right, 65, 66.. left.
    """
    if encoding == "twos-complement":
        return value if value < 64 else value - 128
    if encoding == "offset":
        return value - 64
    return value if value < 64 else 64 - value
