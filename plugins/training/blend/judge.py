"""A judge of blends: a checkpoint that plays in none of them, asked how well it predicts them. Needs torch.

Used by `ambientd blend-report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Checkpoint, fingerprint, load
from ambientd.samplernn.model import SampleRNN
from ambientd.samplernn.scores import SILENCE_DB
from ambientd_plugins.training.errors import JudgeError
from ambientd_plugins.training.judging.evaluate import track_bits

if TYPE_CHECKING:
    from ambientd.plugin import Floats
    from ambientd_plugins.training.dataset import Tokens

SHARED = ("q_levels", "quantization", "pre_emphasis")
"""What two judges must agree on for their bits to compare. Their gains are their albums', and so is the level."""
MOST_GAIN_DB = 24.0
"""Silence is not made as loud as an album."""


AlbumBits = tuple[float, float] | None
"""Bits under A and under B of what a player's file holds of its album; None where that is nothing."""


class Judge:
    """A model that hears what others play as if it were its own album."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.id = checkpoint.id
        self.architecture = checkpoint.card.architecture
        self.sample_rate = checkpoint.card.sample_rate
        self.album_db = album_level(checkpoint)
        self._model = SampleRNN(self.architecture).eval()
        self._model.restore(checkpoint.tensors)

    def tokens(self, audio: Floats) -> Tokens:
        """What the judge hears of audio [n]: brought to its album's level, then quantised as its album was.

        One gain for all of it, so that its mean square is the album's: a difference in loudness alone must not tell
        two albums apart, and a quantiser's steps are as coarse to what it hears as they were to what it learnt.
        """
        a = self.architecture
        gain_db = min(MOST_GAIN_DB, self.album_db - level(audio))
        matched = audio * np.float32(10 ** (gain_db / 20))
        emphasised = quantize.pre_emphasise(matched, a.pre_emphasis)
        return quantize.encode(emphasised * np.float32(a.album_gain), a.q_levels, a.quantization)

    def bits(self, tracks: Sequence[Floats], heard: Callable[[int], None] = lambda samples: None) -> list[float]:
        """Of each track [n], by teacher forcing: negative log-likelihood in bits per sample.

        heard: told how many samples were judged.
        """
        found: list[float] = track_bits(self._model, [self.tokens(track) for track in tracks], heard)
        return found


@dataclass(frozen=True)
class Judges:
    """One of each album."""

    a: Judge
    b: Judge

    @classmethod
    def of(cls, paths: tuple[Path, Path], players: Sequence[Checkpoint]) -> Judges:
        """Loads them. Raises JudgeError for judges that play themselves, or that do not compare; CheckpointError."""
        playing = {fingerprint(player.tensors): player.id for player in players}
        checkpoints = [load(path) for path in paths]
        for judge in checkpoints:
            if player := playing.get(fingerprint(judge.tensors)):
                raise JudgeError(f"the judge {judge.id} is {player}, which plays", "Judges must not know the answers")
        _check_alike(checkpoints, players)
        return cls(*(Judge(checkpoint) for checkpoint in checkpoints))

    def albums(self, players: tuple[Checkpoint, Checkpoint]) -> tuple[AlbumBits, AlbumBits]:
        """Of A's album and of B's.

        Raises JudgeError where the judges do not tell them apart: then they cannot judge a blend of them.
        """
        a, b = self._of_album(players[0]), self._of_album(players[1])
        if a and b and a[0] - a[1] >= b[0] - b[1]:
            raise JudgeError(
                f"the judges {self.a.id} and {self.b.id} do not tell the albums apart: d is {a[0] - a[1]:.3f} bits for "
                f"{players[0].id}'s own and {b[0] - b[1]:.3f} for {players[1].id}'s",
                "Name them in the models' order, or train them longer",
            )
        return a, b

    def _of_album(self, player: Checkpoint) -> AlbumBits:
        places = album_excerpts(player)
        return (float(np.mean(self.a.bits(places))), float(np.mean(self.b.bits(places)))) if places else None


def level(audio: Floats) -> float:
    """dBFS, mean square, as in `Scores`."""
    return float(10 * np.log10(np.square(audio, dtype=np.float64).mean() + 1e-20))


def album_level(checkpoint: Checkpoint) -> float:
    """Of the checkpoint's album, dBFS: as its card tells, or else of the places that its file holds. JudgeError."""
    known = checkpoint.card.album_scores.get("level_db")
    if known is not None:
        return known
    excerpts = album_excerpts(checkpoint)
    if not excerpts:
        raise JudgeError(f"the judge {checkpoint.id} does not tell how loud its album is", "Train one on the album")
    return level(np.concatenate(excerpts))


def album_excerpts(checkpoint: Checkpoint) -> list[Floats]:
    """The prime audio, decoded: [samples] a place, at the album's level. Not silent ones, as imported models hold."""
    a = checkpoint.card.architecture
    places = [quantize.decode(p, a.q_levels, a.quantization, a.pre_emphasis, a.album_gain) for p in checkpoint.prime]
    return [place for place in places if place.size and level(place) > SILENCE_DB]


def _check_alike(judges: Sequence[Checkpoint], players: Sequence[Checkpoint]) -> None:
    first, second = (judge.card.architecture for judge in judges)
    for field in SHARED:
        if getattr(first, field) != getattr(second, field):
            raise JudgeError(
                f"the judges {judges[0].id} and {judges[1].id} differ in {field}, and their bits do not compare",
                "Train both with the same settings",
            )
    rates = {one.card.sample_rate for one in (*judges, *players)}
    if len(rates) > 1:
        raise JudgeError(f"models and judges are of several sample rates: {sorted(rates)}", "Use those of one")
