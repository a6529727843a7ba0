"""From a datagram or a MIDI message to the sound: the real daemon, recorded from PulseAudio's null sink and from jackd.

    python benchmarks/latency.py                                            everything, in ten minutes
    python benchmarks/latency.py --steps 20 --output pulse --latency live --knob volume

One knob jumps between two values at uneven times; each jump is timed from its sending to the middle of the change in
the recorded level. The model draws a tone of even level: only the knob changes it. Knobs: volume (OSC; the player's),
gain (OSC; a slot's, so it waits for what is in the ring), cc (volume again, from a JACK MIDI client). Ends with 1 when
a 95th percentile of volume or cc misses its target or sound was dropped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from hearing import gaps, level, onsets
from osc_flood import START_PATIENCE, Daemon, message

from ambientd.soak.recording import Recording
from ambientd.soak.sound_servers import Jack, Pulse, Server

SERVERS: dict[str, type[Server]] = {"pulse": Pulse, "jack": Jack}
KNOBS = {"volume": "/ambientd/volume/value", "gain": "/ambientd/slot/1/gain/value", "cc": "cc 7"}
STEP_SECONDS = {"live": 0.3, "normal": 0.6}
RARER = {"gain": 2.0}
"""A slot's gain is on its way for so long that the next jump would be taken for it."""
MOST_P95_MS = {("pulse", "live"): 150.0, ("jack", "live"): 60.0}
LOW, HIGH = 0.3, 0.9
CLICKS = 40
MIDI_CLIENT = "latency"
CONTROLLER = f"""
name = "latency"
port = "{MIDI_CLIENT}"
takeover = "jump"

[[map]]
cc = 7
to = "volume"
"""
COUNTERS = ("underruns", "late_blocks", "device_underflows", "bed_seconds")
Send = Callable[[float], None]


def write_tone(path: Path) -> None:
    """A checkpoint that draws one of two opposite levels at random: noise whose short-time level stands still."""
    from ambientd.samplernn import checkpoint as ck
    from ambientd.samplernn.quantize import decode_table

    architecture = ck.Architecture(dim=128, frame_sizes=(16, 64), n_rnn=1, pre_emphasis=0.0, album_gain=1.0)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in architecture.shapes().items()}
    nearest = np.abs(np.abs(decode_table(256, "mu-law")) - 0.4)
    bias = np.full(256, -40.0, np.float32)
    bias[[np.argmin(nearest[:128]), 128 + np.argmin(nearest[128:])]] = 0.0
    tensors["sample.output.bias"] = bias
    prime = np.full((2, 128), 128, np.uint8)
    card = ck.Card(architecture=architecture, sample_rate=16_000, album=ck.Album(title="a tone"))
    ck.save(path, card, tensors, prime)


def start(server: Server, latency: str, folder: Path, sets: list[str]) -> Daemon:
    """The daemon, playing the tone to `server`."""
    models = folder / "data" / "ambientd" / "models"
    models.mkdir(parents=True)
    write_tone(models / "tone.safetensors")
    (folder / "cc.toml").write_text(CONTROLLER)
    words = ["audio.output=device", f"audio.device={server.device}", f"latency={latency}", "midi.api=jack"]
    words += ['slots=[{model="tone"}]', f'midi.controllers=["{folder / "cc.toml"}"]']
    return Daemon(folder, words + sets, server.env)


def sender(knob: str, port: int, stack: ExitStack) -> Send:
    """What turns the knob."""
    if knob == "cc":
        import rtmidi

        out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name=MIDI_CLIENT)
        stack.callback(out.delete)
        out.open_virtual_port("midi")
        return lambda value: out.send_message([0xB0, 7, round(127 * value)])
    line = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    return lambda value: line.sendto(message(KNOBS[knob], value), ("127.0.0.1", port)) and None


def turn(send: Send, steps: int, seconds: float) -> list[float]:
    """When each jump was sent; the first is to LOW. The times are uneven, so as to meet a block at any place."""
    chance = random.Random(1)
    sent = []
    for step in range(steps):
        time.sleep(seconds * chance.uniform(0.9, 1.2))
        sent.append(time.monotonic())
        send(HIGH if step % 2 else LOW)
    time.sleep(1.5)
    return sent


def delays(sent: list[float], recording: Recording) -> tuple[list[float], int]:
    """(milliseconds from each jump to its sound, gaps in it). Not heard before the next but one, it is lost."""
    audio, when = recording.stop()
    inside = (when > sent[0]) & (when < sent[-1])
    levels = level(audio)
    low, high = np.percentile(levels[inside], [20, 80])
    changes = [(when[frame], rises) for frame, rises in onsets(levels, low, high)]
    found = []
    for step, at in enumerate(sent):
        until = [*sent[step + 2 : step + 3], at + 1.5][0]
        heard = [change for change, rises in changes if rises == bool(step % 2) and at < change <= until]
        found += [1000 * (heard[0] - at)] if heard else []
    return found, gaps(audio[inside])


def click_delays(server: Server) -> list[float]:
    """What server and recorder take by themselves, in ms: a click made inside the server, or by a bare client."""
    with ExitStack() as stack:
        click = server.clicker(stack)
        recording = Recording(server)
        recording.until_heard()
        chance, sent = random.Random(2), []
        for _ in range(CLICKS):
            time.sleep(chance.uniform(0.15, 0.2))
            sent.append(time.monotonic())
            click()
        time.sleep(0.5)
        audio, when = recording.stop()
    loud = np.abs(audio) > 0.4
    heard = when[1:][loud[1:] & ~loud[:-1]]
    return [1000 * (heard[heard > at - 0.02][0] - at) for at in sent if (heard > at - 0.02).any()]


def spread(prefix: str, values: list[float]) -> dict[str, float | None]:
    """Median, 95th percentile and most."""
    if not values:
        return dict.fromkeys((f"{prefix}_p50_ms", f"{prefix}_p95_ms", f"{prefix}_max_ms"))
    numbers = np.percentile(values, [50, 95, 100]).round(1).tolist()
    return dict(zip((f"{prefix}_p50_ms", f"{prefix}_p95_ms", f"{prefix}_max_ms"), numbers, strict=True))


def settled(status: dict[str, Any]) -> bool:
    """The tone is heard rather than the bed, and has been."""
    ports = status["midi"]["ports"] or status["midi"]["server"] is False
    return bool(status["playing"] and ports and status["uptime_seconds"] > 5 and status["ring_seconds"] > 0.01)


def measure(output: str, latency: str, knobs: list[str], steps: int, sets: list[str]) -> list[dict[str, Any]]:
    """A row for each knob."""
    rows = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(SERVERS[output](folder))
        clicks = click_delays(server)
        if "cc" in knobs and output != "jack":
            server.env |= stack.enter_context(Jack(folder, output)).env
        os.environ.update({key: value for key, value in server.env.items() if key.startswith("JACK")})
        daemon = start(server, latency, folder, sets)
        stack.callback(daemon.end, 30)
        started = daemon.until(lambda status: bool(status["osc"]), START_PATIENCE)
        sends = {knob: sender(knob, started["osc"]["port"], stack) for knob in ["cc", *knobs] if knob in knobs}
        daemon.until(settled if "cc" in knobs else lambda s: settled(s | {"midi": {"ports": True}}), START_PATIENCE)
        for knob, send in sends.items():
            recording = Recording(server)
            recording.until_heard()
            send(HIGH)
            before, dropped = daemon.until(bool), server.dropped
            found, silent = delays(turn(send, steps, STEP_SECONDS[latency] * RARER.get(knob, 1.0)), recording)
            after = daemon.until(bool)
            send(HIGH)
            counted = {counter: round(after[counter] - before[counter], 2) for counter in COUNTERS}
            row = {"output": output, "latency": latency, "knob": knob, "steps": steps, "lost": steps - len(found)}
            rows.append(
                row | spread("sound", found) | {"server_dropped": server.dropped - dropped, "gaps": silent} | counted
                | spread("click", clicks)
            )  # fmt: skip
    return rows


def faults(row: dict[str, Any]) -> list[str]:
    """What missed its target in a row."""
    name = " ".join((row["output"], row["latency"], row["knob"]))
    limits = {"lost": 0, "gaps": 0, "underruns": 0, "late_blocks": 0}
    if row["knob"] != "gain" and (row["output"], row["latency"]) in MOST_P95_MS:
        limits["sound_p95_ms"] = MOST_P95_MS[row["output"], row["latency"]]
    return [f"{name}: {key} is {row[key]}, not <= {most:g}" for key, most in limits.items() if (row[key] or 0) > most]


def table(rows: list[dict[str, Any]]) -> str:
    """As benchmarks/latency.md has it."""
    heads = ["output", "latency", "knob", "median ms", "p95 ms", "most ms", "click ms", "lost", "gaps", "underruns",
             "late blocks", "device underflows", "server dropped"]  # fmt: skip
    keys = ["output", "latency", "knob", "sound_p50_ms", "sound_p95_ms", "sound_max_ms", "click_p50_ms", "lost", "gaps",
            "underruns", "late_blocks", "device_underflows", "server_dropped"]  # fmt: skip
    lines = [heads, ["---"] * len(heads), *([str(row[key]) for key in keys] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--latency", nargs="+", choices=STEP_SECONDS, default=list(STEP_SECONDS))
    parser.add_argument("--knob", nargs="+", choices=KNOBS, default=list(KNOBS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--set", dest="sets", nargs="*", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    kinds = [*asked.output, *(["jack"] if "cc" in asked.knob else [])]
    if missing := [program for kind in kinds for program in SERVERS[kind].missing()]:
        sys.exit(f"this needs {', '.join(missing)}")
    rows = []
    for output in asked.output:
        for latency in asked.latency:
            rows += measure(output, latency, asked.knob, asked.steps, asked.sets)
    print(json.dumps(rows) if asked.json else table(rows))
    found = [fault for row in rows for fault in faults(row)]
    for fault in found:
        print(fault, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
