"""What int8 and bf16 cost in accuracy: `python benchmarks/precision.py CHECKPOINT ALBUM_FOLDER [SECONDS]`.

Runs a trained checkpoint on the end of its album (the tenth that training by time holds out), each sample
given the true ones before it, and compares the next-sample distributions with those in fp32.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ambientd.engine.bank import Bank
from ambientd.engine.kernels.matrices import Format
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.voice import Voice, pack
from ambientd.samplernn.checkpoint import Checkpoint, load
from ambientd.samplernn.quantize import album_dc, encode, pre_emphasise
from ambientd.types import BLOCK
from ambientd_plugins.training.albums.chunks import read_dataset

PLACES = 8
"""Runs, spread over the ends of the tracks."""
WARM_UP = 2048
"""Samples at each place that set the state and are not counted."""


def places(checkpoint: Checkpoint, album: Path, seconds: float) -> list[np.ndarray]:
    """Token runs from the album, scaled as its training did."""
    a, rate = checkpoint.card.architecture, checkpoint.card.sample_rate
    _, tracks = read_dataset(album, rate)
    dc = np.float32(album_dc([track.audio for track in tracks]))
    count = WARM_UP + int(seconds * rate / PLACES)
    runs = []
    for n in range(PLACES):
        audio = tracks[n % len(tracks)].audio
        end = len(audio) - (n // len(tracks)) * count
        piece = pre_emphasise(audio[max(0, end - count) : end] - dc, a.pre_emphasis) * np.float32(a.album_gain)
        runs.append(encode(piece, a.q_levels, a.quantization))
    return [run for run in runs if len(run) > WARM_UP]


def log_probabilities(checkpoint: Checkpoint, format: Format, runs: list[np.ndarray]) -> np.ndarray:
    """[samples, q]"""
    packed, found = pack(checkpoint, format), []
    for tokens in runs:
        bank = Bank(1, 1)
        bank.attach(0, Voice(checkpoint.info, packed, seed=0))
        for start in range(0, len(tokens) // BLOCK * BLOCK, BLOCK):
            logits = np.zeros((1, BLOCK, 256), np.float32)
            bank.force(0, tokens[start : start + BLOCK], logits)
            if start >= WARM_UP:
                found.append(logits[0, :, : checkpoint.info.q_levels].copy())
    x = np.concatenate(found).astype(np.float64)
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def main(path: str, album: str, seconds: str = "20") -> None:
    checkpoint = load(Path(path))
    runs = places(checkpoint, Path(album), float(seconds))
    tokens = np.concatenate([run[WARM_UP : len(run) // BLOCK * BLOCK] for run in runs])
    exact = log_probabilities(checkpoint, choose("fp32"), runs)
    row = np.arange(len(tokens))
    bits = -exact[row, tokens].mean() / np.log(2)
    print(f"{checkpoint.id}, dim {checkpoint.info.dim}: {len(tokens)} samples, {bits:.3f} bits in fp32")
    for precision in ("bf16", "int8"):
        rough = log_probabilities(checkpoint, choose(precision), runs)
        kl = (np.exp(exact) * (exact - rough)).sum(axis=1)
        worse = (exact - rough)[row, tokens].mean() / np.log(2)
        print(f"  {precision}: KL {kl.mean():.2e} nats (99 %: {np.quantile(kl, 0.99):.1e}), NLL {worse:+.5f} bits")


if __name__ == "__main__":
    main(*sys.argv[1:])
