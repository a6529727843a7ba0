"""`ambientd check`. Imports only click until it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambientd.options import Several

if TYPE_CHECKING:
    from ambientd.readiness.finding import Report

NOT_READY = 8
"""As a daemon that cannot start (`DaemonError`)."""


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--set", "sets", cls=Several, metavar="KEY=VALUE...", help="Change the configuration, as for `run`.")
@click.option("--controller", "names", cls=Several, metavar="NAME...", help="MIDI, as for `run`. After CONFIG.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=3.0, show_default=True, help="Of the benchmark.")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def check(config: Path | None, sets: tuple[str, ...], names: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Prove before opening night that `ambientd run` with these arguments will start, and play in time.

    Configuration, plugins, models (hashes, loading, a self-test against the reference), the real-time margin, the
    bed, the audio device, OSC, MIDI, folders and disk. Exit 8 when anything failed, each with a remedy; a warning
    is no failure.
    """
    from ambientd.readiness.checks import check_all

    report = check_all(config, sets, names, seconds)
    if as_json:
        rows = [finding.to_json() for finding in report.findings]
        click.echo(json.dumps({"ready": report.ready, "checks": rows}))
    else:
        _print(report)
    sys.exit(0 if report.ready else NOT_READY)


def _print(report: Report) -> None:
    width = max(len(finding.check) for finding in report.findings)
    for finding in report.findings:
        click.echo(f"{finding.outcome.value:8} {finding.check:{width}}  {finding.found}")
        if finding.remedy:
            click.echo(f"{'':8} {'':{width}}  -> {finding.remedy}")
    failed = sum(finding.outcome == "failed" for finding in report.findings)
    click.echo(f"\n{f'Not ready: {failed} failed.' if failed else 'Ready.'}")
