"""Whatever plays voices, run for some blocks."""

from __future__ import annotations

import numpy as np

from ambientd.types import BLOCK


def free_run(bank, mixes):
    """[voices, tokens] and audio [frames, channels] of one block per mix."""
    tokens, audio = [], []
    for mix in mixes:
        bank.ramp.advance(mix)
        out = np.zeros((BLOCK, mix.gains.shape[1]), np.float32)
        bank.render(out)
        tokens.append(bank.drawn.copy())
        audio.append(out)
    return np.concatenate(tokens, axis=1), np.concatenate(audio)
