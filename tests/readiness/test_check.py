"""`ambientd check` against real models, ports, folders and sound servers."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from ambientd.config import Config
from ambientd.engine.warm import random_checkpoint
from ambientd.readiness import checks, engine, room
from ambientd.readiness.finding import Outcome, Report
from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.library import bundled_folder
from ambientd.samplernn.sums import recorded_sum, sum_of
from ambientd.supervisor import event_log
from ambientd.supervisor.slots import find_slots

from ..running import makes_new_sound

LARGE = (".safetensors", ".flac")


@pytest.fixture
def check(home):
    def run(*sets, environment=None, config=(), expect=0):
        at_home = {"HOME": os.environ["HOME"]}  # a sound server's own has no compiled kernels
        folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("DATA", "CONFIG")}
        words = ["audio.output=null", "osc.port=0", "osc.query_port=0", 'slots=[{model="calm"}]', "replay.limit_mb=32"]
        done = subprocess.run(
            [sys.executable, "-m", "ambientd", "check", *config, "--json", "--seconds", "0.1", "--set", *words, *sets],
            env=dict(os.environ) | folders | {"XDG_RUNTIME_DIR": str(home)} | (environment or {}) | at_home,
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        answer = json.loads(done.stdout)
        assert answer["ready"] == (expect == 0)
        for row in answer["checks"]:
            assert bool(row["remedy"]) == (row["outcome"] != "ok"), row
        return {row["check"]: row for row in answer["checks"]}

    return run


def test_all_is_well_and_leaves_no_trace(check, home):
    before = sorted(home.rglob("*"))
    rows = check()
    assert {row["outcome"] for row in rows.values() if row["check"] != "plugins"} == {"ok"}
    assert {"configuration", "mashup", "slot 1", "real-time margin", "memory", "bed", "audio device"} <= rows.keys()
    assert {"osc", "midi", "runtime folder", "kernel cache", "presets", "last state", "replay log"} <= rows.keys()
    assert {"log", "midi mappings"} <= rows.keys()
    assert "bits a sample from the reference" in rows["slot 1"]["found"]
    assert sorted(set(home.rglob("*")) - set(before)) == [home / "ambientd"]  # the folder of the status socket


def test_what_is_checked_without_a_configuration_is_what_plays_without_one(monkeypatch):
    """Bundled siblings, and not the first two of the alphabet."""
    probed = []
    monkeypatch.setattr(checks, "run_probe", lambda probe, settings, report: probed.append(settings))
    checks.check_models(Config(), 0.1, Report())
    played = find_slots(Config(), print)
    assert [slot["id"] for slot in probed[0]["slots"]] == [slot.id for slot in played]


@pytest.mark.parametrize("broken", ["folder", "file"])
def test_a_log_that_cannot_be_written_is_a_failed_row(tmp_path, broken):
    (tmp_path / "file").touch()
    (tmp_path / "log" / event_log.NAME).mkdir(parents=True)  # a folder in the file's place
    folder = tmp_path / "file" / "log" if broken == "folder" else tmp_path / "log"
    report = Report()
    room.check_folders(Config(log={"folder": folder}, replay={"enabled": False}), report)
    (row,) = [finding for finding in report.findings if finding.check == "log"]
    assert row.outcome is Outcome.FAILED
    assert str(folder) in row.found
    assert "log.folder" in row.remedy
    report = Report()
    room.check_folders(Config(log={"folder": folder, "enabled": False}, replay={"enabled": False}), report)
    assert "log" not in [finding.check for finding in report.findings]


def test_every_failure_is_named_with_a_remedy_and_the_others_are_still_checked(check, home):
    models = home / "data" / "ambientd" / "models"
    (models / "cut.safetensors").write_bytes((models / "calm.safetensors").read_bytes()[:-9])
    (models / "SHA256SUMS").write_text(f"{'0' * 64}  loud.safetensors\n")
    (home / "file").touch()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        rows = check(
            'slots=[{model="cut"}, {model="clam"}, {model="loud"}, {model="calm"}]',
            f"osc.port={taken.getsockname()[1]}",
            "mashup.name=blendd",
            f'sinks=[{{name="wav", path="{home}/file/a.wav"}}]',
            f"dayparts={home}/none.toml",
            "midi.controllers=[\"midimx\"]",
            expect=8,
        )  # fmt: skip
    failed = {check for check, row in rows.items() if row["outcome"] == "failed"}
    assert failed == {"slot 1", "slot 2", "slot 3", "mashup", "osc", "sink wav", "day parts", "midi"}
    assert "calm" in rows["slot 2"]["remedy"]
    assert "not the file that was published" in rows["slot 3"]["found"]
    assert rows["slot 4"]["outcome"] == "ok"
    assert "midimix" in rows["midi"]["remedy"]


def test_a_wrong_configuration_is_all_that_can_be_said(check):
    rows = check("ocs.port=1", expect=8)
    assert list(rows) == ["configuration"]
    assert "osc" in rows["configuration"]["remedy"]


def test_people_get_a_table(home):
    words = ["check", "--set", "audio.output=nul"]
    done = subprocess.run([sys.executable, "-m", "ambientd", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 8
    assert done.stdout.splitlines()[0].startswith("failed   configuration")
    assert "->" in done.stdout.splitlines()[1]
    assert done.stdout.splitlines()[-1] == "Not ready: 1 failed."


def test_a_sound_system_that_ends_whoever_opens_it_is_a_failed_row(check):
    rows = check("audio.output=device", environment={"ALSA_CONFIG_PATH": "/dev/null"}, expect=8)
    assert rows["audio device"]["outcome"] == "failed"
    assert rows["osc"]["outcome"] == "ok"


def test_silence_is_played_to_a_real_device(check, pulse):
    rows = check("audio.output=device", "audio.device=ambient", environment=pulse.env)
    assert "ambient, 48000 Hz" in rows["audio device"]["found"]


def test_a_device_by_its_number_is_a_warning_with_the_name(check, pulse):
    find = "from ambientd.audio.device import find_device; print(find_device('ambient').index)"
    number = subprocess.run([sys.executable, "-c", find], env=pulse.env, capture_output=True, text=True, check=True)
    rows = check("audio.output=device", f"audio.device={int(number.stdout)}", environment=pulse.env)
    assert rows["audio device"]["outcome"] == "warning"
    assert 'audio.device = "ambient"' in rows["audio device"]["remedy"]


def test_beside_a_running_daemon_its_port_is_its_own(run, check):
    daemon = run('slots=[{model="calm"}]')
    port = daemon.until(makes_new_sound)["osc"]["port"]
    rows = check(f"osc.port={port}", expect=0)
    assert "held by the running daemon" in rows["osc"]["found"]
    assert rows["daemon"]["outcome"] == "warning"
    assert daemon.stop()[1] == 0


def test_the_self_test_finds_weights_that_the_kernel_has_wrong(monkeypatch):
    checkpoint = random_checkpoint(Architecture(dim=24, frame_sizes=(4, 8), n_rnn=1))
    assert engine.divergence(checkpoint, "fp32") < 1e-6
    assert engine.divergence(checkpoint, "int8") < engine.MOST_BITS
    from ambientd.engine import voice

    pack = voice.pack
    weights = dict(checkpoint.tensors) | {"sample.output.weight": -checkpoint.tensors["sample.output.weight"]}
    wrong = type(checkpoint)(checkpoint.id, checkpoint.card, weights, checkpoint.prime)
    monkeypatch.setattr(voice, "pack", lambda _, format: pack(wrong, format))
    assert engine.divergence(checkpoint, "fp32") > 10 * engine.MOST_BITS


@pytest.mark.parametrize("line", ["{sum}  a.bin\n", "{sum} *a.bin\n", "other  b.bin\n\n{sum}  a.bin"])
def test_sums_are_read_as_sha256sum_writes_them(tmp_path, line):
    path = tmp_path / "a.bin"
    path.write_bytes(np.arange(9).tobytes())
    assert recorded_sum(path) is None
    (tmp_path / "SHA256SUMS").write_text(line.format(sum=sum_of(path)))
    assert recorded_sum(path) == sum_of(path)
    assert recorded_sum(tmp_path / "c.bin") is None


def test_a_check_that_raises_is_a_failed_row():
    report = Report()
    with report.row("one"):
        raise ZeroDivisionError("what a machine")
    assert report.findings[0].outcome is Outcome.FAILED
    assert not report.ready


@pytest.mark.parametrize("name", sorted(p.name for p in bundled_folder().iterdir() if p.suffix in LARGE))
def test_what_is_bundled_is_as_published(name):
    """After a change: `cd models; sha256sum *.safetensors *.flac > SHA256SUMS`."""
    assert recorded_sum(bundled_folder() / name) == sum_of(bundled_folder() / name)
