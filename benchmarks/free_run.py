"""What a checkpoint sounds like when it is left alone, beside its album: a row of the table in training.md.

    python benchmarks/free_run.py crystan-dark-synth --minutes 30

Plays freely at the card's own temperature; the album's scores are those on the card.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import soundfile

from ambientd.samplernn.checkpoint import load
from ambientd.samplernn.library import resolve_local
from ambientd.samplernn.profile import Profile
from ambientd.samplernn.scores import Scores, score


def free_run(model: str, minutes: float, seed: int) -> dict[str, object]:
    """Scores of the whole take and of its album, and what "Must show" asks of them."""
    checkpoint = load(resolve_local(model))
    album = Scores.from_dict(checkpoint.card.album_scores)
    if album is None:
        sys.exit(f"{model}: its card has no scores of its album; train it with --listen above 0")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "take.wav"
        command = [sys.executable, "-m", "ambientd", "render", "--model", model, "--seed", str(seed)]
        subprocess.run([*command, "--seconds", str(60 * minutes), "--out", str(out)], check=True)
        audio, rate = soundfile.read(out, dtype="float32")
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
        "take": found.to_dict(),
        "album": album.to_dict(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(free_run(**vars(parser.parse_args()))))
