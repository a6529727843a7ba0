"""The state file: what plays, so that whoever starts after a crash goes on with it. Supervisor.

One small JSON file in the user's state folder. It is only ever replaced as a whole, and what is read from it is
checked as strictly as a configuration: ids of models and mashups, never paths, and numbers that are finite.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ambientd.errors import AmbientdError
from ambientd.plugin import StrictModel

LARGEST_FILE = 1 << 20
"""Bytes."""
MOST_ATTEMPTS = 3
"""Starts with one state that may end before a sound: the state itself may be what ends them."""

Word = Annotated[str, Field(max_length=1000)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class BadState(AmbientdError):
    """The state file is unreadable, foreign or wrong."""


class State(StrictModel):
    """The file's contents. Parameters in their own units; slots numbered from 1, with the ids of their models."""

    format: Literal[1] = 1
    configuration: Word
    """Which one it belongs to; see `source.Source.fingerprint`."""
    ended: bool = False
    """It was told to end: then whether to play is asked anew, of the configuration."""
    attempts: int = Field(0, ge=0, le=1000)
    """Starts with it that have not yet been heard."""
    playing: bool = True
    panic: bool = False
    mashup: Word = ""
    slots: dict[Annotated[int, Field(ge=1, le=64)], Word] = {}
    parameters: dict[Word, Number] = Field({}, max_length=10_000)
    preset: Word = ""
    """Recalled or stored last."""
    seconds_left: Number = Field(0.0, ge=0)
    """Of its recall."""
    excluded: list[Word] = Field([], max_length=1000)
    """Patterns of parameters that no recall moves."""
    day_part: Word = ""
    """The present one's mark; its preset is not recalled again."""


class StateFile:
    """Where it lies. One process writes it; `save` may be called on any thread, one at a time."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self._new = self.path.with_name(f".{self.path.name}.new")

    def load(self) -> State | None:
        """None where there is none. Raises BadState, naming the file and what is wrong."""
        try:
            with self.path.open("rb") as file:
                text = file.read(LARGEST_FILE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadState(f"the last state, {self.path}, cannot be read ({error.strerror})") from None
        if len(text) > LARGEST_FILE:
            raise BadState(f"the last state, {self.path}, is larger than {LARGEST_FILE} bytes")
        try:
            return State.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "it"
            raise BadState(f"the last state, {self.path}, is broken: {where}: {problem['msg']}") from None

    def save(self, state: State) -> None:
        """Whole or not at all, whenever this process ends or the power fails. Waits for the disk. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Always the same name: what a killed writer leaves behind is overwritten by the next one.
        handle = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(state.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._new, self.path)

    def set_aside(self) -> None:
        """Keep it beside, to be looked at, where it is in nobody's way."""
        with contextlib.suppress(OSError):
            os.replace(self.path, self.path.with_suffix(".aside.json"))


def default_path() -> Path:
    """In the user's state folder (XDG_STATE_HOME)."""
    from platformdirs import user_state_path

    return user_state_path("ambientd") / "state.json"
