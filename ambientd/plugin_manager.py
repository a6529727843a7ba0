"""Finds plugins, loads each one alone, and says what became of it. Supervisor, generator, command line; light.

Every plugin gets a pluggy manager of its own and its registrations are staged: they count once all of
them have proved sound, so one broken plugin never costs another, nor leaves half of itself behind.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy
from pydantic import BaseModel

from ambientd import hookspecs, plugin_permits
from ambientd.errors import PluginError
from ambientd.parameters import Parameter
from ambientd.plugin import PROJECT, Mashup, Sink
from ambientd.plugin_sources import FOLDER, Source, from_text, from_texts, installed, plugin_files, user_folder

if TYPE_CHECKING:
    import click

_NAME = re.compile(r"[a-z0-9_-]+")

Kind = TypeVar("Kind", Mashup, Sink)


class PluginState(Enum):
    """What became of a plugin."""

    LOADED = "loaded"
    IMPORT_FAILED = "import failed"
    """Its module raised while it was imported."""
    BAD_REGISTRATION = "bad registration"
    """A hook is unknown, raised, or returned something that is not what it should be."""
    NAME_TAKEN = "name taken"
    """Another plugin already has a mashup, a sink or a command of that name."""
    REPLACED = "replaced"
    """A file of the same name in the user's plugin folder is used instead."""
    UPDATE_REFUSED = "update refused"
    """Its file has changed, and what it holds now failed the rehearsal: the last good version plays."""
    NOT_ALLOWED = "not allowed"
    """An installation's AMBIENTD_PLUGINS does not name it."""


@dataclass
class Plugin:
    """One plugin that was found. origin, place: see `Source`. reason: one line, empty when loaded."""

    name: str
    origin: str
    place: str
    state: PluginState
    reason: str = ""
    mashups: list[str] = field(default_factory=list)
    sinks: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    hooks: pluggy.HookRelay | None = field(default=None, repr=False)

    @property
    def failed(self) -> bool:
        return self.hooks is None and self.state is not PluginState.REPLACED

    def describe(self) -> dict[str, Any]:
        """For `ambientd plugins list` and the daemon's status; JSON-serialisable."""
        return {
            "name": self.name,
            "origin": self.origin,
            "place": self.place,
            "state": self.state.value,
            "reason": self.reason,
            "mashups": self.mashups,
            "sinks": self.sinks,
            "commands": self.commands,
        }


class _Refused(Exception):
    """Why a plugin is not taken in."""

    def __init__(self, state: PluginState, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Plugins:
    """Every plugin found, with the mashups and sinks of those that loaded, by name."""

    def __init__(self) -> None:
        self.found: list[Plugin] = []
        self.mashups: dict[str, type[Mashup]] = {}
        self.sinks: dict[str, type[Sink]] = {}
        self.files: dict[str, str] = {}
        """The texts of the plugin files by path, as they were read; see `update`."""

    @classmethod
    def discover(cls, folder: Path | None = None, files: Mapping[str, str] | None = None) -> Plugins:
        """Load everything installed, and the files in `folder` (by default the user's plugin folder).

        A file replaces an installed plugin of the same name, unless it fails to load. files: the files' texts by
        path, in place of what a folder holds.
        """
        plugins = cls()
        plugins.files = dict(plugin_files(folder or user_folder()) if files is None else files)
        dropped_in = {source.name: source for source in from_texts(plugins.files)}
        for source in installed():
            replacement = dropped_in.pop(source.name, None)
            if replacement and plugins._take_in(replacement):
                plugins._note_replaced(source.name, source.origin, source.place, replacement.place)
            else:
                plugins._take_in(source)
        for source in dropped_in.values():
            plugins._take_in(source)
        return plugins

    def update(self, path: str, text: str, needed: str = "") -> Plugin:
        """Load a file anew, or for the first time. needed: a mashup that it must not lose.

        Raises PluginError with the reason, and nothing has changed.
        """
        source = from_text(path, text)
        before = next((p for p in self.found if p.name == source.name and p.hooks), None)
        kept = self.mashups, self.sinks
        if before:
            self.mashups = {name: kind for name, kind in self.mashups.items() if name not in before.mashups}
            self.sinks = {name: kind for name, kind in self.sinks.items() if name not in before.sinks}
        self._take_in(source)
        plugin = self.found.pop()
        fault = f"{plugin.state.value}, {plugin.reason}" if plugin.failed else ""
        if before and needed in before.mashups and needed not in plugin.mashups:
            fault = fault or f"it has no mashup {needed!r} any more, and that is selected"
        if fault:
            self.mashups, self.sinks = kept
            raise PluginError(fault)
        self.found = [p for p in self.found if p.place != path and p is not before] + [plugin]
        if before and before.origin != FOLDER:
            self._note_replaced(before.name, before.origin, before.place, path)
        self.files[path] = text
        return plugin

    def refuse(self, path: str, reason: str) -> None:
        """Note why what the file at `path` holds now is not taken in."""
        plugin = next((p for p in self.found if p.place == path), None)
        if plugin is None:
            plugin = Plugin(Path(path).stem, FOLDER, path, PluginState.UPDATE_REFUSED)
            self.found.append(plugin)
        plugin.state, plugin.reason = PluginState.UPDATE_REFUSED, reason

    def plugin_of(self, mashup: str) -> Plugin | None:
        """Who brings the mashup of that name."""
        return next((plugin for plugin in self.found if plugin.hooks and mashup in plugin.mashups), None)

    def mashup(self, name: str) -> type[Mashup]:
        """The mashup called `name`, or PluginError naming the nearest."""
        return self._named("mashup", self.mashups, name)

    def sink(self, name: str) -> type[Sink]:
        """The sink called `name`, or PluginError naming the nearest."""
        return self._named("sink", self.sinks, name)

    def add_commands(self, cli: click.Group) -> None:
        """Let each loaded plugin add its commands to `cli`; a plugin that fails at it adds none."""
        for plugin in self.found:
            if plugin.hooks is None:
                continue
            try:
                placed = list(_placed(_commands(plugin.hooks), cli))
            except _Refused as refusal:
                plugin.state, plugin.reason = refusal.state, str(refusal)
            else:
                plugin.commands = [f"{prefix}{name}" for prefix, name, _, _ in placed]
                for _, name, group, command in placed:
                    group.add_command(command, name)

    def _take_in(self, source: Source) -> bool:
        """Load one plugin and keep what it registers, all or nothing; whether it loaded."""
        plugin = Plugin(source.name, source.origin, source.place, PluginState.LOADED)
        self.found.append(plugin)
        try:
            refusal = plugin_permits.refusal(source)
            if refusal:
                raise _Refused(PluginState.NOT_ALLOWED, refusal)
            hooks = _hooks_of(source)
            mashups = _registered(hooks.register_mashups, Mashup)
            sinks = _registered(hooks.register_sinks, Sink)
            _refuse_taken("mashup", mashups, self.mashups)
            _refuse_taken("sink", sinks, self.sinks)
        except _Refused as refusal:
            plugin.state, plugin.reason = refusal.state, str(refusal)
            return False
        self.mashups |= mashups
        self.sinks |= sinks
        plugin.mashups, plugin.sinks, plugin.hooks = list(mashups), list(sinks), hooks
        return True

    def _note_replaced(self, name: str, origin: str, place: str, by: str) -> None:
        self.found.append(Plugin(name, origin, place, PluginState.REPLACED, f"{by} is used instead"))

    def _named(self, kind: str, known: Mapping[str, type[Kind]], name: str) -> type[Kind]:
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, 1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known) or 'none'}"
        broken = next((p for p in self.found if p.name == name and p.failed), None)
        if broken:
            remedy = f"The plugin {name} did not load: {broken.state.value}, {broken.reason}"
        raise PluginError(f"no {kind} is called {name!r}", remedy)


def _hooks_of(source: Source) -> pluggy.HookRelay:
    """Import a plugin into a manager of its own."""
    try:
        module = source.load()
    except (Exception, SystemExit) as error:
        raise _Refused(PluginState.IMPORT_FAILED, _one_line(error)) from error
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, source.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise _Refused(PluginState.BAD_REGISTRATION, _one_line(error)) from error
    if not manager.get_hookcallers(module):
        raise _Refused(PluginState.BAD_REGISTRATION, "it has no function marked with hookimpl")
    return manager.hook


def _call(hook: Callable[[], Any], name: str) -> list[Any]:
    try:
        return list(hook())
    except (Exception, SystemExit) as error:
        raise _Refused(PluginState.BAD_REGISTRATION, f"{name}: {_one_line(error)}") from error


def _registered(hook: pluggy.HookCaller, kind: type[Kind]) -> dict[str, type[Kind]]:
    """What one plugin's hook returned, by name, each checked."""
    classes: dict[str, type[Kind]] = {}
    for answer in _call(hook, hook.name):
        if not isinstance(answer, Iterable):
            raise _Refused(PluginState.BAD_REGISTRATION, f"{hook.name} returned {answer!r}, not a list of classes")
        for candidate in answer:
            fault = _fault(candidate, kind)
            if fault:
                raise _Refused(PluginState.BAD_REGISTRATION, f"{hook.name}: {candidate!r} {fault}")
            _refuse_taken(kind.__name__.lower(), [candidate.name], classes)
            classes[candidate.name] = candidate
    return classes


def _commands(hooks: pluggy.HookRelay) -> Mapping[str, click.Command]:
    """What one plugin adds to a group that is nobody's yet."""
    import click

    stage = click.Group()
    _call(lambda: hooks.register_commands(cli=stage), "register_commands")
    return stage.commands


def _placed(
    commands: Mapping[str, click.Command], group: click.Group, prefix: str = ""
) -> Iterator[tuple[str, str, click.Group, click.Command]]:
    """(prefix, name, group, command): where each goes. A group that is there already takes in a group's commands."""
    import click

    for name, command in commands.items():
        there = group.commands.get(name)
        if isinstance(command, click.Group) and isinstance(there, click.Group):
            yield from _placed(command.commands, there, f"{prefix}{name} ")
        elif there is None:
            yield prefix, name, group, command
        else:
            raise _Refused(PluginState.NAME_TAKEN, f"there already is a command called '{prefix}{name}'")


def _fault(candidate: Any, kind: type) -> str:
    """What is wrong with a registered class; empty when nothing is."""
    if not (isinstance(candidate, type) and issubclass(candidate, kind)):
        return f"is not a class derived from {kind.__name__}"
    if inspect.isabstract(candidate):
        return f"does not implement {', '.join(sorted(getattr(candidate, '__abstractmethods__', ())))}"
    name = getattr(candidate, "name", None)
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        return f"needs a name of a-z, 0-9, _ and -, not {name!r}"
    config = getattr(candidate, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        return "needs a Config derived from StrictModel"
    parameters = getattr(candidate, "parameters", ())
    if not all(isinstance(parameter, Parameter) for parameter in parameters):
        return "has parameters that are not Parameter"
    if len({parameter.id for parameter in parameters}) < len(parameters):
        return "has two parameters of one id"
    return ""


def _refuse_taken(kind: str, names: Iterable[str], taken: Iterable[str]) -> None:
    clash = sorted(set(names) & set(taken))
    if clash:
        raise _Refused(PluginState.NAME_TAKEN, f"there already is a {kind} called {clash[0]!r}")


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
