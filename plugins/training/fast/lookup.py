"""The sample tier's tables: looked up, and their gradients summed.

A token is heard at every position of the table, by as many samples in a row. So its rows are laid side by side, the
last position first, and looking it up adds one piece of memory to what these samples make; the gradient adds the same
piece of theirs to it. A core does a few columns of all samples, so that these columns of the table stay in its cache.

A forecast's table has one position, and each of its three parts is looked up by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd_plugins.training.fast.numbers import compiled, widened
from ambientd_plugins.training.fast.rectifier import rectify_row

COLUMNS = 64
"""Looked up or summed at once: of a table of 16 positions 4 KiB for each token."""
STEPS = 1024
"""Of one stream at once."""


def empty_pieces(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """For COLUMNS columns of a table [position, token, D]: zeros [token, position * COLUMNS]."""
    return np.zeros((table.shape[1], len(table) * COLUMNS), np.float32)


def lay(table: NDArray[np.float32], start: int) -> NDArray[np.float32]:
    """The columns from `start` in pieces, with zeros where the table has none."""
    pieces = empty_pieces(table)
    _in_table(pieces, table, start)[:] = table[:, :, start : start + COLUMNS]
    return pieces


def lift(pieces: NDArray[np.float32], table: NDArray[np.float32], start: int) -> None:
    """The inverse of `lay`: into the table."""
    table[:, :, start : start + COLUMNS] = _in_table(pieces, table, start)


def _in_table(pieces: NDArray[np.float32], table: NDArray[np.float32], start: int) -> NDArray[np.float32]:
    """The pieces as they stand in the table, [position, token, column], without what is beyond it."""
    positions, q, dim = table.shape
    return pieces.reshape(q, positions, COLUMNS).transpose(1, 0, 2)[::-1, :, : dim - start]


@compiled
def look_up(
    conditioning: NDArray[Any],
    pieces: NDArray[np.float32],
    tokens: NDArray[np.uint8],
    more: NDArray[np.float32],
    known: NDArray[np.int32],
    out: NDArray[Any],
    start: int,
    seed: np.uint32,
    limit: np.uint32,
    scale: np.float32,
) -> None:  # pragma: no cover  (compiled)
    """COLUMNS columns from `start`: out[b, t] = `rectify` of conditioning[b, t] + the sum of table[i, tokens[b, t + i]]
    over i + that of more[known[b, k, t]] over k. out [B, T, COLUMNS]; pieces: of the table, more: of the forecast's."""
    length, dim = conditioning.shape[1:]
    around, width = pieces.shape[1] // COLUMNS - 1, min(COLUMNS, dim - start)
    sums = np.zeros((STEPS + 2 * around) * COLUMNS, np.float32)
    for b in range(len(conditioning)):
        for first in range(0, length, STEPS):
            steps = min(STEPS, length - first)
            mine = sums[around * COLUMNS : (around + steps) * COLUMNS]
            _take_columns(conditioning[b, first : first + steps], start, width, mine)
            _add_pieces(sums, pieces, tokens[b, first : first + steps + around])
            for k in range(known.shape[1]):
                _add_pieces(mine, more, known[b, k, first : first + steps])
            for t in range(steps):
                place = np.uint32((b * length + first + t) * dim + start)
                rectify_row(mine[t * COLUMNS : (t + 1) * COLUMNS], out[b, first + t], place, seed, limit, scale)


@compiled
def sum_columns(
    grad: NDArray[Any],
    pieces: NDArray[np.float32],
    tokens: NDArray[np.uint8],
    more: NDArray[np.float32],
    known: NDArray[np.int32],
    start: int,
) -> None:  # pragma: no cover  (compiled)
    """COLUMNS columns from `start` of the tables' gradients: each grad[b, t] is added to table[i, tokens[b, t + i]] and
    to more[known[b, k, t]]. pieces: of the table, more: of the forecast's."""
    length, dim = grad.shape[1:]
    around, width = pieces.shape[1] // COLUMNS - 1, min(COLUMNS, dim - start)
    rows = np.zeros((STEPS + 2 * around) * COLUMNS, np.float32)
    mine = rows[around * COLUMNS :]
    for b in range(len(grad)):
        for first in range(0, length, STEPS):
            steps = min(STEPS, length - first)
            _take_columns(grad[b, first : first + steps], start, width, mine)
            for n in range(steps * COLUMNS, len(mine)):
                mine[n] = 0
            _sum_pieces(rows, pieces, tokens[b, first : first + steps + around])
            for k in range(known.shape[1]):
                _sum_pieces(mine, more, known[b, k, first : first + steps])


@compiled
def _take_columns(
    x: NDArray[Any], start: int, width: int, rows: NDArray[np.float32]
) -> None:  # pragma: no cover  (compiled)
    """rows[t * COLUMNS :] = x[t, start : start + width] for every t."""
    for t in range(len(x)):
        row, given = rows[t * COLUMNS : t * COLUMNS + width], x[t, start : start + width]
        for d in range(width):
            row[d] = widened(given[d])


@compiled
def _add_pieces(
    rows: NDArray[np.float32], pieces: NDArray[np.float32], tokens: NDArray[Any]
) -> None:  # pragma: no cover  (compiled)
    """rows[s * COLUMNS :] += pieces[tokens[s]] for every s."""
    size = pieces.shape[1]
    for s in range(len(tokens)):
        row, piece = rows[s * COLUMNS : s * COLUMNS + size], pieces[tokens[s]]
        for d in range(size):
            row[d] += piece[d]


@compiled
def _sum_pieces(
    rows: NDArray[np.float32], pieces: NDArray[np.float32], tokens: NDArray[Any]
) -> None:  # pragma: no cover  (compiled)
    """pieces[tokens[s]] += rows[s * COLUMNS :] for every s."""
    size = pieces.shape[1]
    for s in range(len(tokens)):
        row, piece = rows[s * COLUMNS : s * COLUMNS + size], pieces[tokens[s]]
        for d in range(size):
            piece[d] += row[d]
