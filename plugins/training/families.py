"""Fine-tuning: what a training takes over from its base. The training process.

A family is all checkpoints that began as the same one. Its members answer alike to the same conditioning and to
each other's music, which is what lets them be mashed up closely; so they share the base's architecture,
quantization and sample rate, and only the gain is each album's own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ambientd.samplernn.checkpoint import Album, Architecture, Checkpoint, load
from ambientd.samplernn.library import resolve_local
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.request import option, same_place, typed

RATE = 0.3
"""Of the learning rate from scratch: what the base has learnt is to be bent, not burnt."""
MINUTES = 10.0


def find_base(id_or_path: str) -> Checkpoint:
    """A checkpoint of the library, or a file. Raises CheckpointError."""
    return load(resolve_local(id_or_path))


@dataclass(frozen=True)
class Origin:
    """What a fine-tuning takes over from its base, but for the weights. hours_heard, album: for its own card."""

    name: str
    architecture: Architecture
    sample_rate: int
    family: str
    hours_heard: float
    album: dict[str, Any]


def origin_of(base: Checkpoint) -> Origin:
    card = base.card
    album = card.album.model_dump(mode="json")
    return Origin(base.id, card.architecture, card.sample_rate, base.family, card.training.hours_heard, album)


def remembered(base: str, config: Mapping[str, Any]) -> Origin | None:
    """The same of the training that left `config`: one that goes on has its weights, and its base may be gone.

    None where that had another base, or is of a version that kept less.
    """
    if not config.get("base_album") or not same_place(base, config.get("base")):
        return None
    architecture = Architecture.model_validate(config)
    return Origin(
        base, architecture, config["sample_rate"], config["family"], config["base_hours"], config["base_album"]
    )


def inherit(settings: Mapping[str, Any], given: Collection[str], base: Origin) -> dict[str, Any]:
    """The settings with the base's architecture and sample rate in place of defaults.

    given: the names of those that were asked for; TrainingError where the base is otherwise.
    """
    theirs = base.architecture.model_dump(exclude={"album_gain"}) | {"sample_rate": base.sample_rate}
    theirs = {name: value for name, value in theirs.items() if name in settings}
    clashes = [n for n, value in theirs.items() if n in given and settings[n] != value]
    if clashes:
        asked = ", ".join(f"--{_words(n, settings[n])}" for n in clashes)
        has = ", ".join("a forecast" if n == "forecast" else _words(n, theirs[n]) for n in clashes)
        raise TrainingError(
            f"{asked} and --base {base.name} exclude each other: the base has {has}", "Leave out one of them"
        )
    return {**settings, **theirs}


def credited(album: Album, base: Album) -> Album:
    """`album` with the credits of what its model was fine-tuned from: that music is in the weights too."""
    if set(base.sources) <= set(album.sources):
        return album
    licences = [album.licence, f"base: {base.licence}"] if base.licence != album.licence else [album.licence]
    credits = [
        credit for credit in (album.attribution, f"base: {base.attribution}" if base.attribution else "") if credit
    ]
    return album.model_copy(update={"licence": "; ".join(licences), "attribution": "; ".join(credits)})


def _words(name: str, value: object) -> str:
    # --plain is a flag: who gave it gave no value.
    return option(name) if name == "forecast" else f"{option(name)} {typed(name, value)}"
