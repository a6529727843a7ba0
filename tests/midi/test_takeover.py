"""Pickup, scale, relative: as state machines, with somebody else's hand on the value now and then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ambientd.midi.takeover import STEEPEST, Mode, nudged, takeover

positions = st.integers(0, 127).map(lambda value: value / 127)
anywhere = st.floats(0, 1)
TOLERANCE = 1.5 / 127
ROUNDING = 1e-9


class Hands(RuleBasedStateMachine):
    """One hand on the control, others on the value."""

    mode: Mode

    def __init__(self) -> None:
        super().__init__()
        self.takeover = takeover(self.mode, 128)
        self.value = 0.0
        self.control: float | None = None

    @initialize(value=anywhere)
    def begin(self, value: float) -> None:
        self.value = value

    @rule(value=anywhere)
    def somebody_else_moves_the_value(self, value: float) -> None:
        self.value = value

    @rule()
    def it_is_plugged_in_again(self) -> None:
        self.takeover, self.control = takeover(self.mode, 128), None

    @rule(control=positions)
    def turn(self, control: float) -> None:
        before = self.value
        went = self.takeover.turned(control, before)
        self.check(control, before, before if went is None else went)
        self.value = before if went is None else went
        self.control = control

    @rule(control=positions)
    def a_motor_moves_it_to_the_value(self, control: float) -> None:
        self.value = self.control = control
        self.takeover.placed(control)

    @invariant()
    def the_value_stays_in_range(self) -> None:
        assert -ROUNDING <= self.value <= 1 + ROUNDING

    def check(self, control: float, before: float, after: float) -> None:
        raise NotImplementedError


class PickupHands(Hands):
    mode = "pickup"

    def check(self, control: float, before: float, after: float) -> None:
        travel = 0.0 if self.control is None else abs(control - self.control)
        assert abs(after - before) <= max(travel, TOLERANCE) + ROUNDING, "a jump"
        assert after in (before, control)
        if self.control is not None and min(self.control, control) <= before <= max(self.control, control):
            assert after == control, "it was passed and not picked up"


class ScaleHands(Hands):
    mode = "scale"

    def check(self, control: float, before: float, after: float) -> None:
        if self.control is None:
            assert after == before, "the first touch moves nothing"
            return
        travel = control - self.control
        assert abs(after - before) <= STEEPEST * abs(travel) + ROUNDING, "a jump"
        assert (after - before) * travel >= -ROUNDING, "against the hand"
        if travel > 0 and (1 - before) <= STEEPEST * (1 - self.control):
            assert after == pytest.approx(before + travel * (1 - before) / (1 - self.control))
        if self.control == pytest.approx(before):
            assert after == pytest.approx(control), "together, they stay together"


class RelativeHands(Hands):
    mode = "relative"

    def check(self, control: float, before: float, after: float) -> None:
        travel = 0.0 if self.control is None else control - self.control
        assert after == pytest.approx(min(max(before + travel, 0), 1))


class JumpHands(Hands):
    mode = "jump"

    def check(self, control: float, before: float, after: float) -> None:
        assert after == control


TestPickup = PickupHands.TestCase
TestScale = ScaleHands.TestCase
TestRelative = RelativeHands.TestCase
TestJump = JumpHands.TestCase


@given(st.floats(0, 1), positions)
def test_scaled_both_reach_the_end_together(value: float, start: float) -> None:
    """Swept from end to end and back, wherever they began."""
    scale = takeover("scale", 128)
    scale.turned(start, value)
    for step in [*range(round(start * 127), 128), *range(127, -1, -1), *range(1, 128)]:
        went = scale.turned(step / 127, value)
        value = value if went is None else went
    assert value == pytest.approx(1, abs=1e-6)


@given(st.floats(-3, -0.001) | st.floats(1.001, 3), st.lists(positions, min_size=1))
def test_a_value_outside_the_range_is_not_pulled_further_than_the_control_goes(value: float, turns: list) -> None:
    for mode in ("scale", "relative"):
        grip, now, before = takeover(mode, 128), value, None  # type: ignore[arg-type]
        for control in turns:
            went = grip.turned(control, now)
            after = now if went is None else went
            travel = 0 if before is None else control - before
            assert abs(after - now) <= STEEPEST * abs(travel) + ROUNDING
            assert (after - now) * travel >= -ROUNDING
            now, before = after, control
    pickup = takeover("pickup", 128)
    assert pickup.turned(0.5, value) is None
    end = 0.0 if value < 0 else 1.0
    assert pickup.turned(end, value) == end


@given(st.lists(st.floats(-0.3, 0.3)), anywhere)
def test_nudges_stay_between_the_ends(nudges: list, value: float) -> None:
    for by in nudges:
        after = nudged(value, by)
        assert 0 <= after <= 1
        assert abs(after - value) <= abs(by) + ROUNDING
        value = after
    assert nudged(-0.5, 0.1) == pytest.approx(-0.4)
    assert nudged(-0.5, -0.1) == -0.5
    assert nudged(1.5, 0.1) == 1.5
