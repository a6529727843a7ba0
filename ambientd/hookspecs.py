"""Every hook that a plugin may implement, with its thread. Supervisor, generator and command line; light.

A plugin is a module that holds functions of these names, marked with `ambientd.plugin.hookimpl`. It comes
in by an entry point of the group `ambientd.plugins`, or as a file dropped into the user's plugin folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from ambientd.plugin import PROJECT, Mashup, Sink

if TYPE_CHECKING:
    import click

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def register_mashups() -> Iterable[type[Mashup]]:
    """Return the plugin's mashups: classes derived from `ambientd.plugin.Mashup`, each with a `name`.

    Main thread, once in each process that plays, before any sound; with `--reload` again when the file has
    changed, in the generator on a thread that nobody waits for. The classes' own methods say which thread they
    run on, and `Mix` gives the shapes.
    """
    raise NotImplementedError


@hookspec
def register_sinks() -> Iterable[type[Sink]]:
    """Return the plugin's sinks: classes derived from `ambientd.plugin.Sink`, each with a `name`.

    Main thread of the supervisor, once, before any sound. A sink's `write` takes float32 [frames, channels]
    on a thread of its own.
    """
    raise NotImplementedError


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to `ambientd` with `cli.command()`, `cli.group()` or `cli.add_command()`.

    Main thread of the command line, only when help or a command that is not built in is asked for. Import
    heavy modules inside the commands: every `ambientd --help` passes through here. A name that is taken
    is refused, and the plugin with it; but a group called as one that is there already, such as `bench`, adds
    its commands to that one.
    """
    raise NotImplementedError
