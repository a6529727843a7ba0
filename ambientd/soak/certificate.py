"""The certificate: what a soak measured, as JSON for machines and one self-contained page for people."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ambientd.soak.outcome import End, Outcome, Result
from ambientd.soak.scenario import Measure

STEM = "certificate"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.held { color: #1b6e3c; } .broken { color: #b00020; font-weight: bold; } .not-tried { color: #8a6100; }
tr.scenario td { border-bottom: none; padding-top: 1rem; } small { color: #555; }
@media print { body { margin: 0; max-width: none; } }
"""


def write(result: Result, folder: Path) -> tuple[Path, Path]:
    """Both files into `folder`, made where it is missing. Returns (JSON, HTML). Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    found = result.to_json()
    json_path, html_path = folder / f"{STEM}.json", folder / f"{STEM}.html"
    _write(json_path, json.dumps(found, indent=1))
    _write(html_path, page(result))
    return json_path, html_path


def page(result: Result) -> str:
    """HTML that needs nothing else."""
    verdict = "held" if result.held else "broken"
    rows = "".join(map(_scenario, result.outcomes))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ambientd: soak of {escape(result.began)}</title>
<style>{STYLE}</style></head><body>
<h1>ambientd, soaked</h1>
<p class="{verdict}">{said(result)}</p>
<p>Begun {escape(result.began)}. Each fault was done to the running daemon; what it played was recorded and listened
to. Where something had to be simulated, it says so. What this machine does not allow was not tried, and proves
nothing.</p>
<table><thead><tr><th>Promise</th><th>Measured</th><th>Limit</th><th></th></tr></thead><tbody>{rows}</tbody></table>
{_facts("Played", result.played)}{_facts("Machine", result.machine)}{_facts("Versions", result.versions)}
</body></html>
"""


def said(result: Result) -> str:
    """The verdict, for people."""
    if result.end is End.COMPLETE:
        return "Every promise that was tried was held." if result.held else "Not every promise was held."
    so_far = "not every promise was held" if result.broken else "no promise was broken"
    return f"This soak is {result.end}: {so_far} in {len(result.outcomes)} of {result.planned} scenarios."


def number(measure: Measure) -> tuple[str, str]:
    """(measured, limit) for people."""
    unit = f" {measure.unit}" if measure.unit else ""
    return f"{measure.value:g}{unit}", f"{'at least' if measure.least else 'at most'} {measure.limit:g}{unit}"


def _scenario(outcome: Outcome) -> str:
    scenario, state = outcome.scenario, outcome.state
    times = f"{outcome.rounds} times, " if outcome.rounds > 1 else ""
    reason = f"<br>{escape(outcome.reason)}" if outcome.reason else ""
    head = (
        f'<tr class="scenario"><td colspan="3"><b>{scenario.promise}. {escape(scenario.title)}</b><br>'
        f"<small>{escape(scenario.layer)}; {times}{outcome.seconds:.0f} s{reason}</small></td>"
        f'<td class="{state.value.replace(" ", "-")}">{state.value}</td></tr>'
    )
    return head + "".join(map(_measure, outcome.measures))


def _measure(measure: Measure) -> str:
    measured, limit = number(measure)
    mark = '<td class="held">&#10003;</td>' if measure.holds else '<td class="broken">&#10007;</td>'
    return (
        f'<tr><td>{escape(measure.name)}</td><td class="number">{escape(measured)}</td>'
        f'<td class="number">{escape(limit)}</td>{mark}</tr>'
    )


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(_text(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<h2>{title}</h2><table><tbody>{rows}</tbody></table>"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
