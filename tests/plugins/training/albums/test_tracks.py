"""Reading files of any length: in little memory, and as if they were read in one piece."""

import platform
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from scipy.signal import sosfilt

from ambientd_plugins.training.albums import resampling, tracks
from ambientd_plugins.training.albums.loudness import block_powers, k_weighting
from ambientd_plugins.training.albums.recording import BLOCK, clipping
from ambientd_plugins.training.albums.silence import sounding
from ambientd_plugins.training.albums.tracks import read_track
from ambientd_plugins.training.errors import AlbumError

RATE = 8000
LONG = 12 * BLOCK + 777


def noise(frames, channels=1):
    found = np.random.default_rng(1).normal(0, 0.1, (frames, channels)).astype(np.float32)
    return found if channels > 1 else found[:, 0]


@contextmanager
def no_more_than(size):
    """No more than `size` bytes in all are taken meanwhile, but for torch's."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_a_long_file_takes_little_more_memory_than_what_comes_of_it(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.wav", noise(LONG, 2), 48_000)
    resampling.resample(noise(100), 48_000, 16_000)  # torch is imported
    pieces, resample = [], resampling.resample
    monkeypatch.setattr(resampling, "resample", lambda a, *rates: pieces.append(len(a)) or resample(a, *rates))
    with no_more_than(1.2 * 4 * LONG / 3 + 12 * 4 * BLOCK):
        read_track(tmp_path / "long.wav", 16_000)
    assert len(pieces) > 5
    assert max(pieces) < 4 * BLOCK


@pytest.mark.parametrize("frames", [100, BLOCK, LONG])
@pytest.mark.parametrize(("rate", "wanted"), [(44_100, 16_000), (48_000, 16_000), (8000, 11_025), (RATE, RATE)])
def test_a_file_is_what_it_would_be_in_one_piece(tmp_path, frames, rate, wanted):
    soundfile.write(tmp_path / "a.flac", np.clip(10 * noise(frames, 2), -1, 1), rate)
    track = read_track(tmp_path / "a.flac", wanted)
    audio, _ = soundfile.read(tmp_path / "a.flac", dtype="float32")
    whole = resampling.resample(audio.mean(axis=1, dtype=np.float32), rate, wanted)
    assert len(track.audio) == len(whole)
    assert np.abs(track.audio - whole).max() < 1e-6
    assert track.source.samples == audio.size
    if platform.machine() == "x86_64":  # elsewhere torch may round pieces of another length otherwise
        assert np.array_equal(track.audio, whole)


def test_a_length_beyond_what_float32_counts_is_as_torchaudio_counts_it():
    audio = np.zeros(11_200_002, np.float32)
    whole = resampling.resample(audio, 2000, 3000)
    assert len(whole) != len(audio) * 3 / 2
    blocks = (audio[start : start + BLOCK] for start in range(0, len(audio), BLOCK))
    assert len(resampling.resampled(blocks, 2000, 3000)) == len(whole)


def test_a_file_without_samples_is_empty_at_every_rate(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 44_100)
    assert len(read_track(tmp_path / "empty.wav", 16_000).audio) == 0


def test_a_hole_in_an_ogg_file_is_left_out_and_nothing_comes_twice(tmp_path, monkeypatch):
    file = tmp_path / "hole.ogg"
    soundfile.write(file, noise(20 * RATE), RATE)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + whole[len(whole) // 2 + 3000 :])
    monkeypatch.setattr(tracks, "BLOCK", 1 << 12)
    audio, _ = soundfile.read(file, dtype="float32")
    assert len(audio) < 20 * RATE
    assert np.array_equal(read_track(file, RATE).audio, audio)


def test_broken_samples_are_counted_in_all_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tracks, "BLOCK", 1 << 12)
    audio = noise(20 * RATE)
    audio[12 * RATE :: RATE] = np.nan
    soundfile.write(tmp_path / "broken.wav", audio, RATE, subtype="FLOAT")
    with pytest.raises(AlbumError, match=r"8 of its samples are not finite, the first at 12.000 s"):
        read_track(tmp_path / "broken.wav", RATE)


def test_a_clipped_run_may_go_on_in_the_next_block():
    audio = np.zeros((3 * BLOCK, 2), np.float32)
    audio[BLOCK - 2 : BLOCK + 1, 0] = 1
    audio[BLOCK - 1 : 2 * BLOCK + 5, 1] = -1
    audio[2 * BLOCK - 1 : 2 * BLOCK + 1, 0] = 1  # two samples may be a peak
    found = clipping(audio)
    assert (found.samples, found.runs) == (3 + BLOCK + 6, 2)


@pytest.mark.parametrize(
    "measure",
    [lambda a: block_powers(a, RATE), lambda a: sounding(a, RATE, -60, 1.0), lambda a: clipping(a[:, None])],
    ids=["loudness", "silence", "clipping"],
)
def test_what_is_measured_of_a_long_track_takes_no_copy_of_it(measure):
    audio = noise(LONG)
    with no_more_than(audio.nbytes / 2):
        measure(audio)


def test_loudness_goes_on_from_block_to_block():
    audio = noise(70 * RATE) + np.float32(0.5)
    step = RATE // 10
    power = np.square(sosfilt(k_weighting(RATE), audio.astype(np.float64))).reshape(-1, step).mean(axis=1)
    assert block_powers(audio, RATE) == pytest.approx(np.convolve(power, np.full(4, 1 / 4), "valid"), rel=1e-9)
