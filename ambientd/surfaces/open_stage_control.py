"""An Open Stage Control session (https://openstagecontrol.ammd.net): the widgets of a plan. The command line.

Types and properties are those of the widget reference there; what is not said is at its default.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ambientd.surfaces.plan import Button, Control, Knob, Meter, Pad, Plan, Section, Switch, Text

VERSION = "1.25.0"
"""Of Open Stage Control: a later one converts what it changed since."""
DECIMALS = 4
"""The two that it sends by default are steps that can be heard."""
LOW, MASTER_WIDTH = 40, 120
KNOBS_IN_A_ROW = 8
BUTTONS_IN_A_ROW = 4

SUBSCRIBE = "send('/ambientd/subscribe', 1)\nsetInterval(() => send('/ambientd/subscribe', 1), 4000)"

Widget = dict[str, Any]


def open_stage_control(plan: Plan) -> bytes:
    """A session's JSON."""
    tabs = [_slots(plan.slots), *map(_knobs, plan.mashups), _presets(plan.presets)]
    if plan.others.controls:
        tabs.append(_knobs(plan.others))
    pages = {"type": "panel", "id": "pages", "expand": True, "bypass": True, "tabs": tabs}
    master = _column("master", plan.master, width=MASTER_WIDTH)
    root = {
        "type": "root",
        "id": "root",
        "layout": "horizontal",
        "bypass": True,
        "onCreate": SUBSCRIBE,
        "widgets": [pages, master],
        "tabs": [],
    }
    session = {"createdWith": "Open Stage Control", "version": VERSION, "type": "session", "content": root}
    return (json.dumps(session, indent=2) + "\n").encode()


def _slots(slots: tuple[Section, ...]) -> Widget:
    strips = [_column(section.title, section, expand=True) for section in slots]
    return {"type": "tab", "id": "slots", "bypass": True, "layout": "horizontal", "widgets": strips, "tabs": []}


def _column(id: str, section: Section, **place: Any) -> Widget:
    """From top to bottom: readings, the large fader of the first knob and meters, the other knobs, buttons."""
    large: list[Control] = [*section.knobs[:1], *section.only(Meter)]
    widgets = [_widget(text, height=LOW) for text in section.only(Text)]
    widgets.append(
        _panel(f"{id}: level", [_widget(control, expand=True) for control in large], "horizontal", expand=True)
    )
    if small := section.knobs[1:]:
        knobs = [_widget(knob, kind="knob") for knob in small]
        widgets.append(_panel(f"{id}: knobs", knobs, "grid", gridTemplate=2, height=math.ceil(len(knobs) / 2) * 80))
    widgets += [_widget(button, height=LOW) for button in section.only(Button, Switch)]
    return _panel(id, widgets, "vertical", html=section.title, **place)


def _knobs(section: Section) -> Widget:
    """A mashup's tab: buttons over pads and faders."""
    body = [_widget(pad, expand=2) for pad in section.only(Pad)]
    if section.knobs:
        columns = min(len(section.knobs), KNOBS_IN_A_ROW)
        faders = [_widget(knob) for knob in section.knobs]
        body.append(_panel(f"{section.title}: knobs", faders, "grid", gridTemplate=columns, expand=True))
    widgets = [_widget(button, height=LOW) for button in section.only(Button)]
    widgets.append(_panel(f"{section.title}: all", body, "horizontal", expand=True))
    return _tab(section.title, widgets)


def _presets(section: Section) -> Widget:
    *recalls, hold = section.only(Button)
    buttons = [_widget(button, height=2 * LOW) for button in recalls]
    current: list[Control] = [*section.only(Text), hold]
    top = [_widget(control, expand=True) for control in current]
    return _tab(section.title, [
        _panel("presets: current", top, "horizontal", height=2 * LOW),
        _panel("presets: recall", buttons, "grid", gridTemplate=BUTTONS_IN_A_ROW, expand=True),
    ])  # fmt: skip


def _tab(title: str, widgets: list[Widget]) -> Widget:
    return {
        "type": "tab", "id": f"tab: {title}", "label": title, "bypass": True,
        "layout": "vertical", "widgets": widgets, "tabs": [],
    }  # fmt: skip


def _panel(id: str, widgets: list[Widget], layout: str, **more: Any) -> Widget:
    return {"type": "panel", "id": id, "bypass": True, "layout": layout, **more, "widgets": widgets, "tabs": []}


def _widget(control: Control, kind: str = "fader", **place: Any) -> Widget:
    """kind: what a knob looks like, fader or knob."""
    match control:
        case Knob(parameter=parameter):
            own: Widget = {
                "type": kind, "id": parameter.id, "html": control.label, "comments": parameter.description,
                "address": control.address, "decimals": DECIMALS, "default": _start(control), "doubleTap": True,
            }  # fmt: skip
            if parameter.low < 0 < parameter.high:
                own["origin"] = parameter.normalise(0.0)
        case Pad(x=x, y=y):
            # A pad sends one message with two numbers; here each is a fader of its own, which the pad moves.
            faders = [_widget(fader, expand=True) for fader in (x, y)]
            ids = [fader.parameter.id for fader in (x, y)]
            script = "\n".join(f"set({id!r}, value[{axis}])" for axis, id in enumerate(ids))
            own = {
                "type": "xy", "id": f"{ids[0]} and y", "html": control.label, "bypass": True, "decimals": DECIMALS,
                "value": f"[@{{{ids[0]}}}, @{{{ids[1]}}}]", "snap": True, "onValue": script, "expand": 4,
            }  # fmt: skip
            return _panel(f"{ids[0]}: pad", [own, *faders], "horizontal", **place)
        case Button(address=address, argument=argument):
            own = {
                "type": "button", "id": f"{address.removeprefix('/')} {'' if argument is None else argument}".strip(),
                "label": control.label, "comments": control.description, "address": address, **_sent(argument),
            }  # fmt: skip
        case Switch(address=address):
            own = {
                "type": "button", "id": address.removeprefix("/"), "label": control.label, "mode": "toggle",
                "comments": control.description, "address": address, "typeTags": "i",
            }  # fmt: skip
        case Text(address=address):
            own = {"type": "text", "id": f"{address.removeprefix('/')}: text", "address": address, "bypass": True}
            own["comments"] = control.description
        case Meter(address=address):
            own = {
                "type": "fader", "id": address.removeprefix("/"), "html": control.label, "address": address,
                "design": "compact", "interaction": False, "bypass": True, "comments": control.description,
            }  # fmt: skip
    return own | place


def _start(knob: Knob) -> float:
    return round(knob.parameter.normalise(knob.parameter.default), DECIMALS)


def _sent(argument: str | int | None) -> Widget:
    if argument is None:
        return {"mode": "momentary"}
    return {"mode": "tap", "on": argument, "typeTags": "i" if isinstance(argument, int) else "s"}
