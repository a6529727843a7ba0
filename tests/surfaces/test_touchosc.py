"""The layout, read by two parsers that are not ours: the standard library's, and py2tosc with its checks."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import py2tosc
import pytest

from ambientd.surfaces.plan import Plan, plan
from ambientd.surfaces.touchosc import touchosc
from ambientd.surfaces.tree import Tree

VALUES = {
    "BUTTON": {"x", "touch"}, "FADER": {"x", "touch"}, "RADIAL": {"x", "touch"}, "XY": {"x", "y", "touch"},
    "LABEL": {"text", "touch"}, "GROUP": {"touch"}, "PAGER": {"page", "touch"},
}  # fmt: skip
"""https://hexler.net/touchosc/manual/script-properties-and-values"""
CONTAINERS = {"GROUP", "PAGER"}


@pytest.fixture
def root(planned: Plan) -> Element:
    document = ElementTree.fromstring(zlib.decompress(touchosc(planned)))
    assert document.tag == "lexml"
    assert document.get("version") == "3"
    (root,) = document
    return root


def properties(node: Element) -> dict[str, Element]:
    return {p.findtext("key", ""): p for p in node.findall("properties/property")}


def values(node: Element) -> dict[str, str]:
    return {v.findtext("key", ""): v.findtext("default", "") for v in node.findall("values/value")}


def frame(node: Element) -> tuple[float, ...]:
    box = properties(node)["frame"].find("value")
    assert box is not None
    assert [part.tag for part in box] == list("xywh")
    return tuple(float(part.text or "") for part in box)


def messages(root: Element) -> Iterator[tuple[Element, Element, str]]:
    """Each with its control and its address."""
    for node in root.iter("node"):
        for message in node.findall("messages/osc"):
            yield node, message, "".join(value.text or "" for value in message.findall("path/partial/value"))


def test_every_parameter_is_sent_by_one_control_and_shown_by_it(tree: Tree, root: Element) -> None:
    moved = Counter(
        address for _, message, address in messages(root)
        if message.findtext("send") == message.findtext("receive") == "1"
    )  # fmt: skip
    assert moved == Counter([*(f"/ambientd/{p.id}" for p in tree.parameters), "/ambientd/panic"])


def test_knobs_send_their_position_and_begin_where_the_parameter_does(tree: Tree, root: Element) -> None:
    knobs = {f"/ambientd/{p.id}": p for p in tree.parameters}
    for node, message, address in messages(root):
        if parameter := knobs.get(address):
            (partial,) = message.findall("arguments/partial")
            key = partial.findtext("value", "")
            assert [partial.findtext(tag) for tag in ("type", "conversion")] == ["VALUE", "FLOAT"]
            assert [partial.findtext(tag) for tag in ("scaleMin", "scaleMax")] == ["0", "1"]
            assert message.findtext("triggers/trigger/var") == key
            assert message.findtext("feedback") == "0", "what is told must not be sent back"
            assert float(values(node)[key]) == pytest.approx(parameter.normalise(parameter.default), abs=1e-5)


def test_a_mashup_with_x_and_y_has_a_pad(root: Element) -> None:
    (pad,) = (node for node in root.iter("node") if node.get("type") == "XY")
    sent = [(address, message.findtext("triggers/trigger/var")) for _, message, address in messages(pad)]
    assert sent == [("/ambientd/mashup/surface/x", "x"), ("/ambientd/mashup/surface/y", "y")]
    assert values(pad)["x"] == "0.25"


def test_buttons_send_their_argument_once_when_pressed(root: Element) -> None:
    sent = {
        (address, *(p.findtext(tag) for p in message.findall("arguments/partial") for tag in ("conversion", "value")))
        for _, message, address in messages(root)
        if message.findtext("triggers/trigger/condition") == "RISE" and message.findtext("receive") == "0"
    }
    recalls = {("/ambientd/preset/recall", "STRING", f"preset-{number}") for number in range(45)}
    selects = {("/ambientd/mashup/select", "STRING", name) for name in ("surface", "many", "none")}
    reprimes = {(f"/ambientd/slot/{slot}/reprime", "INTEGER", "1") for slot in range(1, 12)}
    others = {("/ambientd/play",), ("/ambientd/stop",), ("/ambientd/preset/hold", "INTEGER", "1")}
    assert sent == recalls | selects | reprimes | others


def test_readings_are_told_and_send_nothing(root: Element) -> None:
    told = {address for _, message, address in messages(root) if message.findtext("send") == "0"}
    states = {"/ambientd/level", "/ambientd/mashup/select", "/ambientd/preset/recall"}
    assert told == states | {f"/ambientd/slot/{slot}/load" for slot in range(1, 12)}


def test_controls_are_what_the_manual_says(root: Element) -> None:
    ids = [node.get("ID") for node in root.iter("node")]
    assert len(set(ids)) == len(ids)
    for node in root.iter("node"):
        kind = node.get("type", "")
        assert values(node).keys() == VALUES[kind]
        assert (node.find("children") is not None) <= (kind in CONTAINERS)
        for key, element in properties(node).items():
            assert element.get("type") in set("bcfirs"), key


def test_every_control_lies_within_its_parent_and_beside_its_neighbours(root: Element) -> None:
    for parent in root.iter("node"):
        _, _, width, height = frame(parent)
        boxes = []
        for child in parent.findall("children/node"):
            x, y, w, h = frame(child)
            assert w > 8, ElementTree.tostring(child)
            assert h > 8
            assert x >= 0
            assert y >= 0
            assert x + w <= width + 0.01
            assert y + h <= height + 0.01
            if child.get("type") != "LABEL" and parent.get("type") != "PAGER":
                assert all(x + w <= a + 0.01 or a + c <= x + 0.01 or y + h <= b + 0.01 or b + d <= y + 0.01
                           for a, b, c, d in boxes)  # fmt: skip
                boxes.append((x, y, w, h))


def test_a_library_for_these_files_finds_nothing_wrong_with_it(tree: Tree, planned: Plan) -> None:
    document = py2tosc.loads(touchosc(planned))
    assert document.validate() == []
    addresses = Counter(
        partial.value
        for control in document.walk()
        for message in control.messages
        for partial in message.path
        if message.send and message.receive
    )
    assert all(addresses[f"/ambientd/{parameter.id}"] == 1 for parameter in tree.parameters)


def test_the_same_tree_makes_the_same_file_and_the_smallest_one_works(tree: Tree, planned: Plan) -> None:
    assert touchosc(plan(tree)) == touchosc(planned)
    smallest = Tree(tree.parameters[:2], (), (), "127.0.0.1", 7770)
    assert py2tosc.loads(touchosc(plan(smallest))).validate() == []
