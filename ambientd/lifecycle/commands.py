"""`ambientd reload`. Imports only click until it runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ambientd.options import as_system


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@as_system
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def reload_configuration(config: Path | None, system: bool, as_json: bool) -> None:
    """Have the running daemon read its configuration again.

    CONFIG is another file to go over to; by default it is the one that was given at the start, with what the command
    line said there. What has changed is applied without a gap, or the whole is refused with a reason and nothing
    changes.
    """
    from ambientd.ipc.runtime import ask, socket_to_ask

    request = {"ask": "reload"} | ({"config": str(config.resolve())} if config else {})
    answer = ask(request, socket_to_ask(system))
    if as_json:
        click.echo(json.dumps(answer))
        return
    for key, (before, after) in answer["changed"].items():
        click.echo(f"{key}  {json.dumps(before)} -> {json.dumps(after)}")
    if not answer["changed"]:
        click.echo("Nothing has changed.")
    for role in answer["restarted"]:
        click.echo(f"The {role} starts again.")
