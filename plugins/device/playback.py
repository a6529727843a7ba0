"""Plays what comes through its standard input to one audio device. A process of its own, the sink's child.

    python -m ambientd_plugins.device.playback DEVICE SAMPLE_RATE CHANNELS BUFFER_SECONDS

Threads: main (reads, and ends the process when the device takes nothing more), feeder (resamples, a block ahead), the
device's callback, which only copies.
"""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ambientd.plugin import Follower, guard_against_moves, name_stream

if TYPE_CHECKING:
    from ambientd.arrays import Floats

BLOCK_SECONDS, LATENCY = 0.02, 0.25
STALL_SECONDS = 2.0


class Playback:
    """A running device. channels: of the sound, and asked of the device."""

    def __init__(self, device: str | int, sample_rate: int, channels: int, buffer: float) -> None:
        import sounddevice as sd

        self._rate = _rate(sd, device, sample_rate, channels)
        self._block = int(BLOCK_SECONDS * self._rate)
        self._ready: queue.Queue[Floats] = queue.Queue(2)
        self._lock = threading.Lock()
        self._follower = Follower(sample_rate, self._rate, channels, buffer)
        self.fed = 0
        """Blocks."""
        self._stream: Any = sd.OutputStream(
            samplerate=self._rate, blocksize=self._block, device=device, channels=channels, dtype="float32",
            latency=LATENCY, callback=self._callback,
        )  # fmt: skip
        threading.Thread(target=self._feed, name="feeder", daemon=True).start()
        self._stream.start()

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def push(self, audio: Floats) -> None:
        """Sound has come, [n, channels]."""
        with self._lock:
            self._follower.push(audio)

    def _feed(self) -> None:
        while True:
            with self._lock:
                block = self._follower.pull(self._block)
            self._ready.put(block)
            self.fed += 1

    def _callback(self, out: Floats, frames: int, when: object, status: object) -> None:
        try:
            out[:] = self._ready.get(timeout=LATENCY / 2)
        except queue.Empty:
            out[:] = 0.0


def _rate(sd: Any, device: str | int, wanted: int, channels: int) -> int:
    """The sound's rate where the device takes it, else the device's own."""
    try:
        sd.check_output_settings(device=device, channels=channels, dtype="float32", samplerate=wanted)
    except sd.PortAudioError:
        return int(sd.query_devices(device, "output")["default_samplerate"])
    return wanted


def main() -> None:
    """Play until the input ends; any trouble with the device ends the process, and the sink makes another."""
    name, sample_rate, channels, buffer = sys.argv[1:]
    frame = 4 * int(channels)
    if name != "default":
        name_stream(f"sink.{name}")
    playback = Playback(int(name) if name.isdigit() else name, int(sample_rate), int(channels), float(buffer))
    if name != "default":
        guard_against_moves(lost=lambda: os._exit(1))
    fed, since = 0, time.monotonic()
    rest = b""
    while playback.active and time.monotonic() - since < STALL_SECONDS:
        if playback.fed != fed:
            fed, since = playback.fed, time.monotonic()
        if select.select([0], [], [], 0.1)[0]:
            data = os.read(0, 1 << 16)
            if not data:
                break
            rest += data
            whole = len(rest) // frame * frame
            playback.push(np.frombuffer(rest[:whole], np.float32).reshape(-1, int(channels)))
            rest = rest[whole:]
    os._exit(0)  # closing a dead device can hang


if __name__ == "__main__":
    main()
