"""When a recording changes: what a recorder writes to its output, on the clock of `time.monotonic`."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import numpy as np
from numpy.typing import NDArray

from ambientd.soak.sound_servers import RATE, Server

WINDOW = 96
"""Frames of the short-time level: 2 ms."""
GAP = 48
"""Frames of silence, 1 ms, that the tone itself never has."""


class Recording:
    """A server's recorder, running. In a thread of its own each chunk is stamped when it arrives."""

    def __init__(self, server: Server, sink: str = "") -> None:
        """sink: which of PulseAudio's, where not the one that is measured."""
        self._rate = server.rate
        self._process = subprocess.Popen(
            server.recorder(sink),
            env=server.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._chunks: list[tuple[float, bytes]] = []
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def until_heard(self, seconds: float = 10.0) -> None:
        """Wait for a first chunk. RuntimeError when there is none."""
        deadline = time.monotonic() + seconds
        while not self._chunks:
            if time.monotonic() > deadline or not self._thread.is_alive():
                self._process.kill()
                raise RuntimeError("the recorder hears nothing")
            time.sleep(0.01)

    def so_far(self) -> NDArray[np.float32]:
        """[n]: what has been heard until now."""
        return np.frombuffer(b"".join(chunk for _, chunk in list(self._chunks)), np.float32)

    def stop(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(audio [n], when each frame was heard [n] in seconds).

        A chunk's first frame counts as heard when the chunk arrives, never sooner. As recorder and clock keep the
        same time, a chunk's own lateness in reaching this process is taken out by the median of its neighbours.
        """
        self._process.kill()
        self._process.wait()
        self._thread.join()
        audio = self.so_far()
        lengths = np.array([len(chunk) // 4 for _, chunk in self._chunks])
        starts = np.cumsum(lengths) - lengths
        offsets = np.array([at for at, _ in self._chunks]) - starts / self._rate
        seconds = starts // self._rate
        whole = np.unique(seconds)
        medians = np.array([np.median(offsets[seconds == second]) for second in whole])
        frames = np.arange(len(audio))
        return audio, frames / self._rate + np.interp(frames, (whole + 0.5) * self._rate, medians)

    def _hear(self) -> None:
        assert self._process.stdout
        while chunk := os.read(self._process.stdout.fileno(), 65_536):
            self._chunks.append((time.monotonic(), chunk))


def level(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square over WINDOW frames around each [n]."""
    power = np.convolve(np.square(audio, dtype=np.float64), np.ones(WINDOW) / WINDOW, mode="same")
    return np.sqrt(np.maximum(power, 0.0))


def onsets(levels: NDArray[np.float64], low: float, high: float) -> list[tuple[int, bool]]:
    """(frame, rises): where the level crosses the middle of low and high on its way across their inner half.

    The inner half's edges make it a Schmitt trigger, so that what flickers about the middle is one change.
    """
    middle, reach = (low + high) / 2, (high - low) / 4
    state = np.where(levels > middle + reach, 1, np.where(levels < middle - reach, -1, 0))
    settled = np.flatnonzero(state)
    changes = settled[1:][state[settled[1:]] != state[settled[:-1]]]
    found = []
    for frame in changes:
        rises = bool(state[frame] > 0)
        before = levels[: frame + 1][max(0, frame - RATE) :]
        beyond = before < middle if rises else before > middle
        found.append((int(frame - len(before) + 2 + np.flatnonzero(beyond)[-1]), rises))
    return found


def gaps(audio: NDArray[np.float32]) -> int:
    """Stretches of silence of GAP frames and more."""
    sounds = np.flatnonzero(np.abs(audio) > 1e-6)
    return int(np.count_nonzero(np.diff(sounds) > GAP))
