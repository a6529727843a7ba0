"""`ambientd preset` and `ambientd dayparts`. Imports only click until one of them runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print for machines.")


@click.group()
def preset() -> None:
    """See which presets there are.

    They are stored and recalled while the music plays: /ambientd/preset/store and /ambientd/preset/recall.
    """


@preset.command("list")
@as_json
def list_presets(as_json: bool) -> None:
    """List the presets; a broken one is named with what is wrong."""
    from ambientd.errors import AmbientdError
    from ambientd.presets.shelf import Shelf

    shelf = Shelf()
    rows = []
    for name in shelf.names():
        row = {"name": name, "path": str(shelf.path(name)), "description": "", "fault": ""}
        try:
            row["description"] = shelf.load(name).description
        except AmbientdError as error:
            row["fault"] = str(error)
        rows.append(row)
    if as_json:
        click.echo(json.dumps(rows))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']:{width}}  {row['fault'] or row['description']}".rstrip())
    if not rows:
        click.echo("none yet")


@preset.command("show")
@click.argument("name")
@as_json
def show_preset(name: str, as_json: bool) -> None:
    """Show what the preset NAME recalls."""
    from ambientd.presets.shelf import Shelf

    shelf = Shelf()
    found = shelf.load(name)
    if as_json:
        click.echo(json.dumps({"name": name, "path": str(shelf.path(name))} | found.model_dump()))
    else:
        click.echo(f"# {shelf.path(name)}\n{found.to_toml()}", nl=False)


@click.group()
def dayparts() -> None:
    """See what a score of day parts plays when."""


@dayparts.command("show")
@click.argument("score", type=click.Path(path_type=Path))
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True)
@click.option("--from", "start", type=click.DateTime(), help="Begin then rather than now, in the score's time zone.")
@as_json
def show_dayparts(score: Path, days: int, start: datetime | None, as_json: bool) -> None:
    """Check the file SCORE, and print what it plays in the coming week."""
    from ambientd.presets.score import load, upcoming
    from ambientd.presets.shelf import Shelf

    found = load(score, Shelf().names())
    now = datetime.now(UTC) if start is None else start.replace(tzinfo=found.zone)
    states = [(state.since.astimezone(found.zone), state) for state in upcoming(found, now, days)]
    if as_json:
        rows = [
            {"since": since.isoformat(), "preset": s.preset, "ceiling": s.ceiling, "fade": s.fade, "part": s.part}
            for since, s in states
        ]
        click.echo(json.dumps(rows))
        return
    for since, state in states:
        ceiling = f"{state.ceiling:.2f}"
        click.echo(f"{since:%a %Y-%m-%d %H:%M %Z}  volume up to {ceiling}  {state.preset or '(as it is)'}")
