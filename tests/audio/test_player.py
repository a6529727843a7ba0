"""The player process, whole: to the clock, and to a real sound server whose recording is compared frame by frame."""

import threading
import time

import numpy as np
import pytest

from ambientd.audio.bed import Bed
from ambientd.audio.controls import PlayerControl
from ambientd.audio.player import MODULE, PlayerConfig, PlayerStatus
from ambientd.audio.source import SourceState
from ambientd.ipc.child import Child
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.tap import Tap, TapReader
from ambientd.ipc.values import Values

from ..running import undisturbed

CHANNELS = 2
SCALE = 2**18
"""Frame n of the ring holds (n % SCALE + 1) / (2 * SCALE): exact in float32, below the limiter's ceiling."""


class Studio:
    """All that the supervisor owns, and a thread in the generator's place that keeps the ring full."""

    def __init__(self, rate, **changes):
        ring_frames, bed_frames, tap_frames = rate, 20 * rate, 4 * 48000
        self.ring_segment = Segment.create(Ring.nbytes(ring_frames, CHANNELS))
        self.ring = Ring(self.ring_segment, ring_frames, CHANNELS)
        bed = Segment.create(Bed.nbytes(bed_frames, CHANNELS))
        tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(10 * rate) / rate)
        Bed(bed, bed_frames, CHANNELS, rate).load(np.stack([tone, tone], axis=1).astype(np.float32))
        tap = Segment.create(Tap.nbytes(tap_frames, CHANNELS))
        control = Segment.create(Values.nbytes(len(PlayerControl)))
        status = Segment.create(Values.nbytes(len(PlayerStatus)))
        self.tap = TapReader(tap, tap_frames, CHANNELS)
        self.control = Values(control, len(PlayerControl))
        self.status = Values(status, len(PlayerStatus))
        self.control[PlayerControl.VOLUME] = self.control[PlayerControl.PLAYING] = 1.0
        self.config = PlayerConfig(
            ring_fd=self.ring_segment.fd, ring_frames=ring_frames, resume_frames=ring_frames // 2,
            bed_fd=bed.fd, bed_frames=bed_frames, tap_fd=tap.fd, tap_frames=tap_frames,
            control_fd=control.fd, status_fd=status.fd, source_rate=rate, channels=CHANNELS, seed=1,
            **{"first_fade": 0.05, "fade_to_ring": 1.0} | changes,
        )  # fmt: skip
        self._segments = [self.ring_segment, bed, tap, control, status]
        self._stop = threading.Event()
        self._generator = None
        self.player = None

    def spawn(self, env=None):
        self.player = Child.spawn(MODULE, self.config.to_json(), self.config.fds, env=env)

    def generate(self):
        numbers = np.arange(SCALE, dtype=np.float32)
        audio = np.repeat(((numbers + 1) / (2 * SCALE))[:, None], CHANNELS, axis=1)

        def fill():
            while not self._stop.is_set():
                start = self.ring.written % SCALE
                if not self.ring.write(audio[start : start + 1000]):
                    self._stop.wait(0.005)

        self._stop.clear()
        self._generator = threading.Thread(target=fill)
        self._generator.start()

    def stop_generating(self):
        self._stop.set()
        if self._generator is not None:
            self._generator.join()
            self._generator = None

    def event(self, name, seconds=20.0):
        found = []
        until(lambda: found.extend(self.player.poll()) or found or not self.player.alive, seconds)
        found.extend(self.player.poll())
        assert [message["event"] for message in found] == [name]
        return found[0]

    def until_played(self, frames):
        def played():
            assert self.player.alive, f"exit code {self.player.returncode}: {self.player.poll()}"
            return self.status[PlayerStatus.FRAMES] >= frames

        until(played)

    def close(self):
        self.stop_generating()
        if self.player is not None:
            self.player.close()
        for segment in self._segments:
            segment.close()


@pytest.fixture
def studio():
    opened = []

    def build(rate, **changes):
        opened.append(Studio(rate, **changes))
        return opened[-1]

    yield build
    for each in opened:
        each.close()


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def tapped(studio, seconds):
    """The next `seconds` from the tap."""
    out = np.zeros((int(seconds * 48000), CHANNELS), np.float32)
    got = 0

    def more():
        nonlocal got
        got += studio.tap.read_into(out[got:])
        return got == len(out)

    until(more)
    assert studio.tap.lost == 0
    return out


def frame_numbers(audio):
    """Which frame of the ring each frame of `audio` [frames, 2] is; exact only at full gain."""
    return np.rint(audio[:, 0].astype(np.float64) * 2 * SCALE).astype(np.int64) - 1


def assert_uninterrupted(audio):
    steps = np.diff(frame_numbers(audio)) % SCALE
    assert np.all(steps == 1), f"{np.count_nonzero(steps != 1)} breaks"


def test_the_configuration_survives_json():
    config = PlayerConfig(*range(9), source_rate=16000)
    assert PlayerConfig(**config.to_json()) == config
    assert config.fds == (config.ring_fd, config.bed_fd, config.tap_fd, config.control_fd, config.status_fd)


def test_every_frame_of_the_ring_reaches_the_tap(studio):
    room = studio(48000, device="null")
    room.generate()
    until(lambda: room.ring.free < 1000)
    room.spawn()
    started = room.event("started")
    assert (started["output"], started["sample_rate"], started["notice"]) == ("null", 48000, None)
    audio = tapped(room, 2.5)
    np.testing.assert_array_equal(audio[:, 0], audio[:, 1])
    assert_uninterrupted(audio[12000:])
    status = room.status
    assert status[PlayerStatus.STATE] == SourceState.RING
    assert status[PlayerStatus.SAMPLE_RATE] == 48000
    assert status[PlayerStatus.RING_UNDERRUNS] == status[PlayerStatus.BED_SECONDS] == 0
    assert 0 < status[PlayerStatus.RMS] <= status[PlayerStatus.PEAK] <= 0.5
    frames = status[PlayerStatus.FRAMES]
    until(lambda: status[PlayerStatus.FRAMES] > frames)


def test_resampled_bed_at_once_then_the_ring_then_stop_and_rest(studio):
    room = studio(16000, device="null")
    room.spawn()
    room.event("started")
    assert room.status[PlayerStatus.STATE] == SourceState.BED
    bed = tapped(room, 1.0)[24000:, 0]
    assert np.abs(np.fft.rfft(bed)).argmax() == 110  # 220 Hz in half a second
    room.generate()
    until(lambda: room.status[PlayerStatus.STATE] == SourceState.RING)
    room.control[PlayerControl.FADE_SECONDS] = 0.1
    room.control[PlayerControl.PLAYING] = 0.0
    until(lambda: room.status[PlayerStatus.RESTING] == 1.0 and room.status[PlayerStatus.PEAK] == 0.0)
    read = room.ring.read
    frames = room.status[PlayerStatus.FRAMES]
    until(lambda: room.status[PlayerStatus.FRAMES] > frames + 4800)
    assert room.ring.read == read
    room.player.send({"command": "stop"})
    assert room.player.wait(2)
    assert room.player.returncode == 0


def test_a_killed_player_is_replaced_and_goes_on_where_it_was(studio):
    room = studio(48000, device="null")
    room.generate()
    until(lambda: room.ring.free < 1000)
    room.spawn()
    room.event("started")
    room.until_played(24000)
    room.player.kill()
    read, bed_fill = room.ring.read, room.status[PlayerStatus.BED_SECONDS]
    room.spawn()
    room.event("started")
    assert room.ring.read >= read
    until(lambda: room.tap.read_into(np.zeros((48000, CHANNELS), np.float32)) == 0)
    assert_uninterrupted(tapped(room, 1.0)[12000:])
    assert room.status[PlayerStatus.BED_SECONDS] == bed_fill == 0


def test_a_dead_generator_leaves_no_gap_and_no_click_in_what_is_played(studio):
    room = studio(16000, device="null")
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000)
    room.ring.write(np.stack([tone, tone], axis=1).astype(np.float32))
    room.spawn()
    room.event("started")
    audio = tapped(room, 3.0)[4800:, 0]  # after the first fade; the ring held one second
    assert room.status[PlayerStatus.STATE] == SourceState.BED
    assert room.status[PlayerStatus.RING_UNDERRUNS] == 1
    assert room.status[PlayerStatus.BED_SECONDS] > 1
    steepest = 0.3 * 2 * np.pi * 220 / 48000
    assert np.abs(np.diff(audio)).max() < 2.2 * steepest
    level = np.sqrt((audio[: len(audio) // 2400 * 2400].reshape(-1, 2400) ** 2).mean(axis=1))
    assert level.min() > 0.01  # the two tones may nearly cancel out within the fade, but nothing stops


def test_the_player_is_gone_with_the_supervisor(studio):
    room = studio(16000, device="null")
    room.spawn()
    room.event("started")
    room.player.terminate()  # closes the line, as the supervisor's death does
    assert room.player.wait(2)


def test_a_device_that_is_not_there_is_waited_for_on_the_clock(studio):
    room = studio(16000, device="a device nobody has")
    room.spawn()
    started = room.event("started")
    assert (started["output"], started["waiting_for"]) == ("null", "a device nobody has")
    assert started["notice"]
    room.until_played(4800)


def test_no_frame_is_lost_on_the_way_to_a_device(studio, pulse, tmp_path):
    heard = undisturbed(lambda: heard_on_a_device(studio, pulse, tmp_path / "monitor.raw"))
    assert len(heard) > 3 * 48000
    assert_uninterrupted(heard)


def heard_on_a_device(studio, pulse, path):
    """(what was heard after the first fade [n, 2], blocks and buffers that came late)."""
    room = studio(48000, device=pulse.device, latency=0.25)
    room.generate()
    until(lambda: room.ring.free < 1000)
    recording = pulse.record(path)
    room.spawn(pulse.env)
    assert room.event("started")["output"] == pulse.device
    room.until_played(5 * 48000)
    recording.terminate()
    recording.wait()
    late = room.status[PlayerStatus.LATE] + room.status[PlayerStatus.UNDERFLOWS]
    room.player.terminate()
    assert room.player.wait(5)
    audio = np.fromfile(path, np.float32)
    audio = audio[: len(audio) // 2 * 2].reshape(-1, 2)
    return audio[np.flatnonzero(audio[:, 0])[0] + 12000 :], late
