"""The whole configuration: every key, its meaning, its default. Supervisor and command line; light.

A TOML file, then `--set key=value` on top. Keys are paths (`osc.port`, `slots.0.model`). An unknown or
wrong key is one line that names the file, the key, what was expected and the nearest valid key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ambientd.errors import ConfigError
from ambientd.parameters import SLOT_PARAMETERS, VOLUME
from ambientd.plugin import StrictModel, UserPath

LARGEST_FILE = 1 << 20
"""Bytes."""
WHOLES = {
    "model_type": "a section: set one of its keys, {key}.KEY=VALUE",
    "list_type": 'a list, such as ["text"] or [{{name = "text"}}]',
}
"""What is expected where a plain value was given, by pydantic's name for it."""

_GAIN, _PAN, _TEMPERATURE, _STRETCH, _FREEZE, _CHAOS = SLOT_PARAMETERS


class Slot(StrictModel):
    """A numbered place for a voice; the first is `slots.0` here and `/ambientd/slot/1` in OSC."""

    model: str
    """An id from the library (`ambientd models list`)."""
    gain: float = Field(_GAIN.default, ge=_GAIN.low, le=_GAIN.high)
    """A factor of amplitude."""
    pan: float = Field(_PAN.default, ge=_PAN.low, le=_PAN.high)
    """-1 left, 1 right."""
    temperature: float = Field(_TEMPERATURE.default, ge=_TEMPERATURE.low, le=_TEMPERATURE.high)
    """1 is the checkpoint's own."""
    stretch: float = Field(_STRETCH.default, ge=_STRETCH.low, le=_STRETCH.high)
    """How many times slower the voice evolves."""
    freeze: float = Field(_FREEZE.default, ge=_FREEZE.low, le=_FREEZE.high)
    """0 runs free, 1 holds the moment at which it was set."""
    chaos: float = Field(_CHAOS.default, ge=_CHAOS.low, le=_CHAOS.high)
    """Noise in the voice's memory; a tenth is much."""
    seed: int | None = Field(None, ge=0, lt=2**63)
    """Repeats a performance; by default the engine's seed with the slot's number."""


class NamedSection(StrictModel):
    """A section whose options are its plugin's: kept as they are here, checked by the plugin's own Config."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, section: Any) -> Any:
        """Everything beside `name` is an option, so that a file reads `[mashup]`, `name`, `weights`."""
        if isinstance(section, Mapping):
            named = {key: section[key] for key in section if key == "name"}
            return named | {"options": {key: section[key] for key in section if key != "name"}}
        return section


class Mashup(NamedSection):
    """Which mashup plugin plays, and its options beside the name: `weights = [1.0, 0.5]`."""

    name: str = "blend"


class Sink(NamedSection):
    """A sink plugin that hears what is played, and its options beside the name."""


class Audio(StrictModel):
    """Where it is heard."""

    output: Literal["device", "null"] = "device"
    """What sets the pace: the audio device, or a clock that plays to nobody."""
    device: str | int | None = None
    """A name or part of one, or a number (`ambientd devices`); by default the system's own. What it meant first is held
    to by its whole name; but a number may be another device's at the next start."""
    sample_rate: int = Field(48_000, ge=8_000, le=384_000)
    """That the device is asked for, Hz; models of another rate are resampled."""
    channels: int = Field(2, ge=1, le=8)
    block: int | None = Field(None, ge=64, le=16_384)
    """Frames the device asks for at a time; by default 960 with latency = "normal", 256 with "live"."""


class Engine(StrictModel):
    """What makes the samples."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes an NVIDIA GPU where there is one that computes rightly; the CPU plays until that is known."""
    fallback: bool = True
    """Whether the CPU plays where device is cuda and there is no GPU."""
    precision: Literal["auto", "int8", "bf16", "fp32"] = "auto"
    """Of the models' arithmetic: int8 is fastest and what auto takes, fp32 is exact and six times slower."""
    memory_limit_mb: int = Field(4096, ge=512)
    """The generator ends and starts again rather than eat more; without its mashup, where that was the eater."""
    seed: int | None = Field(None, ge=0, lt=2**63)
    """Repeats a performance; by default every start is different."""
    level_voices: bool = True
    """Loud albums are turned down and soft ones up, by 12 dB at most, so that all play at about -20 dBFS (RMS)."""


PRIVATE_NETWORKS = [
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
    "::1/128", "fc00::/7", "fe80::/10",
]  # fmt: skip
"""This machine and the local network, by RFC 1918, 3927, 4193 and 4291: never the internet."""


class Loading(StrictModel):
    """Voices that come and go while the music plays (`/ambientd/slot/<n>/load`)."""

    prime: Literal["own", "now"] = "own"
    """What a voice hears before it plays: a piece of its own album, or the last seconds of what is sounding now."""
    fade: float = Field(2.0, ge=0, le=60)
    """Seconds in which one voice leaves and the other comes; meanwhile both are computed, if the machine can. From 1 on
    it takes longer where the level would otherwise move by more than 2.5 dB in 100 ms."""


class Osc(StrictModel):
    """Play it from the network (docs/osc.md)."""

    enabled: bool = True
    host: str = "127.0.0.1"
    """OSC knows no passwords: whoever reaches this address, from a network that is allowed, plays the instrument."""
    allow: list[str] = PRIVATE_NETWORKS
    """Networks that may play, in CIDR notation; nobody else is heard."""
    port: int = Field(7770, ge=0, le=65_535)
    """UDP and TCP. 0 lets the system choose; `ambientd status` tells."""
    reply_port: int | None = Field(None, ge=1, le=65_535)
    """Answers and feedback also go to this UDP port of the sender's machine, for surfaces that listen elsewhere."""
    oscquery: bool = True
    """Describe the addresses over HTTP and WebSocket."""
    query_port: int = Field(7780, ge=0, le=65_535)
    """Of OSCQuery. Where it is taken the system chooses another: whoever needs it finds it by zeroconf."""
    advertise: bool = True
    """Tell the networks that can reach it, by zeroconf."""

    @field_validator("allow")
    @classmethod
    def _networks(cls, allow: list[str]) -> list[str]:
        for network in allow:
            try:
                ip_network(network, strict=False)
            except ValueError:
                raise ValueError(f'networks like "192.168.1.0/24"; {network!r} is none') from None
        return allow


class Loudness(StrictModel):
    """Of all that is heard together, in LUFS (EBU R 128). True peaks stay below -1 dBTP, whatever is set here."""

    target: float | None = Field(None, ge=-60, le=-5)
    """Where the music is brought by itself, at volume 1; up by 3 dB a minute, down by 12. Left out: nowhere."""
    ceiling: float | None = Field(-12.0, ge=-60, le=-5)
    """Of three seconds, volume included: above it the music is turned down by 2 dB a second."""

    @field_validator("target", "ceiling", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return None if value == "off" else value


class Health(StrictModel):
    """Voices that fall silent, hiss, clip, stand still or go round in circles are brought back (docs/health.md)."""

    enabled: bool = True


class Replay(StrictModel):
    """The log that `ambientd replay` renders again from."""

    enabled: bool = True
    limit_mb: int = Field(512, ge=32)
    """Of all performances together; the oldest go."""


class Log(StrictModel):
    """What happened, one line an event: faults, restarts, voices, and once a minute how the music is doing."""

    enabled: bool = True
    folder: UserPath | None = None
    """By default the system's place for logs; on Linux ~/.local/state/ambientd/log."""
    limit_mb: int = Field(16, ge=1)
    """Of all files together; the oldest lines go."""


class Midi(StrictModel):
    """Play it from controllers (docs/midi.md)."""

    controllers: list[str] = []
    """Names from `ambientd midi controllers`, or files; what was learned is always there."""
    clock: str | None = None
    """Part of the name of the port whose clock, start and stop the mashups follow."""
    api: Literal["auto", "alsa", "jack", "core"] = "auto"
    """Which of the system's MIDI servers; auto takes ALSA (macOS: Core MIDI), else JACK."""


class Config(StrictModel):
    """Everything `ambientd run` can be told."""

    slots: list[Slot] = []
    """Empty: the library's first models."""
    mashup: Mashup = Mashup()
    audio: Audio = Audio()
    latency: Literal["normal", "live"] = "normal"
    """How far ahead music is made: normal rides out a busy machine, live answers sooner."""
    engine: Engine = Engine()
    loading: Loading = Loading()
    osc: Osc = Osc()
    loudness: Loudness = Loudness()
    health: Health = Health()
    replay: Replay = Replay()
    log: Log = Log()
    midi: Midi = Midi()
    sinks: list[Sink] = []
    dayparts: UserPath | None = None
    """A score of presets and loudness by the time of day (docs/presets.md)."""
    autoplay: bool = True
    """Play at once, rather than wait for `/ambientd/play`."""
    volume: float = Field(VOLUME.default, ge=VOLUME.low, le=VOLUME.high)
    """A factor of amplitude."""
    reload: bool = False
    """Take in plugin files that change while the music plays, each tried in a process of its own first."""
    max_slots: Annotated[int, Field(ge=1, le=64)] = 8
    """How many voices there can be at most."""

    @model_validator(mode="after")
    def _slots_fit(self) -> Config:
        if len(self.slots) > self.max_slots:
            raise ValueError(f"at most max_slots = {self.max_slots} slots, not {len(self.slots)}")
        return self


Section = TypeVar("Section", bound=BaseModel)


def load(path: Path | None = None, sets: Sequence[str] = ()) -> Config:
    """The defaults, changed by the file at `path`, changed by each `key=value` of `sets`.

    A value is TOML (`0.5`, `[1, 2]`, `"text"`), else plain text. Raises ConfigError.
    """
    values = read(path) if path else {}
    for text in sets:
        _apply(values, text)
    source = f"{path}" if path else "the configuration"
    return validate(Config, values, source + (" with --set" if path and sets else ""))


def validate(model: type[Section], values: Mapping[str, Any], source: str, prefix: str = "") -> Section:
    """Build a section from `values`, or raise ConfigError naming `source` and the key below `prefix`.

    For a plugin's own section: `validate(Blend.Config, config.mashup.options, str(path), "mashup")`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explain(model, error, source, prefix) from None


def read(path: Path, most: int = LARGEST_FILE) -> dict[str, Any]:
    """What the TOML file at `path` says, as it stands there. Raises ConfigError; most: bytes that it may have."""
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
        if len(text) > most:
            raise ConfigError(f"{path} is larger than {most} bytes", "Is it the right file?")
        return tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "Name a file that exists") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", "See https://toml.io") from None


def _apply(values: dict[str, Any], text: str) -> None:
    """Put one `key=value` into the nested values."""
    key, equals, raw = text.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"--set {text!r} is not key=value", "For example --set osc.port=7771")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    node: Any = values
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        fresh = value if following is None else [] if following.isdigit() else {}
        node = _descend(node, step, fresh, text, last=following is None)


def _descend(node: Any, step: str, fresh: Any, text: str, last: bool) -> Any:
    """One step of a `--set` path into a table or list, made where it is missing; the last step assigns."""
    if isinstance(node, dict):
        if last or step not in node:
            node[step] = fresh
        return node[step]
    if isinstance(node, list) and step.isdigit() and int(step) <= len(node):
        index = int(step)
        if index == len(node):
            node.append(fresh)
        elif last:
            node[index] = fresh
        return node[index]
    if isinstance(node, list):
        raise ConfigError(f"--set {text!r}: {step!r} is no place in a list of {len(node)}", f"Use 0 to {len(node)}")
    raise ConfigError(f"--set {text!r}: {step!r} lies below a plain value", "Leave it away")


def _explain(model: type[BaseModel], error: ValidationError, source: str, prefix: str) -> ConfigError:
    """The first problem, in one line; the rest show once it is mended."""
    problem = error.errors()[0]
    location = problem["loc"]
    key = ".".join(map(str, ([prefix] if prefix else []) + list(location)))
    if problem["type"] == "extra_forbidden":
        valid = _keys_beside(model, location)
        near = difflib.get_close_matches(str(location[-1]), valid, 1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"Valid here: {', '.join(valid) or 'nothing'}"
        return ConfigError(f"{source}: unknown key {key!r}", remedy)
    if problem["type"] == "missing":
        return ConfigError(f"{source}: {key!r} is missing", "Add it")
    expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"] == "literal_error":
        expected += _did_you_mean(problem["input"], expected)
    if problem["type"] in WHOLES:
        expected = WHOLES[problem["type"]].format(key=key)
    if not key:
        return ConfigError(f"{source}: {expected}")
    return ConfigError(f"{source}: {key!r} is {_short(problem['input'])}", f"Expected {expected}")


def _did_you_mean(given: object, expected: str) -> str:
    """The nearest of the quoted words in `expected`, as an addition to it."""
    near = difflib.get_close_matches(str(given), re.findall(r"'([^']*)'", expected), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _keys_beside(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The valid keys of the section that holds the one at `location`."""
    for step in location[:-1]:
        if isinstance(step, int):
            continue
        inner = _section_in(model.model_fields[step].annotation) if step in model.model_fields else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, getattr(annotation, "__args__", ()))), None)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
