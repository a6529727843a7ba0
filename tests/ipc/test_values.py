import os
from enum import IntEnum

import pytest

from ambientd.ipc.memory import Segment
from ambientd.ipc.values import Values


class Cell(IntEnum):
    VOLUME = 0
    FRAMES = 1


def test_the_newest_value_wins_and_is_seen_through_another_descriptor():
    segment = Segment.create(Values.nbytes(len(Cell)))
    writer = Values(segment, len(Cell))
    reader = Values(Segment.attach(os.dup(segment.fd)), len(Cell))
    assert reader[Cell.VOLUME] == 0.0
    writer[Cell.VOLUME] = 0.25
    writer[Cell.VOLUME] = 0.5
    writer[Cell.FRAMES] = 2**53
    assert (reader[Cell.VOLUME], reader[Cell.FRAMES], len(reader)) == (0.5, 2**53, 2)


def test_a_cell_outside_is_an_error():
    with pytest.raises(IndexError):
        Values(Segment.create(Values.nbytes(2)), 2)[2]


def test_a_segment_survives_its_descriptor_and_refuses_what_does_not_fit():
    segment = Segment.create(64)
    array = segment.array("float32", (4, 4))
    segment.close()
    array[:] = 3
    assert array.sum() == 48
    with pytest.raises((TypeError, ValueError)):
        segment.array("float32", (5, 4))
