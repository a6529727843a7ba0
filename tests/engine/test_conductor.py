"""A mashup that is late, raises, hangs or fills in nonsense."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from ambientd.engine import conductor as module
from ambientd.engine.conductor import RECOVERY, Conductor, Request, conduct
from ambientd.engine.mix import InvalidMix
from ambientd.plugin import Mashup, StrictModel
from ambientd.types import BlockClock, Mix

DEADLINE = 20.0
RATE = 1000
"""Blocks of a quarter of a second: a busy machine makes none of them late."""


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


def request(index, slots, rate=RATE):
    return Request(BlockClock(index, rate), slots, {}, Mix.solo(2, 1))


def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.001)


class Stage:
    """A conductor, what it reported, and a way to play blocks one after the other."""

    def __init__(self, slots, script, rate=RATE):
        self.slots, self.rate, self.reports, self.marks = slots, rate, [], []
        self.mashup = Scripted(slots, script)
        report = lambda *report: self.reports.append(report)  # noqa: E731
        self.conductor = Conductor(self.mashup, request(0, slots), report, self.marks.append)

    def ask(self, index):
        self.conductor.request(request(index, self.slots, self.rate))

    def block(self, index):
        """Ask for a block, wait until it was answered, and return voice 0's gain."""
        self.ask(index)
        until(lambda: self.conductor._asked_at is None)
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


def leave(mix):
    raise SystemExit


def spoil(mix):
    mix.temperature[0] = np.nan


def overeat(mix):
    np.ones(1 << 50)


def loop(mix):
    while True:
        pass


def test_each_block_gets_its_own_mix(slots):
    stage = Stage(slots, {})
    assert [stage.block(n) for n in (1, 2, 3)] == pytest.approx([0.01, 0.02, 0.03])
    assert stage.reports == []
    assert stage.marks == [2, 0, 3, 0, 4, 0]


@pytest.mark.parametrize(
    ("fault", "state"), [(fail, "raises"), (leave, "raises"), (overeat, "raises"), (spoil, "invalid mix")]
)
def test_the_last_good_mix_goes_on_and_one_traceback_is_logged(slots, fault, state, capsys):
    stage = Stage(slots, dict.fromkeys(range(2, 8), fault))
    assert [stage.block(n) for n in range(1, 8)] == pytest.approx([0.01] * 7)
    assert stage.block(8) == pytest.approx(0.08)
    assert stage.states == [state]
    assert capsys.readouterr().err.count("Traceback") == (fault is not overeat)
    for n in range(9, 8 + RECOVERY):
        stage.block(n)
    assert stage.states == [state, "playing"]


def test_when_the_voices_change_meanwhile_each_plays_on_its_own(slots, make_checkpoint):
    stage = Stage(slots, {2: fail, 3: fail})
    assert [stage.block(n) for n in (1, 2)] == pytest.approx([0.01, 0.01])
    stage.slots = (make_checkpoint(seed=2).info, None)
    assert stage.block(3) == pytest.approx(0.8)
    assert stage.block(4) == pytest.approx(0.04)


def test_late_answers_count_and_are_news_when_they_are_many(slots):
    stage = Stage(slots, dict.fromkeys((1, 2, 4, 5, 6), lambda mix: time.sleep(0.12)), rate=2560)
    assert [stage.block(n) for n in (1, 2, 3)] == pytest.approx([0.01, 0.02, 0.03])
    assert stage.reports == []
    assert [stage.block(n) for n in (4, 5, 6)] == pytest.approx([0.04, 0.05, 0.06])
    assert stage.states == ["late"]
    assert "a block lasts 100 ms" in stage.reports[0][1]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(module, "HANG_SECONDS", 0.05)
    monkeypatch.setattr(module, "FIRST_REST", 0.05)


def ask_until(stage, condition):
    """Play on."""

    def asked():
        stage.ask(2)
        return condition()

    until(asked)


def test_an_endless_loop_is_ended_and_the_mashup_asked_again_after_a_rest(slots, impatient):
    stage = Stage(slots, {1: loop})
    stage.ask(1)
    first = stage.conductor._thread
    ask_until(stage, lambda: stage.states == ["hung"])
    assert stage.gain(2) == 0
    ask_until(stage, lambda: stage.gain(2) > 0)
    assert not first.is_alive()


def test_nobody_waits_for_a_mashup_that_sleeps_in_c(slots, impatient):
    release = threading.Event()
    stage = Stage(slots, {1: lambda mix: release.wait(DEADLINE)})
    stage.ask(1)
    ask_until(stage, lambda: stage.states == ["hung"])
    assert stage.gain(2) == 0
    release.set()
    ask_until(stage, lambda: stage.gain(2) > 0)


def test_a_loop_ends_with_its_conductor(slots):
    stage = Stage(slots, {1: loop})
    stage.ask(1)
    stage.conductor.close()
    until(lambda: not stage.conductor._thread.is_alive())


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
