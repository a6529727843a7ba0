"""A parameter as the music follows it: its slew turns a jump of the knob into a way. The render thread, per block."""

from __future__ import annotations

import math

from ambientd.ipc.values import Values
from ambientd.parameters import Parameter


class Knob:
    """Follows cell `cell` of `cells`. value: where it is, in the parameter's own unit; at first, where the knob is."""

    def __init__(self, parameter: Parameter, cells: Values, cell: int) -> None:
        self._parameter, self._cells, self._cell = parameter, cells, cell
        self.value = cells[cell]

    def follow(self, seconds: float) -> None:
        """Go on for so long: evenly along the knob's own way, so that a fader's end sounds like its middle."""
        target, parameter = self._cells[self._cell], self._parameter
        if target == self.value:
            return
        here, there = parameter.normalise(self.value), parameter.normalise(target)
        reach = seconds / parameter.slew if parameter.slew > seconds else 1.0
        if abs(there - here) <= reach:
            self.value = target  # exactly: at a neutral value the model must be the plain one
        else:
            self.value = parameter.denormalise(here + math.copysign(reach, there - here))
