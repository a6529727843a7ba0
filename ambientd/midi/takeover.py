"""How a control takes hold of a value that is somewhere else. Supervisor; pure.

One `Takeover` per control and target. Positions are the control's own, 0..1; a value that lies outside the
mapping's range has a position below 0 or above 1. `turned` says where the value goes, None for nowhere.
"""

from __future__ import annotations

from typing import Literal, Protocol

Mode = Literal["jump", "pickup", "scale", "relative"]
SAME = 1e-6
"""Two positions closer than this are the same: what passes through a parameter's warp comes back rounded."""
STEEPEST = 4.0
"""Scaled, a value moves at most so many times as far as its control, or near an end it would leap."""


class Takeover(Protocol):
    def turned(self, control: float, value: float) -> float | None:
        """The control was moved to `control`, the value is at `value`: where it goes."""
        ...

    def placed(self, control: float) -> None:
        """The control was moved there by a motor."""
        ...


def takeover(mode: Mode, levels: int) -> Takeover:
    """levels: how many positions the control can tell apart."""
    if mode == "jump":
        return Jump()
    if mode == "pickup":
        return Pickup(1.5 / (levels - 1))
    return Scale() if mode == "scale" else Relative()


class Jump:
    """The value goes where the control is."""

    def turned(self, control: float, value: float) -> float | None:
        return control

    def placed(self, control: float) -> None:
        pass


class Pickup:
    """The value waits until the control has come to it or passed it, and follows until somebody else moves it."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._before: float | None = None
        self._sent: float | None = None
        """Where this control left the value; None while it does not hold it."""

    def turned(self, control: float, value: float) -> float | None:
        held = self._sent is not None and abs(value - self._sent) < SAME
        held = held or self._meets(control, min(max(value, 0.0), 1.0))
        self._before = control
        self._sent = control if held else None
        return self._sent

    def placed(self, control: float) -> None:
        self._before = self._sent = control

    def _meets(self, control: float, value: float) -> bool:
        passed = self._before is not None and min(self._before, control) <= value <= max(self._before, control)
        return passed or abs(control - value) <= self._tolerance


class _Moved:
    """The value moves whenever its control has moved, by where that was before."""

    def __init__(self) -> None:
        self._before: float | None = None

    def turned(self, control: float, value: float) -> float | None:
        before, self._before = self._before, control
        return None if before is None or control == before else self._follow(before, control, value)

    def placed(self, control: float) -> None:
        self._before = control

    def _follow(self, before: float, control: float, value: float) -> float:
        raise NotImplementedError


class Scale(_Moved):
    """The value moves at once, faster or slower than its control, so that both reach the end together."""

    def _follow(self, before: float, control: float, value: float) -> float:
        slope = (1.0 - value) / (1.0 - before) if control > before else value / before
        # A value beyond the end that the control goes to stays there.
        return value + (control - before) * min(max(slope, 0.0), STEEPEST)


class Relative(_Moved):
    """The value moves as far as its control does, wherever the two are."""

    def _follow(self, before: float, control: float, value: float) -> float:
        return nudged(value, control - before)


def nudged(value: float, by: float) -> float:
    """`value` moved towards an end, held there; one that is beyond it already is not pulled back."""
    return min(max(value + by, min(value, 0.0)), max(value, 1.0))
