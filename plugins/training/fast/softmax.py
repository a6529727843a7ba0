"""Softmax and cross-entropy with a forecast's prior: one pass over a row of logits makes the loss and all gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd_plugins.training.fast.numbers import compiled, exp, narrowed, widened


@compiled
def softmax_rows(
    logits: NDArray[Any],
    targets: NDArray[np.uint8],
    levels: NDArray[np.float32],
    centre: NDArray[np.float32],
    narrow: NDArray[np.float32],
    slope: np.float32,
    share: np.float32,
    rows: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> None:  # pragma: no cover  (compiled)
    """logits [n, q] become their gradients of `share` times the loss; sums [q]: these are added up in it.

    centre, narrow [n], slope: the prior of `model.Forecasting`, left out at slope 0.
    rows [n, 3]: the loss, and its gradients by narrow and by slope.
    """
    q = logits.shape[1]
    out, bent = np.empty(q, np.float32), np.empty(q, np.float32)
    for n in range(len(targets)):
        row, middle, sharp = logits[n], centre[n], narrow[n]
        if slope != 0:
            for k in range(q):
                away = (levels[k] - middle) * sharp
                bent[k] = np.sqrt(np.float32(1) + away * away)
                out[k] = widened(row[k]) - slope * bent[k]
        else:
            for k in range(q):
                out[k] = widened(row[k])
        peak = np.float32(-1e30)
        for k in range(q):
            peak = max(peak, out[k])
        wanted = out[targets[n]] - peak
        total = np.float32(0)
        for k in range(q):
            out[k] = exp(out[k] - peak)
            total += out[k]
        factor = share / total
        for k in range(q):
            out[k] *= factor
        out[targets[n]] -= share
        for k in range(q):
            sums[k] += out[k]
            row[k] = narrowed(out[k], row)
        by_narrow, by_slope = np.float32(0), np.float32(0)
        if slope != 0:
            for k in range(q):
                apart = levels[k] - middle
                by_slope -= out[k] * bent[k]
                by_narrow -= out[k] * apart * apart * sharp / bent[k]
        rows[n, 0], rows[n, 1], rows[n, 2] = np.log(total) - wanted, by_narrow * slope, by_slope
