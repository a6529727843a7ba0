"""The ring on its own, and between processes that are killed at any instant."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring

FRAMES, CHANNELS = 1000, 2


def make_ring(frames=FRAMES, channels=CHANNELS):
    segment = Segment.create(Ring.nbytes(frames, channels))
    return segment, Ring(segment, frames, channels)


def counted(start, count, channels=CHANNELS):
    """Frame n holds n in its first channel and -n in the others: exact in float32 up to 2**24."""
    numbers = np.arange(start, start + count, dtype=np.float32)
    return np.stack([numbers] + [-numbers] * (channels - 1), axis=1)


def read(ring, frames):
    out = np.full((frames, ring.channels), np.nan, np.float32)
    return out[: ring.read_into(out)]


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), max_size=40))
def test_what_is_written_is_read_in_order_whatever_the_sizes(steps):
    _, ring = make_ring(64)
    written = received = 0
    for write_size, read_size in steps:
        room = ring.free
        taken = ring.write(counted(written, write_size))
        assert taken == min(write_size, room)
        written += taken
        assert ring.available == written - received == 64 - ring.free
        out = read(ring, read_size)
        assert len(out) == min(read_size, written - received)
        np.testing.assert_array_equal(out, counted(received, len(out)))
        received += len(out)


def test_a_wrong_shape_is_refused():
    _, ring = make_ring()
    with pytest.raises(ValueError, match="2"):
        ring.write(np.zeros((10, 3), np.float32))


def test_a_second_ring_on_the_segment_goes_on_from_the_counters():
    segment, ring = make_ring()
    ring.write(counted(0, 700))
    read(ring, 300)
    successor = Ring(Segment.attach(os.dup(segment.fd)), FRAMES, CHANNELS)
    assert successor.available == 400
    assert successor.write(counted(700, 500)) == 500
    np.testing.assert_array_equal(read(ring, 2000), counted(300, 900))


def test_a_splice_ends_the_unbroken_run_and_is_skipped_on_request():
    _, ring = make_ring()
    ring.write(counted(0, 100))
    ring.mark_splice()
    ring.write(counted(5000, 50))
    assert ring.available == 100
    np.testing.assert_array_equal(read(ring, 60), counted(0, 60))
    ring.skip_splice()
    np.testing.assert_array_equal(read(ring, 1000), counted(5000, 50))
    ring.mark_splice()  # nothing is left before it, so it breaks nothing
    ring.write(counted(7000, 10))
    assert ring.available == 10


def test_a_second_splice_does_not_hide_the_first():
    _, ring = make_ring()
    ring.write(counted(0, 100))
    ring.mark_splice()
    assert ring.available == 100
    ring.write(counted(5000, 50))
    ring.mark_splice()
    ring.write(counted(9000, 20))
    assert ring.available == 100
    ring.skip_splice()
    np.testing.assert_array_equal(read(ring, 1000), counted(9000, 20))


WRITER = """
import sys
import numpy as np
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
fd, frames, channels, seed = map(int, sys.argv[1:])
ring = Ring(Segment.attach(fd), frames, channels)
sizes = np.random.default_rng(seed)
print("up", flush=True)
while True:
    numbers = np.arange(ring.written, ring.written + sizes.integers(1, frames)) % 2**24
    ring.write(np.stack([numbers, -numbers], axis=1).astype(np.float32))
"""


def test_a_writer_killed_at_any_instant_leaves_a_ring_that_its_successor_continues():
    segment, ring = make_ring()
    expected = 0
    out = np.empty((FRAMES, CHANNELS), np.float32)
    chance = random.Random(5)
    for life in range(4):
        arguments = [segment.fd, FRAMES, CHANNELS, life]
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, *map(str, arguments)], pass_fds=[segment.fd], stdout=subprocess.PIPE
        )
        assert writer.stdout.readline() == b"up\n"
        goal = expected + chance.randint(10_000, 60_000)
        deadline = time.monotonic() + 20
        while expected < goal:
            assert time.monotonic() < deadline
            count = ring.read_into(out[: chance.randint(1, FRAMES)])
            np.testing.assert_array_equal(out[:count, 0], np.arange(expected, expected + count) % 2**24)
            np.testing.assert_array_equal(out[:count, 1], -out[:count, 0])
            expected += count
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    assert ring.read == expected <= ring.written
