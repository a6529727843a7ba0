"""Two cores make the same music as one, and are used only while that helps."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from ambientd.engine.bank import Bank
from ambientd.engine.kernels import mailbox, plan
from ambientd.engine.kernels.gemv import multiply
from ambientd.engine.kernels.matrices import Matrix, activation
from ambientd.engine.second_core import LONGEST_REST, REST, TRIAL, Policy, SecondCore, idle_cores
from ambientd.engine.voice import Voice, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.types import BLOCK, Mix

BLOCKS = 12
DEADLINE = 60.0


def wait_for(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def rendered(packed, checkpoints, cores, blocks=BLOCKS):
    """Tokens [voices, n] of voices of these checkpoints, and the bank's mailbox."""
    count = len(checkpoints)
    bank, mix, tokens = Bank(count, 1, cores), Mix.solo(count, 1), []
    mix.gains[:], mix.freeze[0], mix.chaos[-1] = 1, 0.4, 0.1
    for slot, checkpoint in enumerate(checkpoints):
        bank.attach(slot, Voice(checkpoint.info, packed[checkpoint.id], seed=slot))
    for block in range(blocks):
        bank.ramp.advance(mix)
        bank.render(np.zeros((BLOCK, 1), np.float32))
        tokens.append(bank.drawn.copy())
        if block == blocks // 2:  # leaves and comes back in the middle of a long frame, its results not collected
            bank.attach(0, bank.detach(0))
    bank.close()
    return np.concatenate(tokens, axis=1), bank._notes.box


SHAPES = [
    {"dim": 64, "frame_sizes": (4, 12), "n_rnn": 2},
    {"dim": 700, "frame_sizes": (16, 64), "n_rnn": 1},
    {"dim": 130, "frame_sizes": (300,), "n_rnn": 2},
    {"dim": 65, "frame_sizes": (2, 8, 32), "n_rnn": 1, "forecast": Forecast(orders=(64, 16), rates=(0.01, 0.002))},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_two_cores_change_no_bit(shape):
    checkpoints = [random_checkpoint(Architecture(**shape), seed) for seed in (0, 1)]
    packed = {checkpoint.id: pack(checkpoint) for checkpoint in checkpoints}
    voices = [checkpoints[0], checkpoints[1], checkpoints[0]]
    alone, _ = rendered(packed, voices, "one")
    shared, end = 0, time.monotonic() + DEADLINE
    while not shared:  # on a busy machine the second core may come too late for a whole performance
        assert time.monotonic() < end
        together, box = rendered(packed, voices, "two")
        np.testing.assert_array_equal(together, alone)
        shared = box[mailbox.URGENT + mailbox.POSTED]


@pytest.fixture
def job():
    """A mailbox, and a product that may be posted in it: (box, matrix, input, staged, output addresses, truth)."""
    rng = np.random.default_rng(0)
    matrix = Matrix(rng.standard_normal((128, 64)).astype(np.float32), np.zeros(128, np.float32), plan.FP32)
    x, staged, output, truth = (activation(128) for _ in range(4))
    x[:64] = rng.standard_normal(64)
    lists = [np.array([buffer.ctypes.data], np.int64) for buffer in (x, staged, output, truth)]
    multiply(matrix.address, lists[0].ctypes.data, lists[3].ctypes.data, 1, 0, 2)
    return mailbox.mailbox(), matrix, lists, (x, staged, output, truth)


def addresses(lists):
    return (each.ctypes.data for each in lists)


def post(box, matrix, lists):
    queue = mailbox.BACKGROUND
    return mailbox.post(box.ctypes.data, queue, matrix.address, *addresses(lists[:2]), 1, 0, 2)


def asked(second, box):
    """Ask for help with the block that is open, again and again: it goes home when it has waited long enough."""
    box[mailbox.INVITED] = box[mailbox.EPOCH]
    second._wake()
    return True


def collect(box, number, matrix, lists):
    mailbox.collect(box.ctypes.data, mailbox.BACKGROUND, number, matrix.address, *addresses(lists[:3]), 1, 0, 2)


def test_what_nobody_began_is_done_by_whoever_needs_it(job):
    box, matrix, lists, (_, staged, output, truth) = job
    mailbox.open_block(box.ctypes.data)
    collect(box, post(box, matrix, lists), matrix, lists)
    np.testing.assert_array_equal(output[:128], truth[:128])
    assert not staged.any()
    assert box[mailbox.STALLS] == 0


def test_what_is_done_is_taken_and_what_is_stale_is_not(job):
    box, matrix, lists, (_, staged, output, truth) = job
    at, second = box.ctypes.data, SecondCore(box)
    mailbox.open_block(at)
    number = post(box, matrix, lists)
    wait_for(lambda: asked(second, box) and box[mailbox.BACKGROUND + mailbox.DONE] > number)
    np.testing.assert_array_equal(staged[:128], truth[:128])
    staged[:128] += 1  # so that it shows where the result came from
    collect(box, number, matrix, lists)
    np.testing.assert_array_equal(output[:128], truth[:128] + 1)
    mailbox.close_block(at)
    wait_for(lambda: second.idle)
    # Posted, but the block ended first: never done, though its number goes by.
    number = post(box, matrix, lists)
    mailbox.open_block(at)
    wait_for(lambda: asked(second, box) and box[mailbox.BACKGROUND + mailbox.DONE] > number)
    collect(box, number, matrix, lists)
    np.testing.assert_array_equal(output[:128], truth[:128])
    mailbox.close_block(at)
    second.close()


def test_a_core_that_is_taken_away_is_left_at_once(job):
    box, matrix, lists, (_, _, output, truth) = job
    mailbox.open_block(box.ctypes.data)
    box[mailbox.PRESENT] = box[mailbox.EPOCH]
    assert mailbox.helped(box.ctypes.data)
    number = post(box, matrix, lists)
    box[mailbox.BACKGROUND + mailbox.STARTED] = number + 1  # and never done
    collect(box, number, matrix, lists)
    np.testing.assert_array_equal(output[:128], truth[:128])
    assert box[mailbox.STALLS] == 1
    assert not mailbox.helped(box.ctypes.data)
    mailbox.open_block(box.ctypes.data)
    assert not mailbox.helped(box.ctypes.data)  # it works for an earlier block


def test_a_full_mailbox_takes_no_more(job):
    box, matrix, lists, _ = job
    numbers = [post(box, matrix, lists) for _ in range(mailbox.RING + 1)]
    assert numbers == [*range(mailbox.RING), -1]


def test_the_thread_ends_cleanly_and_sleeps_between_blocks():
    before = {*threading.enumerate()}
    bank = Bank(1, 1, "two")
    (thread,) = {*threading.enumerate()} - before
    second = bank._second
    bank.render(np.zeros((BLOCK, 1), np.float32))
    wait_for(lambda: second.idle and second._asleep.locked())  # it waits for a lock, not for a word in memory
    bank.close()
    wait_for(lambda: not thread.is_alive())


class Clock:
    def __init__(self):
        self.time, self.idle = 0.0, 1.0

    def policy(self):
        return Policy(lambda: self.idle, lambda: self.time)

    def run(self, policy, blocks, one=1.0, two=0.6, stalled=False):
        """Whether each of so many blocks, of these lengths, was made on two cores."""
        used = []
        for _ in range(blocks):
            used.append(policy.wants())
            self.time += 0.016
            policy.observe(used[-1], two if used[-1] else one, stalled and used[-1])
        return used


def test_an_idle_core_that_helps_is_used():
    clock = Clock()
    policy = clock.policy()
    assert not any(clock.run(policy, 10))
    clock.time += REST
    assert sum(clock.run(policy, 2 * TRIAL)) == TRIAL
    assert all(clock.run(policy, 100))


def test_a_busy_core_is_not_even_tried():
    clock = Clock()
    policy, clock.idle = clock.policy(), 0.4
    assert not any(clock.run(policy, 1000))


@pytest.mark.parametrize("change", [{"stalled": True}, {"two": 0.99}])
def test_a_core_that_stops_helping_is_left_for_longer_and_longer(change):
    clock = Clock()
    policy = clock.policy()
    clock.time += REST
    clock.run(policy, 2 * TRIAL + 5)
    assert sum(clock.run(policy, 20, **change)) <= TRIAL
    for _ in range(10):  # each try fails
        clock.time += LONGEST_REST
        clock.run(policy, 2 * TRIAL, **change)
    assert sum(clock.run(policy, int(LONGEST_REST / 0.016) - 50, **change)) == 0


def test_it_is_compared_anew_when_voices_come_or_go():
    clock = Clock()
    policy = clock.policy()
    clock.time += REST
    clock.run(policy, 2 * TRIAL + 5)
    policy.start_over()
    assert sum(clock.run(policy, 2 * TRIAL, one=0.1, two=0.2)) == TRIAL
    assert not any(clock.run(policy, 5, one=0.1))


def test_idle_cores_are_those_of_the_system_or_unknown():
    ask = idle_cores()
    ask()
    found = ask()
    assert found is None or 0 <= found <= 4096
