"""A tiny album to cut, tokenise and train on."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

RATE = 8000


def tones(seconds, frequency, level=0.2, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.3 * t))).astype(np.float32)


@pytest.fixture
def album(tmp_path):
    """Three tracks with silence inside one of them, and an album.toml."""
    folder = tmp_path / "album"
    folder.mkdir()
    soundfile.write(folder / "1-low.wav", tones(10, 110), RATE)
    gap = np.concatenate([tones(8, 220), np.zeros(16 * RATE, np.float32), tones(9, 330)])
    soundfile.write(folder / "2-gap.flac", np.stack([gap, gap], 1), RATE)
    soundfile.write(folder / "3-high.ogg", tones(12, 440, rate=16_000), 16_000)
    (folder / "album.toml").write_text(
        'title = "Tones"\nartist = "Nobody"\nlicence = "CC0-1.0"\nattribution = "made here"\n'
    )
    return folder


@pytest.fixture
def request_for():
    """request_for(*folders, **changes) -> a tiny training of them, listening to nothing."""
    from ambientd_plugins.training.request import Request

    def make(*folders, **changes):
        names = tuple(map(str, folders))
        where = {"dataset": names[0], "albums": ()} if len(names) == 1 else {"dataset": "", "albums": names}
        settings = {
            "dim": 16, "frame_sizes": (4, 8), "n_rnn": 1, "q_levels": 256, "quantization": "mu-law",
            "pre_emphasis": 0.85, "sample_rate": RATE, "batch": 4, "sequence": 256, "learning_rate": 0.006,
            "steps": 30, "minutes": None, "validations": 2, "split": "auto", "seed": 1, "listen": 0.0,
            "forecast": {"orders": [64, 16], "rates": [0.01, 0.01]},
        }  # fmt: skip
        return Request(**(settings | where | changes))

    return make


@pytest.fixture
def no_room():
    """with no_room(size): no file may grow beyond `size` bytes, which is what a full disk does to those that write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextmanager
    def limited(size=64):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
