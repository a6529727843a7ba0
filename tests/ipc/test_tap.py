"""One writer that waits for nobody, several readers that each count what they missed."""

import threading

import numpy as np
import pytest

from ambientd.ipc.memory import Segment
from ambientd.ipc.tap import Tap, TapReader

FRAMES, CHANNELS = 256, 2


@pytest.fixture
def segment():
    return Segment.create(Tap.nbytes(FRAMES, CHANNELS))


def counted(start, count):
    numbers = np.arange(start, start + count, dtype=np.float32)
    return np.stack([numbers, -numbers], axis=1)


def read(reader, frames=FRAMES):
    out = np.full((frames, CHANNELS), np.nan, np.float32)
    return out[: reader.read_into(out)]


def test_each_reader_has_a_cursor_of_its_own_and_starts_at_now(segment):
    tap = Tap(segment, FRAMES, CHANNELS)
    early = TapReader(segment, FRAMES, CHANNELS)
    tap.write(counted(0, 100))
    late = TapReader(segment, FRAMES, CHANNELS)
    tap.write(counted(100, 50))
    assert (early.available, late.available) == (150, 50)
    np.testing.assert_array_equal(read(early, 30), counted(0, 30))
    np.testing.assert_array_equal(read(late), counted(100, 50))
    np.testing.assert_array_equal(read(early), counted(30, 120))
    assert early.lost == late.lost == 0
    assert len(read(early)) == 0


def test_a_slow_reader_skips_and_counts(segment):
    tap = Tap(segment, FRAMES, CHANNELS)
    reader = TapReader(segment, FRAMES, CHANNELS)
    for start in range(0, 1000, 100):
        tap.write(counted(start, 100))
    np.testing.assert_array_equal(read(reader), counted(1000 - FRAMES, FRAMES))
    assert reader.lost == 1000 - FRAMES


def test_what_a_killed_writer_had_announced_is_not_read(segment):
    tap = Tap(segment, FRAMES, CHANNELS)
    reader = TapReader(segment, FRAMES, CHANNELS)
    tap.write(counted(0, FRAMES))
    # A writer that died after announcing 40 frames and spoiling the first ten of them.
    segment.counters(2)[1] = FRAMES + 40
    tap._audio[:10] = np.nan
    np.testing.assert_array_equal(read(reader), counted(40, FRAMES - 40))
    assert reader.lost == 40
    Tap(segment, FRAMES, CHANNELS).write(counted(FRAMES, 10))
    np.testing.assert_array_equal(read(reader), counted(FRAMES, 10))


def test_more_than_it_holds_is_refused(segment):
    with pytest.raises(ValueError, match="256"):
        Tap(segment, FRAMES, CHANNELS).write(counted(0, FRAMES + 1))


def test_no_torn_frame_reaches_a_reader_that_races_the_writer(segment):
    tap = Tap(segment, FRAMES, CHANNELS)
    reader = TapReader(segment, FRAMES, CHANNELS)
    total = 200_000
    writer = threading.Thread(target=lambda: [tap.write(counted(n, 50)) for n in range(0, total, 50)])
    writer.start()
    seen, last = 0, -1.0
    while writer.is_alive() or reader.available:
        out = read(reader, 37)
        if len(out):
            assert out[0, 0] > last
            np.testing.assert_array_equal(out, counted(int(out[0, 0]), len(out)))
            last = out[-1, 0]
        seen += len(out)
    writer.join()
    assert seen + reader.lost == total
