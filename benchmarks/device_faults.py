"""Takes the audio device away and gives it back, time after time: how soon there is sound again, and at which pitch.

    python benchmarks/device_faults.py --cycles 100
    python benchmarks/device_faults.py --cycles 1 --fault hung --json

A real player process on a private PulseAudio (for `jack-rate`: jackd). A tone lies in the ring, in the generator's
place; the sink's monitor is recorded, and so is the tap, where recordings and streams listen: it must stay whole.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd.audio.bed import Bed
from ambientd.audio.controls import PlayerControl
from ambientd.audio.player import MODULE, PlayerConfig, PlayerStatus
from ambientd.ipc.child import Child, Message
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.tap import Tap, TapReader
from ambientd.ipc.values import Values
from ambientd.soak.device_faults import (
    FAULTS,
    MOST_ELSEWHERE,
    MOST_PITCH,
    MOST_SECONDS,
    PATIENCE,
    Return,
    heard_again,
    plug_other,
    suffer,
)
from ambientd.soak.sound_servers import RATE, SINK, Jack, Pulse, Server

SOURCE_RATE, CHANNELS = 16_000, 2
TONE, LEVEL = 1_000.0, 0.3


class Stage:
    """What the supervisor owns, a tone in the ring, and a listener at the tap."""

    def __init__(self, device: str, server: Server) -> None:
        frames = SOURCE_RATE
        shapes = {"ring": Ring.nbytes(frames, CHANNELS), "bed": Bed.nbytes(frames, CHANNELS),
                  "tap": Tap.nbytes(4 * RATE, CHANNELS), "control": Values.nbytes(len(PlayerControl)),
                  "status": Values.nbytes(len(PlayerStatus))}  # fmt: skip
        self._segments = {name: Segment.create(size) for name, size in shapes.items()}
        self._ring = Ring(self._segments["ring"], frames, CHANNELS)
        control = Values(self._segments["control"], len(PlayerControl))
        control[PlayerControl.VOLUME] = control[PlayerControl.PLAYING] = 1.0
        self._tap = TapReader(self._segments["tap"], 4 * RATE, CHANNELS)
        self._config = PlayerConfig(
            **{f"{name}_fd": segment.fd for name, segment in self._segments.items()},
            ring_frames=frames, resume_frames=frames // 2, bed_frames=frames, tap_frames=4 * RATE,
            source_rate=SOURCE_RATE, channels=CHANNELS, device=device, device_rate=RATE,
        )  # fmt: skip
        self._stopping = threading.Event()
        self._tapped: list[NDArray[np.float32]] = []
        self._fill()
        self.output: Message = {}
        self.player = Child.spawn(MODULE, self._config.to_json(), self._config.fds, env=server.env)
        self._threads = [threading.Thread(target=self._often, args=(call,)) for call in (self._fill, self._listen)]
        for thread in self._threads:
            thread.start()

    def until_output(self, name: str) -> None:
        """Wait until the player says that this is where it plays."""
        deadline = time.monotonic() + PATIENCE
        while self.output.get("output") != name:
            for event in self.player.poll():
                self.output = event
            if time.monotonic() > deadline or not self.player.alive:
                sys.exit(f"the player does not go to {name}: {self.output}, exit {self.player.returncode}")
            time.sleep(0.01)

    def breaks(self) -> int:
        """Frames of the tap since the last call at which the tone does not go on as a tone does."""
        tapped, self._tapped = self._tapped, self._tapped[-1:]
        audio = np.concatenate(tapped).astype(np.float64)
        bend = audio[2:] - 2 * np.cos(2 * np.pi * TONE / RATE) * audio[1:-1] + audio[:-2]
        return int(np.count_nonzero(np.abs(bend) > 1e-3 * LEVEL)) + self._tap.lost

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self.player.close()
        for segment in self._segments.values():
            segment.close()

    def _often(self, call: Callable[[], None]) -> None:
        while not self._stopping.wait(0.01):
            call()

    def _fill(self) -> None:
        at = self._ring.written + np.arange(self._ring.free)
        tone = LEVEL * np.sin(2 * np.pi * TONE / SOURCE_RATE * at)
        self._ring.write(np.repeat(tone.astype(np.float32)[:, None], CHANNELS, axis=1))

    def _listen(self) -> None:
        out = np.empty((RATE, CHANNELS), np.float32)
        while count := self._tap.read_into(out):
            self._tapped.append(out[:count, 0].copy())


@contextmanager
def staged(device: str, server: Server) -> Iterator[Stage]:
    stage = Stage(device, server)
    try:
        stage.until_output(device)
        time.sleep(0.5)  # the player's own first fade is no break
        stage.breaks()
        yield stage
    finally:
        stage.close()


def frequency(audio: NDArray[np.float32], rate: int) -> float:
    """Of the tone [n] in it, Hz: the slope of its phase against TONE, over pieces in which the two stay close."""
    turned = audio * np.exp(-2j * np.pi * TONE / rate * np.arange(len(audio)))
    piece = 2 * round(rate / TONE)
    means = turned[: len(turned) // piece * piece].reshape(-1, piece).mean(axis=1)
    slope = np.polyfit(np.arange(len(means)), np.unwrap(np.angle(means)), 1)[0]
    return TONE + float(slope) * rate / piece / (2 * np.pi)


def pulse_cycles(fault: str, cycles: int, folder: Path) -> Iterator[dict[str, Any]]:
    with Pulse(folder) as pulse:
        plug_other(pulse)
        device = "default" if fault == "default" else SINK
        with staged(device, pulse) as stage:
            for cycle in range(cycles):
                yield _row(fault, cycle, suffer(FAULTS[fault], stage.until_output, pulse, device), RATE, stage)


def jack_cycles(fault: str, cycles: int, folder: Path) -> Iterator[dict[str, Any]]:
    """jackd is killed and comes back at 44.1 kHz, and the next time at 48 kHz: there it is the player who resamples."""
    rates = [44_100, RATE]
    jack = Jack(folder)
    with staged(jack.device, jack) as stage:
        for cycle in range(cycles):
            jack.__exit__(None, None, None)
            stage.until_output("null")
            jack = Jack(folder, rate=rates[cycle % 2])
            since = time.monotonic()
            stage.until_output(jack.device)
            yield _row(fault, cycle, heard_again(jack, since), jack.rate, stage)
    jack.__exit__(None, None, None)


def _row(fault: str, cycle: int, again: Return, rate: int, stage: Stage) -> dict[str, Any]:
    share = frequency(again.audio[-int(1.5 * rate) :], rate) / TONE if np.isfinite(again.seconds) else 0.0
    return {
        "fault": fault,
        "cycle": cycle,
        "seconds": round(again.seconds, 3),
        "pitch_percent": round(100 * (share - 1), 5),
        "device_rate": stage.output["device_rate"],
        "breaks": stage.breaks(),
        "elsewhere": again.elsewhere,
    }


def holds(row: dict[str, Any]) -> bool:
    """What is promised."""
    in_time = row["seconds"] <= MOST_SECONDS and abs(row["pitch_percent"]) <= 100 * MOST_PITCH
    return in_time and row["breaks"] == 0 and row["elsewhere"] <= MOST_ELSEWHERE.get(row["fault"], 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=1)
    parser.add_argument("--fault", nargs="+", choices=[*FAULTS, "jack-rate"], default=[*FAULTS, "jack-rate"])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for fault in asked.fault:
        make = jack_cycles if fault == "jack-rate" else pulse_cycles
        if missing := (Jack if fault == "jack-rate" else Pulse).missing():
            print(f"{fault}: left out, for {', '.join(missing)} is missing", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in make(fault, asked.cycles, Path(folder)):
                rows.append(row)
                if not asked.json:
                    print("{fault:10} {cycle:4} {seconds:7.3f} s {pitch_percent:+9.5f} % {device_rate:6} Hz "
                          "{breaks} breaks {elsewhere} elsewhere".format(**row), flush=True)  # fmt: skip
    if asked.json:
        print(json.dumps(rows))
    sys.exit(not all(map(holds, rows)))


if __name__ == "__main__":
    main()
