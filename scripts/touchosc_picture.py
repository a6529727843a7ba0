"""Draws a TouchOSC layout as an SVG, one screen for each of its pages.

    python scripts/touchosc_picture.py configs/touchosc/ambientd.tosc docs/touchosc.svg

It reads the file and nothing else, so it shows what is in there; TouchOSC's own knobs look a little different.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

COLUMNS = 2
MARGIN = 24.0
Box = tuple[float, float, float, float]


def picture(tosc: bytes) -> str:
    """The SVG of a `.tosc` file's bytes."""
    root = ElementTree.fromstring(zlib.decompress(tosc)).find("node")
    assert root is not None
    _, _, width, height = frame(root)
    pager = next(node for node in root.iter("node") if node.get("type") == "PAGER")
    shapes = []
    pages = list(children(pager))
    for number, page in enumerate(pages):
        row, column = divmod(number, COLUMNS)
        x, y = MARGIN + column * (width + MARGIN), MARGIN + row * (height + MARGIN)
        shapes += [f'<g transform="translate({x:g} {y:g})">', *draw(root, page), "</g>"]
    columns, rows = min(COLUMNS, len(pages)), math.ceil(len(pages) / COLUMNS)
    w, h = (n * size + (n + 1) * MARGIN for n, size in ((columns, width), (rows, height)))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" '
        'font-family="Helvetica, Arial, sans-serif" fill="#fff" text-anchor="middle">'
    )
    return "\n".join([head, f'<rect width="{w:g}" height="{h:g}" fill="#2b2d33"/>', *shapes, "</svg>"]) + "\n"


def draw(node: Element, page: Element) -> Iterator[str]:
    """A control and what is in it; of a pager, the one page."""
    kind, box = node.get("type", ""), frame(node)
    x, y, _, _ = box
    yield f'<g transform="translate({x:g} {y:g})">'
    yield from SHAPES[kind](node, box)
    if kind == "PAGER":
        yield from tabs(node, page, box)
    for child in [page] if kind == "PAGER" else children(node):
        yield from draw(child, page)
    yield "</g>"


def group(node: Element, box: Box) -> Iterator[str]:
    yield rectangle((0, 0, *box[2:]), colour(node))


def tabs(pager: Element, chosen: Element, box: Box) -> Iterator[str]:
    height, pages = float(value(pager, "tabbarSize")), list(children(pager))
    width = box[2] / len(pages)
    for number, page in enumerate(pages):
        on = page is chosen
        yield rectangle(
            (number * width + 1, 1, width - 2, height - 4), colour(page, f"tabColor{'On' if on else 'Off'}")
        )
        yield text(value(page, "tabLabel"), (number * width, 0, width, height), 1.0 if on else 0.6)


def fader(node: Element, box: Box) -> Iterator[str]:
    w, h = box[2:]
    at = h - float(default(node, "x")) * h
    yield rectangle((0, 0, w, h), colour(node), 0.25)
    yield rectangle((0, at, w, h - at), colour(node), 0.6)
    if value(node, "cursor") != "0":
        yield rectangle((0, min(max(at - 4, 0), h - 8), w, 8), colour(node))


def radial(node: Element, box: Box) -> Iterator[str]:
    """270 degrees from the lower left to the lower right, drawn from the middle where it is centred."""
    w, h = box[2:]
    radius, position = min(w, h) / 2 - 6, float(default(node, "x"))
    start = 0.5 if value(node, "centered") == "1" else 0.0
    for low, high, strength in ((0.0, 1.0, 0.25), (start, position, 1.0)):
        path = arc(w / 2, h / 2, radius, *sorted((low, high)))
        yield f'<path d="{path}" fill="none" stroke="{colour(node)}" stroke-width="8" stroke-opacity="{strength:g}"/>'
    angle = math.radians(135 + 270 * position)
    x, y = w / 2 + radius * math.cos(angle), h / 2 + radius * math.sin(angle)
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def arc(x: float, y: float, radius: float, low: float, high: float) -> str:
    ends = [math.radians(135 + 270 * position) for position in (low, high)]
    (x0, y0), (x1, y1) = ((x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in ends)
    return f"M{x0:.1f} {y0:.1f}A{radius:g} {radius:g} 0 {int(high - low > 2 / 3)} 1 {x1:.1f} {y1:.1f}"


def pad(node: Element, box: Box) -> Iterator[str]:
    w, h = box[2:]
    x, y = float(default(node, "x")) * w, h - float(default(node, "y")) * h
    yield rectangle((0, 0, w, h), colour(node), 0.25)
    yield f'<path d="M{x:.1f} 0V{h:g}M0 {y:.1f}H{w:g}" stroke="{colour(node)}"/>'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="14" fill="{colour(node)}"/>'


def button(node: Element, box: Box) -> Iterator[str]:
    yield rectangle((0, 0, *box[2:]), colour(node), 0.4)


def label(node: Element, box: Box) -> Iterator[str]:
    """One that is told its text later shows here, in brackets, whose text that is."""
    told = node.find("messages/osc/path/partial/value")
    shown = default(node, "text") if told is None else f"({told.text})"
    yield text(shown, (0, 0, *box[2:]), 1.0 if told is None else 0.5)


SHAPES: dict[str, Callable[[Element, Box], Iterator[str]]] = {
    "GROUP": group, "PAGER": group, "FADER": fader, "RADIAL": radial, "XY": pad, "BUTTON": button, "LABEL": label,
}  # fmt: skip


def rectangle(box: Box, fill: str, strength: float = 1.0) -> str:
    x, y, w, h = box
    place = f'x="{x:g}" y="{y:.4g}" width="{w:g}" height="{h:.4g}"'
    return f'<rect {place} rx="3" fill="{fill}" fill-opacity="{strength:g}"/>'


def text(words: str, box: Box, strength: float) -> str:
    x, y, w, h = box
    size = min(13.0, 1.7 * w / max(len(words), 1))
    place = f'x="{x + w / 2:g}" y="{y + h / 2 + size / 3:.4g}" font-size="{size:.3g}"'
    return f'<text {place} fill-opacity="{strength:g}">{escape(words)}</text>'


def children(node: Element) -> Iterator[Element]:
    return iter(node.findall("children/node"))


def prop(node: Element, key: str) -> Element | None:
    return next((p.find("value") for p in node.findall("properties/property") if p.findtext("key") == key), None)


def value(node: Element, key: str) -> str:
    found = prop(node, key)
    return "" if found is None else found.text or ""


def default(node: Element, key: str) -> str:
    return next(v.findtext("default", "") for v in node.findall("values/value") if v.findtext("key") == key)


def frame(node: Element) -> Box:
    x, y, w, h = (float(part.text or 0) for part in prop(node, "frame") or ())
    return x, y, w, h


def colour(node: Element, key: str = "color") -> str:
    red, green, blue = (round(255 * float(part.text or 0)) for part in list(prop(node, key) or ())[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(Path(sys.argv[1]).read_bytes()))
