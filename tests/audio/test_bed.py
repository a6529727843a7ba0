"""The bed never breaks: not at its joins, not at its write head, not after a pause, not after a killed player."""

import os
import random

import numpy as np
import pytest

from ambientd.audio.bed import OVERLAP_SECONDS, Bed, BedLoop
from ambientd.ipc.memory import Segment

RATE, CHANNELS = 1000, 2
SMOOTHEST = 1 / (OVERLAP_SECONDS * RATE)


def make_bed(frames):
    segment = Segment.create(Bed.nbytes(frames, CHANNELS))
    return segment, Bed(segment, frames, CHANNELS, RATE)


def wave(frames, phase=0.0, period=500):
    """Slow enough that the largest step between two frames is small against its height."""
    tone = np.sin(2 * np.pi * np.arange(frames) / period + phase)
    return np.stack([tone, 0.5 * tone], axis=1).astype(np.float32)


def largest_step(audio):
    return np.abs(np.diff(audio, axis=0)).max()


MUSIC = largest_step(wave(5000))
# Two waves at their steepest in one fade, and the fade's own slope.
ALLOWED = 2 * MUSIC + np.pi * SMOOTHEST


def record(bed, audio, block=20):
    for start in range(0, len(audio), block):
        bed.record(audio[start : start + block])


def contents(bed):
    first, last = bed.span
    return bed.read(first, last - first)


def test_loaded_audio_is_what_it_holds_its_end_when_too_long():
    _, bed = make_bed(1000)
    bed.load(wave(400))
    np.testing.assert_array_equal(contents(bed), wave(400))
    bed.load(wave(1700))
    np.testing.assert_array_equal(contents(bed), wave(1700)[700:])


def test_it_keeps_the_last_minutes_and_survives_the_process():
    segment, bed = make_bed(4000)
    audio = wave(10_000, period=331)
    record(bed, audio)
    successor = Bed(Segment.attach(os.dup(segment.fd)), 4000, CHANNELS, RATE)
    kept = contents(successor)
    assert len(kept) == 4000
    np.testing.assert_array_equal(kept, audio[-len(kept) :])


@pytest.mark.parametrize("frames", [3000, 20_000])
def test_pauses_leave_no_seam_inside_the_span(frames):
    _, bed = make_bed(frames)
    bed.load(wave(1000))
    chance = random.Random(1)
    for _ in range(60):
        record(bed, wave(chance.randint(1, 700), phase=chance.uniform(0, 6)), block=chance.randint(1, 50))
        bed.pause()
        assert largest_step(contents(bed)) < ALLOWED


def test_many_short_recordings_do_not_eat_up_the_old_one():
    _, bed = make_bed(20_000)
    bed.load(wave(10_000))
    for _ in range(100):
        bed.record(wave(20, phase=1.0))
        bed.pause()
    np.testing.assert_array_equal(contents(bed), wave(10_000))


def test_a_new_player_joins_its_recording_to_that_of_the_one_before():
    segment, bed = make_bed(6000)
    record(bed, wave(9000))
    for life in range(5):  # each new object stands for a new player: nothing of the old one's memory is left
        player = Bed(segment, 6000, CHANNELS, RATE)
        record(player, wave(200 + 100 * life, phase=2.0 + life))
        assert largest_step(contents(player)) < ALLOWED


def test_the_loop_is_endless_and_as_smooth_as_the_material():
    _, bed = make_bed(60_000)
    record(bed, wave(75_000))
    loop = BedLoop(bed, random.Random(2), stretch=(5.0, 12.0), fade=1.0)
    audio = np.concatenate([loop.read(317) for _ in range(600)])
    assert np.abs(audio).max() <= np.sqrt(2) + 1e-6
    assert largest_step(audio) < ALLOWED
    blocks = audio[: len(audio) // 500 * 500, 0].reshape(-1, 500)
    assert np.sqrt((blocks**2).mean(axis=1)).max() > 0.6


def test_the_loop_keeps_its_loudness_through_crossfades():
    _, bed = make_bed(60_000)
    noise = np.random.default_rng(0).standard_normal((60_000, CHANNELS)).astype(np.float32)
    bed.load(noise)
    loop = BedLoop(bed, random.Random(3), stretch=(3.0, 6.0), fade=1.0)
    audio = loop.read(200_000)
    level = np.sqrt((audio.reshape(-1, 500 * CHANNELS) ** 2).mean(axis=1))
    assert level.min() > 0.8
    assert level.max() < 1.25


def test_no_stretch_crosses_the_write_head():
    """Frames carry their own number: within a stretch they count up by one."""
    _, bed = make_bed(8000)
    numbers = np.arange(21_000, dtype=np.float32)
    record(bed, np.stack([numbers, numbers], axis=1))
    loop = BedLoop(bed, random.Random(4), stretch=(1.0, 3.0), fade=0.001)
    audio = loop.read(100_000)[:, 0]
    jumps = np.flatnonzero(np.diff(audio) != 1)
    gaps = np.diff(jumps)
    assert gaps[gaps > 2].min() >= 990  # a join takes one frame
    assert audio.min() > 21_000 - 8000


@pytest.mark.parametrize("frames", [0, 7, 500])
def test_a_short_bed_is_looped_and_an_empty_one_is_silent(frames):
    _, bed = make_bed(10_000)
    bed.load(np.ones((frames, CHANNELS), np.float32))
    audio = BedLoop(bed, random.Random(5)).read(5000)
    assert audio.shape == (5000, CHANNELS)
    assert np.all(audio >= 0.99 if frames else audio == 0)
