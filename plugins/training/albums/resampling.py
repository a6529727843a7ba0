"""Sound at another rate: a piece in memory, or a file of any length while it is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ambientd_plugins.training.albums.recording import BLOCK

if TYPE_CHECKING:
    from ambientd.plugin import Floats

WIDTH, ROLLOFF = 64, 0.95
"""Zero crossings of the filter on each side, and where it cuts, of the lower rate's half."""


def resample(audio: Floats, rate: int, wanted: int) -> Floats:
    """Band-limited resampling of [samples] (torchaudio's windowed sinc)."""
    if rate == wanted:
        return audio
    import torch

    from ambientd_plugins.training.guard import torchaudio

    function = torchaudio().functional.resample
    out: Floats = function(torch.from_numpy(audio), rate, wanted, lowpass_filter_width=WIDTH, rolloff=ROLLOFF).numpy()
    return out


def resampled(blocks: Iterable[Floats], rate: int, wanted: int) -> Floats:
    """What `resample` makes of all `blocks` [samples] in one piece, in little more memory than the result.

    The very same, because a training that goes on refuses music that is not what it was: as many samples
    everywhere, and on x86-64 to the bit; elsewhere torch may round pieces otherwise.
    """
    whole = bytearray()  # grows in place; a list of pieces would be there twice while it is joined
    for piece in blocks if rate == wanted else _pieces(blocks, rate, wanted):
        whole += piece.tobytes()
    return np.frombuffer(whole, np.float32)


def _pieces(blocks: Iterable[Floats], rate: int, wanted: int) -> Iterator[Floats]:
    ratio = Fraction(rate, wanted)
    period, made = ratio.numerator, ratio.denominator  # so many samples become so many
    reach = math.ceil(WIDTH / (min(period, made) * ROLLOFF)) + 1  # periods that the filter sees on each side, and one
    least = BLOCK // period + 1  # torch rounds a shorter piece in another way, the last one too
    held, first, done = np.empty(0, np.float32), 0, 0  # in periods: where `held` begins, and how many came out
    for block in blocks:
        held = np.concatenate([held, block])
        ready = first + len(held) // period - reach - least
        if ready >= done + least:
            piece = resample(held[: (ready + reach - first) * period], rate, wanted)
            yield piece[(done - first) * made : (ready - first) * made]
            done, keep = ready, max(first, ready - reach)
            held, first = held[(keep - first) * period :], keep
    if len(held):
        end = _length(first * period + len(held), period, made)
        rest = np.pad(held, (0, period)) if done else held
        yield resample(rest, rate, wanted)[(done - first) * made : end - first * made]


def _length(samples: int, period: int, made: int) -> int:
    """As torchaudio counts, in float32: from 2^24 on a few samples of the filter's last ringing come or go."""
    return min((samples // period + 1) * made, math.ceil(np.float32(made * samples / period)))
