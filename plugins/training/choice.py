"""Which of a run's checkpoints is the best, and what it sounds like. The training process."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ambientd.plugin import AmbientdError
from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Architecture, Card, dump, load_card
from ambientd_plugins.training.dataset import Split, Tokens
from ambientd_plugins.training.folder import RunFolder
from ambientd_plugins.training.listen import render
from ambientd_plugins.training.pictures import mel_png

if TYPE_CHECKING:
    from ambientd.plugin import Floats

KEPT = 3
"""Checkpoints that are kept to choose from."""
PREVIEW_SECONDS = 8


class Choice:
    """The competition for best.safetensors. Its memory is the cards of the checkpoints that are kept."""

    def __init__(
        self, folder: RunFolder, data: Split, architecture: Architecture, sample_rate: int, listens: bool
    ) -> None:
        self.listens = listens
        self.folder, self.data, self.architecture, self.sample_rate = folder, data, architecture, sample_rate
        self.cards: dict[int, Card] = {}
        self.remember()

    def remember(self) -> None:
        """Go on from the checkpoints in the folder."""
        self.cards = {}
        for path in self.folder.candidates():
            card = load_card(path)
            self.cards[card.training.steps] = card

    @property
    def best_bits(self) -> float:
        """Validation bits of the best so far; infinite before there is one."""
        return _bits(self._ranked()[0]) if self.cards else math.inf

    def enter(
        self, card: Card, tensors: dict[str, Floats], prime: Tokens, seconds: float, interrupted: Callable[[], bool]
    ) -> dict[str, Any]:
        """Let a checkpoint compete. Returns what the log says of how it sounds."""
        step = card.training.steps
        file = dump(card, tensors, prime)
        self.folder.write(self.folder.candidate(step), file)
        self.folder.write(self.folder.last, file)
        try:
            if self.listens:
                self._preview(step)
        except AmbientdError as error:
            if interrupted():
                raise KeyboardInterrupt from None
            self.folder.say(f"no preview: {error}")
        self.cards[step] = card
        ranked = self._ranked()
        if ranked[0] is card:
            self.folder.write(self.folder.best, file)
        for loser in ranked[KEPT:]:
            self.folder.remove(self.folder.candidate(loser.training.steps))
            del self.cards[loser.training.steps]
        return {}

    def finish(self, seconds: float, interrupted: Callable[[], bool]) -> None:
        """Nothing more to judge yet."""

    def _ranked(self) -> list[Card]:
        return sorted(self.cards.values(), key=_bits)

    def _preview(self, step: int) -> None:
        """Free-run the checkpoint, and draw it beside the album."""
        name = f"step{step}"
        wav = self.folder.samples / f"{name}.wav"
        heard = render(self.folder.candidate(step), wav, PREVIEW_SECONDS, 1.0)
        a = self.architecture
        album = np.concatenate(self.data.validation)[: PREVIEW_SECONDS * self.sample_rate]
        original = quantize.decode(album, a.q_levels, a.quantization, a.pre_emphasis, a.album_gain)
        picture = mel_png({"album (held out)": original, f"model, {name}": heard}, self.sample_rate)
        self.folder.write(wav.with_suffix(".png"), picture)


def _bits(card: Card) -> float:
    bits = card.training.validation_bits
    return math.inf if bits is None else bits
