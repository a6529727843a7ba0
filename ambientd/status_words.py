"""What `ambientd status` says to people, out of what the daemon answers: a line for each thing. Command line; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]

TABLES = ("processes", "slots", "loading", "refused", "sinks", "faults")
"""In this order; all else are facts."""
OWN = ("at", "who", "state", "count", "why", "what", "pid")
"""Of a fault's keys those that have a column, or help nobody."""
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def tables(status: Mapping[str, Any]) -> list[list[Row]]:
    """Those that have rows."""
    short = {"slots": _slot, "faults": _fault}
    found = [[short.get(part, dict)(row) for row in status.get(part, [])] for part in TABLES]
    return [rows for rows in found if rows]


def facts(status: Mapping[str, Any]) -> Row:
    """All else, but for what other commands tell better; what has parts in one line."""
    at_fault = [plugin["name"] for plugin in status.get("plugins", []) if plugin["reason"]]
    left = {key: value for key, value in status.items() if key not in (*TABLES, "parameters", "plugins")}
    if "uptime_seconds" in left:
        left = {"version": left.pop("version", ""), "uptime": _duration(left.pop("uptime_seconds"))} | left
    if "memory_bytes" in left:
        left["memory"] = f"{left.pop('memory_bytes') / 1e6:.0f} MB"
    return {key: _in_a_line(value) for key, value in left.items()} | {"plugins at fault": at_fault}


def _slot(slot: Row) -> Row:
    return {key: slot.get(key) for key in ("slot", "id", "state")} | {"health": _health(slot.get("health", {}))}


def _health(health: Mapping[str, Any]) -> str:
    """How it is, and what was tried; once it is well, how often it was not."""
    state = health.get("state", "")
    tried = [f"{cure} {count}" for cure, count in health.get("cures", {}).items() if count]
    if state != "healthy":
        return f"{state}; tried {', '.join(tried)}" if tried else state
    healed = health.get("healed", 0)
    return f"{state}; healed {_times(healed)}, last of {health.get('last_fault', '')}" if healed else state


def _fault(fault: Row) -> Row:
    """When it was last, who, what and why, and how often."""
    others = ", ".join(f"{key} {value}" for key, value in fault.items() if key not in OWN)
    why = fault.get("why") or fault.get("what") or others
    what = f"{fault['state']}: {why}" if why else fault["state"]
    return {"last": fault["at"][:19].replace("T", " "), "who": fault["who"], "what": what, "count": fault.get("count")}


def _in_a_line(value: Any) -> Any:
    """Counters that stand at 0 and what is empty left out."""
    if not isinstance(value, Mapping):
        return value
    told = {key: one for key, one in value.items() if one not in (None, "", [], {}) and (one or one is False)}
    return ", ".join(f"{key.replace('_', ' ')} {_word(one)}" for key, one in told.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _duration(seconds: float) -> str:
    """The two largest units: "3 d 4 h"."""
    words: list[str] = []
    left = int(seconds)
    for name, length in UNITS:
        count, left = divmod(left, length)
        if count or words:
            words.append(f"{count} {name}")
    return " ".join(words[:2]) or "0 s"
