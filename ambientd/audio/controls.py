"""What the supervisor tells the player while it plays: shared cells. Any process; light."""

from __future__ import annotations

from enum import IntEnum


class PlayerControl(IntEnum):
    """Cells that the supervisor writes and the player obeys."""

    VOLUME = 0
    """Linear gain, 0 and up."""
    PLAYING = 1
    """1 play, 0 fade out and rest: then nothing is read from the ring, so that the generator rests too."""
    FADE_SECONDS = 2
    """Length of the next whole fade in or out."""
    PANIC = 3
    """1 silence within 50 ms, 0 released."""
    LOUDNESS_TARGET = 4
    LOUDNESS_CEILING = 5
    """LUFS; 0 is off. See `leveller`."""
