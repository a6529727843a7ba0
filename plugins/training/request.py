"""What a training was asked to do. Written to config.json, so that a run is never gone on with as another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from ambientd.samplernn.checkpoint import Architecture, HeldOut


@dataclass(frozen=True)
class Request:
    """What the command line asked for; stored as config.json. batch: of all processes together."""

    dataset: str
    dim: int
    frame_sizes: tuple[int, ...]
    n_rnn: int
    q_levels: int
    quantization: str
    pre_emphasis: float
    sample_rate: int
    batch: int
    sequence: int
    learning_rate: float
    steps: int | None
    minutes: float | None
    validations: int
    split: str
    seed: int
    forecast: dict[str, Any] | None = None
    """The architecture's; None trains a plain SampleRNN."""
    cpu_minutes: float | None = None
    albums: tuple[str, ...] = ()
    """In place of `dataset`, to make a common base."""
    base: str | None = None
    """The checkpoint whose weights to begin with, and the family it is of."""
    family: str | None = None
    base_hours: float = 0.0
    base_album: dict[str, Any] | None = None
    """Of the base's card, for those of its descendants."""
    dropout: float = 0.0
    """The share of the sample tier that is left out of each step."""
    augment: int = 0
    """Variations of every track to train on as well."""
    listen: float = 0.15
    """The share of the training's time that may be spent on listening to what it has learnt."""

    @property
    def folders(self) -> list[Path]:
        return [Path(folder) for folder in self.albums or (self.dataset,)]

    @property
    def held_out(self) -> HeldOut:
        return HeldOut(split=self.split, seed=self.seed, shortest=2 * self.sequence)

    def architecture(self) -> Architecture:
        """Whatever of it can be asked for, and otherwise its defaults."""
        asked = {name: getattr(self, name) for name in Architecture.model_fields if hasattr(self, name)}
        return Architecture.model_validate(asked)


MAY_CHANGE = {"steps", "minutes", "cpu_minutes", "validations", "listen", "base_hours", "base_album"}
"""From one command to the next with the same run; earlier versions kept nothing of the base's card."""
MAY_CHANGE |= {"dataset", "albums"}
"""Folders move. What is in them may not change, which is seen when they have been read (`corpus.difference`)."""


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A request as it was kept, with the defaults of what earlier versions did not know."""
    return {field.name: field.default for field in fields(Request)} | dict(config)


def same(name: str, before: object, now: object) -> bool:
    """Whether a field of a request means what it did. before, now: as JSON gives them back."""
    return same_place(before, now) if name == "base" else before == now


def same_place(one: object, other: object) -> bool:
    """Whether two paths, or names, lead to the same."""
    if one and other and isinstance(one, str) and isinstance(other, str):
        return Path(one).resolve() == Path(other).resolve()
    return one == other


def option(name: str) -> str:
    """What a field of a request is called on the command line."""
    return {"learning_rate": "lr", "forecast": "plain"}.get(name, name)


def multiples(frame_sizes: Sequence[int]) -> tuple[int, ...]:
    """Of the size below, as they are typed: (16, 64) -> (16, 4)."""
    return tuple(above // below for below, above in pairwise((1, *frame_sizes)))


def typed(name: str, value: object) -> str:
    """Its value as it is typed there."""
    if name == "forecast":
        return "off" if value else "on"
    if isinstance(value, float):
        return f"{value:g}"
    if name == "frame_sizes" and isinstance(value, list | tuple):
        value = multiples(value)
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
