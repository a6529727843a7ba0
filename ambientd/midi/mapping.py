"""Mapping files: which control moves what. Supervisor and command line; light.

A controller is one TOML file: the port's name and a `[[map]]` per control (docs/midi.md). Whatever is wrong in it
is one line that names the file, the key, what was expected and the nearest valid name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ambientd.config import read, validate
from ambientd.errors import ConfigError
from ambientd.midi.sources import ControlChange, Encoder, Encoding, Note, Nrpn, Pair, PitchBend, Program, Source
from ambientd.midi.takeover import Mode
from ambientd.plugin import StrictModel

SUFFIX = ".toml"
KINDS = ("cc", "cc14", "nrpn", "pitchbend", "note", "program")
Press = Literal["trigger", "toggle", "hold"]
Seven = Annotated[int, Field(ge=0, le=127)]
Position = Annotated[float, Field(ge=0, le=1)]


class Target(StrictModel):
    """One thing that a control moves."""

    address: str
    """An OSC address without `/ambientd/`: `slot/1/gain`, `play`, `slot/1/reprime`, `preset/recall`."""
    range: tuple[Position, Position] = (0.0, 1.0)
    """Where the control's two ends put the parameter's knob; the greater first turns it round."""
    invert: bool = False
    arguments: list[str | float] = []
    """What a command is told: `[8.0]` for a stop that fades for 8 s, `["dawn"]` for a preset."""

    @field_validator("address")
    @classmethod
    def _without_root(cls, address: str) -> str:
        return address.removeprefix("/ambientd/")

    @property
    def ends(self) -> tuple[float, float]:
        low, high = self.range
        return (high, low) if self.invert else (low, high)


class Mapping(StrictModel):
    """One control, and what it moves. Exactly one of cc, cc14, nrpn, pitchbend, note and program."""

    cc: Seven | None = None
    cc14: tuple[Seven, Seven] | None = None
    """The coarse and the fine number. No pair is ever guessed."""
    nrpn: int | None = Field(None, ge=0, le=16_383)
    pitchbend: Literal[True] | None = None
    note: Seven | None = None
    program: Seven | Literal["any"] | None = None

    to: list[Target] = Field(min_length=1)
    """An address, or a table with address, range, invert and arguments; or a list of them."""
    port: str | None = None
    """By default the file's."""
    channel: int | None = Field(None, ge=1, le=16)
    """By default the file's; without either, any."""
    takeover: Mode | None = None
    """By default the file's."""
    encoder: Encoding | None = None
    """The cc is of a knob without ends, and this is how it tells where it is turned."""
    step: float = Field(1 / 127, gt=0, le=1)
    """How far one click of an encoder goes, of the whole way."""
    bits: Literal[7, 14] = 14
    """What a nrpn's device sends: with 7 bits there is no fine half to wait for."""
    press: Press | None = None
    """trigger: act when pressed. toggle: one end of the range, then the other. hold: the far end while held."""
    names: list[str] = []
    """For `program = "any"`: what program 0, 1.. stands for, told to a command as its argument."""
    feedback: Literal["none", "light", "motor"] = "none"
    """light: the device shows the value. motor: the control itself goes there."""
    lights: tuple[Seven, Seven] = (0, 127)
    """What a button is sent for off and on."""

    @field_validator("to", mode="before")
    @classmethod
    def _targets(cls, to: Any) -> Any:
        several = to if isinstance(to, list) else [to]
        return [{"address": one} if isinstance(one, str) else one for one in several]

    @model_validator(mode="after")
    def _one_kind(self) -> Mapping:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {', '.join(KINDS)}, not {' and '.join(given) or 'none'}")
        if self.encoder and self.cc is None:
            raise ValueError("encoder goes with cc only")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two mappings of the same control."""
        return self.port, self.channel, self.kind, getattr(self, self.kind)

    def is_button(self) -> bool:
        return self.press is not None or self.note is not None or self.program is not None

    def source(self) -> Source:
        """A fresh state machine for this control."""
        if self.encoder and self.cc is not None:
            return Encoder(self.cc, self.encoder)
        if self.cc is not None:
            return ControlChange(self.cc, self.is_button())
        if self.cc14 is not None:
            return Pair(*self.cc14)
        if self.nrpn is not None:
            return Nrpn(self.nrpn, self.bits)
        if self.note is not None:
            return Note(self.note)
        if self.program is not None:
            return Program(None if self.program == "any" else self.program)
        return PitchBend()


class Controller(StrictModel):
    """A mapping file."""

    name: str = ""
    port: str = "*"
    """Part of the name of its port, in any case; or a pattern with * and ?."""
    channel: int | None = Field(None, ge=1, le=16)
    takeover: Mode = "pickup"
    map: list[Mapping] = []

    def resolved(self) -> list[Mapping]:
        """The mappings with the file's port, channel and takeover filled in."""
        return [
            mapping.model_copy(
                update={
                    "port": mapping.port or self.port,
                    "channel": mapping.channel or self.channel,
                    "takeover": mapping.takeover or self.takeover,
                }
            )
            for mapping in self.map
        ]


class Addresses:
    """What a mapping may move: parameters, and commands. parameters: their ids, mashups' under `mashup/<id>` too."""

    COMMANDS = (
        "play", "stop", "panic", "mashup/select", "preset/recall", "preset/store",
        "slot/<n>/reprime", "slot/<n>/seed", "slot/<n>/load", "slot/<n>/unload",
    )  # fmt: skip

    def __init__(self, parameters: Iterable[str]) -> None:
        self.know(parameters)
        self._command = re.compile("|".join(name.replace("<n>", "[1-9][0-9]*") for name in self.COMMANDS))

    def know(self, parameters: Iterable[str]) -> None:
        """These are the parameters from now on."""
        ids = set(parameters)
        self._parameters = ids | {re.sub(r"^mashup/[^/]+/", "mashup/", id) for id in ids}

    def is_command(self, address: str) -> bool:
        return address not in self._parameters and self._command.fullmatch(address) is not None

    def __contains__(self, address: str) -> bool:
        return address in self._parameters or self.is_command(address)

    def nearest(self, address: str) -> str:
        """The valid address most like this one, or a hint where there is none."""
        import difflib

        near = difflib.get_close_matches(address, [*self._parameters, *self.COMMANDS], 1, 0.5)
        return f"Did you mean {near[0]!r}?" if near else "See the addresses in docs/midi.md"


def load(path: Path, addresses: Addresses) -> list[Mapping]:
    """A file's mappings, with its defaults filled in. Raises ConfigError."""
    controller = validate(Controller, read(path), str(path))
    for index, mapping in enumerate(controller.map):
        for target in mapping.to:
            if target.address not in addresses:
                what = f"{path}: 'map.{index}.to' is {target.address!r}, which nothing answers to"
                raise ConfigError(what, addresses.nearest(target.address))
    return controller.resolved()


def bundled_folder() -> Path:
    """configs/controllers of the checkout, or of the installed package."""
    return Path(str(resources.files("ambientd_configs"))) / "controllers"


def user_folder() -> Path:
    """Where a user's own mapping files are, and what was learned."""
    from platformdirs import user_config_path

    return user_config_path("ambientd") / "midi"


def learned_path() -> Path:
    return user_folder() / f"learned{SUFFIX}"


def controllers() -> dict[str, Path]:
    """Every controller by name; the user's own replace bundled ones."""
    folders = (bundled_folder(), user_folder())
    return {path.stem: path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))}


def find(name: str) -> Path:
    """The file of the controller of that name, or the file itself. Raises ConfigError naming the nearest."""
    import difflib

    if name.endswith(SUFFIX):
        return Path(name)
    known = controllers()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower(), known, 1)
    remedy = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}; or name a {SUFFIX} file"
    raise ConfigError(f"no controller is called {name!r}", remedy)


def save_learned(path: Path, mapping: Mapping, addresses: Addresses) -> None:
    """Add a mapping to a file of learned ones, atomically; one of the same control is replaced. Raises ConfigError."""
    from ambientd.samplernn.checkpoint import write_atomically

    for target in mapping.to:
        if target.address not in addresses:
            raise ConfigError(f"nothing answers to {target.address!r}", addresses.nearest(target.address))
    known = validate(Controller, read(path), str(path)).map if path.is_file() else []
    kept = [one for one in known if one.identity != mapping.identity]
    write_atomically(path, as_toml([*kept, mapping]).encode())


def as_toml(mappings: Iterable[Mapping]) -> str:
    """What `load` reads back as these mappings."""
    blocks = ["# Written by `ambientd midi learn`. Edit it as you like; comments are lost when it learns again.\n"]
    for mapping in mappings:
        values = mapping.model_dump(exclude_defaults=True, mode="json")
        targets = values.pop("to")
        values["to"] = targets[0]["address"] if len(targets) == 1 and set(targets[0]) == {"address"} else targets
        blocks.append("[[map]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items()))
    return "\n".join(blocks)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and truths are written alike in both


def port_matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a port's name fits: part of it in any case, or all of it where the pattern has * or ?."""
    import fnmatch

    wanted = pattern.lower()
    if any(sign in wanted for sign in "*?"):
        # Brackets are common in the names of ports, and so are no sets of characters here.
        expression = re.compile(fnmatch.translate(wanted.replace("[", "[[]")))
        return lambda name: expression.match(name.lower()) is not None
    return lambda name: wanted in name.lower()


def escaped(name: str) -> str:
    """A pattern that fits this port."""
    return name.replace("*", "?")


def describe(mapping: Mapping) -> str:
    """A mapping's control for people: `cc 19 of MIDI Mix, channel 1`."""
    value = getattr(mapping, mapping.kind)
    number = "" if mapping.kind == "pitchbend" else f" {value[0]}+{value[1]}" if mapping.cc14 else f" {value}"
    kind = f"{mapping.kind}{number}" + (f" ({mapping.encoder} encoder)" if mapping.encoder else "")
    return f"{kind} of {mapping.port}, channel {mapping.channel or 'any'}"
