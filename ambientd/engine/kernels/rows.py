"""Finding a voice's, a tier's and a layer's row of `plan.py` from inside a kernel. The render thread."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.compiled import kernel
from ambientd.engine.kernels.emit import words_at


class Plan(NamedTuple):
    """The voices as rows of `plan.py`'s fields."""

    voices: NDArray[np.int64]  # [V, VOICE_FIELDS]
    tiers: NDArray[np.int64]  # [V, most tiers, TIER_FIELDS]
    layers: NDArray[np.int64]  # [V, most tiers, most layers, LAYER_FIELDS]


class Rows(NamedTuple):
    """A `Plan` by addresses.

    Not arrays, because Numba counts references to each that is taken out of a tuple or sliced: that was a quarter
    of a sample's time at dim 256.
    """

    voices: int
    tiers: int
    layers: int
    slots: int
    most_tiers: int
    most_layers: int

    @classmethod
    def of(cls, plan: Plan) -> Rows:
        """Good for as long as the plan's arrays live."""
        slots, tiers, layers, _ = plan.layers.shape
        return cls(*(array.ctypes.data for array in plan), slots, tiers, layers)


@kernel
def voice_at(rows, v):
    return words_at(rows.voices + 8 * plan.VOICE_FIELDS * v)


@kernel
def tier_at(rows, v, k):
    return words_at(rows.tiers + 8 * plan.TIER_FIELDS * (v * rows.most_tiers + k))


@kernel
def layer_at(rows, v, k, n):
    return words_at(rows.layers + 8 * plan.LAYER_FIELDS * ((v * rows.most_tiers + k) * rows.most_layers + n))
