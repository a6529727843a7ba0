"""OSC of the whole daemon: all doors at once, and a flood."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from pythonosc.osc_message_builder import OscMessageBuilder

FLOOD = Path(__file__).parent.parent / "benchmarks" / "osc_flood.py"
ONE_VOICE = 'slots=[{model="freeorion-drone"}]'


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}


def until(environment: dict[str, str], condition: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    command = [sys.executable, "-m", "ambientd", "status", "--json"]
    while time.monotonic() < deadline:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == 0 and condition(status := json.loads(done.stdout)):
            return status
        time.sleep(0.05)
    raise AssertionError(f"it did not come about: {done.stdout}")


def packet(address: str, *values: Any) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram


def test_every_door_of_the_daemon_is_open(environment: dict[str, str]) -> None:
    sets = ["audio.output=null", "osc.port=0", "osc.query_port=0", ONE_VOICE]
    daemon = subprocess.Popen([sys.executable, "-m", "ambientd", "run", "--set", *sets], env=environment)
    try:
        osc = until(environment, lambda status: status["osc"]["advertised"] == "yes")["osc"]
        turn = packet("/ambientd/volume/value", 0.25)
        with socket.create_connection(("127.0.0.1", osc["port"]), 10) as stream:
            ahead = struct.pack(">Q", int((time.time() + 2_208_988_800 + 5) * 2**32))
            dated = b"#bundle\0" + ahead + struct.pack(">i", len(turn)) + turn
            subscribe = packet("/ambientd/subscribe", 1, "/ambientd/volume/value")
            stream.sendall(b"".join(struct.pack(">i", len(each)) + each for each in (subscribe, dated)))
            heard = b""
            while struct.pack(">f", 1.0) not in heard:
                heard += stream.recv(4096)
            with socket.socket(type=socket.SOCK_DGRAM) as other:
                other.sendto(packet("/ambientd/volume/value", 0.5), ("127.0.0.1", osc["port"]))
                while struct.pack(">f", 0.5) not in heard:
                    heard += stream.recv(4096)
            until(environment, lambda status: status["osc"]["handled"] == 3 and status["osc"]["waiting"] == 0)
        url = f"http://127.0.0.1:{osc['query_port']}/ambientd/volume/value?VALUE"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert json.load(answer) == {"VALUE": [0.25]}
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(15) == 0


def test_the_flood_in_short(environment: dict[str, str]) -> None:
    command = [sys.executable, FLOOD, "--json", "--seconds", "1", "--set", ONE_VOICE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    result = json.loads(done.stdout)
    assert result["rejected"] == 0
    assert result["log_growth_bytes"] < 1024  # nothing for the flood; the daemon may say how it is
    assert result["unanswered"] < 125
    assert 0 < result["malformed"] < result["dropped"]
    assert result["supervisor_growth_mb"] < 16
