"""What a surface can control: all parameters, and the names that its buttons need. The command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ambientd.config import Config
from ambientd.errors import DaemonError
from ambientd.parameters import Parameter, builtin_parameters, mashup_parameters
from ambientd.plugin_manager import Plugins

ROOT = "/ambientd/"


@dataclass(frozen=True)
class Tree:
    """mashups: the names of all. presets: the names of all. host, port: where OSC listens."""

    parameters: tuple[Parameter, ...]
    mashups: tuple[str, ...]
    presets: tuple[str, ...]
    host: str
    port: int


def tree_of_config(config: Config, presets: Sequence[str]) -> Tree:
    """What `ambientd run` with this configuration would have. Raises PluginError where its mashup is not there."""
    plugins = Plugins.discover()
    plugins.mashup(config.mashup.name)
    own = (p for name, kind in plugins.mashups.items() for p in mashup_parameters(name, kind.parameters))
    parameters = (*builtin_parameters(config.max_slots), *own)
    return Tree(parameters, tuple(plugins.mashups), tuple(presets), config.osc.host, config.osc.port)


def tree_of_status(status: Mapping[str, Any], presets: Sequence[str]) -> Tree:
    """What the running daemon said of itself (`ambientd status --json`). Raises DaemonError."""
    try:
        known = {field.name for field in fields(Parameter)}
        parameters = tuple(Parameter(**{k: v for k, v in row.items() if k in known}) for row in status["parameters"])
        mashups = tuple(name for plugin in status["plugins"] for name in plugin["mashups"])
        osc = status["osc"] or {"host": "127.0.0.1", "port": 7770}
        return Tree(parameters, mashups, tuple(presets), osc["host"], osc["port"])
    except (KeyError, TypeError) as error:
        raise DaemonError(f"the running daemon does not tell its knobs ({error})", "Start it again") from None
