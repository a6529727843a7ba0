"""docs/osc.md lists the addresses that there are, as the tree has them."""

from __future__ import annotations

from pathlib import Path

from ambientd.control.osc_methods import Method
from ambientd.parameters import Parameter

from .wire import Wire

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "osc.md"
KINDS = {"f": "number", "i": "whole number", "h": "whole number", "s": "text"}


def row(method: Method) -> str:
    knob = method.parameter
    takes = knob_range(knob) if knob else command(method)
    return f"| `{method.address.replace('/1/', '/<n>/')}` | {takes} | {method.description} |"


def knob_range(knob: Parameter) -> str:
    unit = f" {knob.unit}" if knob.unit else ""
    return f"{knob.low:g} to {knob.high:g}{unit}, {knob.warp}, begins at {knob.default:g}, slew {knob.slew:g} s"


def command(method: Method) -> str:
    kind = KINDS[method.tags]
    words = [f"takes a {kind}"] if method.act else []
    return ", ".join([*words, *([f"tells a {kind}"] if method.query else [])])


def test_every_address_is_listed_as_it_is(wire: Wire) -> None:
    methods = [m for m in wire.server.reception.space if not m.own_unit and "slot/2" not in m.id]
    expected = [row(method) for method in methods if not method.id.startswith("mashup/") or not method.parameter]
    listed = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `/ambientd/")]
    assert sorted(listed) == sorted(expected)
