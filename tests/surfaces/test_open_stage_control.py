"""The session, checked against what Open Stage Control's reference says of the widgets in it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from ambientd.surfaces.open_stage_control import open_stage_control
from ambientd.surfaces.plan import Plan
from ambientd.surfaces.tree import Tree

COMMON = {"type", "id", "comments", "html", "interaction", "value", "default", "address", "typeTags", "decimals",
          "bypass", "onCreate", "onValue"}  # fmt: skip
PLACE = {"width", "height", "expand"}
CONTAINER = {"layout", "gridTemplate", "widgets", "tabs"}
ALLOWED = {
    "root": COMMON | CONTAINER,
    "panel": COMMON | PLACE | CONTAINER,
    "tab": COMMON | CONTAINER | {"label"},
    "fader": COMMON | PLACE | {"design", "doubleTap", "origin"},
    "knob": COMMON | PLACE | {"doubleTap", "origin"},
    "xy": COMMON | PLACE | {"snap"},
    "button": COMMON | PLACE | {"label", "mode", "on"},
    "text": (COMMON | PLACE) - {"typeTags"},
}
"""https://openstagecontrol.ammd.net/docs/widgets/properties-reference/"""
CHOICES = {
    "mode": {"toggle", "push", "momentary", "tap"},
    "layout": {"default", "vertical", "horizontal", "grid"},
    "design": {"default", "round", "compact"},
}


@pytest.fixture
def session(planned: Plan) -> dict[str, Any]:
    return json.loads(open_stage_control(planned))


def widgets(widget: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield widget
    for child in (*widget.get("widgets", ()), *widget.get("tabs", ())):
        yield from widgets(child)


def test_it_is_a_session(session: dict[str, Any]) -> None:
    assert session["type"] == "session"
    assert re.fullmatch(r"\d+\.\d+\.\d+", session["version"])
    assert session["content"]["type"] == session["content"]["id"] == "root"


def test_widgets_have_the_properties_of_their_type(session: dict[str, Any]) -> None:
    for widget in widgets(session["content"]):
        assert widget.keys() <= ALLOWED[widget["type"]], widget
        assert all(widget.get(key, choice) in CHOICES[key] for key in CHOICES for choice in [next(iter(CHOICES[key]))])
        assert not (widget.get("widgets") and widget.get("tabs")), "a panel has either"
        assert all(tab["type"] == "tab" for tab in widget.get("tabs", ()))
        assert all(child["type"] not in ("tab", "root") for child in widget.get("widgets", ()))
        assert (widget.get("layout") == "grid") == ("gridTemplate" in widget)


def test_ids_are_their_own_and_links_lead_somewhere(session: dict[str, Any]) -> None:
    ids = Counter(widget["id"] for widget in widgets(session["content"]))
    assert set(ids.values()) == {1}
    links = re.findall(r"@\{(.*?)\}|set\('(.*?)'", json.dumps(session))
    assert links
    assert {one or other for one, other in links} <= ids.keys()


def test_every_parameter_is_on_one_widget_that_sends(tree: Tree, session: dict[str, Any]) -> None:
    knobs = {w["id"]: w for w in widgets(session["content"]) if w["type"] in ("fader", "knob") and not w.get("bypass")}
    assert Counter(w["address"] for w in knobs.values()) == Counter(f"/ambientd/{p.id}" for p in tree.parameters)
    for parameter in tree.parameters:
        knob = knobs[parameter.id]
        assert knob["default"] == pytest.approx(parameter.normalise(parameter.default), abs=1e-4)
        assert knob["decimals"] >= 4, "two decimals are steps that can be heard"


def test_whatever_sends_nothing_of_its_own_is_told_not_to(session: dict[str, Any]) -> None:
    for widget in widgets(session["content"]):
        assert widget.get("bypass", False) != (widget["type"] in ("fader", "knob", "button") and "design" not in widget)


def test_the_pad_moves_both_faders(session: dict[str, Any]) -> None:
    (pad,) = (widget for widget in widgets(session["content"]) if widget["type"] == "xy")
    assert pad["value"] == "[@{mashup/surface/x}, @{mashup/surface/y}]"
    assert pad["onValue"] == "set('mashup/surface/x', value[0])\nset('mashup/surface/y', value[1])"


def test_buttons_send_what_they_say(session: dict[str, Any]) -> None:
    buttons = {(w["address"], w.get("on")): w for w in widgets(session["content"]) if w["type"] == "button"}
    assert buttons["/ambientd/play", None]["mode"] == "momentary"
    assert buttons["/ambientd/panic", None]["mode"] == "toggle"
    assert buttons["/ambientd/preset/recall", "preset-44"]["typeTags"] == "s"
    assert buttons["/ambientd/slot/11/reprime", 1]["typeTags"] == "i"
    assert len(buttons) == 3 + 11 + 3 + 45 + 1
