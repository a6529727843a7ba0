"""Which products the render thread makes itself, and which it leaves to the second core. The render thread.

How a job is handed over is in `mailbox.py`. Three kinds are: half of a product that is needed at once; a
frame's vectors but the first, which are needed one after the other; the next frame's MATRIX_HH, whose input
is there as soon as this frame's is done.
"""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import words_at
from ambientd.engine.kernels.gemv import multiply
from ambientd.engine.kernels.mailbox import BACKGROUND, MOST_VECTORS, POSTED, URGENT, collect, helped, post, room
from ambientd.engine.kernels.rows import layer_at, tier_at, voice_at


@kernel
def multiply_all(matrix, work, count):
    """The whole matrix times the vectors at work.inputs, into those at work.outputs."""
    blocks = words_at(matrix)[plan.BLOCKS]
    multiply(matrix, work.inputs, work.outputs, count, 0, blocks)


@kernel
def is_helped(work, count):
    return count <= MOST_VECTORS and helped(work.box)


@kernel
def _job_blocks(dim):
    """Blocks of rows to a job in the background: some 256 kB of weights, so that urgent ones never wait long."""
    blocks = dim // plan.ROWS
    return blocks // 4 if dim > 512 and blocks % 4 == 0 else blocks


@kernel
def multiply_shared(matrix, dim, work, count):
    """As `multiply_all`, half of it on the second core, and at once. An output has room for twice its rows."""
    blocks, box = words_at(matrix)[plan.BLOCKS], work.box
    half = blocks - blocks // 2
    for i in range(count):
        words_at(work.staged)[i] = words_at(work.outputs)[i] + 4 * plan.ROWS * blocks
    job = post(box, URGENT, matrix, work.inputs, work.staged, count, half, blocks)
    multiply(matrix, work.inputs, work.outputs, count, 0, half)
    collect(box, URGENT, job, matrix, work.inputs, work.staged, work.outputs, count, half, blocks)


@kernel
def multiply_ahead(rows, k, n, dim, work, count):
    """MATRIX_HH of layer n: what the second core has made of it since the last frame, and the rest here."""
    due = words_at(work.due)
    matrix, job = layer_at(rows, due[0], k, n)[plan.MATRIX_HH], layer_at(rows, due[0], k, n)[plan.AHEAD_JOB]
    for i in range(count):
        words_at(work.staged)[i] = layer_at(rows, due[i], k, n)[plan.GATES_AHEAD]
        job = min(job, layer_at(rows, due[i], k, n)[plan.AHEAD_JOB])
        layer_at(rows, due[i], k, n)[plan.AHEAD_JOB] = -1
    if job < 0:
        multiply_all(matrix, work, count)
        return
    step = _job_blocks(dim)
    for first in range(0, words_at(matrix)[plan.BLOCKS], step):
        number = job + first // step
        collect(
            work.box, BACKGROUND, number, matrix, work.inputs, work.staged, work.outputs, count, first, first + step
        )


@kernel
def _post_series(matrix, first, last, step, work, count):
    """Post blocks first..last-1 as jobs of `step` blocks; the first one's number, the others follow without a gap.

    -1 where not all of them fit: with some of them missing, the numbers behind would be other jobs'.
    """
    if room(work.box, BACKGROUND) < (last - first + step - 1) // step:
        return -1
    first_job = words_at(work.box + 8 * BACKGROUND)[POSTED]
    for block in range(first, last, step):
        post(work.box, BACKGROUND, matrix, work.inputs, work.staged, count, block, block + step)
    return first_job


@kernel
def is_to_be_shared(rows, k, work):
    """Whether the frame just begun by those that are due leaves something to the second core."""
    tier = tier_at(rows, words_at(work.due)[0], k)
    return tier[plan.SHARED_FROM] < tier[plan.RATIO]


@kernel
def share(rows, k, work, count):
    """Give the second core what the frame just begun leaves to be done: vectors, then the next frame's MATRIX_HH."""
    due = words_at(work.due)
    lead, tier = voice_at(rows, due[0]), tier_at(rows, due[0], k)
    dim, ratio = lead[plan.DIM], tier[plan.RATIO]
    step = _job_blocks(dim)
    for i in range(count):
        words_at(work.inputs)[i] = tier_at(rows, due[i], k)[plan.SHARED_INPUT]
        words_at(work.staged)[i] = tier_at(rows, due[i], k)[plan.CONDITIONING] + 4 * dim * ratio
    first, last = dim // plan.ROWS, ratio * dim // plan.ROWS
    first_job = _post_series(tier[plan.UPSAMPLE_MATRIX], first, last, step, work, count)
    for i in range(count):
        tier_at(rows, due[i], k)[plan.SHARED_JOB] = first_job
    for n in range(lead[plan.LAYERS]):
        for i in range(count):
            words_at(work.inputs)[i] = layer_at(rows, due[i], k, n)[plan.STATE]
            words_at(work.staged)[i] = layer_at(rows, due[i], k, n)[plan.GATES_AHEAD]
        matrix = layer_at(rows, due[0], k, n)[plan.MATRIX_HH]
        first_job = _post_series(matrix, 0, 3 * dim // plan.ROWS, step, work, count)
        for i in range(count):
            layer_at(rows, due[i], k, n)[plan.AHEAD_JOB] = first_job


@kernel
def fetch(rows, v, k, vector, work):
    """Have a vector of tier k in voice v's CONDITIONING, if it was left to the second core.

    Those before it are then not to be had any more: everybody who hears a tier is at the same one of its vectors.
    """
    tier, dim, single = tier_at(rows, v, k), voice_at(rows, v)[plan.DIM], words_at(work.single)
    start = tier[plan.SHARED_FROM]
    if vector < start:
        return
    blocks, step = dim // plan.ROWS, _job_blocks(dim)
    single[0], single[2] = tier[plan.SHARED_INPUT], tier[plan.CONDITIONING]
    single[1] = tier[plan.CONDITIONING] + 4 * dim * tier[plan.RATIO]
    inputs, staged, outputs = work.single, work.single + 8, work.single + 16
    for part in range(blocks // step):
        job = tier[plan.SHARED_JOB]
        if job >= 0:
            job += (vector - start) * (blocks // step) + part
        first = vector * blocks + part * step
        matrix = tier[plan.UPSAMPLE_MATRIX]
        collect(work.box, BACKGROUND, job, matrix, inputs, staged, outputs, 1, first, first + step)
    tier[plan.SHARED_FROM] = vector + 1
    if tier[plan.SHARED_JOB] >= 0:
        tier[plan.SHARED_JOB] += (vector + 1 - start) * (blocks // step)
