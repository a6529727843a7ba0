"""`ambientd run` as a test runs it: real processes, in a home of its own, playing to the clock and recorded."""

from __future__ import annotations

import os
import signal
import subprocess

import numpy as np
import soundfile

from ambientd.samplernn import checkpoint as ck
from ambientd.soak import running
from ambientd.soak.running import makes_new_sound, process
from ambientd.soak.scenario import Missed

__all__ = ["RATE", "Running", "makes_new_sound", "process", "write_calm_model"]

RATE = 16_000


def undisturbed(attempt, times=3):
    """attempt() -> (what was found, whether the machine kept somebody waiting): the first that it left alone, or fail.

    For promises that no program can keep on a machine that stands still.
    """
    for _ in range(times):
        found, disturbed = attempt()
        if not disturbed:
            return found
    raise AssertionError(f"{times} times; was the machine too busy? {found}")


def bed_is_over(status):
    """True once it has not been heard for half a second."""
    since = [status]

    def over(status):
        if status["bed_seconds"] != since[0]["bed_seconds"]:
            since[0] = status
        return status["uptime_seconds"] > since[0]["uptime_seconds"] + 0.5

    return over


def write_calm_model(path, level=0.2):
    """A model that draws soft low-passed noise: smooth enough for a click to stand out."""
    architecture = ck.Architecture(dim=16, frame_sizes=(8, 16), n_rnn=1, pre_emphasis=0.95, album_gain=0.02 / level)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in architecture.shapes().items()}
    tensors["sample.output.bias"] = (-np.abs(np.arange(256) - 128) / 4).astype(np.float32)
    prime = np.full((2, 64), 128, np.uint8)
    ck.save(path, ck.Card(architecture=architecture, sample_rate=RATE, album=ck.Album(title=path.stem)), tensors, prime)


class Running(running.Running):
    """`ambientd run` in a home of its own."""

    def __init__(self, home, *sets, output="null", environment=None, words=(), recorded=True):
        """words: of the command line, before --set. recorded: with the sink that `recorded` reads."""
        self.recording = home / "heard.wav"
        sink = [f'sinks=[{{name="wav", path="{self.recording}", subtype="FLOAT"}}]'] if recorded else []
        own = [f"audio.output={output}", *sink, *sets]
        super().__init__(home, own, environment, subprocess.PIPE, text=True, options=words)

    def until(self, condition, seconds=60):
        """As the soak's; a daemon that has ended is quoted."""
        try:
            return super().until(condition, seconds)
        except Missed as missed:
            said = self.process.stderr.read() if self.process.poll() is not None else ""
            raise AssertionError(f"{missed} {said}") from None

    def said(self, text):
        """Wait for a line on the daemon's stderr."""
        lines = []
        while text not in (line := self.process.stderr.readline()):
            assert line, f"it ended without {text!r}: {lines}"
            lines.append(line)

    def stop(self):
        """SIGTERM; returns (what was heard [frames], exit code)."""
        code = self.end()
        return self.recorded()[:, 0], code

    def kill(self):
        """Whatever is left of it: a daemon that was kept alive outlives its parent."""
        self.process.kill()
        self.process.wait()
        left = self.status()
        if left:
            os.kill(process(left, "supervisor")["pid"], signal.SIGKILL)

    def recorded(self):
        """All that was heard [frames, channels], once it has stopped; of several starts, since the last one."""
        newest = max(self.recording.parent.glob("heard*.wav"), key=lambda path: path.stat().st_mtime)
        return soundfile.read(newest, dtype="float32")[0]
