"""A real datagram socket in systemd's place."""

import os
import select
import signal
import socket
import time

import pytest

from ambientd.service.notify import ServiceManager

from ..running import process


@pytest.fixture
def systemd(tmp_path):
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    yield listening
    listening.close()


def heard(listening):
    """The words of all that waits."""
    words = []
    while select.select([listening], [], [], 0)[0]:
        words.append(listening.recv(4096).decode())
    return words


def manager(listening, clock=lambda: 0.0, **more):
    return ServiceManager({"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "4000000"} | more, clock)


def test_only_frames_make_it_ready_and_feed_it(systemd):
    now = [0.0]
    told = manager(systemd, lambda: now[0])
    told.delivered(0)
    assert heard(systemd) == []
    told.delivered(960)
    assert [words.split("\n")[0] for words in heard(systemd)] == ["READY=1", "WATCHDOG=1"]
    told.delivered(1920)
    assert heard(systemd) == []  # fed a moment ago
    now[0] = 100.0
    told.delivered(1920)
    assert heard(systemd) == []
    told.delivered(0)  # a new player, which has not played yet
    assert heard(systemd) == []
    told.delivered(960)
    assert heard(systemd) == ["WATCHDOG=1"]
    told.stopping()
    assert heard(systemd)[0].startswith("STOPPING=1")


def test_a_watchdog_meant_for_another_process_is_not_fed(systemd):
    told = manager(systemd, WATCHDOG_PID="1")
    told.delivered(960)
    assert [words.split("\n")[0] for words in heard(systemd)] == ["READY=1"]


def test_an_abstract_address_is_understood(systemd):
    name = f"ambientd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("\0" + name)
        ServiceManager({"NOTIFY_SOCKET": "@" + name}).delivered(1)
        assert heard(abstract)[0].startswith("READY=1")


def test_without_systemd_or_with_a_dead_one_nothing_happens(systemd, tmp_path):
    ServiceManager({}).delivered(1)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "nobody")}
    ServiceManager(environment).delivered(1)
    assert environment == {}  # no child is to speak for the daemon


def test_what_could_not_be_said_is_said_with_the_next_frames(systemd):
    told = manager(systemd)
    path = systemd.getsockname()
    os.rename(path, path + "-away")
    told.delivered(960)
    os.rename(path + "-away", path)
    told.delivered(1920)
    assert [words.split("\n")[0] for words in heard(systemd)] == ["READY=1", "WATCHDOG=1"]


class Listener:
    """systemd's end of a running daemon's socket."""

    def __init__(self, listening):
        self.listening = listening

    def next(self, seconds=60):
        """What is said next, and after how many seconds."""
        began = time.monotonic()
        assert select.select([self.listening], [], [], seconds)[0], f"nothing was said for {seconds} s"
        return self.listening.recv(4096).decode(), time.monotonic() - began

    def waits_for(self, word):
        while word not in self.next()[0]:
            pass


def test_the_daemon_feeds_systemd_with_what_is_heard(run, systemd):
    environment = dict(os.environ) | {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "400000"}
    daemon = run('slots=[{model="calm"}]', environment=environment)
    listener = Listener(systemd)
    listener.waits_for("READY=1")
    listener.waits_for("WATCHDOG=1")
    status = daemon.until(lambda s: process(s, "player")["state"] == "running")
    heard(systemd)
    os.kill(process(status, "player")["pid"], signal.SIGSTOP)
    # Ten feeds a second, and then none until the supervisor, whose loop goes on, has replaced the player.
    assert any(listener.next()[1] > 1.0 for _ in range(100))
    listener.waits_for("WATCHDOG=1")
    assert process(daemon.status(), "player")["restarts"] == 1
    daemon.process.send_signal(signal.SIGTERM)
    listener.waits_for("STOPPING=1")
    assert daemon.process.wait(15) == 0
