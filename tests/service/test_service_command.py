"""`ambientd service`, with a `systemctl` that notes what it is asked: there is no systemd to ask in a container."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$HOME/asked"
case "$*" in *show*) printf 'ActiveState=%s\\nNRestarts=2\\nExtra=1\\n' "${STATE:-active}";; esac
[ -n "$SAYS" ] && echo "$SAYS" >&2
case "$*" in *$FAILS*) exit ${CODE:-0};; esac
"""
pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="macOS has launchd")


@pytest.fixture
def service(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(SYSTEMCTL)
    (tools / "systemctl").chmod(0o755)

    def run(*words, **environment):
        home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "PATH": f"{tools}:/usr/bin:/bin"}
        return subprocess.run(
            [sys.executable, "-m", "ambientd", "service", *words],
            env=os.environ | home | environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return run


def asked(tmp_path):
    return (tmp_path / "asked").read_text().splitlines()


def test_install_and_uninstall(service, tmp_path):
    config = tmp_path / "a room.toml"
    config.write_text("volume = 0.5\n")
    done = service("install", str(config))
    assert done.returncode == 0, done.stderr
    unit = tmp_path / "config" / "systemd" / "user" / "ambientd.service"
    text = unit.read_text()
    assert f'ExecStart="{sys.executable}" "-P" "-m" "ambientd" "run" "--restore" "{config}"\n' in text
    assert f'ExecReload="{sys.executable}" "-P" "-m" "ambientd" "reload"\n' in text
    words = [f"--user {word}" for word in ("daemon-reload", "enable ambientd.service", "restart ambientd.service")]
    assert asked(tmp_path) == words
    assert service("install", "--print", str(config)).stdout == text
    assert service("uninstall").returncode == 0
    assert not unit.exists()
    assert asked(tmp_path)[3:] == ["--user disable --now ambientd.service", "--user daemon-reload"]
    gone = service("uninstall")
    assert (gone.returncode, "there is no" in gone.stderr) == (8, True)


def test_status_tells_and_its_exit_code_too(service):
    done = service("status", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) | {"ActiveState": "active", "NRestarts": "2"} == json.loads(done.stdout)
    assert "Extra" not in done.stdout
    assert service("status", STATE="failed").returncode == 3


def test_the_service_loads_only_the_plugins_it_was_told_of(service, tmp_path):
    assert 'Environment="AMBIENTD_PLUGINS="\n' in service("install", "--print").stdout
    folder = tmp_path / "config" / "ambientd" / "plugins"
    folder.mkdir(parents=True)
    (folder / "tide.py").write_text("raise SystemExit('installing a service imports no plugin of it')")
    pin = hashlib.sha256((folder / "tide.py").read_bytes()).hexdigest()
    assert f'Environment="AMBIENTD_PLUGINS=tide={pin}"\n' in service("install", "--plugin", "tide", "--print").stdout


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["install", "nowhere.toml"], "cannot be read", 3),
        (["install", "--as", "somebody"], "--as is for --system", 2),
        (["install", "--plugin", "tide"], "no plugin of yours is called 'tide'", 2),
        (["install", "--system", "--as", "root"], "needs no root", 2),
        (["install", "--system", "--as", "no-such-user"], "there is no user", 2),
    ],
)
def test_what_cannot_be_installed_says_why(service, tmp_path, words, said, code):
    done = service(*words)
    assert done.returncode == code
    assert said in done.stderr
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    "says",
    [
        "Failed to connect to bus: $DBUS_SESSION_BUS_ADDRESS and $XDG_RUNTIME_DIR not defined (consider using "
        "--machine=<user>@.host --user to connect to bus of other user)",
        "System has not been booted with systemd as init system (PID 1). Can't operate.",
    ],
)
def test_a_systemd_that_is_not_there_is_one_short_line_with_a_remedy(service, says):
    for words, remedy in ([], "Log in as the user"), (["--system"], "--keep-alive"):
        done = service("status", *words, SAYS=says, CODE="1")
        assert done.returncode == 8
        assert len(done.stderr.splitlines()) == 1
        assert len(done.stderr) < 160
        assert "bus" not in done.stderr
        assert remedy in done.stderr


def test_a_service_that_does_not_start_says_where_to_look(service):
    says = "Job for ambientd.service failed because the control process exited with error code."
    done = service("install", SAYS=says, FAILS="restart", CODE="1")
    assert done.returncode == 8
    assert "does not start" in done.stderr
    assert done.stderr.rstrip().endswith("See journalctl --user -u ambientd -e")
    assert "What it said last: journalctl --user -u ambientd -e" in service("status", STATE="failed").stdout
    assert "journalctl -u ambientd -e" in service("status", "--system", STATE="failed").stdout
    assert "journalctl" not in service("status").stdout


def test_a_systemd_that_refuses_is_one_line(service):
    done = service("install", CODE="1")
    assert done.returncode == 8
    assert len(done.stderr.splitlines()) == 1
