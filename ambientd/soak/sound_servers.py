"""Sound servers of a measurement's own, without hardware: PulseAudio with a null sink, jackd with its dummy driver.

Of `ambientd soak` and of the benchmarks, in their own process.

Each says how to record what it plays (`recorder`: a command that writes float32 mono at RATE to its standard output)
and makes a click whose moment is known (`click`), which goes the recorder's way and no other.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from ambientd.errors import DeviceError

RATE = 48_000
SINK = "ambientd-measured"
PULSE = """
load-module module-null-sink sink_name={sink} rate={rate} channels=2 format=float32le
load-module module-native-protocol-unix socket={folder}/native auth-anonymous=1
load-module module-cli-protocol-unix socket={folder}/cli
load-sample click {folder}/click.wav
set-default-sink {sink}
load-module module-stream-restore
"""
ALSA = """
</usr/share/alsa/alsa.conf>
pcm.{sink} {{ type pulse device "{sink}" hint {{ show on description "{sink}" }} }}
pcm.!default {{ type pulse hint {{ show on description "default" }} }}
"""
EAR = """
import os, sys, sounddevice as sd
def heard(audio, frames, when, status):
    os.write(1, audio)
with sd.RawInputStream(device=sys.argv[1], channels=1, samplerate=int(sys.argv[2]), dtype="float32", latency="low",
                       callback=heard):
    sys.stdin.read()
"""
CLICKER = """
import sys, numpy as np, sounddevice as sd
due = []
def play(out, frames, when, status):
    out[:] = 0.9 if due and due.pop() else 0.0
with sd.OutputStream(device=sys.argv[1], channels=2, samplerate=int(sys.argv[2]), latency="low", callback=play):
    print("ready", flush=True)
    for line in sys.stdin:
        due.append(True)
"""


class Server:
    """A server process. env: what its clients need; use it in a `with`."""

    name: str
    device: str
    needs: tuple[str, ...]
    rate = RATE
    """Of recordings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / f"{self.name}.log"
        self._children: list[subprocess.Popen[bytes]] = []
        self.env = dict(os.environ)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for child in reversed(self._children):
            # Asked first: a jackd that is killed keeps one of the machine's eight places for servers.
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    @classmethod
    def missing(cls) -> list[str]:
        """Programs that are not installed."""
        return [program for program in cls.needs if shutil.which(program) is None]

    def recorder(self, sink: str = "") -> list[str]:
        raise NotImplementedError

    def clicker(self, stack: ExitStack) -> Callable[[], None]:
        """What makes a click now; `stack` ends it."""
        raise NotImplementedError

    @property
    def dropped(self) -> int:
        """Times that the server says it went on without a client's sound."""
        return 0

    def _start(self, command: list[str], answers: Callable[[], bool], seconds: float = 20.0) -> None:
        with self._log.open("ab") as log:
            self._children.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log))
        deadline = time.monotonic() + seconds
        while not answers():
            if self._children[-1].poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise DeviceError(f"{command[0]} does not run here", self._log.read_text()[-500:])
            time.sleep(0.05)


class Pulse(Server):
    name, device = "pulse", SINK
    needs = ("pulseaudio", "pactl", "parec")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        click = np.full(RATE // 20, 0.9, np.float32)
        soundfile.write(folder / "click.wav", np.stack([click, click], axis=1), RATE, "FLOAT")
        (folder / "server.pa").write_text(PULSE.format(folder=folder, sink=SINK, rate=RATE))
        (folder / "asound.conf").write_text(ALSA.format(sink=SINK))
        self.env |= {
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_SERVER": f"unix:{folder}/native",
            "PULSE_COOKIE": f"{folder}/cookie",
            "ALSA_CONFIG_PATH": f"{folder}/asound.conf",
        }
        self.heard = SINK
        """The sink that a recorder listens to."""
        self.rates = [RATE, 44_100]
        self.start()

    def start(self) -> None:
        """Also again, after `kill`."""
        options = ["--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        options += ["--log-target=stderr", "--realtime=yes"]
        self._start(["pulseaudio", "-n", "-F", str(self._folder / "server.pa"), *options], self._answers)

    def kill(self) -> None:
        server = self._children.pop()
        server.kill()
        server.wait()

    def signal(self, number: signal.Signals) -> None:
        self._children[-1].send_signal(number)

    def plug(self, sink: str, rate: int) -> None:
        """Another sink, or one that was unplugged, at a rate of its own."""
        self._control("load-module", "module-null-sink", f"sink_name={sink}", f"rate={rate}", "channels=2",
                      "format=float32le")  # fmt: skip

    def unplug(self, sink: str) -> None:
        modules = self._control("list", "short", "modules").splitlines()
        (number,) = (line.split()[0] for line in modules if f"sink_name={sink} " in line)
        self._control("unload-module", number)

    def make_default(self, sink: str) -> None:
        self._control("set-default-sink", sink)

    def keep_recorders(self, sink: str) -> None:
        """No recorder follows a default device that changes: what is listened to by default is this sink for good."""
        self._control("set-default-source", f"{sink}.monitor")

    def recorder(self, sink: str = "") -> list[str]:
        words = ["--format=float32le", f"--rate={RATE}", "--channels=1", "--latency-msec=10", "--raw"]
        return ["parec", f"--device={sink or self.heard}.monitor", *words]

    def clicker(self, stack: ExitStack) -> Callable[[], None]:
        """The server mixes a sample that it already holds into its next chunk: no player, no client's buffer."""
        line = stack.enter_context(socket.socket(socket.AF_UNIX))
        line.connect(str(self._folder / "cli"))
        return lambda: line.sendall(f"play-sample click {SINK}\n".encode())

    def held(self, seconds: float = 1.0) -> float:
        """Seconds of sound that it and its sink hold of what plays, at most while it is looked at."""
        due, most = time.monotonic() + seconds, 0.0
        while time.monotonic() < due:
            found = re.findall(r"(?:Buffer|Sink) Latency: (\d+) usec", self._control("list", "sink-inputs"))
            most = max(most, sum(map(int, found)) / 1e6)
            time.sleep(0.02)
        return most

    def _control(self, *words: str) -> str:
        return subprocess.run(["pactl", *words], env=self.env, capture_output=True, text=True, check=True).stdout

    def _answers(self) -> bool:
        return not subprocess.run(["pactl", "info"], env=self.env, capture_output=True).returncode


class Jack(Server):
    """Realtime where that is allowed, as everybody runs it who plays."""

    name, device = "jack", "system"
    needs = ("jackd", "jack_lsp")
    period = 256

    def __init__(self, folder: Path, beside: str = "", rate: int = RATE) -> None:
        """beside: another server that this one serves MIDI for."""
        super().__init__(folder)
        self.rate = rate
        # A name is used again: one that was killed would keep its place among the eight for good.
        server = f"ambientd-bench-{beside or self.name}"
        self.env |= {"JACK_DEFAULT_SERVER": server, "JACK_NO_START_SERVER": "1"}
        realtime = ["-R", "-P", "10"] if may_be_realtime() else ["--no-realtime"]
        driver = ["-d", "dummy", "-r", str(rate), "-p", str(self.period)]
        self._start(["jackd", "-n", server, *realtime, *driver], lambda: bool(self._clients()))

    def recorder(self, sink: str = "") -> list[str]:
        # PortAudio lists every JACK client that has an output as a device to record from.
        return [sys.executable, "-c", EAR, "PortAudio", str(self.rate)]

    def clicker(self, stack: ExitStack) -> Callable[[], None]:
        """A client that plays a period of click in its next cycle."""
        command = [sys.executable, "-c", CLICKER, self.device, str(self.rate)]
        child = subprocess.Popen(command, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(child.wait)
        stack.callback(child.kill)
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        line = child.stdin

        def click() -> None:
            line.write(b"\n")
            line.flush()

        return click

    @property
    def dropped(self) -> int:
        return self._log.read_text().count("was not finished")

    def _clients(self) -> str:
        done = subprocess.run(["jack_lsp"], env=self.env, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""


def may_be_realtime() -> bool:
    """Whether this user may run threads in real time."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, *before)
    except (OSError, AttributeError):
        return False
    return True
