"""`/ambientd/preset/...`: what is asked of the presets, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ambientd.control.preset_addresses import MOST_LISTED, preset_commands
from ambientd.parameters import RejectedValue


class Player:
    """Has presets, and is them: remembers what was asked."""

    current, excluded = "night", ["volume"]

    def __init__(self) -> None:
        self.presets, self.asked = self, []

    def names(self) -> list[str]:
        return [f"preset-{n}" for n in range(1000)]

    def recall(self, name: str, fade: float | None) -> None:
        self.asked.append(("recall", name, fade))

    def store(self, name: str) -> None:
        self.asked.append(("store", name))

    def hold(self) -> None:
        self.asked.append(("hold",))

    def exclude(self, pattern: str, on: bool) -> None:
        self.asked.append(("exclude", pattern, on))


@pytest.mark.parametrize(
    ("address", "arguments", "asked", "answer"),
    [
        ("recall", ["dawn"], [("recall", "dawn", None)], None),
        ("recall", ["dawn", 2], [("recall", "dawn", 2.0)], None),
        ("recall", [], [], ("night",)),
        ("store", ["dawn"], [("store", "dawn")], None),
        ("exclude", ["slot/*/pan", 1], [("exclude", "slot/*/pan", True)], None),
        ("exclude", ["slot/*/pan", 0.0], [("exclude", "slot/*/pan", False)], None),
        ("exclude", [], [], ("volume",)),
        ("hold", [], [("hold",)], None),
        ("hold", [1.0], [("hold",)], None),
        ("hold", [0.0], [], None),
        ("list", [], [], tuple(Player().names()[:MOST_LISTED])),
    ],
)
def test_addresses(address: str, arguments: list[Any], asked: list[Any], answer: Any) -> None:
    player = Player()
    assert preset_commands(player)[f"preset/{address}"](arguments) == answer
    assert player.asked == asked


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        ("recall", [1]), ("recall", ["dawn", "soon"]), ("recall", ["dawn", True]), ("recall", ["dawn", 1, 2]),
        ("store", []), ("store", [1]), ("store", ["a", "b"]), ("exclude", ["volume"]), ("exclude", ["volume", "on"]),
    ],
)  # fmt: skip
def test_what_is_no_such_message_is_refused(address: str, arguments: list[Any]) -> None:
    player = Player()
    with pytest.raises(RejectedValue, match=r"wanted.* not "):
        preset_commands(player)[f"preset/{address}"](arguments)
    assert player.asked == []
