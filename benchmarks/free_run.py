"""What a checkpoint sounds like when it is left alone, beside its album: a row of the table in training.md.

    python benchmarks/free_run.py crystan-dark-synth --minutes 30

Plays freely at the card's own temperature; the album's scores are those on the card. The daemon's ear hears every
second: what it holds for ill is a false alarm, where the rest is as it must be (health.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ambientd.engine.ear import Ear, State
from ambientd.engine.engine import Engine
from ambientd.engine.voice import open_voice
from ambientd.samplernn.checkpoint import Checkpoint, load
from ambientd.samplernn.library import resolve_local
from ambientd.samplernn.profile import Profile
from ambientd.samplernn.scores import Scores, score
from ambientd.types import BLOCK, Mix


def play(checkpoint: Checkpoint, album: Scores, seconds: int, seed: int) -> tuple[NDArray[np.float32], Counter[str]]:
    """The take [n], and for how many seconds the ear held it for ill, by state."""
    voice, rate = open_voice(checkpoint, seed), checkpoint.card.sample_rate
    engine, mix, ear = Engine(1, 1, rate), Mix.solo(1, 1), Ear(voice.info, album)
    mix.gains[:] = 1
    engine.place(0, voice)
    out, audio, drawn, ill = np.zeros((BLOCK, 1), np.float32), [], np.zeros(0, np.uint8), Counter[str]()
    for _ in track(range(seconds * rate // BLOCK), voice.info.id):
        engine.render(mix, out)
        audio.append(out[:, 0].copy())
        drawn = np.concatenate([drawn, engine.drawn[0]])
        if len(drawn) >= rate:
            state, drawn = ear.hear(drawn[:rate]), drawn[rate:]
            ill[state] += state is not State.HEALTHY
    return np.concatenate(audio), +ill


def free_run(model: str, minutes: float, seed: int) -> dict[str, object]:
    """Scores of the whole take and of its album, and what "Must show" asks of them."""
    checkpoint = load(resolve_local(model))
    album = Scores.from_dict(checkpoint.card.album_scores)
    if album is None:
        sys.exit(f"{model}: its card has no scores of its album; train it with --listen above 0")
    rate = checkpoint.card.sample_rate
    audio, ill = play(checkpoint, album, round(60 * minutes), seed)
    profile = Profile.from_array(checkpoint.profile) if checkpoint.profile is not None else None
    found = score(audio, rate, profile)
    return {
        "model": checkpoint.id,
        "minutes": minutes,
        "seed": seed,
        "temperature": checkpoint.card.temperature,
        "silence_difference": round(found.silent_share - album.silent_share, 4),
        "flatness_ratio": round(found.flatness / album.flatness, 3),
        "tonality_ratio": round(found.tonality / album.tonality, 3),
        "loop_seconds": found.loop_seconds,
        "loop_repeats": found.loop_repeats,
        "ill_seconds": ill,
        "take": found.to_dict(),
        "album": album.to_dict(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(free_run(**vars(parser.parse_args()))))
