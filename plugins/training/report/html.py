"""The pieces of a report: plain HTML with everything in it. The training process, and `ambientd blend-report`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template


def page(title: str, subtitle: str, body: str) -> str:
    """The whole page. title, subtitle: plain text; body: HTML."""
    return _PAGE.substitute(title=escape(title), subtitle=escape(subtitle), body=body)


def section(title: str, content: str) -> str:
    """content: HTML."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def definitions(rows: Mapping[str, str]) -> str:
    """Facts by name, those that say nothing left out. The values are HTML already."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{value}</dd>' for name, value in rows.items() if value)}</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """All of it plain text; a wide one scrolls by itself."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def figure(caption: str, flac: bytes, png: bytes = b"") -> str:
    """A player, and below it a picture of its sound where there is one. caption: plain text."""
    image = f'<img alt="mel spectrogram of {escape(caption)}" src="{data_uri("image/png", png)}">' if png else ""
    player = f'<audio controls preload="metadata" src="{data_uri("audio/flac", flac)}"></audio>'
    return f"<figure><figcaption>{escape(caption)}</figcaption>{player}{image}</figure>"


def link(text: str, url: str) -> str:
    """A link only where it leads to a page: an album's card comes from anywhere."""
    if url.startswith(("https://", "http://")):
        return f'<a href="{escape(url)}" rel="noreferrer">{escape(text)}</a>'
    return escape(text)


def data_uri(kind: str, data: bytes) -> str:
    """A file as an address that holds it. kind: its media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'">
<title>$title: $subtitle</title>
<style>
:root { color-scheme: light dark; --one: #7b8794; --two: #c2410c; --three: #2563eb; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0 }
dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid var(--line) } td { white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { font-weight: 600; vertical-align: bottom }
.wide { overflow-x: auto } figure { margin: 1rem 0 1.5rem } figcaption { font-weight: 600 }
audio { display: block; width: 100%; margin: .3rem 0 } img, svg { width: 100%; height: auto }
svg { font-size: 12px } svg text { fill: currentColor } .grid { stroke: var(--line) }
.mid { text-anchor: middle } .end { text-anchor: end }
.curve { fill: none; stroke-width: 1.5 } .curve.one { stroke: var(--one) } .curve.two { stroke: var(--two) }
.curve.three { stroke: var(--three) } .curve.limit { stroke: currentColor; stroke-dasharray: 4 4 }
svg .one:not(.curve) { fill: var(--one) } svg .two:not(.curve) { fill: var(--two) }
svg .three:not(.curve) { fill: var(--three) }
.pairs { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: .5rem 1rem }
.pairs svg { font-size: 17px }
</style>
<h1>$title <small>· $subtitle</small></h1>
$body
</html>
""")
