"""What OSC's `/ambientd/preset/...` does: recall name [seconds], store name, exclude pattern 1|0, hold, list.

Without an argument recall answers with the name of the preset that was recalled last, exclude with what is excluded;
hold stops a morph where it is; list answers with the names of all presets. Names are checked ids, never paths.
Supervisor, inside its selector loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ambientd.parameters import RejectedValue

MOST_LISTED = 200
"""Names in one answer, which has to fit into a datagram."""

Command = Callable[[list[Any]], tuple[Any, ...] | None]


class Presets(Protocol):
    """What these addresses play. Its methods return at once and raise AmbientdError to refuse."""

    @property
    def current(self) -> str: ...

    @property
    def excluded(self) -> Sequence[str]: ...

    def names(self) -> Sequence[str]: ...

    def recall(self, name: str, fade: float | None) -> None: ...

    def store(self, name: str) -> None: ...

    def hold(self) -> None: ...

    def exclude(self, pattern: str, on: bool) -> None: ...


class Player(Protocol):
    """Who has presets."""

    @property
    def presets(self) -> Presets: ...


def preset_commands(player: Player) -> dict[str, Command]:
    """By address below /ambientd/; each takes the arguments and gives the answer, or None."""

    def recall(arguments: list[Any]) -> tuple[Any, ...] | None:
        match arguments:
            case []:
                return (player.presets.current,)
            case [str(name)]:
                player.presets.recall(name, None)
            case [str(name), float() | int() as fade] if not isinstance(fade, bool):
                player.presets.recall(name, float(fade))
            case _:
                raise RejectedValue(f"a name is wanted, and perhaps seconds, not {arguments!r}")
        return None

    def store(arguments: list[Any]) -> None:
        match arguments:
            case [str(name)]:
                player.presets.store(name)
            case _:
                raise RejectedValue(f"a name is wanted, not {arguments!r}")

    def exclude(arguments: list[Any]) -> tuple[Any, ...] | None:
        match arguments:
            case []:
                return tuple(player.presets.excluded)
            case [str(pattern), bool() | int() | float() as on]:
                player.presets.exclude(pattern, on > 0)
            case _:
                raise RejectedValue(f"an id or pattern and 1 or 0 are wanted, not {arguments!r}")
        return None

    def hold(arguments: list[Any]) -> None:
        # A button sends 1 when it is pressed and 0 when it is let go.
        if not arguments or (isinstance(arguments[0], int | float) and arguments[0] > 0):
            player.presets.hold()

    def names(arguments: list[Any]) -> tuple[Any, ...]:
        return tuple(player.presets.names()[:MOST_LISTED])

    return {
        "preset/recall": recall,
        "preset/store": store,
        "preset/exclude": exclude,
        "preset/hold": hold,
        "preset/list": names,
    }
