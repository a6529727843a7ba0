"""`ambientd surface`. Imports only click until it runs."""

from __future__ import annotations

from pathlib import Path

import click

from ambientd.options import Several, as_system

FORMATS = ("touchosc", "open-stage-control", "html-table")


@click.command()
@click.argument("format", type=click.Choice(FORMATS))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--running", is_flag=True, help="Ask the running daemon what there is, rather than CONFIG.")
@as_system
@click.option("--set", "sets", cls=Several, metavar="KEY=VALUE...", help="Change the configuration: max_slots=4")
def surface(format: str, out: Path, config: Path | None, running: bool, system: bool, sets: tuple[str, ...]) -> None:
    """Write a control surface with every knob on it to the file OUT.

    \b
    touchosc            a layout for the TouchOSC app, ambientd.tosc
    open-stage-control  a session for Open Stage Control, ambientd.json
    html-table          every address, for any other surface and to read

    It has what `ambientd run CONFIG` would have: volume, the slots' strips, a page for each mashup (a pad where it
    has x and y), your presets. A tablet reaches ambientd once it listens on the network:
    ambientd run --set osc.host=0.0.0.0
    """
    from ambientd.config import load
    from ambientd.errors import UsageError
    from ambientd.ipc.runtime import ask_status, socket_to_ask
    from ambientd.presets.shelf import Shelf
    from ambientd.service.access import STATE
    from ambientd.surfaces.plan import plan
    from ambientd.surfaces.tree import tree_of_config, tree_of_status
    from ambientd.surfaces.write import write

    if running and (config or sets):
        raise UsageError("the running daemon has a configuration already", "Leave CONFIG and --set, or --running")
    if system and not running:
        raise UsageError("--system is for --running", "Say both to ask the machine's service")
    status = ask_status(socket_to_ask(system)) if running else None
    presets = Shelf(STATE / "presets" if system else None).names()
    tree = tree_of_status(status, presets) if status else tree_of_config(load(config, sets), presets)
    planned = plan(tree)
    write(format, planned, tree, out)
    counts = f"{len(tree.parameters)} knobs, {len(planned.slots)} slots, {len(planned.mashups)} mashups"
    click.echo(f"{out}: {counts}, {len(tree.presets)} presets")
