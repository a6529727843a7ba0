"""The sink `device`: two clocks that drift apart lose no sample, and a real sound server gets the sound whole."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from ambientd.follower import MOST, Follower, Steering
from ambientd_plugins.device import Device, DeviceConfig

RATE, TONE, LEVEL, BUFFER = 8_000, 200.0, 0.3, 0.5
BLOCK = 400
TURN = 2 * np.pi * TONE / RATE


def drifting(ppm, seconds):
    """(tone played [n], fill and ratio at each block): the device's clock is so much faster than the sound's."""
    jitter = np.random.default_rng(1)
    follower = Follower(RATE, RATE, 1, BUFFER)
    played, fills, ratios = [], [], []
    pushed, due = 0, 0.0
    for number in range(1, int(seconds * RATE / BLOCK)):
        now = number * BLOCK / RATE / (1 + ppm * 1e-6)
        if now >= due:
            until = int(now * RATE)
            follower.push((LEVEL * np.sin(TURN * np.arange(pushed, until))).astype(np.float32)[:, None])
            pushed, due = until, now + jitter.uniform(0.04, 0.08)
        played.append(follower.pull(BLOCK)[:, 0])
        fills.append(follower.fill)
        ratios.append(follower.ratio)
    assert follower.interruptions == 0
    return np.concatenate(played), np.array(fills), np.array(ratios)


@pytest.mark.parametrize("ppm", [500.0, -500.0])
def test_a_drifting_clock_costs_no_sample_and_no_audible_pitch(ppm):
    played, fills, ratios = drifting(ppm, 1200)
    sounding = played[5 * RATE :].astype(np.float64)
    # A dropped or repeated sample bends the tone by LEVEL * TURN = 0.05; the steering by a millionth of that.
    bend = sounding[2:] - 2 * np.cos(TURN) * sounding[1:-1] + sounding[:-2]
    assert np.abs(bend).max() < 1e-4
    settled = len(fills) // 2
    assert np.abs(fills[settled:] - BUFFER).max() < 0.15
    wander = ratios[settled:] * (1 + ppm * 1e-6) - 1
    assert np.abs(wander).max() < 3e-4  # half a cent; about three can be heard
    assert abs(np.median(wander)) < 5e-5


@pytest.mark.parametrize("ppm", [500.0, -500.0])
def test_the_fill_stays_bounded_for_a_day(ppm):
    steering, fill, step = Steering(BUFFER), BUFFER, 0.2
    lowest = highest = fill
    for _ in range(int(86_400 / step)):
        ratio = steering.ratio(fill, step)
        fill += step * (1 / (1 + ppm * 1e-6) - ratio)
        lowest, highest = min(lowest, fill), max(highest, fill)
    assert BUFFER - 0.05 < lowest <= highest < BUFFER + 0.05
    assert fill == pytest.approx(BUFFER, abs=1e-6)
    assert ratio == pytest.approx(1 - ppm * 1e-6, abs=1e-6)


def test_the_ratio_is_never_far_from_one():
    steering = Steering(BUFFER)
    assert {steering.ratio(fill, 60.0) for fill in (100.0, 100.0)} == {1 + MOST}


def test_what_runs_empty_fades_out_and_comes_back_softly():
    follower = Follower(RATE, RATE, 1, BUFFER)
    loud = np.full((RATE, 1), LEVEL, np.float32)
    follower.push(loud)
    sound = np.concatenate([follower.pull(BLOCK) for _ in range(30)])[:, 0]
    assert follower.interruptions == 1
    assert sound[-1] == 0.0
    follower.push(loud)
    follower.push(loud)
    again = follower.pull(BLOCK)[:, 0]
    assert 0 <= again.max() < 0.1 * LEVEL


@pytest.fixture
def elsewhere(pulse, monkeypatch):
    for name, value in pulse.env.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    return pulse


def test_a_sound_server_gets_the_sound_whole_and_again_after_the_process_was_killed(elsewhere, tmp_path):
    # With a buffer that rides out what the machine may do meanwhile.
    sink = Device(DeviceConfig(device="ambient", buffer=2.0), 48_000, 2)
    recording = elsewhere.record(tmp_path / "monitor.raw")
    written = 0

    def play(condition, seconds=40.0):
        nonlocal written
        begun = time.monotonic()
        start = begun - written / 48_000
        while not condition(heard()):
            assert time.monotonic() - begun < seconds, f"started {sink.restarts} times again"
            until = int((time.monotonic() - start) * 48_000)
            tone = LEVEL * np.sin(2 * np.pi * 1000 / 48_000 * np.arange(written, until))
            sink.write(np.repeat(tone.astype(np.float32)[:, None], 2, axis=1))
            written = until
            time.sleep(0.05)

    def heard():
        audio = np.fromfile(tmp_path / "monitor.raw", np.float32)
        audio = audio[: len(audio) // 2 * 2 : 2]
        return (
            audio[np.flatnonzero(np.abs(audio) > 0.9 * LEVEL)[0] :]
            if np.abs(audio).max(initial=0) > 0.9 * LEVEL
            else audio[:0]
        )

    try:
        play(lambda audio: len(audio) > 4 * 48_000)
        audio = heard()[: 3 * 48_000].astype(np.float64)
        bend = audio[2:] - 2 * np.cos(2 * np.pi * 1000 / 48_000) * audio[1:-1] + audio[:-2]
        assert np.abs(bend).max() < 1e-3
        os.kill(sink._process.pid, signal.SIGKILL)
        before = len(heard())
        play(
            lambda audio: (
                len(audio) > before + 48_000 and np.abs(audio[-4800:]).max() > 0.5 * LEVEL and sink.restarts == 1
            )
        )
    finally:
        sink.close()
        recording.terminate()
        recording.wait()


def test_a_device_that_is_not_there_holds_nobody_up(monkeypatch):
    monkeypatch.setenv("PULSE_SERVER", "unix:/nowhere")
    sink = Device(DeviceConfig(device="a device nobody has"), 48_000, 2)
    begun = time.monotonic()
    for _ in range(200):
        sink.write(np.zeros((4800, 2), np.float32))
    assert time.monotonic() - begun < 10
    sink.close()
