"""A jump of a knob becomes a way of the length that its slew says."""

from __future__ import annotations

import numpy as np
import pytest

from ambientd.engine.knob import Knob
from ambientd.ipc.memory import Segment
from ambientd.ipc.values import Values
from ambientd.parameters import SLOT_PARAMETERS, Parameter

STEP = 0.016


@pytest.fixture
def cells():
    segment = Segment.create(Values.nbytes(1))
    yield Values(segment, 1)
    segment.close()


def way(parameter, cells, start, target, steps):
    cells[0] = start
    knob = Knob(parameter, cells, 0)
    cells[0] = target
    values = [knob.value]
    for _ in range(steps):
        knob.follow(STEP)
        values.append(knob.value)
    return values


@pytest.mark.parametrize("parameter", SLOT_PARAMETERS, ids=[p.id for p in SLOT_PARAMETERS])
@pytest.mark.parametrize("upwards", [True, False])
def test_a_jump_over_the_whole_range_takes_the_slew_and_ends_exactly(parameter, cells, upwards):
    ends = (parameter.low, parameter.high) if upwards else (parameter.high, parameter.low)
    steps = int(np.ceil(parameter.slew / STEP))
    values = way(parameter, cells, *ends, steps + 1)
    assert values[0] == ends[0]
    assert values[-1] == ends[1]
    assert values[steps - 1] != ends[1]
    positions = np.diff([parameter.normalise(value) for value in values[:steps]])
    np.testing.assert_allclose(positions, (1 if upwards else -1) * STEP / parameter.slew, atol=1e-6)


def test_without_slew_it_jumps_and_a_part_of_the_range_takes_a_part_of_the_time(cells):
    assert way(Parameter("a", "A", slew=0), cells, 0, 1, 1) == [0, 1]
    assert way(Parameter("a", "A", slew=10 * STEP), cells, 0.2, 0.4, 3)[-2:] == [pytest.approx(0.4)] * 2


def test_a_knob_that_turns_back_on_the_way_is_followed(cells):
    parameter = Parameter("a", "A", slew=10 * STEP)
    cells[0] = 0
    knob = Knob(parameter, cells, 0)
    for target, expected in ((1, 0.1), (1, 0.2), (0, 0.1), (0, 0), (0, 0)):
        cells[0] = target
        knob.follow(STEP)
        assert knob.value == pytest.approx(expected)
