"""Rectified linear units with dropout. What is left out is 0, and so is its gradient: nothing else is kept of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd_plugins.training.fast.numbers import chance, compiled, narrowed, widened


@compiled
def rectify_row(
    x: NDArray[Any], out: NDArray[Any], first: np.uint32, seed: np.uint32, limit: np.uint32, scale: np.float32
) -> None:  # pragma: no cover  (compiled)
    """out = scale * relu(x), and 0 where the chance of the number's place, first + its index, is below `limit`."""
    for d in range(len(out)):
        number = widened(x[d])
        number = np.float32(0) if number <= 0 else number * scale
        if limit > 0 and chance(np.uint32(first + np.uint32(d)), seed) < limit:
            number = np.float32(0)
        out[d] = narrowed(number, out)


@compiled
def rectify(
    x: NDArray[Any], out: NDArray[Any], first: np.uint32, seed: np.uint32, limit: np.uint32, scale: np.float32
) -> None:  # pragma: no cover  (compiled)
    """`rectify_row` of every row of x [n, D]."""
    for n in range(len(x)):
        rectify_row(x[n], out[n], np.uint32(first + np.uint32(n * x.shape[1])), seed, limit, scale)


@compiled
def rectify_back(
    made: NDArray[Any], grad: NDArray[Any], scale: np.float32, sums: NDArray[np.float32]
) -> None:  # pragma: no cover  (compiled)
    """made [n, D], by `rectify`, becomes the gradient of what that was given, grad: of what was made; sums [D]: it is
    added up in it."""
    for n in range(len(made)):
        row, given = made[n], grad[n]
        for d in range(len(row)):
            number = widened(given[d]) * scale
            number = np.float32(0) if widened(row[d]) <= 0 else number
            row[d] = narrowed(number, row)
            sums[d] += number
