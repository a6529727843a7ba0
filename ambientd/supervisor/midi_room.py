"""MIDI in the supervisor: the process that holds the ports, and what its messages do to parameters.

Everything that a message means is decided here, from state that outlives the process: see `ambientd.midi`.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ambientd.config import Midi
from ambientd.errors import AmbientdError, ConfigError
from ambientd.ipc.child import Child, Message
from ambientd.ipc.transport import Clocked, Transport
from ambientd.midi import mapping as files
from ambientd.midi.clock import ClockFollower
from ambientd.midi.learn import Learner
from ambientd.midi.mapping import Addresses, Mapping, describe
from ambientd.midi.process import MODULE
from ambientd.midi.surface import Action, Set, Surface
from ambientd.parameters import ParameterTable
from ambientd.supervisor.supervised import Supervised

CHECK_SECONDS = 1.0
"""How often the mapping files are looked at."""
SHOW_SECONDS = 0.05
LEARN_SECONDS = 60.0
CLOCK_SECONDS = 0.1
"""How often the generator is told of the clock."""
REAL_TIME = {"clock", "start", "stop", "continue", "songpos"}
Perform = Callable[[str, list[Any]], object]
"""(address without root, arguments): a command, as OSC would give it. Raises AmbientdError to refuse."""


class MidiRoom:
    """Call `turn` in the supervisor's loop; it never waits.

    The process is started when there is something to hear: a controller, learned mappings, a clock, or a learner.
    """

    def __init__(
        self, config: Midi, parameters: ParameterTable, perform: Perform, transport: Transport,
        selector: selectors.BaseSelector, say: Callable[[str], None], lenient: bool = False,
    ) -> None:  # fmt: skip
        """Raises ConfigError when a mapping file is wrong. lenient: go without it, until it is changed."""
        self._config, self._table, self._perform = config, parameters, perform
        self._transport, self._selector, self._say = transport, selector, say
        self._addresses = Addresses(parameter.id for parameter in parameters)
        self._files = self._open_files(config, lenient)
        self._surfaces: dict[str, Surface] = {}
        self._clock, self._clock_at = ClockFollower(), 0.0
        self._learner: Learner | None = None
        self._learn_until = 0.0
        self._learned = ""
        self._server: bool | None = None
        self._outputs: list[str] = []
        self._lit: set[str] = set()
        self._handled = self._rejected = 0
        self._last_fault = ""
        self._stale, self._show_at, self._check_at = True, 0.0, 0.0
        self._registered: Child | None = None
        self._alive = 0
        self._process = Supervised(
            "midi", self._spawn, progress=lambda: self._alive, busy=lambda: True, grace=20.0, patience=3.0, report=say
        )
        parameters.listen(self._parameter_changed)
        parameters.listen_to_tree(self._tree_changed)

    @property
    def supervised(self) -> Supervised:
        return self._process

    @property
    def running(self) -> bool:
        return self._process.child is not None

    def start(self) -> None:
        """Hear what there is to hear; without anything, nothing is started."""
        if self._patterns():
            self._process.start()
            self._register()

    def check(self, config: Midi) -> None:
        """Raises ConfigError when a mapping file that another configuration names is wrong."""
        _Files([files.find(name) for name in config.controllers], self._addresses)

    def close(self) -> None:
        self._process.stop()
        self._register()
        self._table.forget(self._parameter_changed)
        self._table.forget(self._tree_changed)

    def turn(self) -> None:
        """Everything that is due: what the process said, its health, files that changed, lights, the clock."""
        now = time.monotonic()
        for event in self._process.events():
            self._said(event, now)
        self._process.watch()
        self._register()
        self._follow_files(now)
        self._finish_learning(now)
        self._show(now)
        self._tell_clock(now)

    def learn(self, address: str) -> None:
        """Let the next control that is moved be the one for `address`. Raises ConfigError for an unknown one."""
        address = address.removeprefix("/ambientd/")
        if address not in self._addresses:
            raise ConfigError(f"nothing answers to {address!r}", self._addresses.nearest(address))
        self._learner, self._learned = Learner(address, self._addresses), ""
        self._learn_until = time.monotonic() + LEARN_SECONDS
        if not self.running:
            self._process.start()
        self._open()

    def info(self) -> dict[str, Any]:
        """For `ambientd status`. awaited: patterns of ports that are not there."""
        return {
            "server": self._server,
            "ports": sorted(self._surfaces),
            "awaited": [p for p in self._patterns() if not any(map(files.port_matcher(p), self._surfaces))],
            "mappings": len(self._files.mappings),
            "handled": self._handled,
            "rejected": self._rejected,
            "last_fault": self._last_fault,
            "learning": self._learner.address if self._learner else "",
            "learned": self._learned,
        }

    def _open_files(self, config: Midi, lenient: bool) -> _Files:
        if not lenient:
            return _Files([files.find(name) for name in config.controllers], self._addresses)

        def leave_out(error: ConfigError) -> None:
            self._say(f"midi: {error}; it plays without")

        paths = []
        for name in config.controllers:
            try:
                paths.append(files.find(name))
            except ConfigError as error:
                leave_out(error)
        return _Files(paths, self._addresses, leave_out)

    # The process

    def _spawn(self) -> Child:
        child = Child.spawn(MODULE, {"api": self._config.api})
        child.send({"cmd": "open", "patterns": self._patterns()})
        return child

    def _register(self) -> None:
        """Wake up for what the present child says; forget the last one's descriptor and ports."""
        if self._registered is self._process.child:
            return
        self._surfaces.clear()
        self._outputs, self._lit = [], set()
        if self._registered:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._registered)
        self._registered = self._process.child
        if self._registered:
            self._selector.register(self._registered, selectors.EVENT_READ, lambda: None)

    def _patterns(self) -> list[str]:
        if self._learner:
            return ["*"]
        wanted = [mapping.port or "*" for mapping in self._files.mappings]
        return list(dict.fromkeys(wanted + ([self._config.clock] if self._config.clock else [])))

    def _open(self) -> None:
        if self._process.child:
            self._process.child.send({"cmd": "open", "patterns": self._patterns()})

    def _said(self, event: Message, now: float) -> None:
        if event["event"] == "heard":
            self._heard(event["port"], event["data"], event["at"])
        elif event["event"] == "alive":
            self._alive = event["count"]
        elif event["event"] == "ports":
            self._ports_changed(event)
        elif event["event"] == "started":
            self._process.ready()
            if self._server != event["server"] and not event["server"]:
                self._say("midi: no MIDI server here; it is waited for")
            self._server = event["server"]
        elif event["event"] == "failed":
            self._say(f"midi: {event['what']}. {event['remedy']}".rstrip(". ") + ".")

    def _ports_changed(self, event: Message) -> None:
        self._outputs = event["outputs"]
        lit = set(event["lit"])
        if lit - self._lit:
            # An output may come later than its input, and what was sent meanwhile went nowhere.
            for surface in self._surfaces.values():
                surface.show_again()
            self._stale = True
        self._lit = lit
        for name in set(self._surfaces) - set(event["open"]):
            del self._surfaces[name]
            self._say(f"midi: {name} is gone; it is waited for")
        for name in set(event["open"]) - set(self._surfaces):
            self._surfaces[name] = self._surface(name)
            self._stale = True
            self._say(f"midi: {name}")

    def _surface(self, name: str) -> Surface:
        mappings = [m for m in self._files.mappings if files.port_matcher(m.port or "*")(name)]
        return Surface(mappings, self._addresses)

    # What controllers do

    def _heard(self, port: str, data: list[int], at: float) -> None:
        from mido import Message as Midi

        try:
            message = Midi.from_bytes(data)
        except ValueError as fault:
            self._reject(f"{port}: {fault}")
            return
        if message.type in REAL_TIME:
            if self._config.clock and files.port_matcher(self._config.clock)(port):
                self._clock.hear(message, at)
        elif self._learner:
            self._learner.hear(port, message, at)
        elif surface := self._surfaces.get(port):
            for action in surface.hear(message, at, self._table.get_normalised):
                self._do(action, port)

    def _do(self, action: Action, port: str) -> None:
        try:
            if isinstance(action, Set):
                self._table.set_normalised(action.address, action.position)
            else:
                self._perform(action.address, list(action.arguments))
        except AmbientdError as fault:
            self._reject(f"{port}: {action.address}: {fault}")
        else:
            self._handled += 1

    def _reject(self, fault: str) -> None:
        self._rejected += 1
        self._last_fault = fault

    def _parameter_changed(self, *_: object) -> None:
        self._stale = True

    def _tree_changed(self, *_: object) -> None:
        """A plugin was reloaded: what a file names may be there now."""
        self._addresses.know(parameter.id for parameter in self._table)
        self._files.read_again()

    def _show(self, now: float) -> None:
        """Send lights and motors what has changed."""
        if not self._stale or now < self._show_at or not self._process.child:
            return
        self._show_at = now + SHOW_SECONDS
        self._stale = False
        for name, surface in self._surfaces.items():
            messages = [message.bytes() for message in surface.show(now, self._table.get_normalised)]
            if messages:
                port = files.escaped(self._output_of(name))
                self._process.child.send({"cmd": "send", "port": port, "messages": messages})
            self._stale |= not surface.settled(now)

    def _output_of(self, port: str) -> str:
        """The output that belongs to an input: of the same name, else the one that fits the same mappings."""
        if port in self._outputs:
            return port
        fits = [files.port_matcher(p) for p in self._patterns() if p != "*" and files.port_matcher(p)(port)]
        return next((name for name in self._outputs if any(f(name) for f in fits)), port)

    def _tell_clock(self, now: float) -> None:
        if not self._config.clock or now < self._clock_at:
            return
        self._clock_at = now + CLOCK_SECONDS
        beat = self._clock.beat(now)
        self._transport.write(Clocked(beat.tempo, beat.beat, beat.at, beat.rolling) if beat else Clocked())

    # Mapping files

    def _follow_files(self, now: float) -> None:
        if now < self._check_at:
            return
        self._check_at = now + CHECK_SECONDS
        try:
            changed = self._files.follow()
        except ConfigError as fault:
            self._reject(str(fault))
            self._say(f"midi: {fault} The mappings stay as they were.")
            return
        if changed:
            self._mappings_changed()

    def _mappings_changed(self) -> None:
        self._surfaces = {name: self._surface(name) for name in self._surfaces}
        self._stale = True
        if not self.running:
            self.start()
        self._open()

    def _finish_learning(self, now: float) -> None:
        if not self._learner:
            return
        learned = self._learner.result(now)
        if learned is None and now < self._learn_until:
            return
        address, self._learner = self._learner.address, None
        if learned is None:
            self._say(f"midi: nothing was moved, so nothing was learned for {address}")
        else:
            self._save(learned, address)
            # Before the ports that only learning wanted are closed.
            self._check_at = 0.0
            self._follow_files(now)
        self._open()

    def _save(self, learned: Mapping, address: str) -> None:
        try:
            files.save_learned(files.learned_path(), learned, self._addresses)
        except (AmbientdError, OSError) as fault:
            self._reject(str(fault))
            self._say(f"midi: {address} was not learned: {fault}")
            return
        self._learned = f"{address}: {describe(learned)}"
        self._say(f"midi: learned {self._learned}")


class _Files:
    """The mapping files in force, followed while they are edited. The learned one may come and go."""

    def __init__(
        self, paths: list[Path], addresses: Addresses, leave_out: Callable[[ConfigError], None] | None = None
    ) -> None:
        """Raises ConfigError for a file that is wrong, unless there is somebody to be told that it is left out."""
        self._paths, self._addresses = [*paths, files.learned_path()], addresses
        self._stamps: dict[Path, tuple[int, int] | None] = {}
        self.mappings: list[Mapping] = []
        if leave_out is None:
            self.follow()
            return
        for path in self._look():
            try:
                self.mappings += files.load(path, addresses)
            except ConfigError as error:
                leave_out(error)

    def read_again(self) -> None:
        """At the next `follow`, changed or not."""
        self._stamps = {}

    def follow(self) -> bool:
        """Read again what was changed. Raises ConfigError, once for each change, with the old mappings in force."""
        before = self._stamps
        wanted = self._look()
        if before == self._stamps:
            return False
        self.mappings = [mapping for path in wanted for mapping in files.load(path, self._addresses)]
        return True

    def _look(self) -> list[Path]:
        """How they are now; returns those to be read."""
        self._stamps = {path: _stamp(path) for path in self._paths}
        learned = self._paths[-1]
        return [path for path in self._paths if path != learned or self._stamps[path]]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
