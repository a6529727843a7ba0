"""Kills whoever writes the state file, again and again, at random moments, and reads what is left. Tests and soak."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from ambientd.errors import AmbientdError
from ambientd.lifecycle.state import State, StateFile

KNOBS = 200
"""Of each state written, about as many as there are."""
LONGEST_LIFE = 0.03
"""Seconds of a writer: several writes, so that the kill falls on any part of one."""


@dataclass
class Ordeal:
    """kills: how many there were. states: the number of the state that each left, the first written being 1.

    faults: what was wrong, in words; empty: every file could be read, and was one of those written.
    """

    kills: int = 0
    states: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def kill_writers(folder: Path, kills: int, seed: int | None = None) -> Ordeal:
    """Start a writer, SIGKILL it at a random moment, read the file, and so on. About 0.1 s each."""
    moments = random.Random(seed)
    file, ordeal = StateFile(folder / "state.json"), Ordeal()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    last = 0
    for _ in range(kills):
        begun, begin = context.Pipe(duplex=False)
        writer = context.Process(target=_write_for_ever, args=(file.path, last, begin), daemon=True)
        writer.start()
        begin.close()
        begun.recv()
        time.sleep(moments.uniform(0, LONGEST_LIFE))
        writer.kill()
        writer.join()
        begun.close()
        ordeal.kills += 1
        last = _read(file, last, ordeal)
    return ordeal


def _read(file: StateFile, least: int, ordeal: Ordeal) -> int:
    """The number of the state that is there: the same as before this writer, or a later one."""
    try:
        state = file.load()
    except AmbientdError as error:
        ordeal.faults.append(str(error))
        return least
    number = int(state.parameters["knob/0"]) if state else 0
    if state and state != _numbered(number):
        ordeal.faults.append(f"state {number} is not as it was written")
    if number < least:
        ordeal.faults.append(f"state {least} was followed by state {number}")
    ordeal.states.append(number)
    return number


def _numbered(number: int) -> State:
    """One that no other number has, and of another length than the next."""
    knobs = {f"knob/{knob}": float(number * (knob + 1)) for knob in range(KNOBS)}
    return State(configuration="x" * (number % 100), parameters=knobs, slots={1: f"model-{number}"})


def _write_for_ever(path: Path, number: int, begin: Connection) -> None:
    """The writer, in a process of its own."""
    file = StateFile(path)
    file.save(_numbered(number + 1))
    begin.send(True)  # whatever the disk: something has been written
    for later in itertools.count(number + 2):
        file.save(_numbered(later))
