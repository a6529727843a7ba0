"""Pictures for people who would rather look than read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch

from ambientd_plugins.training.guard import torchaudio

if TYPE_CHECKING:
    from ambientd.plugin import Floats

MELS = 80
FLOOR_DB = -100.0


def log_mel(audio: Floats, sample_rate: int) -> Floats:
    """[mels, frames] in dB, 64 ms windows every 16 ms. audio: [samples]."""
    size = 1 << round(np.log2(0.064 * sample_rate))
    transform = torchaudio().transforms.MelSpectrogram(
        sample_rate, n_fft=size, hop_length=size // 4, n_mels=MELS, norm="slaney", mel_scale="slaney"
    )
    power = transform(torch.from_numpy(np.ascontiguousarray(audio, np.float32)))
    decibels: Floats = (10 * torch.log10(power + 10 ** (FLOOR_DB / 10))).numpy()
    return decibels


def mel_png(panels: dict[str, Floats], sample_rate: int) -> bytes:
    """One mel spectrogram per title, above each other on one colour scale, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    mels = {title: log_mel(audio, sample_rate) for title, audio in panels.items()}
    top = max(float(m.max()) for m in mels.values())
    for axis, (title, mel) in zip(figure.subplots(len(mels), 1, squeeze=False)[:, 0], mels.items(), strict=True):
        seconds = len(panels[title]) / sample_rate
        axis.imshow(mel, origin="lower", aspect="auto", vmin=top - 80, vmax=top, extent=(0, seconds, 0, MELS))
        axis.set(title=title, ylabel="mel band")
    axis.set_xlabel("seconds")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
