"""The units as systemd's own tools read them, the plist as Python's."""

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from ambientd.audio import punctual
from ambientd.service import units

COMMAND = [sys.executable, "-P", "-m", "ambientd", "run", "/etc/a $HOME 100%.toml"]
PLUGINS = "tide free=abc"
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


def analyze(path, *words):
    env = os.environ | {"XDG_RUNTIME_DIR": str(path.parent)}
    return subprocess.run(["systemd-analyze", *words, str(path)], env=env, capture_output=True, text=True, timeout=60)


@needs_systemd
@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ("--user", units.user_unit(COMMAND, PLUGINS)),
        ("--system", units.system_unit(COMMAND, PLUGINS)),
        ("--system", units.system_unit(COMMAND, PLUGINS, "daemon")),
    ],
    ids=["user", "system", "system as somebody"],
)
def test_systemd_finds_no_fault(tmp_path, scope, text):
    path = tmp_path / "ambientd.service"
    path.write_text(text)
    done = analyze(path, scope, "verify")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    path.write_text(text.replace("KillMode=mixed", "KillMode=mixd"))
    assert "kill mode" in analyze(path, scope, "verify").stderr


@needs_systemd
def test_the_system_service_is_little_exposed(tmp_path):
    path = tmp_path / "ambientd.service"
    path.write_text(units.system_unit(COMMAND, PLUGINS))
    done = analyze(path, "security", "--offline=true", "--threshold=30", "--no-pager")
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="macOS has no such limits")
def test_it_may_be_as_punctual_as_the_player_wants_to_be(monkeypatch):
    """Without, a service plays with less priority than root's soak has shown."""
    asked = {}
    monkeypatch.setattr(punctual, "gc", Mock())
    monkeypatch.setattr(sys, "setswitchinterval", Mock())
    monkeypatch.setattr(os, "setpriority", lambda which, who, nice: asked.update(LimitNICE=nice))
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, how, p: asked.update(LimitRTPRIO=p.sched_priority))
    punctual.prefer_punctuality()
    punctual.prefer_real_time()
    for unit in units.user_unit(COMMAND, PLUGINS), units.system_unit(COMMAND, PLUGINS):
        limits = dict(line.split("=", 1) for line in unit.splitlines() if line.startswith("Limit"))
        assert int(limits["LimitRTPRIO"]) >= asked["LimitRTPRIO"]
        assert int(limits["LimitNICE"]) <= asked["LimitNICE"]


def test_a_command_is_quoted_as_systemd_reads_it():
    unit = units.user_unit(["/usr/bin/python", 'a "b" \\'], PLUGINS)
    assert 'ExecStart="/usr/bin/python" "a \\"b\\" \\\\"\n' in unit
    assert '"/etc/a $$HOME 100%%.toml"\n' in units.user_unit(COMMAND, PLUGINS)


def test_the_plist_is_one():
    found = plistlib.loads(units.launchd_plist(COMMAND, PLUGINS, Path("/tmp/log")).encode())
    assert found["ProgramArguments"] == COMMAND
    assert found["KeepAlive"] is True
    assert found["EnvironmentVariables"] == {"AMBIENTD_PLUGINS": PLUGINS}
    assert found["StandardErrorPath"] == "/tmp/log"
