"""Ring and bed: every change between them is a fade, whatever the generator does."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.audio.bed import Bed
from ambientd.audio.source import Source, SourceState
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring

RATE, CHANNELS, BLOCK = 8000, 2, 160
CAPACITY, LEAVE, ENTER, RESUME = RATE, 1200, 4000, 4800


def wave(start, frames, level=0.5, period=400):
    tone = level * np.sin(2 * np.pi * np.arange(start, start + frames) / period)
    return np.stack([tone, -tone], axis=1).astype(np.float32)


STEP = np.abs(np.diff(wave(0, 4000)[:, 0])).max()
# Both tones at their steepest, and the slope of the steeper fade on top.
ALLOWED = 2 * STEP + np.pi / 2 * 0.5 * 2 / LEAVE


class Rig:
    """A ring, a bed loaded with a tone, and a source; the test is the generator."""

    def __init__(self, prefilled=0):
        self.ring = Ring(Segment.create(Ring.nbytes(CAPACITY, CHANNELS)), CAPACITY, CHANNELS)
        self.bed = Bed(Segment.create(Bed.nbytes(30 * RATE, CHANNELS)), 30 * RATE, CHANNELS, RATE)
        self.bed.load(wave(0, 10 * RATE, level=0.3, period=500))
        self.generated = 0
        self.generate(prefilled)
        self.source = Source(self.ring, self.bed, LEAVE, ENTER, RESUME, seed=1)
        self.played = []

    def generate(self, frames):
        self.generated += self.ring.write(wave(self.generated, frames))

    def play(self, blocks=1, generate=0):
        for _ in range(blocks):
            self.generate(generate)
            self.played.append(self.source.read(BLOCK))

    @property
    def sound(self):
        return np.concatenate(self.played)

    @property
    def state(self):
        return self.source.state


def test_a_full_ring_is_played_as_it_is():
    rig = Rig(prefilled=6000)
    rig.play(100, generate=BLOCK)
    np.testing.assert_array_equal(rig.sound, wave(0, 100 * BLOCK))
    assert rig.source.underruns == rig.source.bed_frames == 0


def test_it_begins_with_the_bed_and_fades_to_the_ring():
    rig = Rig()
    rig.play(20)
    assert rig.state is SourceState.BED
    assert np.sqrt(np.mean(rig.sound**2)) > 0.1
    rig.play(25, generate=2 * BLOCK)
    rig.play(60, generate=BLOCK)
    assert rig.state is SourceState.RING
    assert rig.source.underruns == 0
    assert np.abs(np.diff(rig.sound, axis=0)).max() < ALLOWED


def test_a_dead_generator_is_followed_by_the_bed_without_gap_or_click_and_no_frame_of_the_ring_is_lost():
    rig = Rig(prefilled=6000)
    rig.play(10, generate=BLOCK)
    rig.play(300)
    assert rig.state is SourceState.BED
    assert rig.source.underruns == 1
    sound = rig.sound
    assert np.abs(np.diff(sound, axis=0)).max() < ALLOWED
    level = np.sqrt((sound[: len(sound) // 400 * 400, 0].reshape(-1, 400) ** 2).mean(axis=1))
    assert level.min() > 0.1
    assert rig.ring.available < BLOCK
    untouched = 6000 + 10 * BLOCK - LEAVE - BLOCK
    np.testing.assert_array_equal(sound[:untouched], wave(0, untouched))


@settings(max_examples=40, deadline=None)
@given(lives=st.lists(st.tuples(st.integers(1, 80), st.integers(0, 3 * BLOCK)), min_size=1, max_size=8))
def test_no_click_whatever_the_generator_does(lives):
    rig = Rig(prefilled=6000)
    for blocks, rate in lives:
        rig.play(blocks, generate=rate)
    assert np.abs(np.diff(rig.sound, axis=0)).max() < ALLOWED


def test_a_restarted_generator_is_faded_in_even_when_it_is_back_before_the_ring_has_run_dry():
    rig = Rig(prefilled=6000)
    rig.play(5, generate=BLOCK)
    rig.ring.mark_splice()
    rig.generated += 200  # half a period further: a step of 1.0 if it were just played on
    rig.play(200, generate=BLOCK)
    assert rig.state is SourceState.RING
    assert rig.source.underruns == 1
    assert np.abs(np.diff(rig.sound, axis=0)).max() < ALLOWED


def test_what_is_not_finite_is_silenced_before_it_reaches_anything():
    rig = Rig()
    rig.source.state, rig.source._position = SourceState.RING, 1.0
    broken = wave(0, 6000)
    broken[100:200] = np.nan
    broken[300] = np.inf
    rig.ring.write(broken)
    rig.play(10)
    assert np.isfinite(rig.sound).all()
    assert not rig.sound[100:200].any()


def test_good_sound_is_kept_in_the_bed_but_not_the_bed_itself_and_not_silence():
    rig = Rig(prefilled=6000)
    before = rig.bed.written
    rig.play(100, generate=BLOCK)
    kept = rig.bed.written
    assert kept > before + 50 * BLOCK
    np.testing.assert_array_equal(rig.bed.read(kept - 1000, 1000), rig.sound[-1000:])
    rig.play(200)
    assert rig.bed.written - kept < 6000
    kept = rig.bed.written
    rig.play(100)
    assert rig.bed.written == kept

    quiet = Rig(prefilled=6000)
    quiet.source.read(6000 - LEAVE)
    before = quiet.bed.written
    for _ in range(50):
        quiet.ring.write(np.zeros((BLOCK, CHANNELS), np.float32))
        quiet.source.read(BLOCK)
    assert quiet.bed.written - before < LEAVE + BLOCK


@pytest.mark.parametrize("seed", range(3))
def test_bed_frames_and_underruns_are_counted(seed):
    rig = Rig(prefilled=6000)
    chance = random.Random(seed)
    for _ in range(3):
        rig.play(150)
        rig.play(chance.randint(150, 200), generate=2 * BLOCK)
    assert rig.source.underruns == 3
    assert 0 < rig.source.bed_frames < len(rig.sound)


@pytest.mark.parametrize("resume", [LEAVE, CAPACITY + 1])
def test_a_threshold_that_could_never_work_is_refused(resume):
    rig = Rig()
    with pytest.raises(ValueError, match="resume"):
        Source(rig.ring, rig.bed, LEAVE, ENTER, resume)
