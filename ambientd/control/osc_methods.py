"""The address tree: which addresses there are, what each takes, tells and does. Supervisor, one thread.

Made from the parameter table, the instrument's commands and nothing else: OSC, OSCQuery and docs/osc.md all
derive from it. It is made anew when the table's version changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ambientd.control.osc_pattern import Pattern, is_pattern
from ambientd.control.peer import NOBODY, ROOT, Peer, Values
from ambientd.parameters import Parameter, ParameterTable, RejectedValue

Info = Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """One address. act: what a message does; query: what one without an argument is answered with instead.

    id: what follows /ambientd/. tags: OSC type tags of what it takes or tells, as many as are always there.
    state: its values from `Instrument.info()`; surfaces are told when they change.
    parameter, own_unit: what it turns, by the position of its knob or by its own unit. range: of its number.
    says_why_not: a refusal is answered with /ambientd/error, the address and the reason.
    """

    id: str
    description: str
    tags: str = ""
    act: Callable[[list[Any], Peer], None] | None = None
    query: Callable[[], Values] | None = None
    state: Callable[[Info], Values] | None = None
    parameter: Parameter | None = None
    own_unit: bool = False
    range: tuple[float, float] | None = None
    says_why_not: bool = False

    @property
    def address(self) -> str:
        return ROOT + self.id

    def handle(self, arguments: list[Any], peer: Peer) -> Values | None:
        """What to answer, if anything. Raises AmbientdError, with nothing changed."""
        if not arguments and self.query:
            return self.query()
        if not self.act:
            raise RejectedValue(f"no argument is wanted, not {arguments!r}")
        self.act(arguments, peer)
        return None


class AddressSpace:
    """All methods, to be found by address or pattern.

    A pattern's `*`, `?` and `[...]` may stand for several numbers, or for one name: `/ambientd/slot/*/gain` and
    `/ambientd/vol*` are played, but no pattern turns knobs of different kinds at once, nor does every command
    there is, nor plays at all when it names nothing. Names in braces are spelled out: `/ambientd/slot/*/{gain,pan}`
    is played.
    """

    def __init__(self, table: ParameterTable, commands: Iterable[Method]) -> None:
        self._table = table
        self._commands = tuple(commands)
        self._version: int | None = None
        self._methods: dict[str, Method] = {}
        self._names: dict[tuple[str, ...], Method] = {}

    def __iter__(self) -> Iterator[Method]:
        return iter(self._current().values())

    def get(self, id: str) -> Method | None:
        return self._current().get(id)

    def find(self, address: str, arguments: list[Any]) -> list[Method]:
        """Whom a message is for. Raises RejectedValue when it is for nobody, or a pattern that must not act."""
        if is_pattern(address):
            return self._find_all(address, arguments)
        method = self.get(address.removeprefix(ROOT)) if address.startswith(ROOT) else None
        if not method:
            raise RejectedValue(f"there is no address {address}")
        return [method]

    def perform(self, id: str, arguments: list[Any]) -> None:
        """What somebody who takes no answer asks for, such as a MIDI controller. Raises AmbientdError."""
        for method in self.find(ROOT + id, arguments):
            method.handle(arguments, NOBODY)

    def matching(self, address: str) -> list[Method]:
        """All methods at an address or pattern, whatever may be done with them."""
        self._current()
        pattern = Pattern(address)
        return [method for names, method in self._names.items() if pattern.matches(names)]

    def of_parameter(self, parameter: Parameter) -> list[Method]:
        """All that tell its value: by position and by unit, under each name; what people use comes first."""
        methods = self._current()
        return [methods[id + form] for id in self._table.names(parameter) for form in ("", "/value")]

    @property
    def version(self) -> int:
        """Another number when the tree has changed."""
        return self._table.version

    def _find_all(self, address: str, arguments: list[Any]) -> list[Method]:
        found = self.matching(address)
        if not found:
            raise RejectedValue(f"{address} matches no address")
        pattern = Pattern(address)
        several = _names_at(pattern.open, found)
        if not several and not pattern.blank:
            return found
        if arguments:
            reach = ", ".join(several) or "whatever is there"
            raise RejectedValue(f"{address} reaches {reach}; name what is meant: {{a,b}}")
        return [method for method in found if method.query]

    def _current(self) -> dict[str, Method]:
        if self._version != self._table.version:
            self._version = self._table.version
            methods = [*self._commands, *(m for p in self._table for m in _of_parameter(self._table, p))]
            self._methods = {method.id: method for method in methods}
            self._names = {tuple(method.address[1:].split("/")): method for method in methods}
        return self._methods


def _names_at(places: Iterable[int], methods: Iterable[Method]) -> list[str]:
    """The names, numbers aside, that stand at one of the places, where there are two or more."""
    for place in places:
        names = {method.address[1:].split("/")[place] for method in methods}
        words = sorted(name for name in names if not name.isdigit())
        if len(words) > 1:
            return words
    return []


def _of_parameter(table: ParameterTable, parameter: Parameter) -> Iterable[Method]:
    for id in table.names(parameter):
        for own_unit in (False, True):
            yield Method(
                id=f"{id}/value" if own_unit else id,
                description=parameter.description,
                tags="f",
                act=partial(_turn, table, parameter.id, own_unit),
                query=partial(_read, table, parameter.id, own_unit),
                parameter=parameter,
                own_unit=own_unit,
                range=(parameter.low, parameter.high) if own_unit else (0.0, 1.0),
            )


def _read(table: ParameterTable, id: str, own_unit: bool) -> Values:
    return (table.get(id) if own_unit else table.get_normalised(id),)


def _turn(table: ParameterTable, id: str, own_unit: bool, arguments: list[Any], peer: Peer) -> None:
    value = number(arguments)
    if own_unit:
        table.set_value(id, value)
    else:
        table.set_normalised(id, value)


def number(arguments: list[Any], truth: bool = False) -> float:
    """The one number in `arguments`; truth: True and False will do, too. Raises RejectedValue."""
    if len(arguments) == 1 and isinstance(arguments[0], int | float) and (truth or not isinstance(arguments[0], bool)):
        return float(arguments[0])
    raise RejectedValue(f"one number is wanted, not {arguments!r}")
