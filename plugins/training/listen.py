"""Hearing a checkpoint run freely, through the public command that everybody uses. The training process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd_plugins.training.errors import TrainingError

if TYPE_CHECKING:
    from ambientd.plugin import Floats


def render(checkpoint: Path, out: Path, seconds: float, temperature: float, seed: int = 1) -> Floats:
    """[samples] at the checkpoint's rate; `out` is the WAV that is left behind. Raises TrainingError."""
    import soundfile

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out.parent} cannot be made ({error.strerror})", "Make room") from None
    command = [sys.executable, "-m", "ambientd", "render", "--model", str(checkpoint), "--seed", str(seed)]
    command += ["--seconds", str(seconds), "--temperature", str(temperature), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise TrainingError(f"`ambientd render` ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    heard: Floats = soundfile.read(out, dtype="float32", always_2d=True)[0].mean(axis=1)
    return heard
