"""Selects mashups, takes in changed plugin files, and says what became of each. Supervisor, in its selector loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ambientd import config as configuration
from ambientd.config import Config
from ambientd.engine.generator_config import GeneratorStatus, MashupState
from ambientd.errors import PluginError
from ambientd.ipc.child import Message
from ambientd.ipc.values import Values
from ambientd.parameters import Parameter, ParameterTable, RejectedValue, mashup_parameters
from ambientd.plugin_manager import Plugin, Plugins, PluginState
from ambientd.plugin_reload import Reloader
from ambientd.supervisor.mashup_record import LiveState, MashupRecord

DEFAULT = configuration.Mashup().name


def check_mashup(plugins: Plugins, mashup: configuration.Mashup, source: str) -> None:
    """Raises PluginError where there is none of that name, ConfigError where its options are wrong."""
    configuration.validate(plugins.mashup(mashup.name).Config, mashup.options, source, "mashup")


class MashupDesk:
    """tell: sends a command to the generator, where there is one. say: prints a line for people."""

    def __init__(
        self, config: Config, plugins: Plugins, tell: Callable[[Message], object], say: Callable[[str], None]
    ) -> None:
        """Raises PluginError or ConfigError where the configured mashup is not there or its options are wrong."""
        self._config, self._plugins, self._tell, self._say = config, plugins, tell, say
        check_mashup(plugins, config.mashup, "the configuration")
        self._record = MashupRecord(config.mashup.name, DEFAULT)
        self._on_trial: dict[str, str] = {}
        """The texts before those of changed files whose mashups have yet to play, by path."""

    @property
    def selected(self) -> str:
        """Its name; empty where every voice plays on its own."""
        return self._record.selected

    def options_of(self, name: str) -> dict[str, Any]:
        """The configuration has options for one mashup; the others play at their defaults."""
        return self._config.mashup.options if name == self._config.mashup.name else {}

    def knobs(self) -> list[Parameter]:
        """Every mashup's, under the ids by which the table knows them."""
        found = self._plugins.mashups.items()
        return [parameter for name, kind in found for parameter in mashup_parameters(name, kind.parameters)]

    def use(self, table: ParameterTable) -> None:
        """Give the mashups' parameters the values that they begin with. Once, before `select` and the rest."""
        self._table = table
        table.listen_to_tree(lambda change: self._say(f"parameters {change}"))
        self._set(table, self._initial_values())
        self._point()

    def select(self, name: str) -> None:
        """Let another mashup decide. Raises PluginError when there is none of that name."""
        self._plugins.mashup(name)
        self._record.select(name)
        self._point()
        self._tell({"cmd": "select", "name": name, "options": self.options_of(name)})

    def reconfigured(self, before: configuration.Mashup) -> None:
        """The configuration asks for something else than `before`: what it has changed is changed, the rest stays."""
        after = self._config.mashup
        values = self._initial_values()
        self._config.mashup = before
        earlier = self._initial_values()
        self._config.mashup = after
        self._set(self._table, {id: value for id, value in values.items() if earlier.get(id) != value})
        if after.name != before.name or after.name == self.selected:
            self.select(after.name)

    def for_new_generator(self, status: Values) -> str:
        """The mashup it shall begin with; empty for none. status: `GeneratorStatus` cells, which begin at zero."""
        name = self._record.for_new_generator()
        self._point()
        for cell in GeneratorStatus:
            status[cell] = 0
        return name

    def generator_lost(self, returncode: int | None, status: Values) -> None:
        """It died (returncode) or hung (None): was that a mashup's doing?"""
        cells = GeneratorStatus.CONDUCTING, GeneratorStatus.TRYING, GeneratorStatus.BLOCKS
        conducting, trying, blocks = (int(status[cell]) for cell in cells)
        if line := self._record.generator_ended(returncode, conducting, trying, blocks):
            self._say(line)

    def heard(self, name: str, live: LiveState) -> None:
        """The generator told how a mashup does."""
        if line := self._record.heard(name, live):
            self._say(line)
        plugin = self._plugins.plugin_of(name)
        before = self._on_trial.pop(plugin.place, None) if plugin else None
        if live.state is MashupState.NOT_STARTED:
            if plugin and before is not None:
                self._adopt(self._plugins.update(plugin.place, before))
                self.refuse(plugin.place, live.reason)
            if not self.selected and name != DEFAULT:
                self.select(DEFAULT)
        self._point()

    def rows(self) -> list[dict[str, Any]]:
        """As `ambientd plugins list` shows them: a loaded plugin's state is its mashup's, where that has one."""
        rows = []
        for plugin in self._plugins.found:
            row = plugin.describe()
            live = [self._record.states[name] for name in plugin.mashups if name in self._record.states]
            if live and plugin.state is PluginState.LOADED:
                row |= {"state": live[0].state.value, "reason": live[0].reason}
            rows.append(row)
        return rows

    # Changed files

    def reloader(self, folder: Path) -> Reloader:
        """Watches `folder` and hands what passes its rehearsal to this desk."""

        def conditions() -> dict[str, Any]:
            return {
                "options": {self._config.mashup.name: self._config.mashup.options},
                "voices": self._config.max_slots,
                "channels": self._config.audio.channels,
                "memory_limit_mb": self._config.engine.memory_limit_mb,
            }

        return Reloader(folder, self._plugins.files, conditions, self.take_in, self.refuse)

    def take_in(self, path: str, text: str) -> None:
        """A changed file passed its rehearsal. Raises PluginError, with nothing changed, where it clashes."""
        before = self._plugins.files.get(path)
        plugin = self._plugins.update(path, text, needed=self.selected)
        self._say(f"plugin {plugin.name}: taken in from {path}")
        try:
            self._adopt(plugin)
        except PluginError:
            if before is not None:
                self._plugins.update(path, before)
            raise
        # Whoever mends a mashup that failed wants to hear it.
        if self._record.wanted in plugin.mashups:
            if before is not None:
                self._on_trial[path] = before
            self.select(self._record.wanted)

    def refuse(self, path: str, reason: str) -> None:
        """What the file holds now is not played."""
        self._plugins.refuse(path, reason)
        self._say(f"plugin {Path(path).stem}: {PluginState.UPDATE_REFUSED.value}, {reason}")

    def _adopt(self, plugin: Plugin) -> None:
        """Let the parameters be those of the mashups there are, and let the generator know the file."""
        added = self._table.redefine("mashup", self.knobs()).added
        self._set(self._table, {id: value for id, value in self._initial_values().items() if id in added})
        cells = {parameter.id: self._table.index(parameter.id) for parameter in self._table}
        text = self._plugins.files[plugin.place]
        self._tell({"cmd": "plugin", "path": plugin.place, "text": text, "cells": cells})

    @staticmethod
    def _set(table: ParameterTable, values: Mapping[str, float]) -> None:
        for id, value in values.items():
            with contextlib.suppress(RejectedValue):  # a plugin's slip; the parameter keeps its default
                table.set_value(id, value)

    def _initial_values(self) -> dict[str, float]:
        """By parameter id: what the options, or their defaults, ask to begin with."""
        values: dict[str, float] = {}
        for name, kind in self._plugins.mashups.items():
            # One that cannot do without options, or stumbles over them, says so when it is selected.
            with contextlib.suppress(Exception):
                options = kind.Config.model_validate(self.options_of(name))
                values |= {f"mashup/{name}/{id}": value for id, value in kind.initial_values(options).items()}
        return values

    def _point(self) -> None:
        self._table.point("mashup", f"mashup/{self.selected}")
