"""What differs between two configurations, and what each difference takes while the music plays. Supervisor; light."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from ambientd.config import Config
from ambientd.errors import ConfigError


class Takes(Enum):
    """What a changed key takes. The ring and the bed outlive all of it."""

    NOTHING = "nothing"
    """It is read when it is needed."""
    VALUE = "value"
    """A parameter moves."""
    SLOTS = "slots"
    """Voices come and go, as by OSC."""
    MASHUP = "mashup"
    GENERATOR = "generator"
    """It starts anew under the bed."""
    PLAYER = "player"
    """It starts anew: sound again within 3 s."""
    OSC = "osc"
    MIDI = "midi"
    SINKS = "sinks"
    DAY_PARTS = "dayparts"
    PLUGIN_FILES = "reload"
    START = "start"
    """Only a new start: it is refused."""


TAKES: Mapping[str, Takes] = {
    "volume": Takes.VALUE,
    "slots": Takes.SLOTS,
    "mashup": Takes.MASHUP,
    "audio": Takes.PLAYER,
    "audio.channels": Takes.START,
    "latency": Takes.PLAYER,
    "engine": Takes.GENERATOR,
    "engine.seed": Takes.START,
    "loading": Takes.NOTHING,
    "loading.fade": Takes.GENERATOR,
    "loudness": Takes.VALUE,
    "health": Takes.GENERATOR,
    "osc": Takes.OSC,
    "log": Takes.START,
    "replay": Takes.GENERATOR,
    "midi": Takes.MIDI,
    "sinks": Takes.SINKS,
    "dayparts": Takes.DAY_PARTS,
    "autoplay": Takes.NOTHING,
    "reload": Takes.PLUGIN_FILES,
    "max_slots": Takes.START,
}
"""By key, or what keys begin with; the longest counts. What is not named here takes a new start."""

Changes = dict[str, tuple[Any, Any]]
"""By key: before and after, None where it was not or is not."""


def changes(before: Config, after: Config) -> Changes:
    """Every key that says something else: `audio.device`, `slots.0.gain`, `mashup.weights`; `sinks` only as a whole."""
    old, new = _flat(before), _flat(after)
    keys = dict.fromkeys([*old, *new])
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def takes(key: str) -> Takes:
    """What a changed key takes."""
    steps = key.split(".")
    prefixes = (".".join(steps[:length]) for length in range(len(steps), 0, -1))
    return next((TAKES[prefix] for prefix in prefixes if prefix in TAKES), Takes.START)


def check_possible(found: Changes, source: str) -> None:
    """Raises ConfigError naming the first key that cannot change while the music plays."""
    for key, (before, after) in found.items():
        if takes(key) is Takes.START:
            raise ConfigError(
                f"{source}: {key!r} cannot change from {before} to {after} while the music plays",
                "Nothing was changed; start ambientd again to have it",
            )


def _flat(config: Config) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    # As the file says it: a plugin's options stand beside its name.
    values["mashup"] = {"name": config.mashup.name} | config.mashup.options
    flat: dict[str, Any] = {}
    _flatten(values, "", flat)
    return flat


def _flatten(value: Any, key: str, into: dict[str, Any]) -> None:
    if key == "slots":
        value = {str(index): slot for index, slot in enumerate(value)}
    if not isinstance(value, dict):
        into[key] = value
        return
    for name, inner in value.items():
        _flatten(inner, f"{key}.{name}" if key else str(name), into)
