"""What an album is like, in numbers a musician can use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ambientd_plugins.training.album import Track
from ambientd_plugins.training.guard import torchaudio
from ambientd_plugins.training.pictures import log_mel

if TYPE_CHECKING:
    from ambientd.plugin import Floats

WINDOW_SECONDS = 8.0


def survey(tracks: Sequence[Track], sample_rate: int) -> dict[str, Any]:
    """minutes, tracks, loudness (ITU-R BS.1770), peak, dynamics, and variety within and across 8 s windows.

    Variety is the standard deviation of the log-mel spectrum in dB, averaged over its bands: over time inside
    each window, and between the windows' means.
    """
    whole = np.concatenate([t.audio for t in tracks])
    windows = _windows(whole, round(WINDOW_SECONDS * sample_rate))
    level = 20 * np.log10(np.sqrt((windows**2).mean(axis=1)) + 1e-9)
    mels = np.stack([log_mel(window, sample_rate) for window in windows])  # [windows, mels, frames]
    quiet, loud = np.quantile(level, [0.1, 0.9])
    return {
        "minutes": len(whole) / sample_rate / 60,
        "tracks": len(tracks),
        "loudness_lufs": _loudness(whole, sample_rate),
        "peak_dbfs": float(20 * np.log10(np.abs(whole).max() + 1e-9)),
        "dynamics_db": float(loud - quiet),
        "variety_within_db": float(mels.std(axis=2).mean()),
        "variety_across_db": float(mels.mean(axis=2).std(axis=0).mean()),
    }


def _windows(audio: Floats, length: int) -> Floats:
    """[windows, length], the rest dropped; an album shorter than one window is one short window."""
    count = len(audio) // length
    return audio[: count * length].reshape(count, length) if count else audio[None]


def _loudness(audio: Floats, sample_rate: int) -> float:
    # torchaudio's K-weighting filters sample by sample in Python without its native part: measure two minutes.
    excerpt = torch.from_numpy(audio[len(audio) // 2 :][: 120 * sample_rate].copy())[None]
    return float(torchaudio().functional.loudness(excerpt, sample_rate))
