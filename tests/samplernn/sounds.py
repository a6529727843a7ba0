"""Synthetic sounds, of which it is known what an ear should say."""

from __future__ import annotations

import numpy as np

RATE = 8000


def noise(seconds: float, low: float = 0.0, high: float = RATE / 2, seed: int = 0, slope: float = 0.0):
    """Noise between two frequencies, its power falling as 1 / f^slope, at -20 dBFS."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    return at_level(np.fft.irfft(spectrum / np.maximum(frequencies, 20) ** (slope / 2), count))


def tones(seconds: float, *frequencies: float, glide: float = 0.0, vibrato: float = 0.0):
    """Partials at -20 dBFS in all. glide: semitones a second; vibrato: semitones either way, 5 Hz."""
    time = np.arange(round(seconds * RATE)) / RATE
    bend = 2 ** ((glide * time + vibrato * np.sin(2 * np.pi * 5 * time)) / 12)
    phases = [2 * np.pi * np.cumsum(frequency * bend) / RATE + frequency for frequency in frequencies]
    return at_level(np.sin(phases).sum(0))


def chord(seconds: float, **bend: float):
    return tones(seconds, 220, 277.2, 329.6, 440, 660, 880, **bend)


def phrases(seconds: float, seed: int = 0):
    """Struck strings of random pitch, one every 0.4 s."""
    random = np.random.default_rng(seed)
    time = np.arange(round(1.6 * RATE)) / RATE
    out = np.zeros(round((seconds + 2) * RATE))
    for start in np.arange(0, seconds, 0.4):
        pitch = 220 * 2 ** (random.integers(24) / 12)
        string = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 6))
        first = round(start * RATE)
        out[first : first + len(time)] += string * np.exp(-4 * time) * np.minimum(1, time * 200)
    return at_level(out[: round(seconds * RATE)])


def at_level(audio, level_db: float = -20.0):
    return (audio * 10 ** (level_db / 20) / np.sqrt(np.square(audio).mean())).astype(np.float32)


def mixed(wanted, other, share: float):
    """Both, with `share` of the energy in the first."""
    return at_level(np.sqrt(share) * at_level(wanted) + np.sqrt(1 - share) * at_level(other[: len(wanted)]))
