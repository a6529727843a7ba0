"""MIDI clock to tempo and beat, and on to the blocks of the generator."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mido import Message

from ambientd.engine.beat import BlockBeat
from ambientd.ipc.memory import Segment
from ambientd.ipc.transport import Clocked, Transport
from ambientd.midi.clock import GAP_SECONDS, ClockFollower

TICK = Message("clock")


def ticks(follower: ClockFollower, tempo: float, count: int, begin: float = 0.0, jitter: float = 0.0) -> float:
    """Feed so many ticks; returns when the next is due."""
    for number in range(count):
        late = jitter * ((number * 7919) % 101) / 101
        follower.hear(TICK, begin + number * 60 / tempo / 24 + late)
    return begin + count * 60 / tempo / 24


@given(st.floats(30, 300), st.floats(0, 0.02))
def test_tempo_and_beat_through_a_servers_jitter(tempo: float, jitter: float) -> None:
    follower = ClockFollower()
    follower.hear(Message("start"), 0.0)
    due = ticks(follower, tempo, 193, jitter=jitter)
    beat = follower.beat(due)
    assert beat is not None
    assert beat.tempo == pytest.approx(tempo, rel=0.01)
    assert beat.beat == 8.0
    assert beat.at == pytest.approx(8 * 60 / tempo + jitter / 2, abs=jitter / 2 + 0.002)


def test_start_stop_continue_and_song_position() -> None:
    follower = ClockFollower()
    assert follower.beat(0) is None
    now = ticks(follower, 120, 25)
    assert follower.beat(now).beat == pytest.approx(25 / 24)  # without a start it counts from the first tick
    follower.hear(Message("stop"), now)
    now = ticks(follower, 120, 24, now)
    stopped = follower.beat(now)
    assert (stopped.rolling, stopped.beat) == (False, pytest.approx(25 / 24))
    follower.hear(Message("songpos", pos=16), now)
    follower.hear(Message("continue"), now)
    now = ticks(follower, 120, 25, now)
    assert (follower.beat(now).rolling, follower.beat(now).beat) == (True, 5.0)
    follower.hear(Message("start"), now)
    now = ticks(follower, 120, 1, now)
    assert follower.beat(now).beat == 0
    assert follower.beat(now + GAP_SECONDS + 0.1) is None


def test_another_tempo_is_followed_within_a_beat() -> None:
    follower = ClockFollower()
    now = ticks(follower, 60, 100)
    for _ in range(24):
        now = ticks(follower, 180, 1, now)
        assert follower.beat(now) is not None, "no gap between two tempi"
    assert follower.beat(now).tempo == pytest.approx(180, rel=0.01)
    now = ticks(follower, 90, 24, now + 2)
    assert follower.beat(now).tempo == pytest.approx(90, rel=0.01)


def test_transport_gives_what_was_written_last() -> None:
    segment = Segment.create(Transport.nbytes())
    writer, reader = Transport(segment), Transport(Segment.attach(segment.fd))
    assert reader.read() == Clocked()
    writer.write(Clocked(120, 3.5, 1.25, True))
    assert reader.read() == Clocked(120, 3.5, 1.25, True)
    assert reader.read().beat_at(2.25) == 5.5


def test_blocks_count_on_evenly_and_follow_the_clock() -> None:
    segment = Segment.create(Transport.nbytes())
    writer, blocks = Transport(segment), BlockBeat(segment.fd, 0.016)
    blocks.advance(0.1)
    assert blocks.clock(0, 16_000).tempo is None
    writer.write(Clocked(120, 0.0, time.monotonic() - 3600, True))
    beats = []
    for index in range(50):
        blocks.advance(0.016 * index)  # a burst: no time passes, the ring fills
        clock = blocks.clock(index, 16_000)
        beats.append(clock.beat)
        assert (clock.tempo, clock.rolling) == (120, True)
    assert beats[0] == pytest.approx(7200, abs=1), "an hour of beats"
    steps = [after - before for before, after in pairwise(beats)]
    assert all(0.02 < step < 0.06 for step in steps), "a block is 0.032 beats"
    writer.write(Clocked(120, 4.0, time.monotonic(), False))
    blocks.advance(0.1)
    assert (blocks.clock(51, 16_000).beat, blocks.clock(51, 16_000).rolling) == (4.0, False)
    writer.write(Clocked())
    blocks.advance(0.1)
    assert blocks.clock(52, 16_000).beat is None


def test_without_a_transport_there_is_no_clock() -> None:
    blocks = BlockBeat(-1, 0.016)
    blocks.advance(0.0)
    assert blocks.clock(3, 16_000).tempo is None
