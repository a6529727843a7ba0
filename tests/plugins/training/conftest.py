"""A tiny album to cut, tokenise and train on."""

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
