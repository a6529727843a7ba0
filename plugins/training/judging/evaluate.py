"""How well a model predicts music that it is given: bits per sample. Training and `ambientd evaluate`; torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ambientd.samplernn import quantize
from ambientd.samplernn.forecast import Forecasts
from ambientd.samplernn.model import SampleRNN, State
from ambientd_plugins.training.dataset import Tokens, forecast_tracks, stack_forecasts
from ambientd_plugins.training.trainer import as_tensors

ROWS = 32
"""Tracks heard side by side."""
SPAN = 32_768
"""Samples of all rows between two look-ups of what was drawn; their logits take some 100 MB at 256 levels."""


@torch.no_grad()
def track_bits(
    model: SampleRNN, tracks: Sequence[Tokens], heard: Callable[[int], None] = lambda samples: None
) -> list[float]:
    """Negative log-likelihood of each track, in bits per sample, its state carried from its first sample to its last.

    Every sample is judged exactly once, given all before it and silence before the first; the mean over several
    tracks is `mean_bits`. The tracks share nothing, so that their order and number change no result by more than
    rounding. tracks: uint8 [n] each, n > 0, tokens of the model's own quantization.
    heard: told after each step how many samples it judged.
    """
    nats = np.zeros(len(tracks))
    longest_first = sorted(range(len(tracks)), key=lambda index: -len(tracks[index]))
    for first in range(0, len(tracks), ROWS):
        chosen = longest_first[first : first + ROWS]
        nats[chosen] = _side_by_side(model, [tracks[index] for index in chosen], heard)
    return [float(total) / len(track) / math.log(2) for total, track in zip(nats, tracks, strict=True)]


def mean_bits(bits: Sequence[float], tracks: Sequence[Tokens]) -> float:
    """Bits per sample of all tracks together: each counts by its length."""
    return float(np.average(bits, weights=[len(track) for track in tracks]))


def _side_by_side(model: SampleRNN, tracks: list[Tokens], heard: Callable[[int], None]) -> list[float]:
    """Nats of each whole track. tracks: longest first, so that those still playing are always the first rows."""
    device = next(model.parameters()).device
    lengths = np.array([len(track) for track in tracks])
    totals = np.zeros(len(tracks))
    state = model.initial_state(len(tracks))
    known = forecast_tracks(tracks, model.architecture)
    start = 0
    while rows := int((lengths > start).sum()):
        # Whole frames: the end of a track is padded, and what is predicted of the padding is left out.
        span = model.context * max(1, min(SPAN // rows, int(lengths[0]) - start + model.context - 1) // model.context)
        tokens = np.stack([_cut(track, start, span, model) for track in tracks[:rows]])
        wanted = np.minimum(lengths[:rows] - start, span)
        forecasts = stack_forecasts([_cut_forecasts(k, start, span) for k in known[:rows]]) if known else None
        carried = [[h[:rows] for h in tier] for tier in state]
        nats, state = _nats(model, torch.from_numpy(tokens).to(device), carried, as_tensors(forecasts, device))
        counted = torch.arange(span) < torch.from_numpy(wanted)[:, None]
        totals[:rows] += (nats.cpu().double() * counted).sum(1).numpy()
        heard(int(wanted.sum()))
        start += span
    return totals.tolist()


def _nats(model: SampleRNN, tokens: Tensor, state: State, forecasts: Forecasts | None) -> tuple[Tensor, State]:
    """(negative log-likelihood [B, T] of the last T of tokens [B, context + T], next state)."""
    logits, after = model(tokens, state, forecasts)
    targets = tokens[:, model.context :].long()
    return F.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none"), after


def _cut(track: Tokens, start: int, span: int, model: SampleRNN) -> Tokens:
    """[context + span] from context before `start` on, silence where there is no track."""
    out = np.full(model.context + span, quantize.silence(model.architecture.q_levels), np.uint8)
    known = track[max(0, start - model.context) : start + span]
    skipped = max(0, model.context - start)
    out[skipped : skipped + len(known)] = known
    return out


def _cut_forecasts(known: Forecasts, start: int, span: int) -> Forecasts:
    """[span] from `start` on, the last of them repeated where there is no track."""
    return known[np.minimum(np.arange(start, start + span), len(known) - 1)]
