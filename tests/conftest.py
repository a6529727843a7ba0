"""Fixtures that more than one folder uses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .running import Running, write_calm_model

# A machine that stands still for a moment is no fault; and what is found once is found again.
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

PULSE_CONFIG = """
load-module module-null-sink sink_name=ambient rate=48000 channels=2 format=float32le
load-module module-native-protocol-unix socket={folder}/native auth-anonymous=1
set-default-sink ambient
"""
ALSA_CONFIG = """
</usr/share/alsa/alsa.conf>
pcm.!default {{ type pulse hint {{ show on description "default" }} }}
ctl.!default {{ type pulse }}
pcm.ambient {{ type pulse device "ambient" hint {{ show on description "ambient" }} }}
"""


class PrivatePulse:
    """A sound server of the test's own, with one null sink that PortAudio lists as "ambient".

    env: what a process needs to play to it.
    """

    device = "ambient"
    rate = 48000
    channels = 2

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "pulse.pa").write_text(PULSE_CONFIG.format(folder=folder))
        (folder / "asound.conf").write_text(ALSA_CONFIG.format())
        self.env = os.environ | {
            "HOME": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_SERVER": f"unix:{folder}/native",
            "PULSE_COOKIE": f"{folder}/cookie",
            "ALSA_CONFIG_PATH": f"{folder}/asound.conf",
        }
        self._log = (folder / "log").open("wb")
        self.server = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(folder / "pulse.pa"), "--daemonize=no", "--exit-idle-time=-1",
             "--use-pid-file=no", "--disable-shm=yes", "--log-target=stderr"],
            env=self.env, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def wait_until_ready(self, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while subprocess.run(["pactl", "info"], env=self.env, capture_output=True).returncode:
            if time.monotonic() > deadline or self.server.poll() is not None:
                self.close()
                raise RuntimeError(f"pulseaudio did not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.05)

    def record(self, path: Path) -> subprocess.Popen[bytes]:
        """Start to record what the sink plays to `path`, float32 [frames, 2]; terminate it to end."""
        with path.open("wb") as file:
            return subprocess.Popen(
                ["parec", "--device=ambient.monitor", "--format=float32le", "--rate=48000", "--channels=2",
                 "--latency-msec=50"],
                env=self.env, stdout=file,
            )  # fmt: skip

    def control(self, *words: str) -> str:
        """`pactl`; what it prints."""
        return subprocess.run(["pactl", *words], env=self.env, capture_output=True, text=True, check=True).stdout

    def unplug(self) -> None:
        """The sink vanishes."""
        modules = self.control("list", "short", "modules").splitlines()
        self.control("unload-module", next(line.split()[0] for line in modules if "=ambient" in line))

    def close(self) -> None:
        self.server.kill()
        self.server.wait()
        self._log.close()


@pytest.fixture
def pulse(tmp_path_factory):
    """A private PulseAudio server; the test is skipped where that cannot be had."""
    missing = [tool for tool in ("pulseaudio", "pactl", "parec") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: pulseaudio pulseaudio-utils libasound2-plugins)")
    server = PrivatePulse(tmp_path_factory.mktemp("pulse"))
    server.wait_until_ready()
    try:
        find = "from ambientd.audio.device import find_device; find_device('ambient')"
        found = subprocess.run([sys.executable, "-c", find], env=server.env, capture_output=True, text=True)
        if found.returncode:
            pytest.skip(f"PortAudio does not see PulseAudio (Debian: libasound2-plugins): {found.stderr[-200:]}")
        yield server
    finally:
        server.close()


@pytest.fixture
def home(tmp_path):
    models = tmp_path / "data" / "ambientd" / "models"
    models.mkdir(parents=True)
    write_calm_model(models / "calm.safetensors")
    write_calm_model(models / "loud.safetensors", level=0.6)
    return tmp_path


@pytest.fixture
def run(home):
    started = []

    def start(*sets, **kw):
        started.append(Running(home, *sets, **kw))
        return started[-1]

    yield start
    for daemon in started:
        daemon.kill()
