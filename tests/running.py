"""`ambientd run` as a test runs it: real processes, in a home of its own, playing to the clock and recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import soundfile
from pythonosc.udp_client import SimpleUDPClient

from ambientd.samplernn import checkpoint as ck

RATE = 16_000


def write_calm_model(path, level=0.2):
    """A model that draws soft low-passed noise: smooth enough for a click to stand out."""
    architecture = ck.Architecture(dim=16, frame_sizes=(8, 16), n_rnn=1, pre_emphasis=0.95, album_gain=0.02 / level)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in architecture.shapes().items()}
    tensors["sample.output.bias"] = (-np.abs(np.arange(256) - 128) / 4).astype(np.float32)
    prime = np.full((2, 64), 128, np.uint8)
    ck.save(path, ck.Card(architecture=architecture, sample_rate=RATE, album=ck.Album(title=path.stem)), tensors, prime)


class Running:
    """`ambientd run` in a home of its own."""

    def __init__(self, home, *sets, output="null", environment=None, words=(), recorded=True):
        """words: of the command line, before --set. recorded: with the sink that `recorded` reads."""
        self.home = home
        self.environment = (environment or dict(os.environ)) | {
            f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("DATA", "CONFIG", "STATE")
        }
        self.environment["XDG_RUNTIME_DIR"] = str(home)
        self.recording = home / "heard.wav"
        first = words
        words = [
            f"audio.output={output}",
            "osc.port=0",
            "osc.query_port=0",
            "osc.advertise=false",
            *([f'sinks=[{{name="wav", path="{self.recording}", subtype="FLOAT"}}]'] if recorded else []),
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ambientd", "run", *first, "--set", *words, *sets],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self):
        words = [sys.executable, "-m", "ambientd", "status", "--json"]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def until(self, condition, seconds=60):
        """Wait for a status that fulfils `condition`."""
        deadline = time.monotonic() + seconds
        status = None
        while time.monotonic() < deadline:
            status = self.status()
            if status and condition(status):
                return status
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)
        known = {key: value for key, value in (status or {}).items() if key not in ("parameters", "plugins")}
        raise AssertionError(f"not within {seconds} s: {known}")

    def said(self, text):
        """Wait for a line on the daemon's stderr."""
        lines = []
        while text not in (line := self.process.stderr.readline()):
            assert line, f"it ended without {text!r}: {lines}"
            lines.append(line)

    def osc(self, address, *values):
        SimpleUDPClient("127.0.0.1", self.status()["osc"]["port"]).send_message(address, list(values))

    def stop(self):
        """SIGTERM; returns (what was heard [frames], exit code)."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(15)
        return self.recorded()[:, 0], code

    def kill(self):
        """Whatever is left of it: a daemon that was kept alive outlives its parent."""
        self.process.kill()
        self.process.wait()
        left = self.status()
        if left:
            os.kill(process(left, "supervisor")["pid"], signal.SIGKILL)

    def recorded(self):
        """All that was heard [frames, channels], once it has stopped."""
        return soundfile.read(self.recording, dtype="float32")[0]


def process(status, role):
    return next(p for p in status["processes"] if p["role"] == role)


def makes_new_sound(status):
    return process(status, "generator")["state"] == "running" and status["ring_seconds"] > 0.3
