"""Lines for people, who may not read them."""

import contextlib
import os
import time

import pytest

from ambientd.soak.running import Running, makes_new_sound
from ambientd.supervisor import printer
from ambientd.supervisor.printer import MOST_WAITING, Printer


@pytest.fixture
def pipe():
    """(what is read, where is written)"""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def fill(end):
    """Until it takes nothing more; returns how many bytes that were."""
    os.set_blocking(end, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(end, b"." * 512)
    os.set_blocking(end, True)
    return filled


def read(end):
    """All that comes until the other end is closed."""
    with os.fdopen(end, "rb") as file:
        return file.read()


def test_lines_come_in_order_and_the_last_ones_are_waited_for(pipe):
    with Printer(pipe[1]) as say:
        for number in range(50):
            say(f"line {number} \u2026")
    os.close(pipe[1])
    assert read(pipe[0]).decode(say._encoding).splitlines() == [f"line {number} \u2026" for number in range(50)]


def test_nobody_waits_for_somebody_who_does_not_read(pipe, monkeypatch):
    filled = fill(pipe[1])
    say = Printer(pipe[1])
    say("0")
    while say._lines:  # until it is in the thread's hand
        time.sleep(0.001)
    for number in range(1, 3 * MOST_WAITING):  # the pipe is full: without a thread this would be the end
        say(str(number))
    monkeypatch.setattr(printer, "LAST_SECONDS", 0.0)
    say.close()
    os.read(pipe[0], filled)  # now somebody reads
    say._thread.join()
    os.close(pipe[1])
    told = read(pipe[0]).decode().lstrip(".").splitlines()
    count = len(told) - 1
    assert told[:count] == [str(number) for number in range(count)]
    assert count == MOST_WAITING + 1
    assert told[-1] == f"({3 * MOST_WAITING - count} lines are missing here: nobody read them)"


def test_a_terminal_that_is_gone_is_no_fault(pipe):
    os.close(pipe[0])
    with Printer(pipe[1]) as say:
        say("one")
        say("two")
    assert not say._thread.is_alive()


def test_a_file_that_does_not_block_loses_nothing(pipe):
    filled = fill(pipe[1])
    os.set_blocking(pipe[1], False)
    say = Printer(pipe[1])
    say("late")
    assert len(os.read(pipe[0], filled)) == filled
    say.close()
    say._thread.join()
    os.close(pipe[1])
    assert read(pipe[0]) == b"late\n"


def test_a_daemon_whose_lines_nobody_reads_plays(home, pipe):
    """From its very first line on."""
    fill(pipe[1])
    daemon = Running(home, ["audio.output=null", 'slots=[{model="calm"}]'], stderr=pipe[1])
    try:
        daemon.until(makes_new_sound)
        assert daemon.end() == 0
    finally:
        daemon.process.kill()
        daemon.process.wait()
