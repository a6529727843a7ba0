"""TouchOSC's controls, one for each kind that a plan has. The command line."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

from ambientd.surfaces.plan import Button, Control, Knob, Meter, Pad, Switch, Text
from ambientd.surfaces.tosc import Colour, Frame, Message, Node, Partial, Property

LABEL_HEIGHT = 20.0
BACKGROUND, PANEL = Colour(0.07, 0.08, 0.1), Colour(0.12, 0.13, 0.16)
WHITE, GREY = Colour(1, 1, 1), Colour(0.4, 0.4, 0.45)
CENTRE, MOMENTARY, TOGGLE = 2, 0, 1
"""textAlignH, and buttonType."""


def labelled(planned: Control, frame: Frame, colour: Colour, kind: str = "FADER") -> list[Node]:
    """With its name below it."""
    body = Frame(frame.x, frame.y, frame.w, frame.h - LABEL_HEIGHT)
    name = label(planned.label, Frame(frame.x, frame.y + body.h, frame.w, LABEL_HEIGHT))
    return [control(planned, body, colour, kind), name]


def control(planned: Control, frame: Frame, colour: Colour, kind: str = "FADER") -> Node:
    """kind: what a knob looks like, FADER or RADIAL."""
    look: dict[str, Property] = {"name": planned.label, "color": colour}
    match planned:
        case Knob(parameter=parameter):
            look["centered"] = parameter.low < 0 < parameter.high
            return Node(kind, frame, look, {"x": _start(planned), "touch": False}, [_position(planned, "x")])
        case Pad(x=x, y=y):
            values: dict[str, bool | float | str] = {"x": _start(x), "y": _start(y), "touch": False}
            return Node("XY", frame, look, values, [_position(x, "x"), _position(y, "y")])
        case Button(address=address, argument=argument):
            pressed = Message(address, _constant(argument), "x", "RISE", receive=False)
            return _button(planned.label, MOMENTARY, pressed, frame, colour)
        case Switch(address=address):
            turned = Message(address, (Partial("VALUE", "INTEGER", "x"),), "x")
            return _button(planned.label, TOGGLE, turned, frame, colour)
        case Text(address=address):
            return label("", frame, [Message(address, (Partial("VALUE", "STRING", "text"),))])
        case Meter(address=address):
            look |= {"interactive": False, "cursor": False}
            return Node("FADER", frame, look, {"x": 0.0, "touch": False}, [Message(address, (_number("x"),))])


def _button(text: str, kind: int, message: Message, frame: Frame, colour: Colour) -> Node:
    """TouchOSC's buttons have no text of their own: a label lies over it and lets the finger through."""
    inner = Frame(0, 0, frame.w, frame.h)
    look: dict[str, Property] = {"name": text, "color": colour, "buttonType": kind, "cornerRadius": 2.0}
    button = Node("BUTTON", inner, look, {"x": 0.0, "touch": False}, [message])
    return group(text, frame, [button, label(text, inner)], PANEL)


def group(
    name: str, frame: Frame, children: list[Node], colour: Colour, more: Mapping[str, Property] | None = None
) -> Node:
    look: dict[str, Property] = {"name": name, "color": colour, "background": True, "outline": False, **(more or {})}
    return Node("GROUP", frame, look, {"touch": False}, (), children)


def label(text: str, frame: Frame, messages: Sequence[Message] = ()) -> Node:
    look: dict[str, Property] = {"background": False, "outline": False, "interactive": False}
    look |= {"textSize": 13, "textAlignH": CENTRE, "textColor": WHITE}
    return Node("LABEL", frame, look, {"text": text, "touch": False}, messages)


def colour_of(hue: float) -> Colour:
    """hue: 0 to 1, round the circle from red to red."""
    return Colour(*(round(part, 3) for part in colorsys.hls_to_rgb(hue, 0.5, 0.6)))


def _start(knob: Knob) -> float:
    return knob.parameter.normalise(knob.parameter.default)


def _position(knob: Knob, value: str) -> Message:
    return Message(knob.address, (_number(value),), value)


def _number(value: str) -> Partial:
    return Partial("VALUE", "FLOAT", value)


def _constant(argument: str | int | None) -> tuple[Partial, ...]:
    if argument is None:
        return ()
    return (Partial("CONSTANT", "INTEGER" if isinstance(argument, int) else "STRING", str(argument)),)
