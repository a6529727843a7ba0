"""The automatic ear: what can be said of a take or an album without listening. NumPy and SciPy; any process."""

from __future__ import annotations

from ambientd.samplernn.tonality import tonality

__all__ = ["tonality"]
