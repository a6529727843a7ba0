"""What a sound server plays, with when it was heard. Of `ambientd soak` and of the benchmarks, in their own process."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from ambientd.soak.scenario import Missed
from ambientd.soak.sound_servers import Server

if TYPE_CHECKING:
    from ambientd.arrays import Doubles, Floats


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
        """Wait for a first chunk. Raises Missed when there is none."""
        deadline = time.monotonic() + seconds
        while not self._chunks:
            if time.monotonic() > deadline or not self._thread.is_alive():
                self._process.kill()
                raise Missed("the recorder hears nothing")
            time.sleep(0.01)

    def so_far(self) -> Floats:
        """[n]: what has been heard until now."""
        return np.frombuffer(b"".join(chunk for _, chunk in list(self._chunks)), np.float32)

    def stop(self) -> tuple[Floats, Doubles]:
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
