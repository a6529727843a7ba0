"""A device that is away at first, or goes and comes back as another number; what is recorded goes on through it all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from .running import process


def test_a_device_by_its_number_is_held_to_by_its_name(run, pulse):
    """Another device has its number when it is back: neither this player nor the next one plays there."""
    configuration = Path(pulse.env["ALSA_CONFIG_PATH"])

    def number(name):
        words = [sys.executable, "-c", f"from ambientd.audio.device import *; print(find_device({name!r}).index)"]
        return int(subprocess.run(words, env=pulse.env, capture_output=True, text=True, check=True).stdout)

    pulse.control("load-module", "module-null-sink", "sink_name=another")
    asked = number("ambient")
    environment = pulse.env | {"HOME": os.environ["HOME"]}  # where the kernels are compiled already
    daemon = run('slots=[{model="calm"}]', f"audio.device={asked}", output="device", environment=environment)
    daemon.until(lambda s: s["output"] and s["output"]["output"] == "ambient")
    text = configuration.read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("pcm.ambient"))
    configuration.write_text(text.replace(line, f"{line.replace('ambient', 'another')}\n{line}"))
    assert number("another") == asked
    pulse.unplug()
    status = daemon.until(lambda s: s["output"]["output"] == "null")
    assert status["output"]["waiting_for"] == "ambient"
    pulse.control("load-module", "module-null-sink", "sink_name=ambient", "rate=48000")
    status = daemon.until(lambda s: s["output"]["output"] != "null")
    assert status["output"]["output"] == "ambient"
    os.kill(process(status, "player")["pid"], signal.SIGKILL)
    status = daemon.until(lambda s: process(s, "player")["restarts"] and process(s, "player")["state"] == "running")
    assert status["output"]["output"] == "ambient"
    assert daemon.stop()[1] == 0


def test_a_device_that_comes_late_is_played_to_and_the_recording_goes_on(run, pulse, home):
    def after(seconds):
        since = daemon.status()["uptime_seconds"]
        return daemon.until(lambda s: s["uptime_seconds"] > since + seconds)

    pulse.control("load-module", "module-null-sink", "sink_name=another")
    pulse.unplug()
    environment = pulse.env | {"HOME": os.environ["HOME"]}  # where the kernels are compiled already
    daemon = run('slots=[{model="calm"}]', "audio.device=ambient", output="device", environment=environment)
    status = daemon.until(lambda s: s["output"])
    assert (status["output"]["output"], status["output"]["waiting_for"]) == ("null", "ambient")
    pulse.control("load-module", "module-null-sink", "sink_name=ambient", "rate=44100")
    daemon.until(lambda s: s["output"]["output"] == "ambient")
    recording = pulse.record(home / "monitor.raw")
    after(4)
    pulse.unplug()
    daemon.until(lambda s: s["output"]["output"] == "null")
    status = after(1)
    assert process(status, "player")["restarts"] == 0
    assert status["sinks"] == [{"name": "wav", "state": "running", "lost_frames": 0}]
    recording.terminate()
    recording.wait()
    heard, code = daemon.stop()
    assert code == 0
    assert np.abs(np.fromfile(home / "monitor.raw", np.float32)).max() > 0.01
    music = heard[int(2.5 * 48_000) : -2 * 48_000]
    levels = np.sqrt((music[: len(music) // 2400 * 2400].reshape(-1, 2400) ** 2).mean(1))
    assert levels.min() > 0
    assert (levels > 0.02 * np.median(levels)).mean() > 0.99
