"""Address patterns: OSC 1.0's rules, and bounded work."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.control.osc_pattern import BadPattern, Pattern, is_pattern

from .wire import Wire


def matches(pattern: str, address: str) -> bool:
    return Pattern(pattern).matches(tuple(address.removeprefix("/").split("/")))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("/a/b", "/a/b", "/a/bc"),
        ("/a/?", "/a/b", "/a/bc"),
        ("/a/*", "/a/bc", "/a/b/c"),
        ("/a/b*", "/a/b", "/a/cb"),
        ("/a/*c", "/a/bc", "/a/cb"),
        ("/[abc]", "/b", "/d"),
        ("/[a-c]", "/b", "/d"),
        ("/[!a-c]", "/d", "/b"),
        ("/[a-]", "/-", "/b"),
        ("/[c!]", "/!", "/a"),
        ("/slot/[1-39]/gain", "/slot/9/gain", "/slot/4/gain"),
        ("/{one,two}", "/two", "/three"),
        ("/{o,on}e", "/one", "/oe1"),
        ("/x{,y}z", "/xz", "/xyyz"),
        ("/*{a,b}?[0-9]", "/mab07", "/mb0"),
        ("/*/*", "/a/b", "/a"),
    ],
)
def test_the_rules(pattern: str, yes: str, no: str) -> None:
    assert matches(pattern, yes)
    assert not matches(pattern, no)


@pytest.mark.parametrize("pattern", ["/[a", "/a]", "/{a", "/a}", "/a,b", "/[]", "/{a{b}}", "/{[a]}"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    assert is_pattern(pattern)
    with pytest.raises(BadPattern):
        Pattern(pattern)


letters = st.text("abc", min_size=1, max_size=3)
pieces = st.one_of(
    letters,
    st.just("*"),
    st.just("?"),
    st.sampled_from(["[ab]", "[!a]", "[a-b]"]),
    st.lists(letters, min_size=1, max_size=3).map(lambda words: "{" + ",".join(words) + "}"),
)


@given(st.lists(pieces, min_size=1, max_size=6), st.text("abcd", max_size=6))
def test_it_agrees_with_regular_expressions(parts: list[str], name: str) -> None:
    pattern = "".join(parts)
    regex = pattern.replace("*", ".*").replace("?", ".").replace("[!", "[^")
    regex = regex.replace("{", "(?:").replace("}", ")").replace(",", "|")
    assert matches("/" + pattern, "/" + name) == bool(re.fullmatch(regex, name))


def test_what_takes_a_backtracking_matcher_for_ever_is_done_at_once() -> None:
    name = "a" * 60
    assert not matches("/" + "*a" * 120 + "*b", "/" + name)
    assert not matches("/" + "{a,aa,aaa}" * 25 + "b", "/" + name)


@given(st.text(string.printable, max_size=40))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        matches(text, "/ambientd/volume")
    except BadPattern:
        assert is_pattern(text)


def test_a_pattern_plays_one_kind_of_knob(wire: Wire) -> None:
    table = wire.instrument.parameters
    wire.send("/ambientd/slot/*/gain/value", 0.5)
    assert [table.get(f"slot/{n}/gain") for n in (1, 2)] == [0.5, 0.5]
    wire.send("/ambientd/slot/[2-9]/{gain,pan}", 1.0)
    assert [table.get(f"slot/{n}/gain") for n in (1, 2)] == [0.5, 2.0]
    assert [table.get(f"slot/{n}/pan") for n in (1, 2)] == [0.0, 1.0]
    wire.send("/ambientd/vol*", 0.0)
    assert table.get("volume") == 0.0
    wire.send("/ambientd/mashup/weight/?", 0.75)
    assert [table.get(f"mashup/blend/weight/{n}") for n in (1, 2)] == [0.75, 0.75]
    assert wire.counted("handled", "rejected") == (4, 0)


def test_a_pattern_that_reaches_several_kinds_changes_nothing(wire: Wire) -> None:
    before = wire.instrument.state()
    everything = [
        "/*",
        "/*/*",
        "/*/*/*",
        "/*/*/*/*",
        "/*/*/*/*/*",
        "/*/*/*/*/*/*",
        "/ambientd/*/*/*/*/*",
        "/ambientd/*",
        "/ambientd/slot/1/*",
        "/?*/?*/?*/?*",
    ]
    for pattern in everything:
        wire.send(pattern, 0.5)
    assert wire.instrument.state() == before
    assert wire.counted("rejected", "handled") == (len(everything), 0)
    wire.send("/ambientd/*")  # no play, no stop, no reprime: only what can be asked
    assert wire.instrument.state() == before
    assert {"/ambientd/volume", "/ambientd/ping", "/ambientd/panic"} <= wire.heard().keys()


def test_a_pattern_reaches_commands_by_name(wire: Wire) -> None:
    wire.send("/ambientd/slot/*/reprime")
    assert wire.instrument.asked == [("reprime", 2, None)]  # slot 1 is empty
    assert wire.counted("handled", "rejected") == (1, 0)


def test_a_pattern_without_an_argument_asks(wire: Wire) -> None:
    wire.send("/ambientd/slot/*/{gain,pan}/value")
    found = wire.heard()
    assert found == {
        "/ambientd/slot/1/gain/value": 1.0,
        "/ambientd/slot/2/gain/value": 1.0,
        "/ambientd/slot/1/pan/value": 0.0,
        "/ambientd/slot/2/pan/value": 0.0,
    }
