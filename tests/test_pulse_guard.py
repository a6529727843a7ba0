"""What keeps the sound on its sink, against a real sound server."""

import os
import signal
import time

import pulsectl
import pytest

from ambientd.audio.controls import PlayerControl
from ambientd.audio.device_process import MODULE, DeviceConfig, DeviceLost
from ambientd.audio.handover import Handover
from ambientd.ipc.child import Child
from ambientd.ipc.memory import Segment
from ambientd.ipc.values import Values

MOST_INPUTS = 256
"""A sink of PulseAudio's takes no more streams, and refuses who wants to come."""


@pytest.fixture
def server(pulse):
    with pulsectl.Pulse("test", server=pulse.env["PULSE_SERVER"]) as connection:
        yield connection


@pytest.fixture
def device(pulse):
    """The device's process, playing silence."""
    handover = Handover(960, 2)
    control = Segment.create(Values.nbytes(len(PlayerControl)))
    config = DeviceConfig("ambient", handover.fds, 48_000, 960, 2, 0.25, control.fd)
    child = Child.spawn(MODULE, vars(config), config.fds, env=pulse.env)
    yield child
    child.close()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stream_that_may_not_come_back_is_lost_rather_than_silent_for_ever(device, server):
    until(lambda: any(event["event"] == "open" for event in device.poll()))
    (stream,) = [s for s in server.sink_input_list() if s.proplist["application.process.id"] == str(device.pid)]
    os.kill(device.pid, signal.SIGSTOP)
    server.module_load("module-null-sink", "sink_name=another")
    server.sink_input_move(stream.index, server.get_sink_by_name("another").index)
    server.sink_suspend(stream.sink, True)  # it need not mix them
    for _ in range(MOST_INPUTS):
        server.module_load("module-sine", "sink=ambient")
    with pytest.raises(pulsectl.PulseOperationFailed):
        server.sink_input_move(stream.index, stream.sink)
    os.kill(device.pid, signal.SIGCONT)
    until(lambda: not device.alive)
    assert device.returncode == DeviceLost.exit_code
    assert [event["event"] for event in device.poll()] == ["failed"]
