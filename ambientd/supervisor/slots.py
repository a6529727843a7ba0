"""Which models the daemon plays, and what it knows of them. Supervisor; the voices themselves are the generator's."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ambientd.config import Config
from ambientd.errors import CheckpointError
from ambientd.samplernn import library
from ambientd.samplernn.checkpoint import Card, load_card

DEFAULT_MODELS = 2
"""Of the library's, where the configuration names none."""

MEASURED = ("gap_ms", "level_step_db", "jump", "level_shift_db", "heard_step_db", "jump_around")
"""Of each change of voices while music plays."""


@dataclass
class LoadedSlot:
    """A slot with a model in it. number: as people count, from 1."""

    number: int
    id: str
    path: Path
    card: Card
    seed: int
    state: str = "loading"
    change: Mapping[str, float | None] = field(default_factory=lambda: dict.fromkeys(MEASURED))
    """What its voice's coming cost; see `engine.change_watch`."""


def find_slots(config: Config, say: Callable[[str], None]) -> list[LoadedSlot]:
    """The configured models that can be played. One that cannot costs a line; all of them, a CheckpointError."""
    ids = models_to_begin_with(config)
    seed = config.engine.seed
    base = secrets.randbits(30) if seed is None else seed
    found: list[LoadedSlot] = []
    for number, id in enumerate(ids, 1):
        own = config.slots[number - 1].seed if config.slots else None
        try:
            seed_of_slot = base + number if own is None else own
            found.append(open_slot(number, id, seed_of_slot, found[0] if found else None))
        except CheckpointError as error:
            say(f"slot {number} stays empty: {error}")
    if not found:
        raise CheckpointError("no model can be played", "See `ambientd models list`, or train one (`ambientd train`)")
    return found


def models_to_begin_with(config: Config) -> list[str]:
    """The ids that `config` names, by slot; else the library's first, relatives before strangers: they blend best."""
    if config.slots:
        return [slot.model for slot in config.slots]
    families = {entry.id: _family(entry.path) for entry in library.entries()}
    relatives = Counter(families.values())
    return sorted(families, key=lambda id: -relatives[families[id]])[:DEFAULT_MODELS]


def _family(path: Path) -> str | None:
    try:
        return load_card(path).family
    except CheckpointError:
        return None


def open_slot(number: int, id: str, seed: int, beside: LoadedSlot | None) -> LoadedSlot:
    """The library's model `id`, which has to be able to play with `beside`. Raises CheckpointError."""
    path = library.resolve(id)
    slot = LoadedSlot(number, id, path, load_card(path), seed)
    if beside:
        _check_rate(slot, beside)
    return slot


def _check_rate(slot: LoadedSlot, first: LoadedSlot) -> None:
    if slot.card.sample_rate != first.card.sample_rate:
        raise CheckpointError(
            f"{slot.id} runs at {slot.card.sample_rate} Hz, {first.id} at {first.card.sample_rate} Hz",
            "Play models of one sample rate together",
        )
