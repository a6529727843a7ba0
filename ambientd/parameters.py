"""What can be turned while the music plays. Any process; imports only the standard library.

One `Parameter` is one knob: OSC address, MIDI target, state and documentation all derive from it.
A `ParameterTable` holds the values of all of them in cells that processes may share.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, get_args

from ambientd.errors import AmbientdError, PluginError

Warp = Literal["linear", "exponential", "decibel"]

_ID = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")
_TAPER = 100.0
"""The decibel warp's curve: half a fader's way is 21 dB down, a tenth of it 45 dB, and its end silence."""


class RejectedValue(AmbientdError):
    """A value that no parameter can take, or a parameter that does not exist; nothing was changed."""


@dataclass(frozen=True)
class Parameter:
    """One knob. Its OSC address is `/ambientd/` + id.

    low, high, default: in the parameter's own unit. warp: how 0..1 maps onto low..high.
    slew: seconds that a jump over the whole range is spread over, evenly along the knob's way.

    linear: evenly. exponential: evenly in ratio, low > 0 (frequencies, times). decibel: a factor of
    amplitude from 0 (silence) to high, along a fader's curve.

    Raises PluginError for a definition that makes no sense.
    """

    id: str
    description: str
    low: float = 0.0
    high: float = 1.0
    default: float = 0.0
    unit: str = ""
    warp: Warp = "linear"
    slew: float = 0.02

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise PluginError(f"parameter id {self.id!r} is not an address", "Use a-z, 0-9, _ and -, parted by /")
        if not self.description.strip():
            raise self._wrong("has no description")
        if not all(math.isfinite(number) for number in (self.low, self.high, self.default, self.slew)):
            raise self._wrong("has a number that is not finite")
        if not self.low < self.high:
            raise self._wrong(f"has low {self.low:g}, which is not below high {self.high:g}")
        if not self.low <= self.default <= self.high:
            raise self._wrong(f"has default {self.default:g} outside {self.low:g}..{self.high:g}")
        if self.slew < 0:
            raise self._wrong(f"has a negative slew of {self.slew:g} s")
        if self.warp not in get_args(Warp):
            raise self._wrong(f"has warp {self.warp!r}; there are {', '.join(get_args(Warp))}")
        if self.warp == "exponential" and self.low <= 0:
            raise self._wrong(f"is exponential and needs low above 0, not {self.low:g}")
        if self.warp == "decibel" and self.low != 0:
            raise self._wrong(f"is a decibel fader and needs low 0 (silence), not {self.low:g}")

    def denormalise(self, position: float) -> float:
        """The value, in the parameter's own unit, at `position` 0..1 of its knob; beyond is held at the end."""
        position = min(max(position, 0.0), 1.0)
        if self.warp == "exponential":
            value = self.low * (self.high / self.low) ** position
        elif self.warp == "decibel":
            value = self.high * (_TAPER**position - 1.0) / (_TAPER - 1.0)
        else:
            value = self.low + (self.high - self.low) * position
        return self.clamp(value)

    def normalise(self, value: float) -> float:
        """Where 0..1 on its knob `value` sits; the inverse of `denormalise`."""
        value = self.clamp(value)
        if self.warp == "exponential":
            position = math.log(value / self.low) / math.log(self.high / self.low)
        elif self.warp == "decibel":
            position = math.log1p(value / self.high * (_TAPER - 1.0)) / math.log(_TAPER)
        else:
            position = (value - self.low) / (self.high - self.low)
        return min(max(position, 0.0), 1.0)

    def clamp(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def _wrong(self, what: str) -> PluginError:
        return PluginError(f"parameter {self.id!r} {what}")


class Cells(Protocol):
    """Where values live: float64 numbers by index. An `array`, a NumPy array, shared memory."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> float: ...
    def __setitem__(self, index: int, value: float, /) -> None: ...


Listener = Callable[[Parameter, float], None]


@dataclass(frozen=True)
class TreeChange:
    """What became of the parameters, by id. changed: another range, warp, unit or description under the same id."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return "; ".join(f"{word} {', '.join(ids)}" for word, ids in parts.items() if ids)


TreeListener = Callable[[TreeChange], None]


class ParameterTable:
    """Every parameter's value, in its own unit. Supervisor; one thread.

    Cell `index(id)` of `cells` holds a parameter's value, so that another process can read it; an id keeps
    its cell for good, also while it is not defined. Values beyond a parameter's range are held at its end; NaN,
    infinities and unknown ids raise RejectedValue and change nothing.
    """

    def __init__(self, parameters: Iterable[Parameter], cells: Cells | None = None) -> None:
        """cells: at least as many as parameters, overwritten with the defaults; by default the table's own."""
        listed = tuple(parameters)
        self._parameters = {parameter.id: parameter for parameter in listed}
        if len(self._parameters) < len(listed):
            ids = [parameter.id for parameter in listed]
            raise PluginError(f"parameter {next(i for i in ids if ids.count(i) > 1)!r} is defined twice")
        self._index = {id: index for index, id in enumerate(self._parameters)}
        self._cells: Cells = array("d", bytes(8 * len(listed))) if cells is None else cells
        if len(self._cells) < len(listed):
            raise ValueError(f"{len(self._cells)} cells for {len(listed)} parameters")
        self._aliases: dict[str, str] = {}
        self._listeners: list[Listener] = []
        self._tree_listeners: list[TreeListener] = []
        self.version = 0
        """Another number once parameters come, go or are known by other ids: what is made of the tree is made anew."""
        for parameter in listed:
            self._cells[self._index[parameter.id]] = parameter.default

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    def __contains__(self, id: str) -> bool:
        return self._resolve(id) in self._parameters

    def parameter(self, id: str) -> Parameter:
        """Raises RejectedValue when there is none."""
        try:
            return self._parameters[self._resolve(id)]
        except KeyError:
            raise RejectedValue(f"there is no parameter {id!r}") from None

    def index(self, id: str) -> int:
        """The cell that holds parameter `id`. Raises RejectedValue when there is none."""
        return self._index[self.parameter(id).id]

    def get(self, id: str) -> float:
        """The value in the parameter's own unit."""
        return float(self._cells[self.index(id)])

    def get_normalised(self, id: str) -> float:
        return self.parameter(id).normalise(self.get(id))

    def describe(self) -> list[dict[str, Any]]:
        """Every parameter's definition and `value`, as JSON can hold them."""
        return [asdict(parameter) | {"value": self.get(parameter.id)} for parameter in self]

    def set_value(self, id: str, value: float) -> None:
        """Set a value in the parameter's own unit."""
        parameter = self.parameter(id)
        index = self._index[parameter.id]
        if not math.isfinite(value):
            raise RejectedValue(f"{value} is no value for {id!r}")
        value = parameter.clamp(float(value))
        if value == self._cells[index]:
            return
        self._cells[index] = value
        for listener in self._listeners:
            listener(parameter, value)

    def set_normalised(self, id: str, position: float) -> None:
        """Set a value by the position 0..1 of its knob."""
        parameter = self.parameter(id)
        if not math.isfinite(position):
            raise RejectedValue(f"{position} is no position for {id!r}")
        self.set_value(id, parameter.denormalise(position))

    def point(self, prefix: str, target: str) -> None:
        """Let ids that begin with `prefix`/ stand for those that begin with `target`/, until pointed elsewhere.

        So `mashup/weight/1` is the selected mashup's, and each mashup keeps its own values meanwhile.
        """
        self._aliases[prefix] = target
        self.version += 1

    def names(self, parameter: Parameter) -> tuple[str, ...]:
        """Every id that stands for it now, what people call it first: mashup/weight/1, mashup/blend/weight/1."""
        id = parameter.id
        pointed = (p + id.removeprefix(t) for p, t in self._aliases.items() if id.startswith(f"{t}/"))
        return (*(name for name in pointed if name not in self._parameters), id)

    def redefine(self, prefix: str, parameters: Iterable[Parameter]) -> TreeChange:
        """Let `parameters` be all that there are below `prefix`/, and tell the tree's listeners what changed.

        What stays keeps its value, held within its range; what is new has its default. Raises PluginError, with
        nothing changed, when there are no cells left.
        """
        before = {id: p for id, p in self._parameters.items() if id.startswith(f"{prefix}/")}
        after = {parameter.id: parameter for parameter in parameters}
        fresh = [id for id in after if id not in self._index]
        if len(self._index) + len(fresh) > len(self._cells):
            raise PluginError(f"there is no room for {len(fresh)} more parameters", "Start ambientd again")
        change = TreeChange(
            added=tuple(id for id in after if id not in before),
            removed=tuple(id for id in before if id not in after),
            changed=tuple(id for id in after if id in before and after[id] != before[id]),
        )
        self._index |= {id: index for index, id in enumerate(fresh, len(self._index))}
        self._parameters = {id: p for id, p in self._parameters.items() if id not in before} | after
        for id, parameter in after.items():
            index = self._index[id]
            self._cells[index] = parameter.default if id not in before else parameter.clamp(self._cells[index])
        if change != TreeChange():
            self.version += 1
            for listener in self._tree_listeners:
                listener(change)
        return change

    def listen_to_tree(self, listener: TreeListener) -> None:
        """Call `listener(change)` after parameters have come, gone or changed, in the thread that did it."""
        self._tree_listeners.append(listener)

    def listen(self, listener: Listener) -> None:
        """Call `listener(parameter, value)` after each change, in the thread that made it."""
        self._listeners.append(listener)

    def forget(self, listener: Listener | TreeListener) -> None:
        """Call a listener no more, wherever it listens."""
        self._listeners = [other for other in self._listeners if other != listener]
        self._tree_listeners = [other for other in self._tree_listeners if other != listener]

    def _resolve(self, id: str) -> str:
        if id in self._parameters:
            return id
        prefix, _, rest = id.partition("/")
        return f"{self._aliases[prefix]}/{rest}" if prefix in self._aliases else id


VOLUME = Parameter("volume", "Level of everything that is heard", default=1.0, warp="decibel", slew=0.1)
"""A factor of amplitude rather than dB, like every gain here: 0 is silence, and nothing needs converting."""

SLOT_PARAMETERS = (
    Parameter("gain", "Level of the slot's voice", high=2.0, default=1.0, warp="decibel", slew=0.05),
    Parameter("pan", "From left (-1) to right (1)", low=-1.0, high=1.0, slew=0.05),
    Parameter("temperature", "Below 1 calmer, above 1 wilder than the checkpoint's own", 0.5, 1.5, 1.0, slew=0.5),
    Parameter("stretch", "How many times slower the voice evolves", 1.0, 8.0, 1.0, warp="exponential", slew=0.5),
    Parameter("freeze", "How much the voice holds on to the moment at which this left 0", slew=0.1),
    Parameter("chaos", "Noise in the voice's memory, from none to nothing but", warp="decibel", slew=0.1),
)


def builtin_parameters(slots: int) -> tuple[Parameter, ...]:
    """`volume`, then each slot's `SLOT_PARAMETERS`; slots are numbered from 1: `slot/1/gain`."""
    per_slot = (
        replace(parameter, id=f"slot/{number}/{parameter.id}")
        for number in range(1, slots + 1)
        for parameter in SLOT_PARAMETERS
    )
    return (VOLUME, *per_slot)


def mashup_parameters(name: str, parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """A mashup's own parameters under the ids by which the table knows them: `mashup/<name>/<id>`."""
    return tuple(replace(parameter, id=f"mashup/{name}/{parameter.id}") for parameter in parameters)
