"""`ambientd status` for people: a line for each thing, and nothing that speaks to the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from ambientd.cli import main
from ambientd.ipc import runtime
from ambientd.status_words import facts, tables


def health(**more: Any) -> dict[str, Any]:
    cures = {"nudge": 0, "reprime": 0, "next model": 0} | more.pop("cures", {})
    return {"state": "healthy", "last_fault": "", "healed": 0, "cures": cures} | more


def slot(number: int, **more: Any) -> dict[str, Any]:
    """As the daemon tells it."""
    measured = dict.fromkeys(("gap_ms", "level_step_db", "jump", "level_shift_db"), 0.25)
    own = {"title": "A Long Title of an Album (selection)", "seed": 1055080931, "temperature_range": [0.95, 1.05]}
    return {
        "slot": number,
        "id": "crystan-dark-synth",
        **own,
        "state": "playing",
        **measured,
        "health": health(),
        **more,
    }


def status(**more: Any) -> dict[str, Any]:
    return {
        "version": "1.2.3",
        "uptime_seconds": 2 * 86_400 + 3 * 3600 + 59,
        "slots": [slot(1), slot(2)],
        "faults": [],
        "plugins": [{"name": "tide", "reason": "it is torn"}, {"name": "blend", "reason": ""}],
        "parameters": [{"id": "volume"}],
        "memory_bytes": 123_400_000,
        "osc": {"host": "127.0.0.1", "port": 7770, "malformed": 0, "rejected": 2, "last_fault": ""},
        "panic": False,
    } | more


def test_a_slot_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "ask", lambda request, path: status())
    shown = CliRunner().invoke(main, ["status"], catch_exceptions=False).output
    rows = [line.split() for line in shown.splitlines() if "crystan" in line]
    assert rows == [[number, "crystan-dark-synth", "playing", "healthy"] for number in "12"]
    assert "{" not in shown
    assert len(shown.splitlines()) < 15


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (health(), "healthy"),
        (health(healed=1, last_fault="noise"), "healthy; healed once, last of noise"),
        (health(healed=3, last_fault="loop"), "healthy; healed 3 times, last of loop"),
        (health(state="silent"), "silent"),
        (health(state="loop", cures={"nudge": 2, "reprime": 1}), "loop; tried nudge 2, reprime 1"),
    ],
)
def test_health_is_told_in_words(told: dict[str, Any], words: str) -> None:
    assert tables({"slots": [slot(1, health=told)]})[0][0]["health"] == words


def test_a_fault_says_when_who_why_and_how_often() -> None:
    at = "2026-11-22T03:12:45+0100"
    told = [
        {"at": at, "who": "generator", "state": "lost", "why": "SIGKILL", "restarts": 1, "pid": None, "count": 2},
        {"at": at, "who": "player", "state": "underruns", "total": 9, "count": 7},
        {"at": at, "who": "player", "state": "odd"},
    ]
    rows = [tuple(row.values()) for row in tables({"faults": told})[0]]
    last = "2026-11-22 03:12:45"
    assert rows == [
        (last, "generator", "lost: SIGKILL", 2),
        (last, "player", "underruns: total 9", 7),
        (last, "player", "odd", None),
    ]


def test_facts_are_one_line_each() -> None:
    assert facts(status()) == {
        "version": "1.2.3",
        "uptime": "2 d 3 h",
        "panic": False,
        "memory": "123 MB",
        "osc": "host 127.0.0.1, port 7770, rejected 2",
        "plugins at fault": ["tide"],
    }


def test_what_another_user_says_does_not_speak_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "ask", lambda request, path: status(mashup="a\x1b[2Jb\nc"))
    shown = CliRunner().invoke(main, ["status"], color=True).output
    assert "\x1b" not in shown
    assert "a [2Jb c" in shown
