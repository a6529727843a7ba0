"""What OSC's `/ambientd/preset/...` does: recall name [seconds], store name, exclude pattern 1|0, hold, list.

Without an argument recall answers with the name of the preset that was recalled last, exclude with what is excluded;
hold stops a morph where it is; list answers with the names of all presets. Names are checked ids, never paths.
Supervisor, inside its selector loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ambientd.control.osc_methods import Method
from ambientd.control.peer import Peer
from ambientd.parameters import RejectedValue

MOST_LISTED = 200
"""Names in one answer, which has to fit into a datagram."""


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


def preset_methods(presets: Presets) -> Iterator[Method]:
    def recall(arguments: list[Any], peer: Peer) -> None:
        match arguments:
            case [str(name)]:
                presets.recall(name, None)
            case [str(name), float() | int() as fade] if not isinstance(fade, bool):
                presets.recall(name, float(fade))
            case _:
                raise RejectedValue(f"a name is wanted, and perhaps seconds, not {arguments!r}")

    def store(arguments: list[Any], peer: Peer) -> None:
        match arguments:
            case [str(name)]:
                presets.store(name)
            case _:
                raise RejectedValue(f"a name is wanted, not {arguments!r}")

    def exclude(arguments: list[Any], peer: Peer) -> None:
        match arguments:
            case [str(pattern), bool() | int() | float() as on]:
                presets.exclude(pattern, on > 0)
            case _:
                raise RejectedValue(f"an id or pattern and 1 or 0 are wanted, not {arguments!r}")

    def hold(arguments: list[Any], peer: Peer) -> None:
        # A button sends 1 when it is pressed and 0 when it is let go.
        if not arguments or (isinstance(arguments[0], int | float) and arguments[0] > 0):
            presets.hold()

    yield Method(
        "preset/recall",
        "Go to this preset, over so many seconds if any are given",
        "s",
        recall,
        lambda: (presets.current,),
        lambda info: (presets.current,),
    )
    yield Method("preset/store", "Keep everything as it is now under this name", "s", store)
    excluded = "Leave the knobs that a pattern names out of presets: 1, or take them in again: 0"
    yield Method("preset/exclude", excluded, "s", exclude, lambda: tuple(presets.excluded))
    yield Method("preset/hold", "Stop a morph where it is; 0, the button let go, does nothing", "i", hold, range=(0, 1))
    yield Method("preset/list", "The names of all presets", "s", query=lambda: tuple(presets.names()[:MOST_LISTED]))
