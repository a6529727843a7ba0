"""How the daemon ends, and its children without it."""

import os
import select
import signal

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
