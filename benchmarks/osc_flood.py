"""A flood of OSC against a real daemon: 500 sound and 5 000 malformed datagrams a second.

    python benchmarks/osc_flood.py --seconds 60

Each fourth millisecond one knob is turned and asked for from one socket, and 20 kinds of garbage come from another.
The latency is from the datagram that turns the knob to the answer that shows it turned. Ends with 1 when there was
an underrun, the latency's 95th percentile reached 200 ms, or memory or log grew.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from ambientd.soak.running import Running, process

STEP_SECONDS = 0.004
GARBAGE_PER_STEP = 20
START_PATIENCE = 240.0
"""Seconds. The very first start compiles the kernels."""
KNOB = "/ambientd/slot/1/pan/value"
MOST_GROWTH_MB, MOST_LOG_KB, MOST_P95_MS = 16.0, 16.0, 200.0


def message(address: str, *values: float) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return bytes(builder.build().dgram)


def garbage() -> list[bytes]:
    """GARBAGE_PER_STEP kinds."""
    sound = message("/ambientd/volume", 0.5)
    nested = sound
    for _ in range(50):
        nested = b"#bundle\0" + bytes(8) + struct.pack(">i", len(nested)) + nested
    kinds = [
        sound[:-3], sound[:-4], sound[4:], nested, b"", bytes(4), bytes(1000), os.urandom(64), b"/" * 400,
        b"#bundle\0" + bytes(8) + struct.pack(">i", -4),
        b"#bundle\0" + bytes(8) + struct.pack(">i", 2**31 - 1) + sound,
        *(sound[:-4] + struct.pack(">f", float(value)) for value in ("nan", "inf", "-inf")),
        *(message(pattern, 0.5) for pattern in ("/[a", "/{a,{b}}", "/a]")),
        b"/a\0\0,b\0\0" + struct.pack(">i", -1), b"/a\0\0,s\0\0\xff\0\0\0", b"/" + b"*a" * 200 + bytes(3),
    ]  # fmt: skip
    assert len(kinds) == GARBAGE_PER_STEP
    return kinds


class Daemon(Running):
    """To the clock, unless `sets` say otherwise. log: what it prints."""

    def __init__(self, folder: Path, sets: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as log:
            super().__init__(folder, ["audio.output=null", *sets], environment, log)

    def memory(self, status: dict[str, Any]) -> dict[str, float]:
        """Megabytes in memory, by role."""
        pids = {row["role"]: str(row["pid"]) for row in status["processes"]}
        asked = {role: ["ps", "-o", "rss=", "-p", pid] for role, pid in pids.items()}
        return {role: int(subprocess.check_output(ask)) / 1024 for role, ask in asked.items()}


def plays(status: dict[str, Any]) -> bool:
    return bool(process(status, "generator")["state"] == "running" and status["ring_seconds"] > 0.05)


def flood(port: int, seconds: float) -> tuple[list[float], int]:
    """Latencies in ms, and how many questions were asked."""
    target = ("127.0.0.1", port)
    kinds, sent, latencies = garbage(), {}, []
    with socket.socket(type=socket.SOCK_DGRAM) as player, socket.socket(type=socket.SOCK_DGRAM) as vandal:
        player.bind(("127.0.0.1", 0))
        start = time.monotonic()
        for step in count():
            due = start + step * STEP_SECONDS
            ends = due >= start + seconds
            while (left := due + ends - time.monotonic()) > 0 and (not ends or sent):
                if select.select([player], [], [], left)[0]:
                    value = round(OscMessage(player.recv(1024)).params[0], 3)
                    if value in sent:
                        latencies.append(1000 * (time.monotonic() - sent.pop(value)))
            if ends:
                return latencies, step
            value = round(step % 1000 / 1000, 3)
            sent[value] = time.monotonic()
            player.sendto(message(KNOB, value), target)
            player.sendto(message(KNOB), target)
            for packet in kinds:
                vandal.sendto(packet, target)
    raise AssertionError


def measure(seconds: float, sets: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder), sets)
        try:
            before = daemon.until(plays, START_PATIENCE)
            flood(before["osc"]["port"], min(1.0, seconds))  # so that what is made once is made
            memory, log = daemon.memory(before), daemon.log.stat().st_size
            latencies, asked = flood(before["osc"]["port"], seconds)
            after = daemon.until(bool)
            grown = {role: mb - memory[role] for role, mb in daemon.memory(after).items()}
            log = daemon.log.stat().st_size - log
        finally:
            daemon.end(30)
    ordered = sorted(latencies)
    counters = ("handled", "malformed", "dropped", "rejected")
    return {
        "seconds": seconds,
        "sound_per_second": 2 * asked / seconds,
        "malformed_per_second": GARBAGE_PER_STEP * asked / seconds,
        "unanswered": asked - len(latencies),
        "p50_ms": round(ordered[len(ordered) // 2], 2),
        "p95_ms": round(ordered[int(0.95 * len(ordered))], 2),
        "max_ms": round(ordered[-1], 2),
        "underruns": after["underruns"] - before["underruns"],
        "late_blocks": after["late_blocks"] - before["late_blocks"],
        "supervisor_mb": round(memory["supervisor"], 1),
        "supervisor_growth_mb": round(grown["supervisor"], 2),
        "generator_growth_mb": round(grown["generator"], 2),
        "player_growth_mb": round(grown["player"], 2),
        "log_growth_bytes": log,
        **{name: after["osc"][name] - before["osc"][name] for name in counters},
    }


def faults(result: dict[str, Any]) -> list[str]:
    """What was too much."""
    limits = {"underruns": 0, "p95_ms": MOST_P95_MS, "supervisor_growth_mb": MOST_GROWTH_MB}
    limits |= {"log_growth_bytes": 1024 * MOST_LOG_KB, "rejected": 0}
    return [f"{name} is {result[name]}, more than {limit:g}" for name, limit in limits.items() if result[name] > limit]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--set", dest="sets", nargs="*", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    result = measure(asked.seconds, asked.sets)
    if asked.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):24}{value:>12}")
    found = faults(result)
    for fault in found:
        print(fault, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
