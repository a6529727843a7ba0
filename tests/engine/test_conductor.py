"""A mashup that is late, raises or fills in nonsense."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from ambientd.engine.conductor import PATIENCE, Conductor, Request, conduct
from ambientd.engine.mix import InvalidMix
from ambientd.plugin import Mashup, StrictModel
from ambientd.types import BlockClock, Mix

DEADLINE = 20.0


class Scripted(Mashup):
    """Sets voice 0's gain to the block's number, after doing what `script` holds for that block."""

    name = "scripted"

    def __init__(self, slots, script):
        super().__init__(StrictModel(), slots)
        self.script = script
        self.changes = []

    def voices_changed(self, slots):
        super().voices_changed(slots)
        self.changes.append(slots)

    def next_mix(self, controls, clock, mix):
        self.script.get(clock.index, lambda mix: None)(mix)
        mix.gains[0] = clock.index / 100


@pytest.fixture
def slots(make_checkpoint):
    return (make_checkpoint(seed=1).info, None)


def request(index, slots):
    return Request(BlockClock(index, 16_000), slots, {}, Mix.solo(2, 1))


def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.001)


class Stage:
    """A conductor, what it reported, and a way to play blocks one after the other."""

    def __init__(self, slots, script):
        self.slots, self.reports = slots, []
        self.mashup = Scripted(slots, script)
        self.conductor = Conductor(self.mashup, request(0, slots), lambda *report: self.reports.append(report))

    def block(self, index):
        """Ask for a block, wait until it was answered, and return voice 0's gain."""
        self.conductor.request(request(index, self.slots))
        until(self.conductor._answered.is_set)
        return self.gain(index)

    def gain(self, index):
        own = request(index, self.slots)
        own.mix.gains[0] = 0.8
        return float(self.conductor.mix(own)[0].gains[0, 0])

    @property
    def states(self):
        return [state for state, _ in self.reports]


def fail(mix):
    raise RuntimeError("no idea")


def spoil(mix):
    mix.temperature[0] = np.nan


def test_each_block_gets_its_own_mix(slots):
    stage = Stage(slots, {})
    assert [stage.block(n) for n in (1, 2, 3)] == pytest.approx([0.01, 0.02, 0.03])
    assert stage.reports == []


@pytest.mark.parametrize("fault", [fail, spoil])
def test_the_last_good_mix_stays_and_one_traceback_is_logged(slots, fault, capsys):
    stage = Stage(slots, {2: fault, 3: fault})
    assert [stage.block(n) for n in (1, 2, 3, 4)] == pytest.approx([0.01, 0.01, 0.01, 0.04])
    assert stage.states == ["failing", "running"]
    assert capsys.readouterr().err.count("Traceback") == 1


def test_after_three_faults_every_voice_plays_on_its_own_until_it_recovers(slots):
    stage = Stage(slots, dict.fromkeys((1, 2, 3, 4), fail))
    assert [stage.block(n) for n in (1, 2, 3, 4, 5)] == pytest.approx([0, 0, 0.8, 0.8, 0.05])
    assert stage.states == ["failing", "replaced", "running"]
    assert "no idea" in stage.reports[0][1]


def test_nobody_waits_for_a_mashup_that_hangs(slots):
    release = threading.Event()
    stage = Stage(slots, {1: lambda mix: release.wait(DEADLINE)})
    stage.conductor.request(request(1, slots))

    def asked_again():
        stage.conductor.request(request(2, slots))
        return stage.conductor._faults >= PATIENCE

    until(asked_again)
    assert stage.gain(2) == pytest.approx(0.8)
    release.set()
    until(lambda: "running" in stage.states)
    assert stage.states[:2] == ["failing", "replaced"]


def test_voices_changed_is_called_before_the_mix_for_them(slots, make_checkpoint):
    stage = Stage(slots, {})
    stage.slots = (slots[0], make_checkpoint(seed=2).info)
    stage.block(1)
    assert stage.mashup.changes == [stage.slots]


def test_the_dry_run_raises_what_the_mashup_raises(slots):
    with pytest.raises(RuntimeError, match="no idea"):
        Stage(slots, {0: fail})
    with pytest.raises(InvalidMix):
        conduct(Scripted(slots, {0: spoil}), request(0, slots))
