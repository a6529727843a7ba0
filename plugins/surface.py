"""The mashup `surface`: voices stand on a plane, and a hand moves among them. Generator's conductor thread.

One music, drawn by all as in `blend`; each voice counts the more, the nearer the hand is to its place. It is what
an XY pad is for.
"""

from __future__ import annotations

from collections.abc import Mapping

from ambientd.plugin import BlockClock, Mashup, Mix, Parameter, Places, draw_together, hookimpl, together


class Surface(Mashup):
    """An XY position over the voices' places."""

    name = "surface"
    Config = Places
    parameters = (
        Parameter("x", "Where the hand is, from left to right", default=0.5, slew=0.2),
        Parameter("y", "Where the hand is, from bottom to top", default=0.5, slew=0.2),
    )

    @classmethod
    def between(cls, weight: float) -> Mapping[str, float]:
        return {"x": weight, "y": weight}

    def next_mix(self, controls: Mapping[str, float], clock: BlockClock, mix: Mix) -> None:
        assert isinstance(self.config, Places)
        members = together(self.slots)
        draw_together(mix, members, self.config.weights(members, (controls["x"], controls["y"])))


@hookimpl
def register_mashups() -> list[type[Mashup]]:
    return [Surface]
