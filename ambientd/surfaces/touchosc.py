"""A TouchOSC layout: where each control of a plan goes on a tablet's screen. The command line.

The slots' strips, a page for each mashup and one for the presets are under tabs; the master stays at the right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from ambientd.surfaces.plan import Button, Control, Knob, Meter, Pad, Plan, Section, Switch, Text
from ambientd.surfaces.tosc import Colour, Frame, Node, Property, dump
from ambientd.surfaces.touchosc_controls import (
    BACKGROUND,
    GREY,
    LABEL_HEIGHT,
    PANEL,
    WHITE,
    colour_of,
    control,
    group,
    label,
    labelled,
)

SCREEN = Frame(0, 0, 1024, 768)
"""An iPad's; TouchOSC scales it to others."""
MASTER_WIDTH = 112.0
TAB_HEIGHT = 40
GAP = 4.0
BUTTON_HEIGHT = 44.0
STRIPS_ON_A_PAGE = 8
KNOBS_ON_A_PAGE = 40
KNOBS_IN_A_ROW = 10
BUTTONS_ON_A_PAGE = 40
BUTTONS_IN_A_ROW = 4

Item = TypeVar("Item")

SUBSCRIBE = """\
-- Ask ambientd to tell this surface of every change, for 10 seconds at a time.
local last = -10000
function update()
  local now = getMillis()
  if now - last > 4000 then
    last = now
    sendOSC('/ambientd/subscribe', 1)
  end
end
"""


def touchosc(plan: Plan) -> bytes:
    """A `.tosc` file."""
    return dump(layout(plan))


def layout(plan: Plan) -> Node:
    """The root of the controls."""
    pager = Frame(0, 0, SCREEN.w - MASTER_WIDTH - GAP, SCREEN.h)
    page = Frame(0, TAB_HEIGHT, pager.w, pager.h - TAB_HEIGHT)
    pages = [*_slot_pages(plan.slots, page), *_knob_pages(plan, page), *_preset_pages(plan.presets, page)]
    tabs: dict[str, Property] = {"name": "pages", "color": BACKGROUND, "tabbar": True, "tabLabels": True}
    tabs |= {"tabbarSize": TAB_HEIGHT, "textSizeOff": 14, "textSizeOn": 14}
    return Node(
        "GROUP",
        SCREEN,
        {"name": "ambientd", "color": BACKGROUND, "background": True, "script": SUBSCRIBE},
        {"touch": False},
        children=[
            Node("PAGER", pager, tabs, {"page": 0.0, "touch": False}, (), pages),
            _master(plan.master, Frame(SCREEN.w - MASTER_WIDTH, 0, MASTER_WIDTH, SCREEN.h)),
        ],
    )


# Pages


def _page(title: str, frame: Frame, children: list[Node], hue: float) -> Node:
    tab: dict[str, Property] = {"tabLabel": title, "tabColorOff": PANEL, "tabColorOn": colour_of(hue)}
    tab |= {"textColorOff": GREY, "textColorOn": WHITE}
    return group(title, frame, children, BACKGROUND, tab)


def _parts(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """At most so many at a time; one empty part where there is nothing."""
    return [items[start : start + most] for start in range(0, max(len(items), 1), most)]


def _numbered(title: str, number: int) -> str:
    return title if number == 1 else f"{title} {number}"


def _slot_pages(slots: Sequence[Section], frame: Frame) -> Iterator[Node]:
    width = frame.w / min(STRIPS_ON_A_PAGE, len(slots))
    for strips in _parts(slots, STRIPS_ON_A_PAGE):
        first, last = strips[0].title, strips[-1].title.removeprefix("slot ")
        places = [Frame(number * width, 0, width, frame.h).inset(GAP / 2) for number in range(len(strips))]
        children = [_strip(section, place) for section, place in zip(strips, places, strict=True)]
        yield _page(f"{first} – {last}" if len(strips) > 1 else first, frame, children, 0.58)


def _strip(section: Section, frame: Frame) -> Node:
    """A slot from top to bottom: its name, its model, the large fader of its first knob, the others, its buttons."""
    colour, children = colour_of(0.58), [label(section.title, Frame(0, 0, frame.w, LABEL_HEIGHT))]
    texts, buttons = section.only(Text), section.only(Button)
    knobs = section.knobs
    cell = frame.w / 2
    bottom = frame.h - len(buttons) * (BUTTON_HEIGHT + GAP)
    small = bottom - math.ceil(len(knobs[1:]) / 2) * (cell + LABEL_HEIGHT)
    top = LABEL_HEIGHT
    for text in texts:
        children.append(control(text, Frame(0, top, frame.w, LABEL_HEIGHT), colour))
        top += LABEL_HEIGHT
    if knobs:
        children += labelled(knobs[0], Frame(0, top, frame.w, small - top).inset(GAP), colour)
    for number, knob in enumerate(knobs[1:]):
        place = Frame(number % 2 * cell, small + number // 2 * (cell + LABEL_HEIGHT), cell, cell + LABEL_HEIGHT)
        children += labelled(knob, place.inset(GAP / 2), colour, kind="RADIAL")
    for number, button in enumerate(buttons):
        place = Frame(0, bottom + number * (BUTTON_HEIGHT + GAP), frame.w, BUTTON_HEIGHT)
        children.append(control(button, place.inset(GAP / 2), colour))
    return group(section.title, frame, children, PANEL)


def _knob_pages(plan: Plan, frame: Frame) -> Iterator[Node]:
    """The mashups', and of what belongs to nothing else."""
    sections = [*plan.mashups, *([plan.others] if plan.others.controls else [])]
    for place, section in enumerate(sections):
        hue = (0.08 + 0.382 * place) % 1.0
        for number, knobs in enumerate(_parts(section.knobs, KNOBS_ON_A_PAGE), 1):
            first = section.only(Button, Pad) if number == 1 else []
            children = _knobs_and_pad(first, knobs, frame, colour_of(hue))
            yield _page(_numbered(section.title, number), frame, children, hue)


def _knobs_and_pad(first: Sequence[Control], knobs: Sequence[Knob], frame: Frame, colour: Colour) -> list[Node]:
    """Buttons in the top row, pads as squares at the left, and faders for the rest."""
    children: list[Node] = []
    top = left = 0.0
    for number, button in enumerate(planned for planned in first if isinstance(planned, Button)):
        children.append(control(button, Frame(number * 180, 0, 180, BUTTON_HEIGHT).inset(GAP / 2), colour))
        top = BUTTON_HEIGHT
    for pad in (planned for planned in first if isinstance(planned, Pad)):
        side = min(frame.h - top, frame.w - left - 120 * min(len(knobs), 3))
        children += labelled(pad, Frame(left, top, side, frame.h - top).inset(GAP), colour)
        left += side
    rows = math.ceil(len(knobs) / KNOBS_IN_A_ROW)
    columns = math.ceil(len(knobs) / rows) if rows else 0
    for number, knob in enumerate(knobs):
        width, height = min((frame.w - left) / columns, 160.0), (frame.h - top) / rows
        place = Frame(left + number % columns * width, top + number // columns * height, width, height)
        children += labelled(knob, place.inset(GAP), colour)
    return children


def _preset_pages(section: Section, frame: Frame) -> Iterator[Node]:
    """What is recalled and the button that stops on the way in the top row, then a button for each preset."""
    colour = colour_of(0.36)
    *recalls, hold = section.only(Button)
    width = frame.w / BUTTONS_IN_A_ROW
    for number, part in enumerate(_parts(recalls, BUTTONS_ON_A_PAGE), 1):
        children: list[Node] = []
        if number == 1:
            children.append(control(hold, Frame(0, 0, width, BUTTON_HEIGHT).inset(GAP), colour))
            for current in section.only(Text):
                children.append(control(current, Frame(width, 0, 2 * width, BUTTON_HEIGHT).inset(GAP), colour))
        for index, button in enumerate(part):
            row, column = divmod(index, BUTTONS_IN_A_ROW)
            place = Frame(column * width, 1.5 * BUTTON_HEIGHT + row * 1.4 * BUTTON_HEIGHT, width, 1.4 * BUTTON_HEIGHT)
            children.append(control(button, place.inset(GAP), colour))
        yield _page(_numbered(section.title, number), frame, children, 0.36)


def _master(section: Section, frame: Frame) -> Node:
    """Faders and meters side by side over readings and buttons."""
    colour = colour_of(0.0)
    tall, low = section.only(Knob, Meter), section.only(Text, Button, Switch)
    bottom = frame.h - len(low) * (BUTTON_HEIGHT + GAP)
    width = frame.w / max(len(tall), 1)
    children: list[Node] = []
    for number, planned in enumerate(tall):
        children += labelled(planned, Frame(number * width, 0, width, bottom).inset(GAP), colour)
    for number, planned in enumerate(low):
        place = Frame(0, bottom + number * (BUTTON_HEIGHT + GAP), frame.w, BUTTON_HEIGHT)
        children.append(control(planned, place.inset(GAP / 2), colour))
    return group(section.title, frame, children, PANEL)
