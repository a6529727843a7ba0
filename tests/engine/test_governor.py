"""The governor on a simulated machine: how fast it is may change, and time is the audio it has made."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ambientd.engine.governor import COMFORT, MOST_PATIENCE, PATIENCE, RESERVE, SMOOTHING, Governor
from ambientd.types import BLOCK

BLOCK_SECONDS = BLOCK / 16_000
RINGS = {"normal": 0.5, "live": 0.12}


class Voices:
    """Equal voices, of which all but one can be shed."""

    def __init__(self, count):
        self.playing = self.count = count

    @property
    def price(self):
        return (self.playing + 1) / self.playing

    def shed(self):
        if self.playing == 1:
            return None
        self.playing -= 1
        return f"voice {self.playing + 1}"

    def restore(self, name):
        self.playing += 1
        assert name == f"voice {self.playing}"


class Machine:
    """A generator and a player. speed: the margin that one voice would have."""

    def __init__(self, voices, ring=0.5, speed=100.0):
        self.voices, self.ring, self.speed = Voices(voices), ring, speed
        self.filled, self.lowest, self.now = ring, ring, 0.0
        self.told = []
        self.governor = Governor([self.voices], ring, lambda *event: self.told.append((self.now, *event)))

    def block(self, seconds):
        """One that takes so many seconds to make."""
        self.filled -= max(seconds, self.filled + BLOCK_SECONDS - self.ring)  # where the ring is full, it waits
        self.lowest = min(self.lowest, self.filled)
        self.filled += BLOCK_SECONDS
        self.now += BLOCK_SECONDS
        self.governor.observe(self.now, BLOCK_SECONDS / seconds, self.filled)

    def play(self, seconds):
        for _ in range(round(seconds / BLOCK_SECONDS)):
            self.block(BLOCK_SECONDS * self.voices.playing / self.speed)
        return self

    def times(self, state):
        return [now for now, _, found, _ in self.told if found == state]


@pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS.keys())
@pytest.mark.parametrize("margin", [0.6, 0.8, 0.9, 0.99])
def test_it_sheds_before_the_player_would_notice(ring, margin):
    machine = Machine(4, ring, speed=4 * margin).play(60)
    assert machine.voices.playing == (2 if margin == 0.6 else 3)
    assert machine.lowest > 0.5 * RESERVE * ring
    assert machine.filled > ring - 2 * BLOCK_SECONDS


@pytest.mark.parametrize("ring", RINGS.values(), ids=RINGS.keys())
def test_a_machine_that_keeps_up_keeps_everything(ring):
    machine = Machine(4, ring, speed=4 * 1.01).play(60)
    assert machine.told == []


@pytest.mark.parametrize("share", [0.5, 0.7, 0.8, 0.9])
def test_a_rationed_processor_stops_between_quick_blocks_and_is_seen_through(share):
    """As the kernel's quotas do: so much of each tenth of a second of work, then nothing until the next begins."""
    machine = Machine(4, speed=32)
    machine.play(1)
    quota, clock, used, period = share * 0.1 * 4 / 32, 0.0, 0.0, 0
    for _ in range(round(30 / BLOCK_SECONDS)):
        work = BLOCK_SECONDS * machine.voices.playing / machine.speed
        rest = max(0.0, machine.filled + BLOCK_SECONDS - machine.ring - work)
        clock += rest
        if int(clock / 0.1) > period:
            period, used = int(clock / 0.1), 0.0
        stopped = 0.0
        if used + work > quota:
            stopped = 0.1 * (period + 1) - clock
            period, used = period + 1, 0.0
        machine.block(work + stopped)
        clock, used = clock + work + stopped, used + work
    assert machine.voices.playing < 4
    assert machine.lowest > 0.25 * RESERVE * machine.ring


def test_a_slow_start_costs_nothing_and_a_slow_machine_is_found_out_soon_after():
    machine = Machine(2, speed=1)
    for filled in (0.02, 0.1, 0.2, 0.24):
        machine.governor.observe(0, 0.5, filled)
        assert machine.told == []
    machine.governor.observe(0, 0.5, 0.26)
    assert machine.governor.shed == ["voice 2"]


def test_a_hiccup_costs_nothing():
    machine = Machine(4, speed=8)
    for _ in range(20):
        machine.play(0.5)
        machine.block(0.3)
    assert machine.lowest < 0.25
    assert machine.told == []


def test_it_says_once_that_nothing_helps():
    machine = Machine(2, speed=0.8).play(20)
    assert [event[1:] for event in machine.told] == [
        ("voice 2", "shed", ["voice 2"]),
        ("", "exhausted", ["voice 2"]),
    ]


def test_hiccups_do_not_keep_a_voice_away():
    machine = Machine(2, speed=1.9).play(10)
    assert machine.voices.playing == 1
    machine.speed = 5
    for _ in range(10):
        machine.play(1.5)
        machine.block(0.16)
    assert machine.voices.playing == 2


def test_everything_comes_back_one_by_one_when_the_machine_is_free_again():
    machine = Machine(4, speed=1.5).play(10)
    assert machine.voices.playing == 1
    assert machine.governor.shed == ["voice 4", "voice 3", "voice 2"]
    machine.speed = 8
    machine.play(PATIENCE / 2)
    assert machine.voices.playing == 1
    machine.play(4 * PATIENCE)
    assert machine.voices.playing == 4
    assert [event[1:3] for event in machine.told[3:]] == [(f"voice {n}", "restored") for n in (2, 3, 4)]
    assert min(b - a for a, b in pairwise(machine.times("restored"))) >= PATIENCE
    machine.play(120)
    assert len(machine.told) == 6


def test_without_room_for_it_nothing_comes_back():
    machine = Machine(2, speed=1.9).play(10)
    assert machine.voices.playing == 1
    machine.speed = 2 * COMFORT - 0.05
    machine.play(300)
    assert machine.voices.playing == 1


@pytest.mark.parametrize("together", [0.5, 0.9, 0.98])
def test_what_fails_again_and_again_is_tried_less_and_less(together):
    """Each voice costs more beside the other than alone, so that what was expected never comes true."""
    machine = Machine(2)
    for _ in range(round(3600 / BLOCK_SECONDS)):
        machine.speed = 6 if machine.voices.playing == 1 else 2 * together
        machine.play(BLOCK_SECONDS)
    waits = [back - shed for shed, back in zip(machine.times("shed"), machine.times("restored"), strict=False)]
    assert waits[:4] == pytest.approx([PATIENCE, 2 * PATIENCE, 4 * PATIENCE, 8 * PATIENCE], abs=2 * SMOOTHING)
    assert max(waits) == pytest.approx(MOST_PATIENCE, abs=2 * SMOOTHING)
    assert machine.lowest > 0.5 * RESERVE * machine.ring
    machine.speed = 8
    machine.play(MOST_PATIENCE + 10)
    assert machine.voices.playing == 2


def test_what_is_gone_for_good_is_forgotten():
    machine = Machine(3, speed=1.5).play(5)
    machine.governor.forget("voice 3")
    machine.governor.forget("voice 7")
    assert machine.governor.shed == ["voice 2"]
    assert machine.told[-1][1:] == ("voice 3", "gone", ["voice 2"])
    assert len(machine.times("gone")) == 1


def test_several_steps_go_in_order_and_come_back_in_reverse():
    class Core:
        price, off = 1.3, False

        def shed(self):
            off, self.off = self.off, True
            return None if off else "the second core"

        def restore(self, name):
            self.off = False

    told, voices = [], Voices(2)
    governor = Governor([Core(), voices], 0.5, lambda *event: told.append(event[:2]))
    for now in range(12):
        governor.observe(now, 0.5, 0.26)
    assert governor.shed == ["the second core", "voice 2"]
    for now in range(12, 60):
        governor.observe(now, 5, 0.5)
    assert [event for event in told if event[1] == "restored"] == [
        ("voice 2", "restored"),
        ("the second core", "restored"),
    ]
