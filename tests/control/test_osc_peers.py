"""Other people's programs: liblo's oscsend and oscdump, python-osc's SLIP client, SuperCollider's sclang."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pythonosc.tcp_client import SimpleTCPClient

from .serving import Serving, wait_until
from .wire import PATIENCE, message

liblo = pytest.mark.skipif(
    not (shutil.which("oscsend") and shutil.which("oscdump")), reason="liblo-tools (oscsend, oscdump) is not installed"
)


def oscsend(serving: Serving, protocol: str, *words: str) -> None:
    url = f"osc.{protocol}://127.0.0.1:{serving.server.port}/"
    subprocess.run(["oscsend", url, *words], check=True, timeout=PATIENCE)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def taken(port: int) -> bool:
    """True once somebody listens at this UDP port; to try it would be to take it, so that is the last resort."""
    tables = [table for name in ("udp", "udp6") if (table := Path(f"/proc/net/{name}")).exists()]
    if tables:
        return any(line.split()[1].endswith(f":{port:04X}") for t in tables for line in t.read_text().splitlines()[1:])
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


@contextmanager
def oscdump(where: str) -> Iterator[subprocess.Popen[str]]:
    """Terminated at the end; -L: it writes each message as it comes."""
    dump = subprocess.Popen(["oscdump", "-L", where], stdout=subprocess.PIPE, text=True)
    try:
        yield dump
    finally:
        dump.terminate()
        dump.wait(PATIENCE)


def line(dump: subprocess.Popen[str], address: str) -> list[str]:
    """The words behind a message's address, once it has come."""
    assert dump.stdout
    for text in dump.stdout:
        words = text.split()
        if address in words:
            return words[words.index(address) + 1 :]
    raise AssertionError(f"oscdump ended without {address}")


@liblo
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_oscsend_plays(protocol: str) -> None:
    with Serving() as serving:
        oscsend(serving, protocol, "/ambientd/volume/value", "f", "0.125")
        serving.until("volume", 0.125)
        oscsend(serving, protocol, "/ambientd/slot/*/pan/value", "d", "-1")
        serving.until("slot/1/pan", -1.0)
        serving.until("slot/2/pan", -1.0)
        oscsend(serving, protocol, "/ambientd/mashup/select", "s", "other")
        wait_until(lambda: serving.instrument.selected_mashup == "other")
        oscsend(serving, protocol, "/ambientd/panic", "T")
        wait_until(lambda: serving.instrument.panicked)
        assert serving.server.info()["rejected"] == serving.server.info()["malformed"] == 0


@liblo
def test_oscdump_shows_answers_and_feedback_over_udp() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with oscdump(str(port)) as dump, Serving(reply_port=port) as serving:
        wait_until(lambda: taken(port))
        oscsend(serving, "udp", "/ambientd/ping")
        assert line(dump, "/ambientd/volume") == ["f", "1.000000"]
        serving.set("slot/1/pan", 0.5)
        assert line(dump, "/ambientd/slot/1/pan") == ["f", "0.500000"]  # all values first
        assert line(dump, "/ambientd/slot/1/pan") == ["f", "0.750000"]


@liblo
def test_oscdump_reads_what_a_stream_is_answered() -> None:
    """oscdump only listens, so what comes back on a connection is handed on to it, byte for byte."""
    port = free_port(socket.SOCK_STREAM)
    with oscdump(f"osc.tcp://:{port}/") as dump, Serving() as serving:

        def connected() -> bool:
            try:
                streams.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
            except ConnectionRefusedError:
                return False
            return True

        streams: list[socket.socket] = []
        wait_until(connected)
        with streams[0] as to_dump, socket.create_connection(("127.0.0.1", serving.server.port), PATIENCE) as stream:
            for packet in message("/ambientd/ping"), message("/ambientd/subscribe", 1):
                stream.sendall(struct.pack(">i", len(packet)) + packet)
            while True:
                data = stream.recv(4096)
                to_dump.sendall(data)
                if b"volume" in data:
                    break
            assert line(dump, "/ambientd/ping") == ["s", '"pong"']
            assert line(dump, "/ambientd/volume") == ["f", "1.000000"]


@pytest.mark.parametrize("mode", ["1.0", "1.1"])
def test_another_library_plays_in_both_framings(mode: str) -> None:
    with Serving() as serving, SimpleTCPClient("127.0.0.1", serving.server.port, mode=mode) as client:
        client.send_message("/ambientd/volume/value", 0.125)
        serving.until("volume", 0.125)
        client.send_message("/ambientd/ping", [])
        answers: list[tuple[str, list[object]]] = []
        wait_until(lambda: answers or answers.extend((m.address, m.params) for m in client.get_messages(0.02)))
        assert answers == [("/ambientd/ping", ["pong"])]


SCLANG = """
var to = NetAddr("127.0.0.1", {port});
OSCdef(\\answer, {{ |message| message.postln; 0.exit; }}, '/ambientd/slot/1/pan/value');
to.sendMsg("/ambientd/volume/value", 0.125);
to.sendBundle(0.2, ["/ambientd/slot/1/pan/value", -0.5], ["/ambientd/slot/1/pan/value"]);
"""


@pytest.mark.skipif(not shutil.which("sclang"), reason="SuperCollider (supercollider-language) is not installed")
def test_sclang_plays_and_hears(tmp_path) -> None:
    with Serving() as serving:
        script = tmp_path / "both_ways.scd"
        script.write_text(SCLANG.format(port=serving.server.port))
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen"}
        environment["QTWEBENGINE_CHROMIUM_FLAGS"] = "--no-sandbox"  # it will not start as root otherwise
        done = subprocess.run(["sclang", script], env=environment, capture_output=True, text=True, timeout=60)
        assert "[ /ambientd/slot/1/pan/value, -0.5 ]" in done.stdout
        assert serving.instrument.parameters.get("volume") == 0.125
