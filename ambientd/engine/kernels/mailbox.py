"""How the render thread shares one block's work with a second core. Both threads, inside compiled code.

A job is some rows of a matrix times some vectors. The render thread posts what it will need later, goes on,
and when it needs a result collects it: what is done is copied, what is being done is waited for, what nobody
has begun it does itself. So the second core only ever saves time; one that is taken away by the system costs
a spin limit, once, and then nothing until the next block.

Results go to buffers of the second core's own, which nobody reads before the job is done: a thread that was
stopped half-way may write there whenever it comes back. Counters only grow. Two queues: urgent jobs, which
the render thread is about to wait for, go first.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, var-annotated, no-any-return"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import I32, I64, aligned_bytes, call, floats_at, words_at
from ambientd.engine.kernels.gemv import multiply
from ambientd.engine.kernels.processor import TRIPLE

MOST_VECTORS = 8
"""With more voices of a checkpoint than this, they render on one core."""
RING = 256
"""Jobs in a queue."""

# The mailbox in int64 words. First what the render thread writes, then, on a cache line of its own, what the
# second core writes, then the queues, which are built likewise.
EPOCH, CLOSED = 0, 1  # the block that is being made; the last one that is finished
INVITED = 4  # the block that the second core was last asked to help with
ABANDONED, STALLS = 2, 3  # the render thread's own notes: not in this block any more; how often that happened
PRESENT = 8  # the block that the second core works for, or 0
URGENT, BACKGROUND = 16, 16 + 16 + 24 * RING
POSTED, UNWANTED = 0, 1  # how many jobs were posted; those below this number are of an earlier block
STARTED, DONE = 8, 9
JOBS = 16
JOB_WORDS = 24
MATRIX, COUNT, FIRST, LAST, INPUTS, OUTPUTS = 0, 1, 2, 3, 4, 12  # MATRIX: 0 when nobody wants it any more
RESULT = 20  # 1 + the number of the job whose results are there
WORDS = BACKGROUND + JOBS + JOB_WORDS * RING

PATIENCE = 4000
"""Looks at a job in work before its core counts as taken away: some 50 microseconds; a job takes 5 to 20."""
BOREDOM = 400_000
"""Looks at an empty mailbox before the second core goes home by itself: the render thread was stopped."""


def mailbox() -> NDArray[np.int64]:
    """An empty one."""
    return aligned_bytes(8 * WORDS).view(np.int64)


@intrinsic
def peek(typingctx, address):
    """The int64 at an address that the other thread writes, and all that it wrote before."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(builder.inttoptr(args[0], I64.as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def publish(typingctx, address, value):
    """Let the other thread see an int64, and all that was written before it."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[1], builder.inttoptr(args[0], I64.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def pause(typingctx):
    """A moment's rest inside a spinning loop."""

    def generate(context, builder, signature, args):
        if TRIPLE.startswith("x86_64"):
            call(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
        elif TRIPLE.startswith(("aarch64", "arm64")):
            call(builder, "llvm.aarch64.hint", ir.VoidType(), [I32(1)])
        return context.get_dummy_value()

    return types.void(), generate


@kernel
def helped(box):
    """Whether the second core is at work for this block."""
    words = words_at(box)
    return words[ABANDONED] == 0 and peek(box + 8 * PRESENT) == words[EPOCH]


@kernel
def open_block(box):
    """The render thread, before a block: what was left over is not wanted."""
    words = words_at(box)
    words[ABANDONED] = 0
    for queue in (URGENT, BACKGROUND):
        words[queue + UNWANTED] = words[queue + POSTED]
    publish(box + 8 * EPOCH, words[EPOCH] + 1)


@kernel
def close_block(box):
    """The render thread, after a block: the second core may go."""
    words = words_at(box)
    for queue in (URGENT, BACKGROUND):
        publish(box + 8 * (queue + UNWANTED), words[queue + POSTED])
    publish(box + 8 * CLOSED, words[EPOCH])


@kernel
def room(box, queue):
    """How many jobs may be posted now. It only grows until the next post, so a series that fits stays in one piece."""
    at = box + 8 * queue
    return RING - (words_at(at)[POSTED] - peek(at + 8 * DONE))


@kernel
def post(box, queue, matrix, inputs, outputs, count, first, last):
    """Ask for blocks first..last-1 of rows of matrix @ inputs; the job's number, or -1 where there is no room.

    inputs: address of int64 [count] addresses of activations, which must stay as they are until the job is
    collected; outputs: of those of float32 [rows] that are the second core's.
    """
    at = box + 8 * queue
    number = words_at(at)[POSTED]
    if room(box, queue) <= 0:
        return -1
    job = words_at(at + 8 * (JOBS + JOB_WORDS * (number % RING)))
    job[MATRIX], job[COUNT], job[FIRST], job[LAST] = matrix, count, first, last
    for i in range(count):
        job[INPUTS + i] = words_at(inputs)[i]
        job[OUTPUTS + i] = words_at(outputs)[i]
    publish(at + 8 * POSTED, number + 1)
    return number


@kernel
def _finished(box, queue, number):
    """Wait for the job if it is in work; False: it is to be done here, nobody else will in time."""
    at = box + 8 * queue
    slot = at + 8 * (JOBS + JOB_WORDS * (number % RING))
    if words_at(at)[POSTED] - number > RING:
        return False
    if peek(at + 8 * STARTED) <= number:
        publish(slot + 8 * MATRIX, 0)
        return False
    for _ in range(PATIENCE):
        if peek(at + 8 * DONE) > number:
            return peek(slot + 8 * RESULT) == number + 1
        pause()
    words = words_at(box)
    words[ABANDONED] = 1
    words[STALLS] += 1
    return False


@kernel
def collect(box, queue, number, matrix, inputs, staged, outputs, count, first, last):
    """Have the results of job `number` (-1: of none) at `outputs`. staged: the addresses that it was posted with."""
    if number >= 0 and _finished(box, queue, number):
        for i in range(count):
            source, target = floats_at(words_at(staged)[i]), floats_at(words_at(outputs)[i])
            for row in range(first * plan.ROWS, last * plan.ROWS):
                target[row] = source[row]
    else:
        multiply(matrix, inputs, outputs, count, first, last)


@kernel
def _do_next(box, queue):
    """The queue's next job, if there is one; whether there was."""
    at = box + 8 * queue
    number = words_at(at)[DONE]
    if peek(at + 8 * POSTED) <= number:
        return False
    publish(at + 8 * STARTED, number + 1)
    slot = at + 8 * (JOBS + JOB_WORDS * (number % RING))
    matrix = peek(slot + 8 * MATRIX)
    if matrix and peek(at + 8 * UNWANTED) <= number:
        job = words_at(slot)
        multiply(matrix, slot + 8 * INPUTS, slot + 8 * OUTPUTS, job[COUNT], job[FIRST], job[LAST])
        publish(slot + 8 * RESULT, number + 1)
    publish(at + 8 * DONE, number + 1)
    return True


@kernel
def assist(box):
    """The second core, for the block that it was asked for: do jobs until the block is finished."""
    epoch, bored = peek(box + 8 * INVITED), 0
    while peek(box + 8 * EPOCH) < epoch and bored < BOREDOM:
        bored += 1
        pause()
    if peek(box + 8 * EPOCH) != epoch:
        return
    publish(box + 8 * PRESENT, epoch)
    while peek(box + 8 * CLOSED) < epoch and bored < BOREDOM:
        if _do_next(box, URGENT) or _do_next(box, BACKGROUND):
            bored = 0
        else:
            bored += 1
            pause()
    publish(box + 8 * PRESENT, 0)
