"""The sounds of a report: read, cut and packed as FLAC. The training process, and `ambientd blend-report`."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Checkpoint

MOST_SAMPLES = 12
"""Beside the best the latest so many can be heard: the page stays some megabytes small."""
MOST_SECONDS, BEST_SECONDS = 10.0, 40.0
"""Of one sample; of the best checkpoint's, which is the one to listen to."""
SUFFIXES = (".wav", ".flac")


def latest_samples(folder: Path) -> list[Path]:
    """The audio files of the latest steps, latest first, at most MOST_SAMPLES. A step is a number in the name."""

    def place(path: Path) -> tuple[list[int], str]:
        return [int(digits) for digits in re.findall(r"\d+", path.stem)], path.name

    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES] if folder.is_dir() else []
    return sorted(files, key=place, reverse=True)[:MOST_SAMPLES]


def as_flac(path: Path, seconds: float) -> bytes:
    """The first `seconds` of an audio file as FLAC; empty where it cannot be read, or holds nothing."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            audio, rate = file.read(round(seconds * file.samplerate), dtype="int16"), file.samplerate
    except (soundfile.LibsndfileError, OSError):
        return b""
    return flac(audio, rate) if len(audio) else b""


def album_flac(checkpoint: Checkpoint) -> bytes:
    """The checkpoint's prime audio, its places after each other, as FLAC."""
    import numpy as np

    a = checkpoint.card.architecture
    places = [quantize.decode(p, a.q_levels, a.quantization, a.pre_emphasis, a.album_gain) for p in checkpoint.prime]
    audio = np.concatenate(places)[: round(MOST_SECONDS * checkpoint.card.sample_rate)]
    return flac(audio.clip(-1, 1), checkpoint.card.sample_rate)


def flac(audio: Any, rate: int) -> bytes:
    """A FLAC file of 16 bits. audio: [samples], int16, or floats in -1..1."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
