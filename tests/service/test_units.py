"""The units as systemd's own tools read them, the plist as Python's."""

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
