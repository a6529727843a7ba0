"""Which of a run's checkpoints is the best, by numbers and by ear. The training process.

The rule: a checkpoint that plays without a fault comes before one that collapses. Among those, all within NEAR bits
of the best validation count as predicting equally well, and of them the one that sounds best wins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ambientd.plugin import AmbientdError
from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Architecture, Card, Checkpoint, dump, load, load_card
from ambientd.samplernn.model import SampleRNN
from ambientd.samplernn.scores import Scores, quality
from ambientd_plugins.training.dataset import Split
from ambientd_plugins.training.folder import RunFolder, read_lines
from ambientd_plugins.training.judging.evaluate import mean_bits, track_bits
from ambientd_plugins.training.judging.listen import Ear, Heard, best_of
from ambientd_plugins.training.report.pictures import mel_png

NEAR = 0.05
KEPT = 3
"""Checkpoints that are kept to choose from, and to be heard once more at the end."""
EARLY_SECONDS, LATE_SECONDS, LAST_SECONDS = 6.0, 12.0, 40.0
"""How much is heard at each temperature: in the first half of a training, in the second, and at its end."""


@dataclass(frozen=True)
class Verdict:
    """For the log: see `Choice.enter`. sounds: the files that were left."""

    line: dict[str, Any]
    sounds: list[Path]


class Choice:
    """The competition for best.safetensors. Its memory is the cards of the checkpoints that are kept, and the log.

    listens: False leaves the choice to the numbers.
    """

    def __init__(
        self, folder: RunFolder, data: Split, architecture: Architecture, sample_rate: int, listens: bool
    ) -> None:
        self.folder, self.data, self.architecture, self.sample_rate = folder, data, architecture, sample_rate
        self.listens = listens
        self.cards: dict[int, Card] = {}
        self.heard: dict[int, dict[float, Scores]] = {}
        """By step and temperature; of a card it is known at one only."""
        self.remember()

    @cached_property
    def ear(self) -> Ear:
        """Made when it is first needed: learning the album takes seconds."""
        return Ear(self.data, self.architecture, self.sample_rate)

    def remember(self) -> None:
        """Go on from what is in the folder."""
        cards = [load_card(path) for path in self.folder.candidates()]
        self.cards = {card.training.steps: card for card in cards}
        self.heard = {line["step"]: _logged(line) for line in read_lines(self.folder.log) if "step" in line}
        # The log has the short takes alone; what a long one has found unsafe since is beyond the card's range.
        for card in cards:
            if card.temperature_range and (known := self.heard.get(card.training.steps)):
                low, high = card.temperature_range
                self.heard[card.training.steps] = {t: scores for t, scores in known.items() if low <= t <= high}

    @property
    def winner(self) -> Card | None:
        """The best so far; None before there is one."""
        return ranked(list(self.cards.values()))[0] if self.cards else None

    @property
    def best_bits(self) -> float:
        """Its validation bits; infinite before there is one."""
        return _bits(self.winner) if self.winner else math.inf

    def enter(
        self,
        checkpoint: Checkpoint,
        progress: float,
        seconds: float,
        interrupted: Callable[[], bool],
    ) -> Verdict:
        """Let a checkpoint compete; `seconds` of listening may be spent on it.

        Raises CheckpointError for weights that are not finite, KeyboardInterrupt when `interrupted`.
        """
        # It is heard first as the best so far sounds best: there may be time for no more.
        likely = self.winner.temperature if self.winner else checkpoint.card.temperature
        card = checkpoint.card.model_copy(update={"temperature": likely})
        kept = self._keep(replace(checkpoint, card=card))
        heard = self._listen_to(kept, EARLY_SECONDS if progress < 0.5 else LATE_SECONDS, seconds, interrupted)
        self.folder.write(self.folder.last, self.folder.read(self._file(card)))
        self._crown()
        return Verdict(_log_line(heard), [self._sound(card, h.temperature) for h in heard])

    def finish(self, seconds: float, interrupted: Callable[[], bool]) -> None:
        """Hear the best few once more and longer, as far as `seconds` go, and complete the card of the best."""
        self.folder.say("trained; now the last choice and its test")
        cards, again = ranked(list(self.cards.values())), list[Card]()
        until = time.monotonic() + seconds
        for card in cards:
            left = until - time.monotonic()
            if left > 0 and self._file(card).is_file():
                heard = self._listen_to(load(self._file(card)), LAST_SECONDS, left, interrupted)
                again += [self.cards[card.training.steps]] if any(not h.fault for h in heard) else []
        # What was heard for long is compared with its like, unless nothing of it lives.
        best = ranked(again or list(self.cards.values()))[0]
        if self._file(best).is_file():
            self._test(load(self._file(best)))
        self.folder.write(self.folder.best, self.folder.read(self._file(best)))

    def _file(self, card: Card) -> Path:
        path: Path = self.folder.candidate(card.training.steps)
        return path

    def _sound(self, card: Card, temperature: float) -> Path:
        path: Path = self.folder.take(card.training.steps, temperature)
        return path

    def _keep(self, checkpoint: Checkpoint) -> Checkpoint:
        """In the folder and in the competition; instead of what was known of the same step."""
        card = checkpoint.card
        file = dump(card, checkpoint.tensors, checkpoint.prime, profile=checkpoint.profile, guide=checkpoint.guide)
        self.folder.write(self._file(card), file)
        self.cards[card.training.steps] = card
        return checkpoint

    def _hear(
        self, checkpoint: Checkpoint, length: float, seconds: float, interrupted: Callable[[], bool]
    ) -> list[Heard]:
        card = checkpoint.card
        if not self.listens or not self._file(card).is_file():
            return []
        try:
            self.folder.doing("listening")
            out = partial(self._sound, card)
            heard: list[Heard] = self.ear.listen(self._file(card), card.temperature, out, length, seconds, interrupted)
        except AmbientdError as error:
            self.folder.say(f"not listened to: {error}")
            return []
        return heard

    def _listen_to(
        self, checkpoint: Checkpoint, length: float, seconds: float, interrupted: Callable[[], bool]
    ) -> list[Heard]:
        """Hear it, and keep it with what was found; nothing of what was known of other temperatures is lost."""
        heard = self._hear(checkpoint, length, seconds, interrupted)
        if heard:
            known = self.heard.setdefault(checkpoint.card.training.steps, {})
            best, safe = best_of(heard, [self.ear.judged(t, scores) for t, scores in known.items()])
            self._keep(self._judged(checkpoint, best, safe))
            known |= {h.temperature: h.scores for h in heard}
            for h in heard:
                # It would be the picture of an earlier take.
                self.folder.remove(self._sound(checkpoint.card, h.temperature).with_suffix(".png"))
            self._draw(checkpoint.card, best)
        return heard

    def _judged(self, checkpoint: Checkpoint, best: Heard, safe: tuple[float, float] | None) -> Checkpoint:
        found = {
            "temperature": best.temperature,
            "temperature_range": safe,
            "scores": best.scores.to_dict(),
            "album_scores": self.ear.album.to_dict(),
        }
        profile = self.ear.profile.to_array() if self.ear.profile else None
        return replace(checkpoint, card=checkpoint.card.model_copy(update=found), profile=profile)

    def _test(self, checkpoint: Checkpoint) -> None:
        """Bits per sample of the part that has chosen nothing, onto the card; nothing where there is none."""
        if not self.data.test:
            return
        self.folder.doing("testing")
        model = SampleRNN(checkpoint.card.architecture).eval()
        model.restore(checkpoint.tensors)
        bits = round(mean_bits(track_bits(model, self.data.test), self.data.test), 4)
        training = checkpoint.card.training.model_copy(update={"test_bits": bits})
        self._keep(replace(checkpoint, card=checkpoint.card.model_copy(update={"training": training})))
        self.folder.say(f"test {bits:.3f} bits per sample")

    def _crown(self) -> None:
        """The best becomes best.safetensors, and those without a chance go."""
        order = ranked(list(self.cards.values()))
        self.folder.write(self.folder.best, self.folder.read(self._file(order[0])))
        for loser in order[KEPT:]:
            self.folder.remove(self._file(loser))
            del self.cards[loser.training.steps]

    def _draw(self, card: Card, heard: Heard) -> None:
        """The mel spectrogram of what sounded best, beside the album's, if it is still there."""
        import soundfile

        sound = self._sound(card, heard.temperature)
        if not sound.is_file():
            return
        audio = soundfile.read(sound, dtype="float32", always_2d=True)[0].mean(axis=1)
        a = self.architecture
        album = np.concatenate(self.data.validation)[: len(audio)]
        original = quantize.decode(album, a.q_levels, a.quantization, a.pre_emphasis, a.album_gain)
        panels = {"album (held out)": original, f"model, {sound.stem}": audio}
        self.folder.write(sound.with_suffix(".png"), mel_png(panels, self.sample_rate))


def ranked(cards: Sequence[Card]) -> list[Card]:
    """Best first, by the rule above. One that was not listened to counts as alive, and its sound as nothing."""
    pool = [card for card in cards if not _collapsed(card)] or cards
    lowest = min(map(_bits, pool), default=math.inf)

    def place(card: Card) -> tuple[bool, bool, float, float]:
        far = _bits(card) > lowest + NEAR
        return _collapsed(card), far, 0.0 if far else -_quality(card), _bits(card)

    return sorted(cards, key=place)


def _collapsed(card: Card) -> bool:
    """It was listened to, and no temperature was without a fault."""
    return bool(card.scores) and card.temperature_range is None


def _quality(card: Card) -> float:
    scores = Scores.from_dict(card.scores)
    return quality(scores, Scores.from_dict(card.album_scores)) if scores else 0.0


def _bits(card: Card) -> float:
    bits = card.training.validation_bits
    return math.inf if bits is None else bits


def _logged(line: Mapping[str, Any]) -> dict[float, Scores]:
    """The inverse of `_log_line`: what was heard, by temperature."""
    found = {float(t): Scores.from_dict(scores) for t, scores in line.get("scores", {}).items()}
    return {t: scores for t, scores in found.items() if scores}


def _log_line(heard: Sequence[Heard]) -> dict[str, Any]:
    if not heard:
        return {}
    best, safe = best_of(heard)
    return {
        "temperature": best.temperature,
        "temperature_range": safe,
        "quality": round(best.quality, 3),
        "fault": best.fault,
        "scores": {f"{h.temperature:g}": h.scores.to_dict() | {"quality": h.quality} for h in heard},
    }
