"""A child that is always there, by a clock that the test turns."""

from __future__ import annotations

import errno

import pytest

from ambientd.supervisor import supervised
from ambientd.supervisor.supervised import STALL_SECONDS, ProcessState, Supervised


class Process:
    """As much of `ipc.child.Child` as is asked for."""

    alive, returncode, pid = True, None, 1

    def close(self):
        self.alive = False


class Rig:
    def __init__(self, clock):
        self.clock, self.progress, self.starts, self.errors, self.said, self.lost = clock, 0, 0, [], [], []
        self.watched = Supervised(
            "player", self.start, lambda: self.progress, lambda: True, grace=10.0, patience=1.2,
            report=self.said.append, lost=self.lost.append,
        )  # fmt: skip
        self.watched.start()
        self.watched.ready()

    def start(self):
        self.starts += 1
        if self.errors:
            raise self.errors.pop()
        return Process()

    def pass_by(self, seconds, working=True):
        """As the supervisor's loop does."""
        for _ in range(round(seconds / 0.05)):
            self.clock[0] += 0.05
            self.progress += working
            self.watched.watch()


@pytest.fixture
def rig(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(supervised.time, "monotonic", lambda: clock[0])
    return Rig(clock)


def test_one_that_makes_no_progress_is_replaced(rig):
    rig.pass_by(1.0)
    rig.pass_by(1.1, working=False)
    assert rig.watched.restarts == 0
    rig.pass_by(0.2, working=False)
    assert (rig.watched.restarts, rig.watched.state, rig.lost) == (1, ProcessState.WAITING, [None])
    rig.pass_by(0.3)
    assert rig.watched.state is ProcessState.STARTING


def test_nobody_is_blamed_for_a_machine_that_stood_still(rig):
    rig.pass_by(1.0)
    for _ in range(3):  # each time the supervisor wakes up first
        rig.clock[0] += 20.0
        rig.watched.watch()
    assert rig.watched.restarts == 0
    rig.pass_by(1.3, working=False)
    assert rig.watched.restarts == 1
    rig.pass_by(0.3)
    rig.clock[0] += 10.0 + STALL_SECONDS  # nor while it starts
    rig.watched.watch()
    assert rig.watched.state is ProcessState.STARTING


def test_a_process_that_cannot_be_made_is_tried_again(rig):
    rig.errors = [MemoryError("none left"), *[OSError(errno.EAGAIN, "Resource temporarily unavailable")] * 2]
    rig.watched.child.alive = False
    rig.pass_by(1.2)
    assert rig.watched.state is ProcessState.WAITING
    assert any("could not be started (Resource temporarily unavailable)" in line for line in rig.said)
    rig.pass_by(5.0)
    assert rig.watched.state is ProcessState.STARTING
    assert (rig.watched.restarts, len(rig.lost), len(rig.said)) == (1, 1, 4)
    rig.errors = [OSError(errno.EAGAIN, "Resource temporarily unavailable")]
    rig.watched.start()  # a reload
    assert rig.watched.state is ProcessState.WAITING
    rig.pass_by(3.0)
    assert rig.watched.state is ProcessState.STARTING


def test_a_hang_is_found_by_a_supervisor_that_is_slow_every_time(rig):
    for _ in range(30):
        rig.clock[0] += STALL_SECONDS + 0.1
        rig.watched.watch()
    assert rig.watched.restarts == 1


def test_a_surprise_of_who_is_told_costs_no_process(rig):
    def surprised(returncode):
        raise RuntimeError

    rig.watched._lost = surprised
    rig.watched.child.alive = False
    with pytest.raises(RuntimeError):
        rig.watched.watch()
    rig.pass_by(0.5)
    assert rig.watched.state is ProcessState.STARTING
