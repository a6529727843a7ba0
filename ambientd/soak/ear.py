"""Hears what the daemon plays: a thread of the soak's process that reads a recorder, or the tap's sink.

The last minutes are kept, by frame number; a scenario marks where it begins and listens to what came since.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import numpy as np

from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.arrays import Floats

KEPT_SECONDS = 600.0
SINK = '''"""The sink `ear`: what is played, raw, into a pipe that somebody listens at."""
from pathlib import Path
from ambientd.plugin import Sink, StrictModel, hookimpl

class EarConfig(StrictModel):
    path: Path

class Ear(Sink):
    name = "ear"
    Config = EarConfig

    def __init__(self, config, sample_rate, channels):
        super().__init__(config, sample_rate, channels)
        self._pipe = config.path.open("wb", buffering=0)

    def write(self, audio):
        left = memoryview(audio[:, 0].tobytes())
        while left:
            left = left[self._pipe.write(left):]

    def close(self):
        self._pipe.close()

@hookimpl
def register_sinks():
    return [Ear]
'''
"""A plugin file for the daemon's own plugin folder."""


class Ear:
    """Reads float32 mono at `rate` from the descriptor `fd` until it ends, and then closes it."""

    def __init__(self, fd: int, rate: int) -> None:
        self.rate = rate
        self.frames = 0
        """Heard so far."""
        self._kept = np.zeros(int(KEPT_SECONDS * rate), np.float32)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._hear, args=(fd,), name="ear", daemon=True)
        self._thread.start()

    def since(self, frame: int) -> Floats:
        """What came from that frame on [frames], a copy. Raises UsageError where it is not kept any more."""
        with self._lock:
            if self.frames - frame > len(self._kept):
                raise UsageError(f"only {KEPT_SECONDS:g} s of what was heard are kept", "Listen more often")
            return self._kept.take(np.arange(frame, self.frames), mode="wrap")

    def _hear(self, fd: int) -> None:
        rest = b""
        with os.fdopen(fd, "rb", buffering=0) as pipe:
            while chunk := pipe.read(1 << 16):
                whole = len(rest + chunk) // 4 * 4
                audio = np.frombuffer((rest + chunk)[:whole], np.float32)
                rest = (rest + chunk)[whole:]
                with self._lock:
                    self._kept.put(np.arange(self.frames, self.frames + len(audio)), audio, mode="wrap")
                    self.frames += len(audio)
