"""An album at a glance: report.png."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from ambientd.plugin import Floats

RANGE_DB = 80


def album_png(mel: Floats, starts: Sequence[float], seconds: float, title: str) -> bytes:
    """A mel spectrogram as PNG, with a line where a stretch begins. mel: [bands, columns], dB; starts: seconds."""
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    top, bands = float(mel.max()), len(mel)
    extent = (0, seconds / 60, 0, bands)
    shown = axis.imshow(mel, origin="lower", aspect="auto", vmin=top - RANGE_DB, vmax=top, extent=extent)
    axis.vlines([start / 60 for start in starts[1:]], 0, bands, colors="white", lw=0.5, alpha=0.6)
    # A dollar would start a formula.
    axis.set(title=title.replace("$", r"\$"), xlabel="minutes", ylabel="mel band")
    figure.colorbar(shown, label="dB")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
