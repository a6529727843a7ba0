"""`ambientd soak`. Imports only click until it runs."""

from __future__ import annotations

import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambientd.options import Several

if TYPE_CHECKING:
    from ambientd.soak.outcome import Outcome, Result

MODELS = ("crystan-dark-synth", "naev-bright-synth")
BROKEN = 11


@click.command()
@click.option("--hours", type=click.FloatRange(0.01), default=1 / 6, help="At real speed.  [default: ten minutes]")
@click.option("--faults", is_flag=True, help="Break it as well; without, it only plays and is watched.")
@click.option("--only", cls=Several, metavar="ID...", help="These scenarios; see --list.")
@click.option("--model", "models", cls=Several, metavar="ID...", help="A voice each.  [default: two that are bundled]")
@click.option("--set", "sets", cls=Several, metavar="KEY=VALUE...", help="Change the daemon's configuration.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("soak"), show_default=True, help="A folder.")
@click.option("--list", "listing", is_flag=True, help="Show which scenarios there are, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def soak(
    hours: float,
    faults: bool,
    only: tuple[str, ...],
    models: tuple[str, ...],
    sets: tuple[str, ...],
    out: Path,
    listing: bool,
    as_json: bool,
) -> None:
    """Break the daemon on this machine, listen to what it plays meanwhile, and write a certificate.

    Starts a daemon in a home of its own; one that is running is not touched, but both want the processor. Writes
    certificate.json and certificate.html into a folder, anew with each outcome. Exit 11 where a promise is broken;
    what this machine does not allow is not tried, with the reason, and no pass.
    """
    from ambientd.soak.scenarios import all_scenarios

    if listing:
        _list([_about(scenario) for scenario in all_scenarios()], as_json)
        return
    from ambientd.samplernn.library import resolve_local
    from ambientd.soak.runner import choose
    from ambientd.soak.session import soaking

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and everything it started ends too
    chosen = choose(all_scenarios(), faults, only)
    paths = [resolve_local(id) for id in models or MODELS]
    show = _Table() if not as_json else None
    named = sum(scenario.seconds for scenario in chosen) if only else 0.0  # who names them wants them all
    seconds = max(3600 * hours, named)
    keep = partial(_keep, out, as_json)
    result = soaking(paths, chosen, seconds, sets, show.add if show else lambda outcome: None, keep)
    if as_json:
        click.echo(json.dumps(result.to_json()))
    sys.exit(0 if result.held else BROKEN)


def _keep(folder: Path, as_json: bool, result: Result) -> None:
    """Write the certificate, and say where it is once it will not change any more. Raises OSError then."""
    from ambientd.soak import certificate
    from ambientd.soak.outcome import End

    try:
        written = certificate.write(result, folder)
    except OSError as error:
        if result.end is not End.UNFINISHED:
            raise
        click.echo(f"the certificate cannot be written now: {error}", err=True)
        return
    if result.end is not End.UNFINISHED:
        click.echo(f"\n{certificate.said(result)} {written[1]}", err=as_json)


def _about(scenario: Any) -> dict[str, Any]:
    return {
        "id": scenario.id,
        "promise": scenario.promise,
        "title": scenario.title,
        "layer": scenario.layer,
        "seconds": scenario.seconds,
        "fault": scenario.fault,
    }


def _list(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['promise']}  {row['id']:26} {row['title']} ({row['layer']})")


class _Table:
    """Rows as scenarios end: a soak takes hours, and whoever looks in wants to see how it goes."""

    widths = (44, 16, 20, 10)

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, markup=False)
        self._row("promise", "measured", "limit", "", style="bold")

    def add(self, outcome: Outcome) -> None:
        from ambientd.soak.certificate import number

        scenario, style = outcome.scenario, {"held": "green", "broken": "red"}.get(outcome.state, "yellow")
        simulated = " (simulated)" if scenario.simulated else ""
        self._row(f"{scenario.promise}. {scenario.title}{simulated}", "", "", outcome.state, style=style)
        for measure in outcome.measures:
            self._row(f"   {measure.name}", *number(measure), "" if measure.holds else "BROKEN")
        if outcome.reason:
            self._console.print(f"   {outcome.reason}")

    def _row(self, *cells: str, style: str = "") -> None:
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(cells, self.widths, strict=True))
        self._console.print(line.rstrip(), style=style, soft_wrap=True)
