"""`ambientd service`. Imports only click until one of its commands runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambientd.options import as_system

if TYPE_CHECKING:
    from ambientd.config import Config

NOT_RUNNING = 3
"""As systemctl's own."""


@click.group()
def service() -> None:
    """Have the machine start ambientd, watch it, and start it again.

    The user's service plays through the user's sound server, and needs `loginctl enable-linger` to play when nobody
    has logged in. The machine's plays to ALSA, as a user that owns nothing.
    """


@service.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@as_system
@click.option("--as", "user", metavar="USER", help="Whom the machine's service runs as.  [default: one made for it]")
@click.option("--plugin", "plugins", metavar="NAME", multiple=True,
              help="One of yours, as it is now, that it may load; again for each.")  # fmt: skip
@click.option("--print", "only_print", is_flag=True, help="Print the file instead.")
@click.option("--no-start", is_flag=True, help="Begin with the next start of the machine.")
def install(
    config: Path | None, system: bool, user: str | None, plugins: tuple[str, ...], only_print: bool, no_start: bool
) -> None:
    """Write the unit (macOS: the launchd agent), and start it.

    CONFIG is what `ambientd run` plays; it has to be right, and the machine's service has to be able to read it.
    """
    from ambientd.config import Config, load
    from ambientd.errors import UsageError
    from ambientd.service.installer import Service, check_user

    there = Service(system)
    if user and not system:
        raise UsageError("--as is for --system", "The user's service runs as the user")
    played = load(config) if config else Config()
    if user:
        check_user(user)
    text = there.text(config, user, _permits(plugins, system) if plugins else "")
    if only_print:
        click.echo(text, nl=False)
        return
    if system:
        _check_access(config, played, user)
    there.install(text, start=not no_start)
    click.echo(f"{there.path}\nSee `ambientd service status`.")
    if not system and not there.launchd:
        click.echo("To play when nobody has logged in: loginctl enable-linger")


@service.command()
@as_system
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def status(system: bool, as_json: bool) -> None:
    """Show what systemd or launchd knows of the service; exit 3 when it does not run."""
    from ambientd.service.installer import Service

    there = Service(system)
    facts = there.facts()
    running = facts["ActiveState"] == "active"
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name:23}{value}".rstrip())
        if not running:
            click.echo(f"\nWhat it said last: {there.journal}")
    sys.exit(0 if running else NOT_RUNNING)


@service.command()
@as_system
def uninstall(system: bool) -> None:
    """Stop the service and take it away; models, presets and configuration stay."""
    from ambientd.service.installer import Service

    there = Service(system)
    there.uninstall()
    click.echo(f"{there.path} is gone.")


def _check_access(path: Path | None, config: Config, user: str | None) -> None:
    """That the machine's service will be able to read all that it plays from. Raises AmbientdError."""
    from ambientd.service import access

    who = access.reader(user)
    access.check_program(who)
    access.check_played(path, config, who)


def _permits(names: tuple[str, ...], system: bool) -> str:
    """The plugins of these names, files as they are now. Raises UsageError where one is not there."""
    from ambientd.errors import UsageError
    from ambientd.plugin_permits import permits
    from ambientd.plugin_sources import BUNDLED, from_texts, installed, plugin_files, user_folder
    from ambientd.service.access import STATE

    folder = STATE / "plugins" if system else user_folder()
    sources = [source for source in installed() if source.origin != BUNDLED]
    there = {source.name: source for source in (*sources, *from_texts(plugin_files(folder)))}
    for name in names:
        if name not in there:
            known = f"There are: {', '.join(there) or 'none'}; files lie in {folder}"
            raise UsageError(f"no plugin of yours is called {name!r}", known)
    return permits(there[name] for name in names)
