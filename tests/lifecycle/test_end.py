"""How the daemon ends, and its children without it."""

import os
import pty
import select
import signal
import subprocess
import sys

import pytest

from ..running import makes_new_sound, process

STUBBORN = '''"""A sink that never closes, with a thread that never ends."""
import threading
import time
from ambientd.plugin import Sink, StrictModel, hookimpl


class Stubborn(Sink):
    """Hangs."""

    name = "stubborn"
    Config = StrictModel

    def __init__(self, config, sample_rate, channels):
        super().__init__(config, sample_rate, channels)
        threading.Thread(target=time.sleep, args=(1000,)).start()

    def write(self, audio):
        pass

    def close(self):
        time.sleep(1000)


@hookimpl
def register_sinks():
    return [Stubborn]
'''


def handles(status):
    """What tells the end of each child."""
    return {p["role"]: os.pidfd_open(p["pid"]) for p in status["processes"] if p["role"] != "supervisor"}


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_stopped_children_end_with_a_killed_supervisor(run):
    daemon = run('slots=[{model="calm"}]', 'midi.controllers=["generic"]')
    status = daemon.until(lambda s: makes_new_sound(s) and len(s["processes"]) == 4)
    daemon.until(lambda s: process(s, "midi")["state"] == "running")
    children = handles(status)
    assert set(children) == {"generator", "player", "midi"}
    for pidfd in children.values():
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
    daemon.process.kill()
    for role, pidfd in children.items():
        assert select.select([pidfd], [], [], 5)[0], f"the {role} lives on"
        os.close(pidfd)


def test_it_ends_although_everything_hangs(run, home):
    plugins = home / "config" / "ambientd" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "stubborn.py").write_text(STUBBORN)
    daemon = run('slots=[{model="calm"}]', f'sinks=[{{name="stubborn"}}, {{name="wav", path="{home / "heard.wav"}"}}]')
    status = daemon.until(lambda s: makes_new_sound(s) and len(s["sinks"]) == 2)
    for role in ("generator", "player"):
        os.kill(process(status, role)["pid"], signal.SIGSTOP)
    heard, code = daemon.stop()
    assert code == 0
    assert len(heard)  # the sink that can has completed its file
    assert '"ended":true' in (home / "state" / "ambientd" / "state.json").read_text()


ON_A_TERMINAL = """
import fcntl, os, signal, sys, termios
from ambientd.lifecycle.ending import Terminal
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
terminal, told = Terminal(), int(sys.argv[1])
signal.signal(signal.SIGHUP, lambda *_: os.write(told, b"closed\\n" if terminal.closed else b"there\\n"))
os.write(told, b"up\\n")
while True:
    signal.pause()
"""


def test_a_hangup_of_the_terminal_is_not_a_wish_for_another_configuration():
    ours, theirs = pty.openpty()
    told, tells = os.pipe()
    words = [sys.executable, "-c", ON_A_TERMINAL, str(tells)]
    child = subprocess.Popen(words, stdin=theirs, pass_fds=[tells], start_new_session=True)
    os.close(theirs)
    os.close(tells)
    with child, os.fdopen(told) as lines:
        assert lines.readline() == "up\n"
        child.send_signal(signal.SIGHUP)
        assert lines.readline() == "there\n"
        os.close(ours)  # whereupon the kernel sends SIGHUP
        assert lines.readline() == "closed\n"
        child.kill()
