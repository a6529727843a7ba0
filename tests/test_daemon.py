"""The whole daemon, real processes and all, playing to the clock and recorded by the wav sink."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from ambientd.samplernn.library import bundled_folder

from .running import RATE, bed_is_over, makes_new_sound, process, undisturbed


def offline(model, out, seconds):
    """The same model without the daemon, at the device's rate."""
    command = [sys.executable, "-m", "ambientd", "render", "--model", str(model), "--out", str(out), "--rate", "48000"]
    subprocess.run([*command, "--seconds", str(seconds)], check=True, capture_output=True, timeout=120)
    return soundfile.read(out, dtype="float32")[0]


def level(audio):
    return float(np.sqrt(np.mean(audio**2)))


def test_a_killed_generator_is_not_heard(run):
    daemon = run('slots=[{model="calm"}]')
    status = daemon.until(makes_new_sound)
    before = status["uptime_seconds"]
    quiet = daemon.until(lambda s: s["uptime_seconds"] > before + 4)
    os.kill(process(status, "generator")["pid"], signal.SIGKILL)
    back = daemon.until(lambda s: process(s, "generator")["restarts"] == 1 and makes_new_sound(s))
    assert back["bed_seconds"] > 0
    assert process(back, "generator")["faults"] == ["ended (SIGKILL)"]
    daemon.until(lambda s: s["uptime_seconds"] > back["uptime_seconds"] + 2)
    heard, code = daemon.stop()
    assert code == 0
    # Away from the first fade and the last: 50 ms windows, none of them quiet, and no jump the music does not make.
    music = heard[int(2.5 * 48_000) :]
    middle = music[: -2 * 48_000]
    windows = middle[: len(middle) // 2400 * 2400].reshape(-1, 2400)
    levels = np.sqrt((windows**2).mean(1))
    assert levels.min() > 0.05 * np.median(levels)
    # What may be heard is the model's own noise and the bed, in which there may still be bundled music.
    bed, rate = soundfile.read(bundled_folder() / "bed.ogg", dtype="float32")
    # Half a minute of the model alone: its largest jump in the first seconds is often beaten in the next ten.
    alone = offline(daemon.home / "data" / "ambientd" / "models" / "calm.safetensors", daemon.home / "alone.wav", 30)
    # It played alone from when the first bed was over until the kill.
    first = heard[int((quiet["bed_seconds"] + 0.2) * 48_000) :][:72_000]
    assert 0.6 < level(alone) / level(first) < 1.6
    own = max(np.abs(np.diff(sound)).max() for sound in (first, alone, soxr.resample(bed, rate, 48_000)))
    assert np.abs(np.diff(middle)).max() < 1.5 * own


def test_a_killed_player_comes_back(run):
    daemon = run('slots=[{model="calm"}]')
    status = daemon.until(makes_new_sound)
    os.kill(process(status, "player")["pid"], signal.SIGKILL)
    daemon.until(lambda s: process(s, "player")["restarts"] == 1 and process(s, "player")["state"] == "running")
    assert daemon.stop()[1] == 0


def test_a_stopped_generator_is_replaced(run):
    daemon = run('slots=[{model="calm"}]')
    status = daemon.until(makes_new_sound)
    os.kill(process(status, "generator")["pid"], signal.SIGSTOP)
    daemon.until(lambda s: process(s, "generator")["restarts"] == 1 and makes_new_sound(s))
    assert daemon.stop()[1] == 0


def test_osc_plays_it(run):
    daemon = run('slots=[{model="calm"}, {model="loud"}]', "mashup.weights=[1, 0]")
    daemon.until(bed_is_over(daemon.until(lambda s: makes_new_sound(s) and s["rms"] > 0.01)))

    def rms_settles(condition):
        return daemon.until(lambda s: condition(s["rms"]))["rms"]

    calm = rms_settles(lambda rms: rms > 0.01)
    daemon.osc("/ambientd/mashup/weight/1", 0.0)
    daemon.osc("/ambientd/mashup/weight/2", 1.0)
    daemon.until(bed_is_over(daemon.status()))
    loud = rms_settles(lambda rms: rms > 1.8 * calm)
    daemon.osc("/ambientd/volume/value", 0.1)
    rms_settles(lambda rms: rms < 0.3 * loud)
    daemon.osc("/ambientd/volume/value", 1.0)
    daemon.osc("/ambientd/stop", 0.1)
    rms_settles(lambda rms: rms == 0)
    daemon.osc("/ambientd/play", 0.1)
    rms_settles(lambda rms: rms > 0.01)
    daemon.osc("/ambientd/panic", 1)
    rms_settles(lambda rms: rms == 0)
    daemon.osc("/ambientd/panic", 0)
    rms_settles(lambda rms: rms > 0.01)
    for value in (float("nan"), float("inf"), "loud", True):
        daemon.osc("/ambientd/volume", value)
    daemon.osc("/ambientd/mashup/select", "../blend")
    status = daemon.until(lambda s: s["osc"]["malformed"] + s["osc"]["rejected"] == 5)
    assert status["osc"]["handled"] == 8
    assert status["mashup"] == "blend"
    assert daemon.stop()[1] == 0


def test_status_tells_what_the_governor_has_shed(run):
    status = run('slots=[{model="calm"}]').until(makes_new_sound)
    assert status["governor"] == {"level": 0, "shed": []}


def test_a_voice_starts_over_with_the_seed_it_is_told(run):
    daemon = run('slots=[{model="calm", stretch=2, seed=3}]')
    assert daemon.until(makes_new_sound)["slots"][0]["seed"] == 3
    daemon.osc("/ambientd/slot/1/seed", 5)
    daemon.until(lambda s: s["slots"][0]["seed"] == 5)
    daemon.osc("/ambientd/slot/1/reprime")
    daemon.until(lambda s: s["slots"][0]["seed"] not in (3, 5))
    daemon.osc("/ambientd/slot/2/reprime")
    status = daemon.until(lambda s: s["osc"]["rejected"] == 1)
    assert status["slots"][0]["state"] == "playing"
    assert daemon.stop()[1] == 0


def test_presets_are_stored_and_recalled_and_a_bad_one_changes_nothing(run, home):
    daemon = run('slots=[{model="calm"}]', "mashup.weights=[1]")
    daemon.until(makes_new_sound)
    daemon.osc("/ambientd/preset/store", "one")
    daemon.until(lambda s: s["preset"]["current"] == "one")
    folder = home / "config" / "ambientd" / "presets"
    (folder / "two.toml").write_text('slots = {1 = "loud"}\nparameters = {volume = 0.0}\n')
    (folder / "bad.toml").write_text('slots = {1 = "lout"}\nparameters = {volume = 1.0}\n')
    daemon.osc("/ambientd/preset/recall", "two", 0.3)
    daemon.until(lambda s: s["rms"] == 0 and s["slots"][0]["id"] == "loud")
    for name in ("bad", "../two", "thre"):
        daemon.osc("/ambientd/preset/recall", name)
    status = daemon.until(lambda s: s["osc"]["rejected"] == 3)
    assert (status["slots"][0]["id"], status["preset"]["current"], status["rms"]) == ("loud", "two", 0)
    daemon.osc("/ambientd/preset/recall", "one")
    daemon.until(lambda s: s["rms"] > 0.01 and s["slots"][0]["id"] == "calm")
    assert daemon.stop()[1] == 0


def test_day_parts_hold_the_volume_down(run, home):
    (home / "day.toml").write_text('[[parts]]\nat = "00:00"\nceiling = 0.0\n')
    daemon = run('slots=[{model="calm"}]', f"dayparts={home / 'day.toml'}")
    status = daemon.until(makes_new_sound)
    assert (status["day_parts"]["ceiling"], status["rms"]) == (0, 0)
    (home / "day.toml").write_text('[[parts]]\nat = "00:00"\nceiling = 1.0\nfade = 0.1\n')
    daemon.until(lambda s: s["rms"] > 0.01)
    assert daemon.stop()[1] == 0


def test_what_was_played_can_be_rendered_again(run, home):
    daemon = run('slots=[{model="calm"}, {model="loud"}]', "mashup.weights=[1, 0]")
    daemon.until(makes_new_sound)
    daemon.osc("/ambientd/mashup/weight/2", 1.0)
    begin = daemon.status()["uptime_seconds"]
    daemon.until(lambda s: s["uptime_seconds"] > begin + 7)
    words = [
        sys.executable,
        "-m",
        "ambientd",
        "replay",
        "last",
        "--to",
        "5",
        "--out",
        str(home / "again.wav"),
        "--json",
    ]
    done = subprocess.run(words, env=daemon.environment, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)["seconds"] == 5
    heard, code = daemon.stop()
    assert code == 0
    again, rate = soundfile.read(home / "again.wav", dtype="float32")
    assert rate == RATE
    # The recording was resampled and faded in for 2 s; what comes later in one has to be found in the other.
    piece = soxr.resample(again[4 * RATE : 9 * RATE // 2, 0], RATE, 48_000)
    found = np.correlate(heard[::6], piece[::6])
    assert found.max() > 10 * np.abs(found).mean()


@pytest.mark.skipif(not shutil.which("oscsend"), reason="liblo's oscsend is not installed")
def test_liblo_is_understood(run):
    daemon = run('slots=[{model="calm"}]')
    status = daemon.until(makes_new_sound)
    target = f"osc.udp://127.0.0.1:{status['osc']['port']}"
    subprocess.run(["oscsend", target, "/ambientd/volume/value", "f", "0"], check=True)
    daemon.until(lambda s: s["rms"] == 0)
    assert daemon.stop()[1] == 0


def test_children_do_not_outlive_a_killed_supervisor(run):
    daemon = run('slots=[{model="calm"}]')
    status = daemon.until(makes_new_sound)
    children = [p["pid"] for p in status["processes"][1:]]
    daemon.process.kill()
    daemon.process.wait()
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in children)
    again = run('slots=[{model="calm"}]')
    again.until(makes_new_sound)
    assert again.stop()[1] == 0


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("sets", "said", "code"),
    [
        (['slots=[{model="clam"}]'], "Did you mean 'calm'?", 4),
        (['slots=[{model="broken"}]'], "not an ambientd checkpoint", 4),
        (["ocs.port=1"], "Did you mean 'osc'?", 3),
        (["osc.port=banana"], "osc.port", 3),
        (["mashup.name=blendd"], "Did you mean 'blend'?", 7),
        (["mashup.wights=[1]"], "Did you mean 'weights'?", 3),
    ],
)
def test_what_cannot_start_says_so_in_one_line(home, run, sets, said, code):
    (home / "data" / "ambientd" / "models" / "broken.safetensors").write_text("no weights")
    daemon = run(*sets)
    assert daemon.process.wait(30) == code
    lines = daemon.process.stderr.read().strip().splitlines()
    assert any(said in line for line in lines), lines
    assert not any("Traceback" in line for line in lines)
    assert list(home.glob("heard*")) == []


def test_one_broken_model_costs_only_its_slot(home, run):
    (home / "data" / "ambientd" / "models" / "broken.safetensors").write_text("no weights")
    daemon = run('slots=[{model="broken"}, {model="calm"}]')
    status = daemon.until(makes_new_sound)
    assert [s["id"] for s in status["slots"]] == ["calm"]
    assert status["slots"][0]["slot"] == 2
    assert daemon.stop()[1] == 0
    assert "slot 1 stays empty" in daemon.process.stderr.read()


def test_a_second_daemon_is_refused(run):
    first = run('slots=[{model="calm"}]')
    first.until(makes_new_sound)
    second = run('slots=[{model="calm"}]')
    assert second.process.wait(30) == 8
    assert "already running" in second.process.stderr.read()
    assert first.stop()[1] == 0


def test_every_sample_reaches_the_device(run, pulse, home):
    # With its own HOME it would compile all kernels again.
    environment = pulse.env | {"HOME": os.environ["HOME"]}
    daemon = run('slots=[{model="calm"}]', "audio.device=ambient", output="device", environment=environment)

    def recorded():
        before = daemon.until(makes_new_sound)
        recording = pulse.record(home / "monitor.raw")
        after = daemon.until(lambda s: s["uptime_seconds"] > before["uptime_seconds"] + 6)
        recording.terminate()
        recording.wait()
        missed = ("late_blocks", "device_underflows")
        return np.fromfile(home / "monitor.raw", "<f4"), any(after[count] != before[count] for count in missed)

    monitor = undisturbed(recorded)
    heard, code = daemon.stop()
    assert code == 0
    monitor = monitor[: len(monitor) // 2 * 2].reshape(-1, 2)[:, 0]
    monitor = monitor[np.flatnonzero(monitor)[0] + 9600 :][: 4 * 48_000]
    # The sink and the sound server got the very same samples, so one piece of one is a piece of the other.
    starts = np.flatnonzero(heard == monitor[0])
    same = [s for s in starts if np.array_equal(heard[s : s + 64], monitor[:64])]
    assert len(same) == 1
    assert np.array_equal(heard[same[0] :][: len(monitor)], monitor)


@pytest.mark.parametrize(
    "sound_system",
    [{"PULSE_SERVER": "unix:/nowhere", "ALSA_CARD": "none"}, {"ALSA_CONFIG_PATH": "/dev/null"}],
    ids=["without a device", "that aborts"],
)
def test_without_a_device_it_says_what_it_does_instead(run, home, sound_system):
    environment = dict(os.environ) | sound_system
    daemon = run('slots=[{model="calm"}]', output="device", environment=environment)
    status = daemon.until(lambda s: makes_new_sound(s) and s["output"])
    assert status["output"]["output"] == "null"
    assert daemon.stop()[1] == 0
    said = daemon.process.stderr.read().splitlines()
    assert sum("clock" in line for line in said) == 1
