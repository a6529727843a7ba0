"""One connected controller: messages in, actions out, and what it is to show. Supervisor; pure.

A `Surface` lives as long as its port is there. A controller that comes back gets a fresh one, which knows nothing
of where its knobs stood: nothing moves until a knob is moved, and then by its mapping's takeover.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ambientd.errors import AmbientdError
from ambientd.midi.mapping import Addresses, Mapping, Target
from ambientd.midi.sources import DATA_LSB, DATA_MSB, NRPN_LSB, NRPN_MSB, Gesture, Nudged, Pressed, Turned
from ambientd.midi.takeover import nudged, takeover

if TYPE_CHECKING:
    from mido import Message

QUIET_SECONDS = 0.5
"""A control that was moved is sent nothing for so long: a motor would fight the hand."""
MIDDLE = 0.5
"""A toggle is on when its value is nearer to the far end of its range."""


@dataclass(frozen=True)
class Set:
    """Put a parameter's knob at a position 0..1."""

    address: str
    position: float


@dataclass(frozen=True)
class Do:
    """Give a command."""

    address: str
    arguments: tuple[Any, ...]


Action = Set | Do
Positions = Callable[[str], float]
"""Where 0..1 a parameter's knob is; raises AmbientdError where there is none (another mashup is selected)."""


class Surface:
    """mappings: those of this port, resolved. Each channel of a control has a state of its own."""

    def __init__(self, mappings: Iterable[Mapping], addresses: Addresses) -> None:
        self._mappings = list(mappings)
        self._addresses = addresses
        self._strips: dict[tuple[int, int], _Strip] = {}
        self._shown: dict[int, float] = {}

    def hear(self, message: Message, now: float, positions: Positions) -> list[Action]:
        """What a message asks for. now: seconds of any steady clock."""
        channel = getattr(message, "channel", None)
        if channel is None:
            return []
        actions: list[Action] = []
        for index, mapping in enumerate(self._mappings):
            if mapping.channel in (None, channel + 1):
                actions += self._strip(index, channel).hear(message, now, positions)
        return actions

    def show_again(self) -> None:
        """At the next `show`, everything."""
        self._shown.clear()

    def show(self, now: float, positions: Positions) -> list[Message]:
        """What lights and motors are to be sent, but for controls that are being moved."""
        messages: list[Message] = []
        for index, mapping in enumerate(self._mappings):
            if mapping.feedback == "none" or self._moving(index, now):
                continue
            position = self._position(mapping, positions)
            if position is None or self._shown.get(index) == position:
                continue
            self._shown[index] = position
            messages += feedback(mapping, position)
            for (owner, _), strip in self._strips.items():
                if owner == index and mapping.feedback == "motor":
                    strip.placed(position)
        return messages

    def settled(self, now: float) -> bool:
        """Whether no feedback is held back for a control that is being moved."""
        return all(now - strip.moved >= QUIET_SECONDS for strip in self._strips.values())

    def _strip(self, index: int, channel: int) -> _Strip:
        key = index, channel
        if key not in self._strips:
            self._strips[key] = _Strip(self._mappings[index], self._addresses)
            if key[0] in self._shown and self._mappings[index].feedback == "motor":
                self._strips[key].placed(self._shown[index])
        return self._strips[key]

    def _moving(self, index: int, now: float) -> bool:
        return any(owner == index and now - s.moved < QUIET_SECONDS for (owner, _), s in self._strips.items())

    def _position(self, mapping: Mapping, positions: Positions) -> float | None:
        """Where the first parameter that this control moves is, on the control's own way."""
        for target in mapping.to:
            if not self._addresses.is_command(target.address):
                try:
                    return min(max(own_position(positions(target.address), target), 0.0), 1.0)
                except AmbientdError:
                    return None
        return None


class _Strip:
    """A control on one channel: its source, and one takeover for each target."""

    def __init__(self, mapping: Mapping, addresses: Addresses) -> None:
        self._mapping, self._addresses = mapping, addresses
        self._source = mapping.source()
        mode = mapping.takeover or "pickup"
        self._takeovers = [takeover(mode, self._source.levels) for _ in mapping.to]
        self.moved = -math.inf
        """When the control was last moved."""
        self._down = False

    def hear(self, message: Message, now: float, positions: Positions) -> list[Action]:
        gesture = self._source.hear(message)
        if gesture is None:
            return []
        self.moved = now
        if isinstance(gesture, Turned) and self._addresses.is_command(self._mapping.to[0].address):
            gesture = self._as_button(gesture)
        actions = []
        for index, target in enumerate(self._mapping.to):
            if action := self._act(gesture, index, target, positions):
                actions.append(action)
        return actions

    def placed(self, position: float) -> None:
        for each in self._takeovers:
            each.placed(position)

    def _as_button(self, turned: Turned) -> Gesture:
        """A knob on a command presses it when it passes its middle."""
        down = turned.position >= MIDDLE
        was, self._down = self._down, down
        return Pressed(down and not was)

    def _act(self, gesture: Gesture, index: int, target: Target, positions: Positions) -> Action | None:
        if self._addresses.is_command(target.address):
            pressed = isinstance(gesture, Pressed) and gesture.down
            return self._command(gesture.number, target) if pressed and isinstance(gesture, Pressed) else None
        try:
            value = own_position(positions(target.address), target)
        except AmbientdError:
            return None
        if isinstance(gesture, Pressed):
            went = self._button(gesture.down, value)
        elif isinstance(gesture, Nudged):
            went = nudged(value, gesture.steps * self._mapping.step)
        else:
            went = self._takeovers[index].turned(gesture.position, value)
        if went is None or went == value:
            return None
        low, high = target.ends
        return Set(target.address, min(max(low + (high - low) * went, 0.0), 1.0))

    def _command(self, number: int, target: Target) -> Do | None:
        if self._mapping.program != "any" or not self._mapping.names:
            return Do(target.address, tuple(target.arguments))
        if number >= len(self._mapping.names):
            return None
        return Do(target.address, (self._mapping.names[number], *target.arguments))

    def _button(self, down: bool, value: float) -> float | None:
        press = self._mapping.press or "toggle"
        if press == "hold":
            return float(down)
        if not down:
            return None
        return 1.0 if press == "trigger" or value < MIDDLE else 0.0


def own_position(position: float, target: Target) -> float:
    """A parameter's position on its control's own way: outside 0..1 where the value lies outside the range."""
    low, high = target.ends
    return (position - low) / (high - low) if high != low else position


def feedback(mapping: Mapping, position: float) -> list[Message]:
    """The messages that show `position` 0..1 on a mapping's control."""
    from mido import Message

    channel = (mapping.channel or 1) - 1

    def change(number: int, value: int) -> Message:
        return Message("control_change", channel=channel, control=number, value=value)

    seven, fourteen = round(position * 127), divmod(round(position * 16_383), 128)
    if mapping.is_button():
        seven = mapping.lights[position >= MIDDLE]
    if mapping.cc is not None:
        return [change(mapping.cc, seven)]
    if mapping.cc14 is not None:
        return [change(number, value) for number, value in zip(mapping.cc14, fourteen, strict=True)]
    if mapping.nrpn is not None:
        high, low = divmod(mapping.nrpn, 128)
        chosen = [change(NRPN_MSB, high), change(NRPN_LSB, low)]
        if mapping.bits == 7:
            return [*chosen, change(DATA_MSB, seven)]
        return [*chosen, change(DATA_MSB, fourteen[0]), change(DATA_LSB, fourteen[1])]
    if mapping.pitchbend:
        return [Message("pitchwheel", channel=channel, pitch=round(position * 16_383) - 8192)]
    if mapping.note is not None:
        return [Message("note_on", channel=channel, note=mapping.note, velocity=seven)]
    return []
