"""One preset: what its file may say, read, checked and written. Supervisor and command line.

    description = "After midnight"
    mashup = "blend"
    fade = 20.0                     # seconds, where a recall does not say
    exclude = ["volume"]            # stays as it is: ids, or patterns such as slot/*/pan
    [slots]
    1 = "freeorion-drone"           # a model of the library; "" empties the slot, one that is not named stays
    [parameters]
    "slot/1/gain" = 1.0             # in the parameter's own unit, as /ambientd/slot/1/gain/value

Everything may be left out, and what is left out stays as it is.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from ambientd.config import read, validate
from ambientd.errors import AmbientdError, ConfigError
from ambientd.parameters import Parameter, ParameterTable
from ambientd.plugin import StrictModel

LONGEST_FADE = 24 * 3600.0
LARGEST_FILE = 1 << 16
"""Bytes."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Preset(StrictModel):
    """The file's contents."""

    description: str = Field("", max_length=1000)
    mashup: str | None = None
    fade: float = Field(0.0, ge=0, le=LONGEST_FADE)
    exclude: list[str] = Field([], max_length=1000)
    slots: dict[str, str] = {}
    parameters: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}

    def to_toml(self) -> str:
        """The file that `load` reads back as this."""
        lines = [f"description = {_text(self.description)}"] if self.description else []
        lines += [f"mashup = {_text(self.mashup)}"] if self.mashup is not None else []
        lines += [f"fade = {self.fade!r}"] if self.fade else []
        lines += [f"exclude = [{', '.join(map(_text, self.exclude))}]"] if self.exclude else []
        for title, table in (("slots", self.slots), ("parameters", self.parameters)):
            lines += ["", f"[{title}]"] if table else []
            lines += [f"{_text(key)} = {_text(v) if isinstance(v, str) else repr(v)}" for key, v in table.items()]
        return "\n".join(lines) + "\n"


class Setting(Protocol):
    """What there is to be recalled: the daemon, seen from a preset."""

    @property
    def parameters(self) -> ParameterTable: ...

    @property
    def mashup_names(self) -> Collection[str]: ...

    @property
    def max_slots(self) -> int: ...

    def check_model(self, id: str) -> None:
        """Raises AmbientdError where that model cannot be played."""
        ...


def check_name(name: str) -> str:
    """`name`, if it can be a preset's; it becomes a file's, and may come from the network. Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} is no preset's name", "Use a-z, 0-9, _ and -, at most 64 of them")
    return name


def load(path: Path) -> Preset:
    """Raises ConfigError that names the file and the key."""
    return validate(Preset, read(path, LARGEST_FILE), str(path))


def check(preset: Preset, source: str, setting: Setting) -> dict[str, float]:
    """The values to go to, by the table's ids, those that are excluded left out.

    Raises ConfigError naming `source`, the key, and what was expected; so a recall happens whole or not at all.
    """
    if preset.mashup is not None and preset.mashup not in setting.mashup_names:
        raise _unknown(source, "mashup", preset.mashup, setting.mashup_names)
    _check_slots(preset.slots, source, setting)
    ids = [parameter.id for parameter in setting.parameters]
    for pattern in preset.exclude:
        if not excluded_by([pattern], ids):
            raise _unknown(source, "exclude", pattern, ids)
    values: dict[str, float] = {}
    for key, value in preset.parameters.items():
        id = key if key in ids else _of_mashup(key, preset.mashup)
        if id not in setting.parameters:
            raise _unknown(source, "parameters", key, ids)
        parameter = setting.parameters.parameter(id)
        _check_range(source, key, value, parameter)
        values[parameter.id] = value
    for id in excluded_by(preset.exclude, values):
        del values[id]
    return values


def excluded_by(patterns: Iterable[str], ids: Iterable[str]) -> list[str]:
    """Those of `ids` that one of `patterns` names."""
    patterns = list(patterns)
    return [id for id in ids if any(fnmatchcase(id, pattern) for pattern in patterns)]


def nearest(word: str, valid: Iterable[str], kind: str) -> str:
    """A remedy: the name that was probably meant, or all that there are."""
    valid = list(valid)
    near = difflib.get_close_matches(word, valid, 1)
    return f"Did you mean {near[0]!r}?" if near else f"The {kind}s are: {', '.join(valid[:8]) or 'none'}"


def _check_slots(slots: Mapping[str, str], source: str, setting: Setting) -> None:
    numbers = [str(number) for number in range(1, setting.max_slots + 1)]
    for number, id in slots.items():
        if number not in numbers:
            raise ConfigError(f"{source}: there is no slot {number!r}", f"Expected 1 to {setting.max_slots}")
        try:
            if id:
                setting.check_model(id)
        except AmbientdError as error:
            raise ConfigError(f"{source}: 'slots.{number}': {error.what}", error.remedy) from None


def _of_mashup(key: str, mashup: str | None) -> str:
    """`mashup/weight/1` is the preset's own mashup's, or the selected one's."""
    prefix, _, rest = key.partition("/")
    return f"mashup/{mashup}/{rest}" if mashup and prefix == "mashup" else key


def _check_range(source: str, key: str, value: float, parameter: Parameter) -> None:
    if not parameter.low <= value <= parameter.high:
        expected = f"{parameter.low:g} to {parameter.high:g} {parameter.unit}".strip()
        raise ConfigError(f"{source}: 'parameters.{key}' is {value:g}", f"Expected {expected}")


def _unknown(source: str, key: str, word: str, valid: Iterable[str]) -> ConfigError:
    kind = "parameter" if key == "exclude" else key.removesuffix("s")
    return ConfigError(f"{source}: {key}: there is no {kind} {word[:80]!r}", nearest(word, valid, kind))


def _text(text: str) -> str:
    """A TOML string: JSON's escapes are all valid there, but it lets DEL stand."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
