"""Voices of one checkpoint together, so that weights are read once for all of them. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"

from __future__ import annotations

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import words_at
from ambientd.engine.kernels.rows import voice_at


@kernel
def members_of(rows, work, g):
    """The list of group g."""
    return words_at(work.members + 8 * max(rows.slots, 3) * g)


@kernel
def size_of(work, g):
    """How many voices are in group g."""
    return words_at(work.sizes)[g]


@kernel
def group(rows, work):
    """Fill in the lists; how many groups there are."""
    sizes, groups = words_at(work.sizes), 0
    for v in range(rows.slots):
        if voice_at(rows, v)[plan.DIM]:
            checkpoint, g = voice_at(rows, v)[plan.HIDDEN_MATRIX], 0
            while g < groups and voice_at(rows, members_of(rows, work, g)[0])[plan.HIDDEN_MATRIX] != checkpoint:
                g += 1
            if g == groups:
                sizes[g] = 0
                groups += 1
            members_of(rows, work, g)[sizes[g]] = v
            sizes[g] += 1
    return groups
