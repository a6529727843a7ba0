"""A live set with nobody listening: models come, go and take each other's places while weights are turned at random.

    python benchmarks/live_set.py --operations 200

The real daemon plays to its clock, is asked by OSC and records what it plays. Some of what is asked cannot be done,
and must be refused without a trace in the music. Ends with 1 where anything was heard that nobody asked for.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from ambientd.engine.change_watch import WINDOW
from ambientd.engine.level_steps import FLOOR_DB
from ambientd.engine.level_steps import WINDOW as STEP_WINDOW
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn import library
from ambientd.samplernn.checkpoint import Architecture, load_card, save
from ambientd.soak.running import Running
from ambientd.supervisor.slots import MEASURED

ANSWER_SECONDS = 60.0
START_PATIENCE = 240.0
"""Seconds. The very first start compiles the kernels."""
TURN_SECONDS = 0.25
"""Between two random turns of a knob."""
REFUSE_EVERY = 5
MEMORY_SECONDS = 5.0
"""The generator says what it uses every few seconds."""
MOST_STEP_DB, MOST_GROWTH = 3.0, 0.05
PERCENTILE = 99.99
COLUMNS = ("gap_ms", "level_step_db", "heard_step_db", "level_shift_db", "jump", "seconds")
START_SECONDS, END_SECONDS = 3.0, 2.0
"""Of the recording, in which the daemon itself fades."""


class Performer(Running):
    """The daemon, and an OSC client whose answers are read."""

    def __init__(self, home: Path, sets: list[str]) -> None:
        super().__init__(home, sets)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        status = self.until(lambda s: s["output"] and s["ring_seconds"] > 0.1, START_PATIENCE)
        self._port = status["osc"]["port"]

    def send(self, address: str, *values: Any) -> None:
        builder = OscMessageBuilder(f"/ambientd/{address}")
        for value in values:
            builder.add_arg(value)
        self._socket.sendto(builder.build().dgram, ("127.0.0.1", self._port))

    def answer(self, seconds: float) -> tuple[str, list[Any]] | None:
        """The next message within so many seconds."""
        if not select.select([self._socket], [], [], seconds)[0]:
            return None
        message = OscMessage(self._socket.recv(65_536))
        return message.address.removeprefix("/ambientd/"), message.params


@dataclass
class Played:
    """What was asked and what came of it.

    changes: kind, what was told of it by name (`supervisor.slots.MEASURED`), and the seconds until it was over.
    """

    changes: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    """What should have been refused, or should not have been."""


class LiveSet:
    """One performance. slots: what is where, by number."""

    def __init__(
        self, daemon: Performer, models: list[str], bad: list[tuple[Any, ...]], voices: int, seed: int, still: bool
    ) -> None:
        self._daemon, self._models, self._bad, self._voices, self._still = daemon, models, bad, voices, still
        self._random = random.Random(seed)
        self.slots: dict[int, str] = {}
        self.played = Played()
        self._turn_at = 0.0
        self._operations = 0

    def operate(self) -> None:
        """One random operation, and until it is over; every few of them what must be refused, one after the other."""
        self._operations += 1
        if self._operations % REFUSE_EVERY == 0:
            self._refuse(*self._bad[self._operations // REFUSE_EVERY % len(self._bad)])
        elif len(self.slots) > 1 and self._random.random() < 0.25:
            self.unload(self._random.choice(sorted(self.slots)))
        else:
            full = len(self.slots) >= self._voices
            number = self._random.choice(sorted(self.slots) if full else range(1, self._voices + 1))
            self.load(number, self._random.choice(self._models), self._random.choice(("own", "now")))

    def load(self, number: int, model: str, prime: str) -> None:
        kind = "swap" if number in self.slots else "load"
        if self._ask(f"{kind} ({prime})", f"slot/{number}/load", model, prime):
            self.slots[number] = model

    def unload(self, number: int) -> None:
        if self._ask("removal", f"slot/{number}/unload"):
            del self.slots[number]

    def _refuse(self, address: str, *values: Any) -> None:
        before = len(self.played.changes)
        self._ask("", address, *values)
        if len(self.played.changes) > before:
            self.played.wrong.append(f"{address} {values} was not refused")

    def _ask(self, kind: str, address: str, *values: Any) -> bool:
        """Whether it was done. kind: empty for what must be refused."""
        began = time.monotonic()
        self._daemon.send(address, *values)
        while time.monotonic() < began + ANSWER_SECONDS:
            if not self._still and time.monotonic() >= self._turn_at:
                self._turn()
            answer = self._daemon.answer(0.05)
            if answer and answer[0] == "error":
                self.played.refused += 1
                if kind:
                    self.played.wrong.append(f"{address} {values}: {answer[1][1]}")
                return False
            if answer and answer[0].endswith("/changed"):
                measured = dict(zip(MEASURED, answer[1], strict=True))
                self.played.changes.append({"kind": kind, "seconds": time.monotonic() - began} | measured)
                return True
        sys.exit(f"no answer to {address} {values} within {ANSWER_SECONDS:g} s")

    def _turn(self) -> None:
        """A knob of the blend, somewhere."""
        self._turn_at = time.monotonic() + TURN_SECONDS
        self._daemon.send(f"mashup/weight/{self._random.randint(1, self._voices)}", self._random.random())


def prepare(home: Path, models: list[Path]) -> list[tuple[Any, ...]]:
    """A library of `models` and of what must not be played; returns what must be refused, as OSC messages."""
    folder = home / "data" / "ambientd" / "models"
    folder.mkdir(parents=True)
    for path in models:
        (folder / path.name).symlink_to(path.resolve())
    whole = models[0].read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "no-model.safetensors").write_text("no weights")
    tiny, rate = Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1), load_card(models[0]).sample_rate
    for name, at, scale in (("other-rate", 2 * rate, 1.0), ("overflows", rate, 3e4)):
        checkpoint = random_checkpoint(tiny, 0, at)
        tensors = {key: np.asarray(tensor * scale, np.float32) for key, tensor in checkpoint.tensors.items()}
        tensors["sample.output.weight"] = np.full_like(tensors["sample.output.weight"], scale * 1e33)
        save(folder / f"{name}.safetensors", checkpoint.card, tensors, checkpoint.prime, half=False)
    loads = ("truncated", "no-model", "other-rate", "overflows", "nobody", "../truncated")
    return [*(("slot/1/load", name) for name in loads), ("slot/99/load", models[0].stem), ("slot/4/unload",)]


def perform(models: list[Path], operations: int, voices: int, fade: float, seed: int, still: bool) -> dict[str, Any]:
    """The whole evening: what was measured, and the faults that were heard."""
    with tempfile.TemporaryDirectory() as folder:
        home, rate = Path(folder), load_card(models[0]).sample_rate
        bad, names = prepare(home, models), [path.stem for path in models]
        recording = home / "heard.wav"
        first = ", ".join(f'{{model="{name}"}}' for name in names[:2])
        sets = ["audio.output=null", f"audio.sample_rate={rate}", f"slots=[{first}]", "max_slots=4"]
        sets += [f'sinks=[{{name="wav", path="{recording}", subtype="FLOAT"}}]', f"loading.fade={fade}"]
        daemon = Performer(home, sets)
        try:
            live = LiveSet(daemon, names, bad, voices, seed, still)
            live.slots = dict(enumerate(names[:2], 1))
            before = daemon.until(lambda s: s["memory_bytes"] and s["uptime_seconds"] > START_SECONDS + MEMORY_SECONDS)
            for _ in range(operations):
                live.operate()
            after = bring_back(daemon, live, names)
        finally:
            code = daemon.end(30)
        audio, _ = soundfile.read(recording, dtype="float32", always_2d=True)
    return judge(live.played, before, after, audio[int(START_SECONDS * rate) : -int(END_SECONDS * rate)], rate, code)


def bring_back(daemon: Performer, live: LiveSet, names: list[str]) -> dict[str, Any]:
    """Play what was played first; the status when memory has been measured again."""
    for number in sorted(live.slots):
        if number > 2:
            live.unload(number)
    for number, name in enumerate(names[:2], 1):
        live.load(number, name, "own")
    status = daemon.status() or {"uptime_seconds": 0}
    return daemon.until(lambda s: s["uptime_seconds"] > status["uptime_seconds"] + MEMORY_SECONDS)


def judge(
    played: Played, before: dict[str, Any], after: dict[str, Any], audio: Any, rate: int, code: int
) -> dict[str, Any]:
    """What a performance is measured by. audio: [frames, channels], as it was heard."""
    jumps = np.abs(np.diff(audio, axis=0))
    usual = float(np.percentile(jumps, PERCENTILE))
    growth = after["memory_bytes"] / before["memory_bytes"] - 1
    changes = played.changes
    above = [change for change in changes if change["jump"] > usual]
    result = {
        "changes": len(changes),
        "refused": played.refused,
        "seconds": round(after["uptime_seconds"], 1),
        "underruns": after["underruns"] - before["underruns"],
        "bed_seconds": round(after["bed_seconds"] - before["bed_seconds"], 2),
        "restarts": sum(process["restarts"] for process in after["processes"]),
        "longest_gap_ms": max(change["gap_ms"] for change in changes),
        "largest_level_step_db": max(change["level_step_db"] for change in changes),
        "largest_jump_at_a_change": max(change["jump"] for change in changes),
        "usual_largest_jump": round(usual, 5),
        "jumps_above": [[change["jump"], change["jump_around"]] for change in above],
        "largest_jump_of_all": round(float(jumps.max()), 5),
        "level_steps_above": sum(change["level_step_db"] >= MOST_STEP_DB for change in changes),
        "largest_heard_step_db": max(change["heard_step_db"] for change in changes),
        "heard_steps_above": sum(change["heard_step_db"] >= MOST_STEP_DB for change in changes),
        "usual_heard_step_db": usual_steps(audio, round(STEP_WINDOW * rate)),
        "largest_level_shift_db": max(change["level_shift_db"] for change in changes),
        "level_shifts_above": sum(change["level_shift_db"] >= MOST_STEP_DB for change in changes),
        "usual_level_shift_db": usual_steps(audio, round(WINDOW * rate)),
        "memory_mb": [round(status["memory_bytes"] / 1e6, 1) for status in (before, after)],
        "memory_growth": round(growth, 4),
        "wrong": played.wrong,
        "exit_code": code,
        "kinds": by_kind(played),
    }
    conditions = {
        "underruns": result["underruns"] == 0,
        "restarts": result["restarts"] == 0 and code == 0,
        "refusals": not played.wrong,
        "jumps": all(change["jump"] <= change["jump_around"] for change in above),
        "level_steps": result["largest_level_step_db"] < MOST_STEP_DB,
        "memory": growth <= MOST_GROWTH,
    }
    return result | {"met": conditions}


def usual_steps(audio: Any, window: int) -> dict[str, float]:
    """Between the levels of neighbouring windows, wherever they are: by the music and the turned knobs."""
    powers = np.square(audio[: len(audio) // window * window]).reshape(-1, window * audio.shape[1]).mean(axis=1)
    levels = 10 * np.log10(np.maximum(powers, 1e-12))
    steps = np.abs(np.diff(levels))[np.minimum(levels[1:], levels[:-1]) > FLOOR_DB]
    return {f"{share}%": round(float(np.percentile(steps, share)), 2) for share in (50, 90, 99, 100)}


def by_kind(played: Played) -> list[dict[str, Any]]:
    """How each kind of change came out: its number, medians and worst."""
    rows = []
    for kind in sorted({change["kind"] for change in played.changes}):
        changes = [change for change in played.changes if change["kind"] == kind]
        row: dict[str, Any] = {"kind": kind, "number": len(changes)}
        for name in COLUMNS:
            values = [change[name] for change in changes]
            row[name], row[f"most_{name}"] = round(statistics.median(values), 4), round(max(values), 4)
        rows.append(row)
    return rows


def show(result: dict[str, Any]) -> None:
    """For people."""
    print("  ".join(["change      ", "number", *(f"{name:>18}" for name in COLUMNS)]), "(median, most)")
    for row in result["kinds"]:
        cells = [f"{row[name]:9.3f} {row[f'most_{name}']:8.3f}" for name in COLUMNS]
        print("  ".join([f"{row['kind']:12}", f"{row['number']:6}", *cells]))
    for key, value in result.items():
        if key not in ("kinds", "met"):
            print(f"{key.replace('_', ' '):26} {value}")
    for name, met in result["met"].items():
        print(f"{name.replace('_', ' '):26} {'as it must be' if met else 'NOT AS IT MUST BE'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--models", type=Path, nargs="+", help="Files; by default the bundled ones.")
    parser.add_argument("--voices", type=int, default=3, help="At most so many at once, besides one that leaves.")
    parser.add_argument("--fade", type=float, default=2.0, help="Seconds, as loading.fade.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--still", action="store_true", help="Turn no knobs: what is left is the changes' and music's.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    models = asked.models or sorted(library.bundled_folder().glob(f"*{library.SUFFIX}"))
    result = perform(models, asked.operations, asked.voices, asked.fade, asked.seed, asked.still)
    if asked.json:
        print(json.dumps(result))
    else:
        show(result)
    return 0 if all(result["met"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
