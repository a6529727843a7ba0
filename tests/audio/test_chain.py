"""Volume, play, stop, panic and rest, on a real ring."""

import numpy as np
import pytest

from ambientd.audio.bed import Bed
from ambientd.audio.chain import VOLUME_SLEW, Chain
from ambientd.audio.controls import PlayerControl
from ambientd.audio.limiter import Limiter
from ambientd.audio.source import Source
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.values import Values

RATE, CHANNELS, BLOCK = 16000, 2, 320
LATENCY = Limiter(RATE, CHANNELS).latency


class Rig:
    def __init__(self, rate_out=RATE, level=0.5):
        self.level = level
        self.ring = Ring(Segment.create(Ring.nbytes(RATE, CHANNELS)), RATE, CHANNELS)
        bed = Bed(Segment.create(Bed.nbytes(RATE, CHANNELS)), RATE, CHANNELS, RATE)
        self.control = Values(Segment.create(Values.nbytes(len(PlayerControl))), len(PlayerControl))
        self.control[PlayerControl.VOLUME] = 1.0
        self.control[PlayerControl.PLAYING] = 1.0
        self.control[PlayerControl.FADE_SECONDS] = 0.5
        self.fill()
        self.source = Source(self.ring, bed, leave=800, enter=1600, resume=4000)
        self.rate_out = rate_out
        self.block = BLOCK * rate_out // RATE
        self.chain = self.new_chain()

    def new_chain(self, gain_db=0.0):
        return Chain(self.source, self.control, CHANNELS, RATE, self.rate_out, first_fade=0.05, gain_db=gain_db)

    def fill(self):
        self.ring.write(np.full((self.ring.free, CHANNELS), self.level, np.float32))

    def play(self, seconds):
        blocks = []
        for _ in range(round(seconds * RATE / BLOCK)):
            self.fill()
            blocks.append(self.chain.render(self.block))
            assert blocks[-1].shape == (self.block, CHANNELS)
            assert blocks[-1].dtype == np.float32
        return np.concatenate(blocks)[:, 0]


def test_a_new_player_fades_in_quickly_then_hands_through_exactly():
    sound = Rig().play(1.0)
    assert np.all(sound[:LATENCY] == 0)
    assert np.all(np.diff(sound) >= 0)
    np.testing.assert_array_equal(sound[LATENCY + 800 :], np.float32(0.5))


def test_volume_moves_in_a_slope_and_reaches_its_value():
    rig = Rig()
    rig.play(0.2)
    rig.control[PlayerControl.VOLUME] = 0.2
    sound = rig.play(0.3)
    assert np.abs(np.diff(sound)).max() < 0.5 / (VOLUME_SLEW * RATE) * 1.01
    np.testing.assert_allclose(sound[-BLOCK:], 0.1, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -3.0])
def test_a_volume_that_is_no_number_is_silence(value):
    rig = Rig()
    rig.play(0.2)
    rig.control[PlayerControl.VOLUME] = value
    assert np.all(rig.play(0.4)[-BLOCK:] == 0)


def test_stop_fades_out_then_rests_without_reading_the_ring_and_play_fades_in():
    rig = Rig()
    rig.play(0.2)
    rig.control[PlayerControl.PLAYING] = 0.0
    sound = rig.play(0.6)
    assert np.abs(np.diff(sound)).max() < 0.5 * np.pi / 2 / (0.5 * RATE) * 1.01
    assert np.all(sound[-BLOCK:] == 0)
    halfway = sound[LATENCY + RATE // 4]
    assert halfway == pytest.approx(0.25, abs=0.01)
    assert rig.chain.resting
    before = rig.ring.read
    assert np.all(rig.play(0.2) == 0)
    assert rig.ring.read == before
    rig.control[PlayerControl.PLAYING] = 1.0
    sound = rig.play(0.7)
    assert np.abs(np.diff(sound)).max() < 0.5 * np.pi / 2 / (0.5 * RATE) * 1.01
    np.testing.assert_array_equal(sound[-BLOCK:], np.float32(0.5))


def test_panic_is_silence_within_50_ms_of_the_block_and_back_without_a_click():
    rig = Rig()
    rig.play(0.2)
    rig.control[PlayerControl.PANIC] = 1.0
    sound = rig.play(0.2)
    assert np.all(sound[LATENCY + int(0.05 * RATE) + 1 :] == 0)
    rig.control[PlayerControl.PANIC] = 0.0
    back = rig.play(0.2)
    np.testing.assert_array_equal(back[-BLOCK:], np.float32(0.5))
    assert np.abs(np.diff(np.concatenate([sound, back]))).max() < 0.5 * np.pi / 2 / (0.05 * RATE) * 1.01


def test_a_player_that_starts_stopped_or_in_panic_is_silent_and_then_obeys_the_fade():
    rig = Rig()
    rig.control[PlayerControl.PLAYING] = 0.0
    rig.chain = rig.new_chain()
    assert np.all(rig.play(0.2) == 0)
    rig.control[PlayerControl.PLAYING] = 1.0
    sound = rig.play(0.7)
    assert np.abs(np.diff(sound)).max() < 0.5 * np.pi / 2 / (0.5 * RATE) * 1.01
    assert sound[-1] == np.float32(0.5)

    rig.control[PlayerControl.PANIC] = 1.0
    rig.chain = rig.new_chain()
    assert np.all(rig.play(0.2) == 0)


def test_too_loud_is_limited():
    rig = Rig(level=0.8)
    rig.control[PlayerControl.VOLUME] = 2.0
    assert np.abs(rig.play(0.5)).max() <= np.float32(10 ** (-1 / 20))


@pytest.mark.parametrize("rate_out", [44100, 48000])
def test_at_the_devices_rate_the_ring_is_consumed_at_its_own(rate_out):
    rig = Rig(rate_out)
    seconds = 2.0
    sound = rig.play(seconds)
    assert len(sound) == seconds * rate_out
    np.testing.assert_allclose(sound[rate_out:], 0.5, atol=1e-4)
    assert rig.ring.read == pytest.approx(seconds * RATE, abs=0.1 * RATE)


def test_the_music_is_brought_to_the_target_without_a_step():
    """-14 LUFS of noise at a target of -20: 6 dB at 12 a minute."""
    rig = Rig()
    rig.control[PlayerControl.LOUDNESS_TARGET] = -20.0
    noise = (np.random.default_rng(1).standard_normal((RATE, CHANNELS)) * 0.1).astype(np.float32)
    rig.fill = lambda: rig.ring.write(noise[: rig.ring.free])
    rig.play(45)
    assert rig.chain.meter.short_term == pytest.approx(-20, abs=0.5)
    gain = rig.chain.leveller.gain_db
    assert rig.new_chain(gain).leveller.gain_db == gain


def test_what_is_not_finite_never_reaches_a_filters_memory():
    rig = Rig(rate_out=48_000)
    rig.play(0.5)
    rig.ring.read_into(np.zeros((rig.ring.available, CHANNELS), np.float32))
    broken = np.full((RATE // 2, CHANNELS), np.nan, np.float32)
    broken[::3], broken[1::3] = np.inf, 3e38
    rig.ring.write(broken)
    loud = rig.play(1.0)
    assert np.isfinite(loud).all()
    assert np.abs(loud).max() <= 10 ** (-1 / 20)
    np.testing.assert_allclose(rig.play(3.0)[-100:], 0.5, atol=1e-3)
    assert np.isfinite(rig.chain.meter.short_term)
