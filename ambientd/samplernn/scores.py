"""The automatic ear: what can be said of a take or an album without listening. NumPy and SciPy; any process.

Training chooses its checkpoints by it and `ambientd render --count` sorts takes by it, both through `fault` and
`quality`, against the scores of the album itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft

from ambientd.arrays import Floats
from ambientd.samplernn.loops import find_loop
from ambientd.samplernn.profile import Profile, frechet, moments, own_distance
from ambientd.samplernn.tonality import tonality

__all__ = ["Scores", "fault", "quality", "score", "score_album", "tonality"]

SILENCE_DB = -60.0
"""dBFS (mean square) of a WINDOW, below which it is silent; the 8-bit quantiser's own noise is about there."""
WINDOW = 0.1
"""Seconds."""
SPECTRUM = 0.064
"""Seconds of a spectrum for flatness, not overlapping."""
DEPTH_DB = -40.0
"""Of a bin below the mean of its spectrum, and no deeper. An empty band above a low-pass, or one that the quantiser
has filled, would otherwise decide: with it, quantised to 8 bits, albums measure at most 1.4 times as flat as before."""
FULL_SCALE = 0.999

SILENCE_MARGIN = 0.05
"""How much more of a take than of its album may be silent."""
FLATNESS_FACTOR = 2.0
"""How much flatter than its album a take may be."""
PUREST = 4.0
"""How much less flat: below is a whistle, one tone that feeds itself. Excerpts of an album differ by 2 or 3."""
MOST_REPEATS = 2
CLIPPING_MARGIN = 0.001
ALONE = {"silent_share": 0.25, "flatness": 0.1}
"""Stands in for an album's scores. Albums have up to 0.02 and 0.006; white noise has a flatness of 0.56."""


@dataclass(frozen=True)
class Scores:
    """What `score` finds."""

    silent_share: float
    """Of 100 ms windows, 0 to 1."""
    flatness: float
    """Geometric over arithmetic mean of the power spectrum: 0.56 for white noise, 0.001 to 0.01 for music."""
    tonality: float
    """Share of the energy in lasting tones, 0 to 1."""
    loop_seconds: float
    """The longest stretch that comes again; 0 where none does. Under 10 s only in a short take; see `find_loop`."""
    loop_repeats: int
    """How often a stretch comes again, at most."""
    clipped_share: float
    """Of samples, 0 to 1."""
    level_db: float
    """dBFS, mean square: a sine of full scale has -3."""
    distance: float | None = None
    """From the album's profile, in dB; None without one, or for less than a second."""

    def to_dict(self) -> dict[str, float]:
        """As a checkpoint's card stores it: what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, found: dict[str, float]) -> Scores | None:
        """The inverse; None where something is missing, as in a card from before there were scores."""
        known = {field.name: found[field.name] for field in fields(cls) if field.name in found}
        if len(known | {"distance": None}) < len(fields(cls)):
            return None
        return cls(**known | {"loop_repeats": int(known["loop_repeats"])})  # type: ignore[arg-type]


def score(audio: Floats, sample_rate: int, profile: Profile | None = None) -> Scores:
    """audio: [n], mono, full scale 1; profile: the album's. Half an hour at 16 kHz takes some ten seconds.

    Raises ValueError for audio that is empty or not finite.
    """
    audio = np.ascontiguousarray(audio, np.float32)
    if audio.ndim != 1 or not audio.size or not np.isfinite(audio).all():
        raise ValueError("only mono audio of finite values can be scored")
    levels = _levels(audio, round(WINDOW * sample_rate))
    loop = find_loop(audio, sample_rate)
    return Scores(
        silent_share=float((levels < SILENCE_DB).mean()),
        flatness=flatness(audio, sample_rate),
        tonality=tonality(audio, sample_rate),
        loop_seconds=loop.seconds,
        loop_repeats=loop.repeats,
        clipped_share=float((np.abs(audio) >= FULL_SCALE).mean()),
        level_db=float(_levels(audio, audio.size)[0]),
        distance=_distance(audio, sample_rate, profile),
    )


def score_album(tracks: Sequence[Floats], sample_rate: int) -> Scores:
    """An album's own scores; `distance` is that between its own parts, the yardstick for takes."""
    whole = score(np.concatenate(tracks), sample_rate)
    try:
        distance = own_distance(tracks, sample_rate)
    except ValueError:
        return whole
    return Scores(**asdict(whole) | {"distance": distance})


def flatness(audio: Floats, sample_rate: int) -> float:
    """Spectral flatness: the geometric mean over those spectra that are not silent, 0 if all are.

    audio: [n]. Bins count from 40 Hz up, and none as less than DEPTH_DB below the mean of its spectrum.
    """
    size = round(SPECTRUM * sample_rate)
    frames = sliding_window_view(audio, size)[::size] if audio.size >= size else audio[:0].reshape(0, size)
    frames = frames[np.square(frames).mean(1) >= 10 ** (SILENCE_DB / 10)]
    if not len(frames):
        return 0.0
    window = np.hanning(size + 1)[:size].astype(np.float32)
    power = np.square(np.abs(rfft(frames * window, axis=1)[:, max(1, round(40 * SPECTRUM)) :]))
    power = power / (power.mean(1, keepdims=True) + 1e-30)
    power = np.maximum(power, 10 ** (DEPTH_DB / 10))
    return float(np.exp((np.log(power).mean(1) - np.log(power.mean(1))).mean()))


def fault(scores: Scores, album: Scores | None = None) -> str:
    """Why a take is not to be used, whatever else is good about it; empty where nothing speaks against it.

    album: its own scores; without them only plain collapse is seen.
    """
    silence = album.silent_share + SILENCE_MARGIN if album else ALONE["silent_share"]
    flattest = album.flatness * FLATNESS_FACTOR if album else ALONE["flatness"]
    clipping = (album.clipped_share if album else 0) + CLIPPING_MARGIN
    if scores.silent_share > silence:
        return f"silent for {scores.silent_share:.0%}"
    if scores.clipped_share > clipping:
        return f"clipped for {scores.clipped_share:.2%}"
    if scores.flatness > flattest:
        return f"hiss (flatness {scores.flatness:.2g}, at most {flattest:.2g})"
    if album and scores.flatness < album.flatness / PUREST:
        return f"whistle (flatness {scores.flatness:.2g}, at least {album.flatness / PUREST:.2g})"
    if scores.loop_repeats > max(MOST_REPEATS, album.loop_repeats if album else 0):
        return f"loop of {scores.loop_seconds:.3g} s"
    return ""


def quality(scores: Scores, album: Scores | None = None) -> float:
    """One number to sort by, best highest: 1 is like the album, what has a fault comes below 0.

    The geometric mean of two shares, each 1 at most: of the album's tonality, and of closeness (the album's own
    distance over the take's). Closeness alone likes noise with the right spectrum, tonality alone any steady tone.
    Without an album, or without a distance, what is left of it: the tonality.
    """
    found = scores.tonality
    if album:
        found = min(1.0, scores.tonality / max(album.tonality, 1e-3))
        if album.distance is not None and scores.distance is not None:
            found = float(np.sqrt(found * album.distance / max(album.distance, scores.distance, 1e-9)))
    return found - 1 if fault(scores, album) else found


def _levels(audio: Floats, size: int) -> Floats:
    """dBFS of windows of `size` samples, or of all there is where that is less."""
    size = min(size, audio.size)
    windows = audio[: audio.size // size * size].reshape(-1, size)
    levels: Floats = 10 * np.log10(np.square(windows, dtype=np.float64).mean(1) + 1e-20)
    return levels


def _distance(audio: Floats, sample_rate: int, profile: Profile | None) -> float | None:
    if profile is None or len(moments(audio, sample_rate)) < 2:
        return None
    return frechet(Profile.of([audio], sample_rate), profile)
