"""All that a plugin author imports. Loaded in the supervisor and the generator; light on purpose.

    from ambientd.plugin import BaseModel, BlockClock, Mashup, Mix, Parameter, VoiceInfo, hookimpl

The hooks themselves, with their threads and shapes, are in `ambientd.hookspecs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import pluggy
from pydantic import AfterValidator, BaseModel, ConfigDict

from ambientd.ensemble import (
    PLAYERS,
    Members,
    Places,
    Point,
    Stopwatch,
    condition,
    draw_together,
    proportions,
    siblings,
    slow_tiers,
    sound_as_one,
    together,
    weight_parameters,
)
from ambientd.errors import INTERRUPTED, AmbientdError, PluginError
from ambientd.options import Several
from ambientd.parameters import Parameter
from ambientd.pulse_guard import guard_against_moves, name_stream
from ambientd.types import BLOCK, BlockClock, Mix, VoiceInfo

if TYPE_CHECKING:
    from ambientd.arrays import Floats as Floats
    from ambientd.follower import Follower

__all__ = [
    "BLOCK",
    "INTERRUPTED",
    "PLAYERS",
    "AmbientdError",
    "BaseModel",
    "BlockClock",
    "Follower",
    "Mashup",
    "Members",
    "Mix",
    "Parameter",
    "Places",
    "PluginError",
    "Point",
    "Several",
    "Sink",
    "Stopwatch",
    "StrictModel",
    "UserPath",
    "VoiceInfo",
    "condition",
    "draw_together",
    "guard_against_moves",
    "hookimpl",
    "name_stream",
    "proportions",
    "siblings",
    "slow_tiers",
    "sound_as_one",
    "together",
    "weight_parameters",
]

PROJECT = "ambientd"


def __getattr__(name: str) -> object:
    """`Follower` computes, so only who asks for it imports what it needs."""
    if name == "Follower":
        from ambientd.follower import Follower

        return Follower
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


hookimpl = pluggy.HookimplMarker(PROJECT)


class StrictModel(BaseModel):
    """A configuration section: unknown keys are errors, so that a typing slip is never silently ignored."""

    model_config = ConfigDict(extra="forbid")


def _of_the_user(path: Path) -> Path:
    try:
        path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"a path ({error})") from None
    if "\0" in str(path):
        raise ValueError("a path without null bytes")
    return path


UserPath = Annotated[Path, AfterValidator(_of_the_user)]
"""A path in a configuration, as it stands there: where it begins with ~, `expanduser` finds the home of who plays."""


class Mashup(ABC):
    """Decides how the voices blend, once per block, on the generator's conductor thread.

    It is made, and dry-run once, on a thread that nobody waits for; it has five seconds to come up.

    name: what `/ambientd/mashup/select` and `mashup.name` call it.
    parameters: ids without the `mashup/` prefix; they become OSC, MIDI and web controls by themselves.
    """

    name: ClassVar[str]
    Config: ClassVar[type[BaseModel]] = StrictModel
    parameters: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(self, config: BaseModel, slots: tuple[VoiceInfo | None, ...]) -> None:
        self.config = config
        self.slots = slots

    def voices_changed(self, slots: tuple[VoiceInfo | None, ...]) -> None:
        """Conductor thread: a slot was loaded or emptied."""
        self.slots = slots

    @classmethod
    def initial_values(cls, config: BaseModel) -> Mapping[str, float]:
        """Parameter values, in their own units, that a configuration section asks to start with."""
        return {}

    @classmethod
    def between(cls, weight: float) -> Mapping[str, float]:
        """Parameter values, in their own units, on the way from the first of two voices, at 0, to the second, at 1.

        What `ambientd render --between` plays and `ambientd blend-report` measures; the two are in the first two
        slots. Empty, as here: this mashup knows no such way.
        """
        return {}

    @abstractmethod
    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        """Fill `mix` for the block at `clock`. It holds the slots' own parameters on entry: gains, temperature,
        stretch, freeze and chaos are what the knobs say, and every voice hears and draws its own.

        controls: this mashup's parameters by id, in their own units. No I/O, no sleeping, no per-sample work.
        """


class Sink(ABC):
    """Receives a copy of what is played, on a thread of its own in the supervisor.

    It reads behind the player: a slow sink loses audio (counted), it never holds the player up.
    """

    name: ClassVar[str]
    Config: ClassVar[type[BaseModel]] = StrictModel

    def __init__(self, config: BaseModel, sample_rate: int, channels: int) -> None:
        self.config = config
        self.sample_rate = sample_rate
        self.channels = channels

    @abstractmethod
    def write(self, audio: Floats) -> None:
        """Take `audio` [frames, channels], float32 in -1..1. Raising ends this sink, and nothing else."""

    def close(self) -> None:  # noqa: B027  a sink that has nothing to close need not say so
        """The daemon is stopping, or the sink failed."""
