"""`ambientd`: the commands. Each imports what it needs when it runs, so that help answers at once."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambientd import __version__
from ambientd.errors import INTERRUPTED, AmbientdError
from ambientd.lifecycle.commands import reload_configuration
from ambientd.midi_commands import midi
from ambientd.options import Several, as_system
from ambientd.presets.commands import dayparts, preset
from ambientd.readiness.commands import check
from ambientd.samplernn.foreign_command import import_model
from ambientd.service.commands import service
from ambientd.soak.commands import soak
from ambientd.surfaces.commands import surface

if TYPE_CHECKING:
    from ambientd.plugin_manager import Plugins

as_json = click.option("--json", "as_json", is_flag=True, help="Print for machines.")


class Commands(click.Group):
    """The built-in commands at once; the engine's and the plugins' when one that is not built in is wanted."""

    plugins: Plugins | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        self.load_plugins()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            self.load_plugins()
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """An expected failure is one line and an exit code; a traceback is a bug."""
        try:
            return super().invoke(ctx)
        except AmbientdError as error:
            click.echo(f"ambientd: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("ambientd: interrupted", err=True)
            ctx.exit(INTERRUPTED)

    def load_plugins(self) -> Plugins:
        """Add the commands that live elsewhere, and say of every plugin that failed why; once."""
        if self.plugins is None:
            from ambientd.engine import commands
            from ambientd.plugin_manager import Plugins

            commands.register(self)
            self.plugins = Plugins.discover()
            self.plugins.add_commands(self)
            for plugin in self.plugins.found:
                if plugin.failed:
                    click.echo(f"ambientd: plugin {plugin.name}: {plugin.state.value}, {plugin.reason}", err=True)
        return self.plugins


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ambientd")
def main() -> None:
    """Endless ambient music, dreamed sample by sample by models trained on albums."""


@main.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--set", "sets", cls=Several, metavar="KEY=VALUE...", help="Change the configuration: osc.port=7771")
@click.option("--controller", "names", cls=Several, metavar="NAME...", help="MIDI: midimix, or a file. After CONFIG.")
@click.option("--reload", is_flag=True, help="Take in plugin files that change meanwhile, each tried aside first.")
@click.option("--restore", is_flag=True, help="Begin at the last state, if it was played with this configuration.")
@click.option("--keep-alive", is_flag=True, help="Start it again, at its last state, when it dies or hangs.")
def run(
    config: Path | None, sets: tuple[str, ...], names: tuple[str, ...], reload: bool, restore: bool, keep_alive: bool
) -> None:
    """Play, until Ctrl-C.

    CONFIG is a TOML file; without one the defaults play the library's first models. SIGHUP reads it again, as
    `ambientd reload` does.
    """
    from ambientd.supervisor.printer import Printer

    with Printer() as say:
        if keep_alive:
            from ambientd.lifecycle.keep_alive import KeepAlive, command

            sys.exit(KeepAlive(command(config, sets, names, reload), say).run())
        from ambientd.daemon import Daemon
        from ambientd.lifecycle.source import Source

        source = Source(config, (*sets, *["reload=true"] * reload), names)
        sys.exit(Daemon(source, say, restore).run())


main.add_command(reload_configuration, "reload")


@main.command()
@as_system
@as_json
def status(system: bool, as_json: bool) -> None:
    """Show the running daemon.

    Its processes, slots, real-time margin, underruns, and seconds of bed played.
    """
    from ambientd.ipc.runtime import ask_status, socket_to_ask

    answer = ask_status(socket_to_ask(system))
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _print_status(answer)


@main.command()
@as_json
def devices(as_json: bool) -> None:
    """List the audio devices that can play.

    The configuration's audio.device takes a name, a part of one, or an index.
    """
    from dataclasses import asdict

    from ambientd.audio.device import list_devices

    found = [asdict(device) for device in list_devices()]
    if not found and not as_json:
        click.echo("No audio device here; `ambientd run --set audio.output=null` plays to a clock.")
        return
    _show(found, ("index", "name", "host", "channels", "sample_rate", "default"), as_json)


main.add_command(preset)
main.add_command(dayparts)
main.add_command(surface)
main.add_command(midi)
main.add_command(check)
main.add_command(service)
main.add_command(soak)


@main.group()
def plugins() -> None:
    """See which plugins there are, and begin one."""


@plugins.command("list")
@as_json
def list_plugins(as_json: bool) -> None:
    """List the plugins: where each comes from, what became of it and why, and what it brings.

    While the daemon runs, the states are what it says of its own.
    """
    from ambientd.errors import DaemonError
    from ambientd.ipc.runtime import ask_status

    rows = [plugin.describe() for plugin in _commands().load_plugins().found]
    with contextlib.suppress(DaemonError):
        rows = _as_it_runs(rows, ask_status()["plugins"])
    _show(rows, ("name", "origin", "state", "mashups", "sinks", "commands", "reason"), as_json)


@plugins.command("new")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="A folder.  [default: your plugin folder]")
def new_plugin(name: str, out: Path | None) -> None:
    """Write a mashup that works, and its test, to make your own of.

    NAME is what `mashup.name` and `/ambientd/mashup/select` will call it.
    """
    from ambientd.plugin_new import write_plugin
    from ambientd.plugin_sources import user_folder

    plugin, test = write_plugin(name, out or user_folder(), _commands().load_plugins())
    click.echo(f"{plugin}\n{test}")
    if out and out.resolve() != user_folder().resolve():
        click.echo(f"To play it, put {plugin.name} into {user_folder()}.", err=True)
    click.echo(f"Hear it change as you write: ambientd run --reload --set mashup.name={name}", err=True)


def _as_it_runs(rows: list[dict[str, Any]], running: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The daemon's own rows with the commands, which only the command line knows, and what it has not seen yet."""
    here = {(row["name"], row["place"]): row for row in rows}
    merged = [row | {"commands": here.pop((row["name"], row["place"]), row)["commands"]} for row in running]
    unknown = "the running daemon has not taken it in: start it again, or with --reload"
    return [*merged, *(row | {"state": "not running", "reason": row["reason"] or unknown} for row in here.values())]


@main.group()
def models() -> None:
    """See which checkpoints there are, and take over others."""


models.add_command(import_model)


@models.command("list")
@as_json
def list_models(as_json: bool) -> None:
    """List the library's checkpoints; a broken one is named with what is wrong."""
    from ambientd.samplernn.library import entries

    found = [_summary(entry.id, entry.path, entry.origin) for entry in entries()]
    _show(found, ("id", "origin", "title", "own_licence", "family"), as_json)
    for model in found:
        if "fault" in model and not as_json:
            click.echo(f"\n{model['id']}: {model['fault']}")


@models.command("show")
@click.argument("id")
@as_json
def show_model(id: str, as_json: bool) -> None:
    """Show one checkpoint's card.

    ID is one of `ambientd models list`, or a path. The card tells the album, its licence and attribution,
    the architecture and the training.
    """
    from ambientd.samplernn.checkpoint import load_card
    from ambientd.samplernn.library import resolve_local

    path = resolve_local(id)
    card = {"id": path.stem, "path": str(path)} | load_card(path).model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(card))
    else:
        _print_facts(card)


def _summary(id: str, path: Path, origin: str) -> dict[str, Any]:
    from ambientd.samplernn.checkpoint import load_card

    found = {"id": id, "origin": origin, "path": str(path)}
    try:
        card = load_card(path)
    except AmbientdError as error:
        return found | {"fault": str(error)}
    album = card.album
    return found | {
        "title": album.title,
        "artist": album.artist,
        "licence": album.licence,
        "own_licence": album.own_licence,
        "dim": card.architecture.dim,
        "sample_rate": card.sample_rate,
        "temperature": card.temperature,
        "family": card.family,
    }


def _commands() -> Commands:
    root = click.get_current_context().find_root().command
    assert isinstance(root, Commands)
    return root


def _show(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """Rows as a JSON list, or as a table of `columns` without those that are empty throughout."""
    if as_json:
        click.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    used = [column for column in columns if any(row.get(column) not in (None, "", [], False) for row in rows)]
    for column in used:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in used))
    Console(markup=False, highlight=False).print(table if rows else "none yet")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    # A card's or another user's text is not to speak to the terminal.
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _print_status(status: dict[str, Any]) -> None:
    """Processes, slots and the like as tables, all else as facts."""
    from ambientd.status_words import facts, tables

    for rows in tables(status):
        _show(rows, tuple(dict.fromkeys(key for row in rows for key in row)), as_json=False)
        click.echo()
    _print_facts(facts(status))


def _print_facts(facts: dict[str, Any], indent: str = "") -> None:
    width = max(map(len, facts), default=0) + 2
    for key, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{indent}{key.replace('_', ' ')}")
            _print_facts(value, indent + "  ")
        elif value not in (None, "", []):
            click.echo(f"{indent}{key.replace('_', ' '):{width}}{_cell(value) or 'no'}")
