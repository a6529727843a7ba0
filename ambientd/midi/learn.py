"""Learning: somebody moves a knob, and this finds out which and of what kind. Supervisor or command line; pure.

It listens until the hand rests. Encoders give themselves away by repeating a value, which no absolute control
does; which of the three encodings it is shows when it is turned both ways, so people are asked to do that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ambientd.midi.mapping import Addresses, Mapping, Target
from ambientd.midi.sources import DATA_LSB, DATA_MSB, NRPN_LSB, NRPN_MSB, RPN_LSB, RPN_MSB, Encoding

if TYPE_CHECKING:
    from mido import Message

REST_SECONDS = 0.8
ENOUGH = 64
"""Messages after which nobody has to rest."""
FASTEST = 15
"""Clicks that an encoder tells of at once, at most."""


@dataclass
class _Heard:
    """What one control has sent. fine: how often a fine half followed its coarse one."""

    values: list[int] = field(default_factory=list)
    fine: int = 0


class Learner:
    """`hear` everything; `result` is the mapping once the hand rests, and stays None until then."""

    def __init__(self, address: str, addresses: Addresses) -> None:
        """address: what the control is to move; one that `addresses` contains."""
        self.address = address
        self._command = addresses.is_command(address)
        self._heard: dict[tuple[Any, ...], _Heard] = defaultdict(_Heard)
        self._nrpn: dict[tuple[str, int], list[int | None]] = {}
        self._last: dict[tuple[str, int], int] = {}
        """The latest plain controller of each port and channel."""
        self._at = 0.0

    def hear(self, port: str, message: Message, now: float) -> None:
        key = self._key(port, message)
        if key is None:
            return
        self._at = now
        heard = self._heard[key]
        heard.values.append(_value(message))

    def result(self, now: float) -> Mapping | None:
        """The control that moved most, as a mapping."""
        if not self._heard:
            return None
        key, heard = max(self._heard.items(), key=lambda item: len(item[1].values))
        if now - self._at < REST_SECONDS and len(heard.values) < ENOUGH:
            return None
        port, channel, kind, number = key
        values: dict[str, Any] = {"port": port_pattern(port), "channel": channel + 1}
        if kind == "cc":
            values |= self._controller(key, heard)
        elif kind == "nrpn":
            values |= {"nrpn": number, "bits": 14 if heard.fine else 7}
        else:
            values[kind] = True if kind == "pitchbend" else number
        return Mapping(to=[Target(address=self.address)], **values)

    def _controller(self, key: tuple[Any, ...], heard: _Heard) -> dict[str, Any]:
        port, channel, _, number = key
        for coarse in (number, number - 32):
            # Turned a little, a pair sends its coarse half once in a while only, or never another.
            high, low = (self._heard.get((port, channel, "cc", n)) for n in (coarse, coarse + 32))
            if high and low and low.fine >= 2:
                return {"cc14": (coarse, coarse + 32)}
        if set(heard.values) <= {0, 127}:
            return {"cc": number, "press": "trigger" if self._command else "toggle"}
        encoding = None if self._command else encoder(heard.values)
        return {"cc": number} | ({"encoder": encoding} if encoding else {})

    def _key(self, port: str, message: Message) -> tuple[Any, ...] | None:
        """Which control a message is from; None for what belongs to another message, or to none."""
        channel = getattr(message, "channel", 0)
        if message.type == "control_change":
            return self._controller_key(port, channel, message)
        if message.type == "note_on" and message.velocity > 0:
            return port, channel, "note", message.note
        if message.type == "program_change":
            return port, channel, "program", message.program
        return (port, channel, "pitchbend", 0) if message.type == "pitchwheel" else None

    def _controller_key(self, port: str, channel: int, message: Message) -> tuple[Any, ...] | None:
        number, place = message.control, (port, channel)
        if number in (NRPN_MSB, NRPN_LSB):
            self._nrpn.setdefault(place, [None, None])[number == NRPN_LSB] = message.value
            return None
        if number in (RPN_MSB, RPN_LSB):
            self._nrpn.pop(place, None)
            return None
        high, low = self._nrpn.get(place, (None, None))
        if number in (DATA_MSB, DATA_LSB) and high is not None and low is not None and (high, low) != (127, 127):
            key = port, channel, "nrpn", high * 128 + low
            if number == DATA_LSB:
                self._heard[key].fine += 1
                return None
            return key
        key = port, channel, "cc", number
        if self._last.get(place) == number - 32 and number >= 32:
            self._heard[key].fine += 1
        self._last[place] = number
        return key


def encoder(values: list[int]) -> Encoding | None:
    """Which kind of encoder sent these values; None for a control with ends.

    >>> encoder([1, 1, 2, 127, 127]), encoder([65, 65, 63, 63]), encoder([10, 11, 13, 14])
    ('twos-complement', 'offset', None)
    """
    right_or_left = [_zone(value) for value in values]
    if None in right_or_left or not _repeats(values):
        return None
    zones = set(right_or_left)
    if "high" in zones:
        return "twos-complement"
    if "below" in zones:
        return "offset"
    if zones == {"low", "above"}:
        return "sign-magnitude"
    # Turned one way only: of the two that it can be, the more common.
    return "twos-complement" if "low" in zones else "offset"


def _zone(value: int) -> str | None:
    """Where among an encoder's values: just above 0, just below or above 64, just below 128; None for elsewhere."""
    if 1 <= value <= FASTEST:
        return "low"
    if 64 - FASTEST <= value < 64:
        return "below"
    if 64 < value <= 64 + FASTEST:
        return "above"
    return "high" if value >= 128 - FASTEST else None


def _repeats(values: list[int]) -> bool:
    """Whether a value came twice in a row: an absolute control sends changes only. Ends may be sent again."""
    return any(a == b and a not in (0, 127) for a, b in pairwise(values)) or values.count(127) > 2


def _value(message: Message) -> int:
    if message.type == "control_change":
        return int(message.value)
    return int(getattr(message, "velocity", getattr(message, "pitch", 0)))


def port_pattern(name: str) -> str:
    """A port's name without the numbers that change when it is plugged in again.

    >>> port_pattern("nanoKONTROL2:nanoKONTROL2 MIDI 1 24:0"), port_pattern("a2j:MIDI Mix [28] (capture): MIDI Mix")
    ('nanoKONTROL2:nanoKONTROL2 MIDI 1', 'a2j:MIDI Mix [*] (capture): MIDI Mix')
    """
    return re.sub(r"\[\d+\]", "[*]", re.sub(r" \d+:\d+$", "", name))
