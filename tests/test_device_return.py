"""The daemon begins without its device, and has it later; what is recorded goes on through it all."""

import os
import subprocess

import numpy as np

from .running import process


def test_a_device_that_comes_late_is_played_to_and_the_recording_goes_on(run, pulse, home):
    def control(*words):
        return subprocess.run(["pactl", *words], env=pulse.env, capture_output=True, text=True, check=True).stdout

    def unplug():
        modules = control("list", "short", "modules").splitlines()
        control("unload-module", next(line.split()[0] for line in modules if "=ambient" in line))

    def after(seconds):
        since = daemon.status()["uptime_seconds"]
        return daemon.until(lambda s: s["uptime_seconds"] > since + seconds)

    control("load-module", "module-null-sink", "sink_name=another")
    unplug()
    environment = pulse.env | {"HOME": os.environ["HOME"]}  # where the kernels are compiled already
    daemon = run('slots=[{model="calm"}]', "audio.device=ambient", output="device", environment=environment)
    status = daemon.until(lambda s: s["output"])
    assert (status["output"]["output"], status["output"]["waiting_for"]) == ("null", "ambient")
    control("load-module", "module-null-sink", "sink_name=ambient", "rate=44100")
    daemon.until(lambda s: s["output"]["output"] == "ambient")
    recording = pulse.record(home / "monitor.raw")
    after(4)
    unplug()
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
