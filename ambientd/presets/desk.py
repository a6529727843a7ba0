"""Recalls and stores presets for whoever asks: OSC, MIDI, day parts. Supervisor, in its selector loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ambientd.errors import ConfigError
from ambientd.parameters import Parameter
from ambientd.presets.morph import Morph
from ambientd.presets.preset import LONGEST_FADE, Preset, Setting, check, excluded_by
from ambientd.presets.shelf import Shelf

MOST_EXCLUDED = 64
"""Patterns, each at most so long as an id may be."""
LONGEST_PATTERN = 200


class Stage(Setting, Protocol):
    """What presets play: the daemon, seen from here. Its methods return at once and raise AmbientdError to refuse."""

    @property
    def mashup(self) -> str:
        """The selected one's name."""
        ...

    @property
    def models(self) -> Mapping[int, str]:
        """The id of the model in each loaded slot, or of the one that is about to come; numbered from 1."""
        ...

    def select_mashup(self, name: str) -> None: ...

    def check_slot(self, slot: int) -> None:
        """Raises AmbientdError where that slot cannot change now."""
        ...

    def change_slot(self, slot: int, id: str) -> None:
        """Let the model `id` come into the slot; an empty id lets the present one go."""
        ...


class PresetDesk:
    """Call `turn` often. clock: seconds that never step."""

    def __init__(self, stage: Stage, shelf: Shelf | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stage, self._shelf, self._clock = stage, shelf or Shelf(), clock
        self._morph: Morph | None = None
        self.current = ""
        """The preset that was recalled or stored last."""
        self.excluded: list[str] = []
        """Patterns of parameters that no recall moves."""
        stage.parameters.listen(self._changed)

    def names(self) -> list[str]:
        """Of all presets, sorted."""
        return self._shelf.names()

    def info(self) -> dict[str, Any]:
        """For `ambientd status`."""
        left = self._morph.left(self._clock()) if self._morph else 0.0
        return {"current": self.current, "seconds_left": round(left, 1), "excluded": list(self.excluded)}

    def recall(self, name: str, fade: float | None = None) -> None:
        """Go to a preset over `fade` seconds, or its own; mashup and models change at once.

        Raises ConfigError (file, key, what was expected), or whatever the stage refuses a slot's change with; nothing
        has changed then. A morph that is under way ends
        where it is.
        """
        if fade is not None and not 0 <= fade <= LONGEST_FADE:
            raise ConfigError(f"a recall takes 0 to {LONGEST_FADE:g} s, not {fade:g}")
        path = self._shelf.path(name)
        preset = self._shelf.load(name)
        targets = check(preset, str(path), self._stage)
        for id in excluded_by(self.excluded, targets):
            del targets[id]
        models = self._stage.models
        changes = {int(slot): id for slot, id in preset.slots.items() if models.get(int(slot), "") != id}
        for slot in changes:
            self._stage.check_slot(slot)
        if preset.mashup is not None and preset.mashup != self._stage.mashup:
            self._stage.select_mashup(preset.mashup)
        for slot in sorted(changes, key=lambda slot: not changes[slot]):  # who is to come first
            self._stage.change_slot(slot, changes[slot])
        seconds = preset.fade if fade is None else fade
        self._morph = Morph(self._stage.parameters, targets, seconds, self._clock())
        self.current = name
        self.turn()

    def store(self, name: str) -> None:
        """Write down what plays now: models, mashup, and the parameters of both. Raises ConfigError.

        A preset of that name keeps its description, fade and exclusions.
        """
        before = self._shelf.load(name) if name in self._shelf.names() else Preset()
        stage = self._stage
        slots = {str(number): stage.models.get(number, "") for number in range(1, stage.max_slots + 1)}
        prefixes = ("volume", f"mashup/{stage.mashup}/", *(f"slot/{number}/" for number in stage.models))
        values = {p.id: stage.parameters.get(p.id) for p in stage.parameters if p.id.startswith(prefixes)}
        self._shelf.store(name, before.model_copy(update={
            "mashup": stage.mashup or None, "slots": slots, "parameters": values,
        }))  # fmt: skip
        self.current = name

    def hold(self) -> None:
        """Stop a morph where it is."""
        self._morph = None

    def exclude(self, pattern: str, on: bool) -> None:
        """Let recalls leave alone (or move again) the parameters that `pattern` names."""
        ids = [parameter.id for parameter in self._stage.parameters]
        if not on:
            self.excluded = [other for other in self.excluded if other != pattern]
        elif len(pattern) > LONGEST_PATTERN or not excluded_by([pattern], ids):
            raise ConfigError(f"{pattern[:80]!r} names no parameter", "Give an id, or a pattern such as slot/*/pan")
        elif pattern not in self.excluded:
            if len(self.excluded) >= MOST_EXCLUDED:
                raise ConfigError(f"{MOST_EXCLUDED} patterns are excluded already", "Let go of some")
            self.excluded.append(pattern)

    def turn(self) -> None:
        """Let the morph go on."""
        if self._morph:
            self._morph.turn(self._clock())
            if self._morph.over:
                self._morph = None

    def _changed(self, parameter: Parameter, value: float) -> None:
        if self._morph:
            self._morph.changed(parameter)
