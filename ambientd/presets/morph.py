"""From the values as they are to a preset's, over a while. Supervisor, in its selector loop.

Each value goes evenly along its knob's own way, as a hand would turn it. Whatever else moves a knob meanwhile has
it: the morph lets go of that one and goes on with the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from ambientd.parameters import Parameter, ParameterTable


class Morph:
    """The table's parameters on their way. Tell `changed` of every change of the table."""

    def __init__(self, table: ParameterTable, targets: Mapping[str, float], seconds: float, now: float) -> None:
        """targets: by id, in their own units. now: seconds of a clock that never steps, as for `turn`."""
        self._table = table
        self._began, self._seconds = now, seconds
        self._moving = ""
        self._ways = {
            id: (table.get_normalised(id), table.parameter(id).normalise(target), target)
            for id, target in targets.items()
            if table.get(id) != target
        }

    @property
    def over(self) -> bool:
        """Nothing is on its way any more."""
        return not self._ways

    def left(self, now: float) -> float:
        """Seconds still to go."""
        return 0.0 if self.over else max(0.0, self._began + self._seconds - now)

    def turn(self, now: float) -> None:
        """Move everything to where it should be by now; exactly to its target at the end."""
        share = (now - self._began) / self._seconds if self._seconds else 1.0
        for id, (start, end, target) in list(self._ways.items()):
            if id not in self._table:  # its plugin has gone
                del self._ways[id]
                continue
            self._moving = id
            if share >= 1:
                self._table.set_value(id, target)
            else:
                self._table.set_normalised(id, start + max(0.0, share) * (end - start))
            self._moving = ""
        if share >= 1:
            self._ways.clear()

    def changed(self, parameter: Parameter) -> None:
        """The table's listener: a change that is not this morph's takes the knob away from it."""
        if parameter.id != self._moving:
            self._ways.pop(parameter.id, None)
