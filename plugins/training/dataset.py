"""Tracks as tokens, split before anything is cut, and walked by parallel streams that carry state.

All tokens stay in memory as uint8: an hour at 16 kHz is 58 MB, and no loader stands between it and the model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.forecast import Forecasts, forecast_track
from ambientd.samplernn.guide import ORDER, make_guide
from ambientd_plugins.training.albums.tracks import Track
from ambientd_plugins.training.errors import AlbumError

if TYPE_CHECKING:
    from ambientd.plugin import Floats

Tokens = NDArray[np.uint8]

HELD_OUT = 0.1
"""The share of the album that is never trained on."""
TRACKS_FOR_A_SPLIT = 5
"""With fewer tracks than this, holding whole ones out would cost too much of the album."""
PRIME_PLACES, PRIME_SECONDS = 8, 4.0
PRIME_CHOICES = 4
"""Places looked at for each that is taken."""
RESET_SECONDS = (8.0, 30.0)
"""A stream jumps elsewhere after a random time in this range: state is carried, and also learnt to be started."""


@dataclass(frozen=True)
class Split:
    """Token tracks to learn from, to choose by, and to judge the choice by; they share no sample.

    test may be empty where the album is short. albums: of each training track, which album it is from.
    variations: of each training track, what else is trained on in its name (`augment`), or nothing for all of them.
    """

    train: list[Tokens]
    validation: list[Tokens]
    test: list[Tokens] = field(default_factory=list)
    albums: list[int] = field(default_factory=list)
    variations: list[list[Tokens]] = field(default_factory=list)

    @property
    def heard(self) -> tuple[list[Tokens], list[int]]:
        """(training tracks with their variations, which album each is from)."""
        albums = self.albums or [0] * len(self.train)
        varied = [(v, album) for album, of_one in zip(albums, self.variations, strict=False) for v in of_one]
        return [*self.train, *(v for v, _ in varied)], [*albums, *(album for _, album in varied)]

    @property
    def train_samples(self) -> int:
        return sum(map(len, self.train))


def scale(tracks: Sequence[Track], pre_emphasis: float) -> tuple[float, float]:
    """(dc, gain) of the whole album: one of each, so that the dynamics between its parts survive."""
    audio = [t.audio for t in tracks]
    dc = quantize.album_dc(audio)
    return dc, quantize.album_gain(audio, pre_emphasis, dc)


def tokenise(track: Track, dc: float, architecture: Architecture) -> Tokens:
    """One track as its model hears it."""
    a = architecture
    emphasised = quantize.pre_emphasise(track.audio - np.float32(dc), a.pre_emphasis)
    return quantize.encode(emphasised * np.float32(a.album_gain), a.q_levels, a.quantization)


def nothing_else(track: int, length: int) -> list[Tokens]:
    """No variations."""
    return []


def split(
    tracks: list[Tokens],
    shortest: int,
    how: str,
    rng: np.random.Generator,
    vary: Callable[[int, int], list[Tokens]] = nothing_else,
) -> Split:
    """Hold out a tenth: whole tracks ("track"), or the end of each ("time"); "auto" decides by their number.

    Of what is held out the first halves validate and the second halves test.
    shortest: a part shorter than this many samples is of no use. Raises AlbumError when none is left.
    vary: makes variations of the first samples of a track, given its index and how many samples are trained on.
    """
    if how == "auto":
        how = "track" if len(tracks) >= TRACKS_FOR_A_SPLIT else "time"
    cuts = _by_track(tracks, rng) if how == "track" else _by_time(tracks)
    trained = [(index, cut) for index, cut in enumerate(cuts) if cut >= shortest]
    held = [t[cut:] for t, cut in zip(tracks, cuts, strict=True) if len(t) - cut >= shortest]
    tested = [t for t in held if len(t) >= 2 * shortest]
    found = Split(
        [tracks[index][:cut] for index, cut in trained],
        [t[: len(t) // 2] if len(t) >= 2 * shortest else t for t in held],
        [t[len(t) // 2 :] for t in tested],
        [0] * len(trained),
        [vary(index, cut) for index, cut in trained],
    )
    if not found.train or not found.validation:
        raise AlbumError(
            f"the album is too short: no stretch of {shortest} samples is left after holding out a tenth",
            "Add music, or lower --sequence",
        )
    return found


def join(splits: Sequence[Split]) -> Split:
    """Several albums as one; `albums` tells them apart."""
    train, validation, test = ([t for s in splits for t in getattr(s, n)] for n in ("train", "validation", "test"))
    albums = [index for index, s in enumerate(splits) for _ in s.train]
    return Split(train, validation, test, albums, [v for s in splits for v in s.variations])


def _by_track(tracks: list[Tokens], rng: np.random.Generator) -> list[int]:
    """How many samples of each track, from its first on, are trained on."""
    wanted = HELD_OUT * sum(map(len, tracks))
    held: set[int] = set()
    for index in rng.permutation(len(tracks)):
        so_far = sum(len(tracks[i]) for i in held)
        # A track that would take far more than a tenth stays in training.
        if so_far < wanted / 2 and so_far + len(tracks[index]) < 2 * wanted:
            held.add(int(index))
    if not held:
        return _by_time(tracks)
    return [0 if i in held else len(t) for i, t in enumerate(tracks)]


def _by_time(tracks: list[Tokens]) -> list[int]:
    """How many samples of each track, from its first on, are trained on."""
    return [round(len(t) * (1 - HELD_OUT)) for t in tracks]


def prime(tracks: list[Tokens], sample_rate: int, places: int = PRIME_PLACES) -> Tokens:
    """[places, samples]: seed audio from several places of the album, where it is neither silent nor at its loudest.

    What a model hears first it goes on with: one that begins in a pause may stay there.
    """
    whole = np.concatenate(tracks)
    length = min(round(PRIME_SECONDS * sample_rate), len(whole))
    starts = np.linspace(0, len(whole) - length, places * PRIME_CHOICES).astype(int)
    # The quietest second of each, because it is the end of a prime that decides; in steps from silence, mu-law's own.
    middle = np.median(whole)
    spread = np.array([_least_spread(whole[s : s + length], middle, sample_rate) for s in starts])
    chosen = np.argsort(np.abs(spread - np.median(spread)), kind="stable")[:places]
    return np.stack([whole[starts[p] : starts[p] + length] for p in sorted(chosen)])


def guide(tracks: list[Tokens], architecture: Architecture, sample_rate: int) -> Floats | None:
    """What a voice with a forecast follows: `samplernn.guide`; None where there is too little music to make one of."""
    assert architecture.forecast
    order = min(ORDER, architecture.forecast.orders[0])
    found = make_guide(tracks, architecture.q_levels, architecture.quantization, sample_rate, order)
    return found if len(found) else None


def _least_spread(tokens: Tokens, middle: float, sample_rate: int) -> float:
    seconds = range(0, max(1, len(tokens) - sample_rate + 1), sample_rate)
    return min(float(np.abs(tokens[s : s + sample_rate] - middle).mean()) for s in seconds)


def shares(tracks: Sequence[Tokens], sequence: int, albums: Sequence[int] = ()) -> NDArray[np.float64]:
    """[tracks]: how likely a stream jumps into each; they sum to 1.

    Within an album by length. Several albums by the square root of theirs: by length a short album would
    drown in a long one, all alike would have it learnt by heart.
    """
    album = np.array(albums if len(albums) else [0] * len(tracks))
    starts = np.array([len(t) - sequence + 1 for t in tracks], np.float64)
    share: NDArray[np.float64] = starts / np.sqrt(np.bincount(album, starts)[album])
    share /= share.sum()
    return share


def forecast_tracks(tracks: Sequence[Tokens], architecture: Architecture) -> list[Forecasts]:
    """What is known before each sample of each track; nothing for a plain SampleRNN.

    As many at a time as PyTorch has threads; a processor minute for an hour of music.
    """
    import torch

    if architecture.forecast is None:
        return []
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(lambda track: forecast_track(track, architecture), tracks))


def stack_forecasts(rows: Sequence[Forecasts]) -> Forecasts:
    """[n] each -> [rows, n]."""
    return Forecasts(np.stack([r.centre for r in rows]), np.stack([r.scales for r in rows]))


class Streams:
    """`batch` read heads that walk the tracks side by side, jumping now and then; fully resumable.

    rows: which of them `next` reads from; the others only walk. Default: all.
    albums: of each track, which album it is from; see `shares`. resets: seconds between two jumps, drawn in this range.
    """

    def __init__(
        self,
        tracks: list[Tokens],
        batch: int,
        sequence: int,
        architecture: Architecture,
        sample_rate: int,
        seed: int,
        rows: range | None = None,
        albums: Sequence[int] = (),
        resets: tuple[float, float] = RESET_SECONDS,
    ) -> None:
        self.tracks, self.sequence, self.sample_rate, self.resets = tracks, sequence, sample_rate, resets
        self.rows = range(batch) if rows is None else rows
        self.context = architecture.frame_sizes[-1]
        self.silence = quantize.silence(architecture.q_levels)
        self.rng = np.random.default_rng(seed)
        self.share = shares(tracks, sequence, albums)
        self.forecasts = forecast_tracks(tracks, architecture)
        self.track = np.zeros(batch, np.int64)
        self.position = np.zeros(batch, np.int64)
        self.remaining = np.zeros(batch, np.int64)

    def next(self) -> tuple[Tokens, NDArray[np.bool_], Forecasts | None]:
        """(tokens [rows, context + sequence], whether each of these streams has just jumped [rows], forecasts).

        The forecasts are of the last `sequence` tokens, for a model that hears some.
        """
        forecasts = []
        out = np.full((len(self.rows), self.context + self.sequence), self.silence, np.uint8)
        jumped = np.zeros(len(self.track), np.bool_)
        for row in range(len(self.track)):
            length = len(self.tracks[self.track[row]])
            if self.remaining[row] < self.sequence or self.position[row] + self.sequence > length:
                self._jump(row)
                jumped[row] = True
            if row in self.rows:
                start = int(self.position[row])
                heard = self.tracks[self.track[row]][max(0, start - self.context) : start + self.sequence]
                out[row - self.rows.start, -len(heard) :] = heard
                if self.forecasts:
                    forecasts.append(self.forecasts[self.track[row]][start : start + self.sequence])
            self.position[row] += self.sequence
            self.remaining[row] -= self.sequence
        return out, jumped[self.rows.start : self.rows.stop], stack_forecasts(forecasts) if forecasts else None

    def _jump(self, row: int) -> None:
        self.track[row] = self.rng.choice(len(self.tracks), p=self.share)
        self.position[row] = self.rng.integers(0, len(self.tracks[self.track[row]]) - self.sequence + 1)
        self.remaining[row] = max(self.sequence, round(self.rng.uniform(*self.resets) * self.sample_rate))

    def state(self) -> dict[str, Any]:
        """Everything that `next` depends on."""
        return {
            "rng": json.dumps(self.rng.bit_generator.state),
            **{name: getattr(self, name).tolist() for name in ("track", "position", "remaining")},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = json.loads(state["rng"])
        for name in ("track", "position", "remaining"):
            getattr(self, name)[:] = state[name]
