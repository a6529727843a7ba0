"""Keeps every surface at the true state: who wants to hear of which addresses, and what has changed. Supervisor.

Changes are gathered and told once per tick, the newest value of each, to all but the surface that made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ambientd.control.osc_check import MAX_ADDRESS
from ambientd.control.osc_methods import AddressSpace, Info, Method, number
from ambientd.control.osc_pattern import BadPattern
from ambientd.control.peer import Peer, Values, bundles, encode
from ambientd.errors import AmbientdError
from ambientd.parameters import Parameter, RejectedValue

TICK_SECONDS = 0.02
LEASE_SECONDS = 10.0
MOST_SURFACES = 64
FOREVER = float("inf")


@dataclass
class _Surface:
    """wanted: the addresses it is told of, by id. choose: makes them anew when the tree has changed."""

    peer: Peer
    wanted: set[str]
    expires: float
    choose: Callable[[], set[str]] | None = None


class Feedback:
    """origin: whose message is being handled; set it around whatever may change a parameter."""

    def __init__(self, space: AddressSpace, info: Callable[[], Info], clock: Callable[[], float]) -> None:
        """clock: seconds, monotonic."""
        self.origin: Peer | None = None
        self._space, self._info, self._clock = space, info, clock
        self._surfaces: dict[Peer, _Surface] = {}
        self._changed: dict[str, tuple[Parameter, Peer | None]] = {}
        self._acted: dict[str, Peer | None] = {}
        self._states: dict[str, Values] = {}
        self._version = space.version
        self._next_tick = 0.0

    def __len__(self) -> int:
        return len(self._surfaces)

    # Who wants to hear

    def subscribe(self, arguments: list[Any], peer: Peer) -> None:
        """`/ambientd/subscribe 1 [pattern]` renews a lease, 0 ends it. The first one brings all values at once."""
        if len(arguments) not in (1, 2) or not all(isinstance(text, str) for text in arguments[1:]):
            raise RejectedValue(f"1 or 0 is wanted, and perhaps a pattern, not {arguments!r}")
        if number(arguments[:1], truth=True) <= 0:
            self.forget(peer)
            return
        pattern = arguments[1] if len(arguments) > 1 else None
        choose = self._usual if pattern is None else lambda: self._chosen(pattern)
        self._add(_Surface(peer, choose(), self._clock() + LEASE_SECONDS, choose))

    def attach(self, peer: Peer) -> None:
        """Tell `peer` of all changes from now on, until so many others have come that it is the oldest."""
        if peer not in self._surfaces:
            self._add(_Surface(peer, self._usual(), FOREVER, self._usual))

    def listen(self, peer: Peer, id: str) -> None:
        """Tell `peer` of this address, too, now and until it ignores it or is forgotten. Raises RejectedValue."""
        method = self._space.get(id)
        if not method or not _tells(method):
            raise RejectedValue(f"there is nothing to listen to at {id!r}")
        surface = self._surfaces.get(peer) or self._add(_Surface(peer, set(), FOREVER))
        surface.wanted.add(id)
        self._send(surface, [method])

    def ignore(self, peer: Peer, id: str) -> None:
        if peer in self._surfaces:
            self._surfaces[peer].wanted.discard(id)

    def forget(self, peer: Peer) -> None:
        self._surfaces.pop(peer, None)

    def _add(self, surface: _Surface) -> _Surface:
        known = self._surfaces.pop(surface.peer, None)
        if not known and len(self._surfaces) >= MOST_SURFACES:
            del self._surfaces[next(iter(self._surfaces))]
        if not self._surfaces:
            self._states = self._read_states()
        self._surfaces[surface.peer] = surface
        if not known or not surface.wanted <= known.wanted:
            self._tell_all(surface)
        return surface

    def _usual(self) -> set[str]:
        """Each knob's position, under every name that a surface may know it by, and the states."""
        return {method.id for method in self._space if _tells(method) and not method.own_unit}

    def _chosen(self, pattern: str) -> set[str]:
        try:
            if len(pattern) > MAX_ADDRESS:
                raise BadPattern(f"{len(pattern)} characters are too many for a pattern")
            found = {method.id for method in self._space.matching(pattern) if _tells(method)}
        except BadPattern as fault:
            raise RejectedValue(str(fault)) from None
        if not found:
            raise RejectedValue(f"{pattern} matches nothing that could change")
        return found

    # What has changed

    def changed(self, parameter: Parameter, value: float) -> None:
        """A listener of the parameter table."""
        if self._surfaces:
            self._changed[parameter.id] = (parameter, self.origin)

    def correct(self, parameter: Parameter) -> None:
        """The value is not what was asked for: tell whoever asked, as well."""
        if self._surfaces:
            self._changed[parameter.id] = (parameter, None)

    def acted(self, method: Method, peer: Peer) -> None:
        """`peer` asked for this state itself."""
        if method.state:
            self._acted[method.id] = peer

    def patience(self, now: float) -> float:
        """Seconds until `turn` has something to do; infinite when only a state that changes unseen could give it."""
        return max(0.0, self._next_tick - now) if self._changed else FOREVER

    def turn(self, now: float) -> None:
        """Tell what is due. Call often."""
        for surface in [s for s in self._surfaces.values() if s.expires < now]:
            self.forget(surface.peer)
        if not self._surfaces:
            self._changed.clear()
            return
        if now < self._next_tick:
            return
        self._next_tick = now + TICK_SECONDS
        if self._version != self._space.version:
            self._tree_changed()
        news = [*self._changed_knobs(), *self._changed_states()]
        self._changed.clear()
        self._acted.clear()
        for surface in self._surfaces.values() if news else ():
            wanted = (m for m, origin in news if m.id in surface.wanted and not _same(surface.peer, origin))
            self._send(surface, wanted)

    def _changed_knobs(self) -> Iterator[tuple[Method, Peer | None]]:
        for parameter, origin in self._changed.values():
            for method in self._space.of_parameter(parameter):
                yield method, origin

    def _changed_states(self) -> Iterator[tuple[Method, Peer | None]]:
        before, self._states = self._states, self._read_states()
        for method in self._space:
            if method.state and self._states[method.id] != before.get(method.id):
                yield method, self._acted.get(method.id)

    def _read_states(self) -> dict[str, Values]:
        info = self._info()
        return {method.id: method.state(info) for method in self._space if method.state}

    def _tree_changed(self) -> None:
        """Knobs came or went, or another mashup's stand under the usual names: everyone starts over."""
        self._version = self._space.version
        self._changed.clear()
        for surface in self._surfaces.values():
            if surface.choose:
                try:
                    surface.wanted = surface.choose()
                except RejectedValue:
                    surface.wanted = set()
            self._tell_all(surface)

    def _tell_all(self, surface: _Surface) -> None:
        self._send(surface, (method for method in self._space if method.id in surface.wanted))

    def _send(self, surface: _Surface, methods: Iterable[Method]) -> None:
        messages = (encode(method.id, values) for method in methods if (values := _values(method)))
        for packet in bundles(messages) if surface.peer.bundled else messages:
            surface.peer.send(packet)


def _tells(method: Method) -> bool:
    return method.parameter is not None or method.state is not None


def _values(method: Method) -> Values | None:
    try:
        return method.query() if method.query else None
    except AmbientdError:
        return None  # it went while we were at it


def _same(peer: Peer, origin: Peer | None) -> bool:
    return origin is not None and peer in (origin, origin.also)
