"""Promise 3: player or supervisor are lost, it is told to end, or another configuration: it plays on, or ends well."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ambientd.ipc.runtime import Refused, ask
from ambientd.soak.listening import MOST_CLICK, MOST_JUMP, SILENCE, hearing, largest_jump, sharpest_click
from ambientd.soak.rig import Rig
from ambientd.soak.running import makes_new_sound, process
from ambientd.soak.scenario import Effort, Measure, Missed, NotTried, Scenario, at_most, happened
from ambientd.soak.scenarios.generator import AFTER_SECONDS, PRESET, recall_preset, setting

if TYPE_CHECKING:
    from ambientd.arrays import Floats

SOUND_SECONDS, GONE_SECONDS, AGAIN_SECONDS, END_SECONDS = 3.0, 2.0, 30.0, 3.0
"""What is promised."""
LONGEST_SECONDS = 120.0
SETTLED_SECONDS = 5.5
"""A player that lived this long is replaced at once again; one that fails at its start is not."""
KILLS = 50
"""Of writers of the state file, in one round."""
MASHUP = "surface"
"""Another one than a daemon starts with."""
LAST_SECONDS, FIRST_SECONDS = 0.05, 0.3
MOST_LEFT = 0.1
"""Of the music's level, in the last moment before the end."""
APPLIED: Mapping[str, list[str]] = {
    f'volume = 0.8\nmashup.name = "{MASHUP}"\n': [],
    "volume = 0.8\nloading.fade = 5.0\n": ["generator"],
}
"""With the processes that each takes anew."""
REFUSED: Mapping[str, str] = {
    "max_slots = 4\n": "'max_slots' cannot change",
    "vloume = 0.5\n": "Did you mean 'volume'?",
    "volume = 0.5\nmashup.name = 'blendd'\n": "Did you mean 'blend'?",
    "volume = \n": "is not TOML",
}
"""With the reason of each."""


def _player_lost(number: signal.Signals) -> Callable[[Rig, Effort], list[Measure]]:
    def run(rig: Rig, effort: Effort) -> list[Measure]:
        before, times = rig.status(), []
        for _ in range(effort.rounds):
            times.append(lose_player(rig, number))
            rig.listen(SETTLED_SECONDS / effort.patience)
        others = rig.status()["restarts"] - before["restarts"] - effort.rounds
        return [
            at_most("sound again", round(max(times), 2), "s", SOUND_SECONDS * effort.patience),
            at_most("other processes that ended", others, "", 0),
        ]

    return run


def lose_player(rig: Rig, number: signal.Signals) -> float:
    """Seconds from the signal until another player is heard."""
    restarts = process(rig.until(_plays, LONGEST_SECONDS), "player")["restarts"]
    began = time.monotonic()
    rig.signal("player", number)
    rig.until(lambda s: process(s, "player")["restarts"] > restarts and _plays(s), LONGEST_SECONDS)
    until_sound(rig)
    return time.monotonic() - began


def until_sound(rig: Rig) -> None:
    """Until there is something to be heard that was not before. Raises Missed."""
    heard, deadline = rig.mark(), time.monotonic() + LONGEST_SECONDS
    while not np.any(np.abs(rig.since(heard)) > SILENCE):
        if time.monotonic() > deadline:
            raise Missed("a new player runs and is not heard")
        time.sleep(0.01)


def supervisor_killed(rig: Rig, effort: Effort) -> list[Measure]:
    """Under --keep-alive, away from what it starts with."""
    if not hasattr(os, "pidfd_open"):
        raise NotTried("only Linux tells the end of another's children")
    with rig.fresh(options=["--keep-alive"]) as other:
        other.osc("/ambientd/mashup/select", MASHUP)
        other.until(lambda s: s["mashup"] == MASHUP, 10)
        recall_preset(other)
        before = other.status()
        _until_remembered(other, before)
        gone, again, kept = [], [], 0
        for _ in range(effort.rounds):
            seconds = kill_supervisor(other)
            gone.append(seconds[0])
            again.append(seconds[1])
            after = other.until(makes_new_sound, LONGEST_SECONDS)
            kept += (after["mashup"], setting(after)) == (MASHUP, setting(before))
    return [
        at_most("its children are gone", round(max(gone), 2), "s", GONE_SECONDS * effort.patience),
        at_most("it plays again", round(max(again), 2), "s", AGAIN_SECONDS * effort.patience),
        happened("at its last state", kept, effort.rounds),
    ]


def kill_supervisor(rig: Rig) -> tuple[float, float]:
    """Seconds until all of its children are gone, and until the next daemon is heard."""
    status = rig.until(_plays, LONGEST_SECONDS)
    dead = process(status, "supervisor")["pid"]
    children = [os.pidfd_open(p["pid"]) for p in status["processes"] if p["pid"] not in (None, dead)]
    began = time.monotonic()
    os.kill(dead, signal.SIGKILL)
    for child in children:
        if not select.select([child], [], [], LONGEST_SECONDS)[0]:
            raise Missed("a child outlives its supervisor")
        os.close(child)
    gone = time.monotonic() - began
    rig.until(lambda s: process(s, "supervisor")["pid"] != dead and _plays(s), LONGEST_SECONDS)
    until_sound(rig)
    return gone, time.monotonic() - began


def writers_killed(rig: Rig, effort: Effort) -> list[Measure]:
    """The state file after each SIGKILL to whoever writes it without a pause."""
    from ambientd.lifecycle.ordeal import kill_writers

    kills = max(1, int(KILLS * effort.rounds / effort.patience))
    with tempfile.TemporaryDirectory(prefix="ambientd-soak-") as folder:
        ordeal = kill_writers(Path(folder), kills)
    written = max(1, kills // round(effort.patience))
    return [
        happened("state files that load", ordeal.kills - len(ordeal.faults), kills),
        # Or nobody was killed while writing.
        happened("states that were written meanwhile", max(ordeal.states, default=0), written),
    ]


def terminated(rig: Rig, effort: Effort) -> list[Measure]:
    """SIGTERM while it plays."""
    seconds, codes, left, jump, click = [], [], [], [], []
    for _ in range(effort.rounds):
        with rig.fresh() as other:
            other.listen(AFTER_SECONDS)
            heard = other.mark()
            ended = end(other)
            if other.server:  # whose monitor goes on
                other.listen(FIRST_SECONDS)
            audio = other.since(heard)
        seconds.append(ended[0])
        codes.append(ended[1])
        left.append(left_of(audio, other.rate))
        jump.append(largest_jump(audio))
        click.append(sharpest_click(audio))
    return [
        *_ended(seconds, codes, effort),
        at_most("level of its last 50 ms, of the music's", round(max(left), 3), "x", MOST_LEFT),
        at_most("largest jump, of the music's own", round(max(jump), 2), "x", MOST_JUMP),
        at_most("sharpest click, of its surroundings", round(max(click), 1), "x", MOST_CLICK),
    ]


def terminated_hung(rig: Rig, effort: Effort) -> list[Measure]:
    """SIGTERM to one whose children are all stopped."""
    seconds, codes = [], []
    for _ in range(effort.rounds):
        with rig.fresh() as other:
            for role in ("generator", "player"):
                other.signal(role, signal.SIGSTOP)
            ended = end(other)
        seconds.append(ended[0])
        codes.append(ended[1])
    return _ended(seconds, codes, effort)


def end(rig: Rig) -> tuple[float, int]:
    """Seconds until it has ended, and its exit code; one that does not end is killed."""
    began = time.monotonic()
    try:
        code = rig.daemon.end(LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        raise Missed("it does not end") from None
    return time.monotonic() - began, code


def left_of(audio: Floats, rate: int) -> float:
    """The level of the last moment that is heard, of that of the first ones."""
    last = int(np.flatnonzero(np.abs(audio) > SILENCE).max(initial=0)) + 1
    first, tail = audio[: int(FIRST_SECONDS * rate)], audio[max(0, last - int(LAST_SECONDS * rate)) : last]
    return float(np.sqrt(np.mean(tail**2) / (np.mean(first**2) + SILENCE**2)))


def reloaded(rig: Rig, effort: Effort) -> list[Measure]:
    """By `reload` and by SIGHUP, with what can be changed and what cannot. It ends as it began."""
    path = rig.home / "room.toml"
    before, heard = rig.status(), rig.mark()
    applied, refused = 0, 0
    for _ in range(effort.rounds):
        for text, anew in APPLIED.items():
            path.write_text(text)
            applied += _reload(rig, config=str(path))["restarted"] == anew
            rig.until(lambda s: makes_new_sound(s) and _volume(s) == 0.8, LONGEST_SECONDS)
            rig.listen(AFTER_SECONDS / 2)
        refused += sum(_refuses(rig, path, *entry) for entry in REFUSED.items())
        path.write_text("")
        rig.signal("supervisor", signal.SIGHUP)
        rig.until(lambda s: _volume(s) == 1.0 and s["mashup"] == before["mashup"], LONGEST_SECONDS)
        rig.until(makes_new_sound, LONGEST_SECONDS)
        rig.listen(AFTER_SECONDS)
    ended = rig.status()["restarts"] - before["restarts"]
    return [
        *hearing(rig.since(heard), rig.rate),
        happened("what can be applied is", applied, len(APPLIED) * effort.rounds),
        happened("what cannot is refused, with the reason", refused, len(REFUSED) * effort.rounds),
        at_most("processes that ended", ended, "", 0),
    ]


def _refuses(rig: Rig, path: Path, text: str, reason: str) -> bool:
    """Whether this is, both ways, and nothing changes."""
    path.write_text(text)
    before, said = setting(rig.status()), _refusals(rig)
    try:
        _reload(rig)
    except Refused as error:
        rig.signal("supervisor", signal.SIGHUP)
        rig.until(lambda _: _refusals(rig) > said, LONGEST_SECONDS)
        return reason in str(error) and setting(rig.status()) == before
    return False


def _refusals(rig: Rig) -> int:
    return sum("reload refused" in line for line in rig.lines())


def _reload(rig: Rig, **more: str) -> dict[str, Any]:
    return ask({"ask": "reload", **more}, rig.home / "ambientd" / "status.sock", LONGEST_SECONDS)


def _ended(seconds: list[float], codes: list[int], effort: Effort) -> list[Measure]:
    return [
        at_most("it has ended", round(max(seconds), 2), "s", END_SECONDS * effort.patience),
        happened("with exit 0", codes.count(0), effort.rounds),
    ]


def _until_remembered(rig: Rig, status: Mapping[str, Any]) -> None:
    """Until the state file has what the status has. Raises Missed."""
    from ambientd.lifecycle.state import StateFile

    file, deadline = StateFile(rig.disk / "state" / "ambientd" / "state.json"), time.monotonic() + LONGEST_SECONDS
    wanted = {p["id"]: p["value"] for p in status["parameters"]}
    while True:
        state = file.load()
        if state and (state.preset, state.mashup, state.parameters) == (PRESET, MASHUP, wanted):
            return
        if time.monotonic() > deadline:
            raise Missed("what plays is not remembered")
        time.sleep(0.05)


def _plays(status: Mapping[str, Any]) -> bool:
    return bool(process(status, "player")["state"] == "running" and status["rms"] > 0)


def _volume(status: Mapping[str, Any]) -> float:
    return float(next(p["value"] for p in status["parameters"] if p["id"] == "volume"))


SCENARIOS = (
    Scenario("player-killed", 3, "The player is killed", "real: SIGKILL", _player_lost(signal.SIGKILL), 7.0, 4),
    Scenario("player-hung", 3, "The player hangs", "real: SIGSTOP", _player_lost(signal.SIGSTOP), 8.0, 3),
    Scenario("supervisor-killed", 3, "The supervisor is killed, under --keep-alive", "real: SIGKILL",
             supervisor_killed, 9.0, 2),
    Scenario("state-writers-killed", 3, "Whoever writes the state file is killed", "real: SIGKILL at random moments",
             writers_killed, 1.5, 10),
    Scenario("terminated", 3, "It is told to end", "real: SIGTERM", terminated, 9.0),
    Scenario("terminated-hung", 3, "It is told to end while its children hang", "real: SIGSTOP, then SIGTERM",
             terminated_hung, 8.0),
    Scenario("reloaded", 3, "It is told another configuration", "real: `reload` and SIGHUP", reloaded, 11.0, 2),
)  # fmt: skip
