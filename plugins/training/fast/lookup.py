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


@compiled
def look_up(
    conditioning: NDArray[Any],
    table: NDArray[np.float32],
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
    over i + that of more[0, known[b, k, t]] over k. out [B, T, COLUMNS]."""
    length, dim = conditioning.shape[1:]
    around, width = len(table) - 1, min(COLUMNS, dim - start)
    pieces, more_pieces = _lay(table, start, width), _lay(more, start, width)
    sums = np.zeros((STEPS + 2 * around) * COLUMNS, np.float32)
    for b in range(len(conditioning)):
        for first in range(0, length, STEPS):
            steps = min(STEPS, length - first)
            mine = sums[around * COLUMNS : (around + steps) * COLUMNS]
            for t in range(steps):
                row, given = mine[t * COLUMNS : t * COLUMNS + width], conditioning[b, first + t, start : start + width]
                for d in range(width):
                    row[d] = widened(given[d])
            _add_pieces(sums, pieces, tokens[b, first : first + steps + around])
            for k in range(known.shape[1]):
                _add_pieces(mine, more_pieces, known[b, k, first : first + steps])
            for t in range(steps):
                place = np.uint32((b * length + first + t) * dim + start)
                rectify_row(mine[t * COLUMNS : (t + 1) * COLUMNS], out[b, first + t], place, seed, limit, scale)


@compiled
def sum_columns(
    grad: NDArray[Any],
    table: NDArray[np.float32],
    tokens: NDArray[np.uint8],
    more: NDArray[np.float32],
    known: NDArray[np.int32],
    start: int,
) -> None:  # pragma: no cover  (compiled)
    """COLUMNS columns from `start` of the tables' gradients: table[i, tokens[b, t + i]] is the sum of these grad[b, t],
    more[0, known[b, k, t]] likewise."""
    length, dim = grad.shape[1:]
    around, width = len(table) - 1, min(COLUMNS, dim - start)
    pieces = np.zeros((table.shape[1], len(table) * COLUMNS), np.float32)
    more_pieces = np.zeros((more.shape[1], len(more) * COLUMNS), np.float32)
    rows = np.zeros((STEPS + 2 * around) * COLUMNS, np.float32)
    mine = rows[around * COLUMNS :]
    for b in range(len(grad)):
        for first in range(0, length, STEPS):
            steps = min(STEPS, length - first)
            for t in range(steps):
                row, given = mine[t * COLUMNS : t * COLUMNS + width], grad[b, first + t, start : start + width]
                for d in range(width):
                    row[d] = widened(given[d])
            for n in range(steps * COLUMNS, len(mine)):
                mine[n] = 0
            _sum_pieces(rows, pieces, tokens[b, first : first + steps + around])
            for k in range(known.shape[1]):
                _sum_pieces(mine, more_pieces, known[b, k, first : first + steps])
    _lift(pieces, table, start, width)
    _lift(more_pieces, more, start, width)


@compiled
def _lay(table: NDArray[np.float32], start: int, width: int) -> NDArray[np.float32]:  # pragma: no cover  (compiled)
    """[position, token, D] -> these columns of it, [token, position * COLUMNS], the last position first."""
    positions, q, _ = table.shape
    pieces = np.zeros((q, positions * COLUMNS), np.float32)
    for token in range(q):
        for i in range(positions):
            place = (positions - 1 - i) * COLUMNS
            row, piece = table[i, token, start : start + width], pieces[token, place : place + width]
            for d in range(width):
                piece[d] = row[d]
    return pieces


@compiled
def _lift(
    pieces: NDArray[np.float32], table: NDArray[np.float32], start: int, width: int
) -> None:  # pragma: no cover  (compiled)
    """The inverse of `_lay`."""
    positions, q, _ = table.shape
    for token in range(q):
        for i in range(positions):
            place = (positions - 1 - i) * COLUMNS
            row, piece = table[i, token, start : start + width], pieces[token, place : place + width]
            for d in range(width):
                row[d] = piece[d]


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
