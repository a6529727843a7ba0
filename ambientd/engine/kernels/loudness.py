"""How loud a voice is by itself, from what it drew. The render thread, while voices change over."""

# Compiled functions are typed by Numba at run time; Python's annotations mean nothing in them.
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from ambientd.engine.kernels.compiled import kernel


@kernel
def power(tokens, decode, pre_emphasis):
    """uint8 tokens [n], float32 decode [q_levels] -> their mean square with pre-emphasis undone, without the mean.

    The mean stands for what `cpu` takes away below 5 Hz.
    """
    y, total, squares = 0.0, 0.0, 0.0
    for i in range(tokens.shape[0]):
        y = decode[tokens[i]] + pre_emphasis * y
        total += y
        squares += y * y
    mean = total / tokens.shape[0]
    return max(0.0, squares / tokens.shape[0] - mean * mean)
