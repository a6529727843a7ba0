"""TouchOSC's file: a tree of controls as XML, compressed by zlib. The command line.

Element and property names, value keys and numbers are those of https://hexler.net/touchosc/manual
(script-properties-and-values, script-enumerations, editor-messages-osc), and of layouts that TouchOSC wrote.
Version 3 is the oldest of the format, which later ones open.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

VERSION = "3"
CONNECTIONS = "11111"
"""All that version 3 has."""
_IDS = uuid.UUID("6f0c4f0e-5f0b-4b39-9d5e-3f5b6f5b1d0a")
"""Names every control after its place in the tree, so that the same layout is always the same file."""


class Frame(NamedTuple):
    """Within the parent, in points, from its upper left corner."""

    x: float
    y: float
    w: float
    h: float

    def inset(self, by: float) -> Frame:
        return Frame(self.x + by, self.y + by, self.w - 2 * by, self.h - 2 * by)


class Colour(NamedTuple):
    """0 to 1 each."""

    r: float
    g: float
    b: float
    a: float = 1.0


Property = bool | int | float | str | Frame | Colour


class Partial(NamedTuple):
    """A piece of an address or an argument. kind: CONSTANT, or VALUE, the control's own of that name."""

    kind: str
    conversion: str
    value: str


@dataclass(frozen=True)
class Message:
    """An OSC message. trigger: the value whose change sends it; empty for one that is only received."""

    address: str
    arguments: tuple[Partial, ...]
    trigger: str = ""
    condition: str = "ANY"
    receive: bool = True


@dataclass
class Node:
    """A control. values: its own by name, each with what it begins at."""

    type: str
    frame: Frame
    properties: dict[str, Property] = field(default_factory=dict)
    values: dict[str, bool | float | str] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    children: list[Node] = field(default_factory=list)


def dump(root: Node) -> bytes:
    """The file's bytes."""
    return zlib.compress(to_xml(root).encode(), 9)


def to_xml(root: Node) -> str:
    lines = ["<?xml version='1.0' encoding='UTF-8'?>", f'<lexml version="{VERSION}">', *_node(root, "0"), "</lexml>"]
    return "\n".join(lines) + "\n"


def _node(node: Node, place: str) -> list[str]:
    properties = {"frame": node.frame, **node.properties}
    lines = [f"<node ID={quoteattr(str(uuid.uuid5(_IDS, place)))} type={quoteattr(node.type)}>", "<properties>"]
    lines += [_property(key, value) for key, value in sorted(properties.items())]
    lines += ["</properties>", "<values>", *(_value(key, value) for key, value in node.values.items()), "</values>"]
    if node.messages:
        lines += ["<messages>", *map(_message, node.messages), "</messages>"]
    if node.children:
        lines.append("<children>")
        for number, child in enumerate(node.children):
            lines += _node(child, f"{place}/{number}")
        lines.append("</children>")
    return [*lines, "</node>"]


def _property(key: str, value: Property) -> str:
    match value:
        case Frame() | Colour():
            kind = "r" if isinstance(value, Frame) else "c"
            text = "".join(f"<{name}>{number:g}</{name}>" for name, number in value._asdict().items())
        case bool():
            kind, text = "b", str(int(value))
        case int():
            kind, text = "i", str(value)
        case float():
            kind, text = "f", f"{value:g}"
        case _:
            kind, text = "s", _text(value)
    return f'<property type="{kind}"><key>{_text(key)}</key><value>{text}</value></property>'


def _value(key: str, default: bool | float | str) -> str:
    match default:
        case bool():
            text = str(default).lower()
        case float() | int():
            text = f"{default:.6g}"
        case _:
            text = default
    fixed = "<locked>0</locked><lockedDefaultCurrent>0</lockedDefaultCurrent>"
    return f"<value><key>{_text(key)}</key>{fixed}<default>{_text(text)}</default><defaultPull>0</defaultPull></value>"


def _message(message: Message) -> str:
    trigger = f"<trigger><var>{_text(message.trigger)}</var><condition>{message.condition}</condition></trigger>"
    flags = {"enabled": True, "send": bool(message.trigger), "receive": message.receive, "feedback": False}
    return "".join([
        "<osc>",
        *(f"<{flag}>{int(on)}</{flag}>" for flag, on in flags.items()),
        f"<connections>{CONNECTIONS}</connections>",
        f"<triggers>{trigger}</triggers>" if message.trigger else "",
        f"<path>{_partial(Partial('CONSTANT', 'STRING', message.address))}</path>",
        f"<arguments>{''.join(map(_partial, message.arguments))}</arguments>",
        "</osc>",
    ])  # fmt: skip


def _partial(partial: Partial) -> str:
    kinds = f"<type>{partial.kind}</type><conversion>{partial.conversion}</conversion>"
    return (
        f"<partial>{kinds}<value>{_text(partial.value)}</value><scaleMin>0</scaleMin><scaleMax>1</scaleMax></partial>"
    )


def _text(text: str) -> str:
    """CDATA, as TouchOSC itself writes texts."""
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"
