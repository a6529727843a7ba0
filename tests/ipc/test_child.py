"""Supervisor and child, both real processes."""

import os
import select
import selectors
import signal
import subprocess
import sys
import time

import pytest

from ambientd.ipc.child import MAX_PENDING, Child
from ambientd.ipc.memory import Segment

ECHO = """
import os, sys
from ambientd.errors import DeviceError
from ambientd.ipc.child import child_main
from ambientd.ipc.memory import Segment

def run(link):
    print("a library talks to stdout")
    link.send({"event": "up", "config": link.config, "pid": os.getpid()})
    while True:
        for command in link.poll(timeout=0.05):
            if command["do"] == "raise":
                raise DeviceError("no such device", "buy one")
            if command["do"] == "crash":
                raise RuntimeError("a bug")
            if command["do"] == "write":
                Segment.attach(link.config["fd"]).array("u1", (1,))[0] = 7
            link.send({"event": "echo", "of": command})

if __name__ == "__main__":
    child_main(run)
"""


@pytest.fixture
def spawn(tmp_path):
    (tmp_path / "echo_child.py").write_text(ECHO)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    children = []

    def start(config=None, fds=()):
        child = Child.spawn("echo_child", config or {}, fds, env={**os.environ, "PYTHONPATH": path})
        children.append(child)
        return child

    yield start
    for child in children:
        child.close()


def events(child, count, seconds=10.0):
    found, deadline = [], time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(child, selectors.EVENT_READ)
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {found} within {seconds} s"
            selector.select(0.05)
            found += child.poll()
    return found


def test_config_commands_events_and_shared_memory(spawn):
    segment = Segment.create(1)
    child = spawn({"fd": segment.fd, "name": "ü"}, [segment.fd])
    assert child.alive
    assert events(child, 1) == [{"event": "up", "config": {"fd": segment.fd, "name": "ü"}, "pid": child.pid}]
    child.send({"do": "write"})
    child.send({"do": "x" * 200_000})  # longer than a pipe holds
    got = events(child, 2)
    assert got[0]["of"] == {"do": "write"}
    assert got[1]["of"] == {"do": "x" * 200_000}
    assert segment.array("u1", (1,))[0] == 7
    assert child.poll() == []


def test_an_expected_error_arrives_as_an_event_with_its_exit_code(spawn):
    child = spawn()
    child.send({"do": "raise"})
    assert events(child, 2)[1] == {
        "event": "failed",
        "what": "no such device",
        "remedy": "buy one",
        "exit_code": 6,
    }
    assert child.wait(5)
    assert child.returncode == 6
    assert not child.alive


def test_a_bug_is_exit_code_1(spawn):
    child = spawn()
    child.send({"do": "crash"})
    assert child.wait(10)
    assert child.returncode == 1


def test_closing_the_line_ends_the_child(spawn):
    child = spawn()
    events(child, 1)
    child.terminate()
    assert child.wait(2)
    assert child.returncode == 0
    child.send({"do": "nothing"})  # no error: it is simply gone


def test_a_hung_child_never_makes_the_supervisor_wait_and_can_be_killed(spawn):
    child = spawn()
    events(child, 1)
    os.kill(child.pid, signal.SIGSTOP)
    started = time.monotonic()
    for _ in range(4 * MAX_PENDING // 10_000):
        child.send({"do": "x" * 10_000})
    assert child.poll() == []
    assert time.monotonic() - started < 5
    assert child.dropped > 0
    child.kill()
    assert child.returncode == -signal.SIGKILL


SUPERVISOR = """
import os, sys, time
from ambientd.ipc.child import Child
alive_fd = int(sys.argv[1])
children = [Child.spawn("echo_child", {}, [alive_fd]) for _ in range(2)]
for child in children:
    while not child.poll():
        time.sleep(0.01)
print("up", flush=True)
time.sleep(60)
"""


def test_children_are_gone_within_two_seconds_of_a_killed_supervisor(spawn, tmp_path):
    spawn()  # only for the module file
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    end_of_all, alive = os.pipe()  # reads as ended once nobody has the other side any more
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(alive)],
        stdout=subprocess.PIPE,
        pass_fds=[alive],
        env={**os.environ, "PYTHONPATH": path},
    )
    os.close(alive)
    assert supervisor.stdout.readline() == b"up\n"
    supervisor.stdout.close()
    assert not select.select([end_of_all], [], [], 0)[0]
    supervisor.kill()
    supervisor.wait()
    assert select.select([end_of_all], [], [], 2)[0]
    assert os.read(end_of_all, 1) == b""
    os.close(end_of_all)
