"""All addresses in one HTML file that needs nothing else: for any other surface, and to read. The command line."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ambientd.parameters import Parameter
from ambientd.surfaces.plan import Button, Control, Knob, Meter, Pad, Plan, Section, Switch, Text
from ambientd.surfaces.tree import Tree

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-weight: 600; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #8886; }
nav a { margin-right: .8rem; } code { font: 13px ui-monospace, monospace; white-space: nowrap; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; margin-bottom: 1rem; }
th { text-align: left; font-weight: 600; } th, td { padding: .25rem .8rem .25rem 0; vertical-align: top; }
tr + tr td { border-top: 1px solid #8883; } td:nth-child(n+2):nth-child(-n+4) { white-space: nowrap; }
"""

WARPS = {
    "linear": "evenly",
    "exponential": "evenly in ratio",
    "decibel": "along a fader's curve, to silence at 0",
}


def html_table(plan: Plan, tree: Tree) -> bytes:
    """The page."""
    sections = plan.sections
    links = " ".join(f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ambientd: what can be turned</title>
<style>{STYLE}</style>
</head>
<body>
<h1>What can be turned</h1>
<p>OSC messages to {escape(tree.host)}, port {tree.port}. A knob takes a position 0 to 1 of its way at its
<b>address</b>, and its own unit at the address followed by <code>/value</code>. Without an argument either
answers. What lies beyond a range is held at its end. A jump over the whole way takes as long as the knob
<b>follows in</b>.</p>
<nav>{links}</nav>
{"".join(map(_section, sections))}</body>
</html>
""".encode()


def _anchor(section: Section) -> str:
    return escape(section.title.replace(" ", "-"), quote=True)


def _section(section: Section) -> str:
    knobs = "".join(f"{_knob(knob.parameter, knob.address)}\n" for knob in section.all_knobs)
    others = [control for control in section.controls if not isinstance(control, Knob | Pad)]
    parts = [f'<h2 id="{_anchor(section)}">{escape(section.title)}</h2>\n']
    if knobs:
        parts.append(_table(("address", "range", "begins at", "follows in", "its way", "what it does"), knobs))
    if others:
        parts.append(_table(("address", "argument", "what it does"), "".join(f"{_other(c)}\n" for c in others)))
    return "".join(parts)


def _table(titles: Iterable[str], rows: str) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n'


def _knob(parameter: Parameter, address: str) -> str:
    unit = f" {parameter.unit}" if parameter.unit else ""
    return _row(
        _code(address),
        escape(f"{parameter.low:g} to {parameter.high:g}{unit}"),
        escape(f"{parameter.default:g}{unit}"),
        f"{parameter.slew:g} s",
        WARPS[parameter.warp],
        escape(parameter.description),
    )


def _other(control: Control) -> str:
    match control:
        case Button(address=address, argument=None):
            argument = "none"
        case Button(address=address, argument=sent):
            argument = _code(str(sent))
        case Switch(address=address):
            argument = "<code>1</code> or <code>0</code>, and tells"
        case Text(address=address):
            argument = "tells a text"
        case Meter(address=address):
            argument = "tells a number"
        case _:
            raise TypeError(f"{control!r} has a row of another kind")
    return _row(_code(address), argument, escape(control.description))


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
