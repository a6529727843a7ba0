"""RUN/tensorboard: a training's curves, sounds and pictures for TensorBoard. The training process.

    tensorboard --logdir runs

Convenience, never a condition: where it cannot be written it falls silent, and the training goes on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
MOST_SECONDS = 30.0
"""Of one sample."""


class Board:
    """Event files in `folder`/tensorboard, one more for each time a run goes on.

    step: where it goes on from; what an earlier one wrote of later steps is hidden. say: told when writing fails.
    """

    def __init__(self, folder: Path, step: int = 0, say: Callable[[str], None] = lambda line: None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.say = folder / FOLDER, say
        self._writer: SummaryWriter | None = None
        try:
            # https://docs.pytorch.org/docs/stable/tensorboard.html
            self._writer = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)
        except OSError as error:
            self._give_up(error)

    def losses(self, step: int, bits: float, samples_per_second: float, learning_rate: float) -> None:
        """A point of the training curve. bits: per sample."""
        self._scalars(
            step,
            {"bits/training": bits, "speed/samples per second": samples_per_second, "learning rate": learning_rate},
        )

    def validation(self, step: int, line: Mapping[str, Any], samples: Iterable[Path] = ()) -> None:
        """A validation: its line of log.jsonl, with `validation_bits`, `hours_heard` and, where it was listened to,
        `scores` by temperature; and audio files, each with a picture of the same name beside it where there is one.
        """
        values = {"bits/validation": line.get("validation_bits"), "hours heard": line.get("hours_heard")}
        scores = line.get("scores")
        for temperature, measures in scores.items() if isinstance(scores, Mapping) else ():
            values |= {f"{measure}/{temperature}": value for measure, value in measures.items()}
        self._scalars(step, values)
        for path in samples:
            self._sample(step, path)
        self._write(lambda writer: writer.flush())

    def close(self) -> None:
        """Everything is in the file afterwards."""
        self._write(lambda writer: writer.close())
        self._writer = None

    def _scalars(self, step: int, values: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for tag, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._write(partial(SummaryWriter.add_scalar, tag=tag, scalar_value=value, global_step=step))

    def _sample(self, step: int, path: Path) -> None:
        """One tag over all steps, so that TensorBoard lets one slide through them."""
        import soundfile
        from matplotlib.image import imread

        tag = re.sub(r"^step\d+[-_]?", "", path.stem) or "sample"
        try:
            with soundfile.SoundFile(path) as file:
                audio = file.read(round(MOST_SECONDS * file.samplerate), dtype="float32", always_2d=True)
                rate = file.samplerate
            picture = imread(path.with_suffix(".png")) if path.with_suffix(".png").is_file() else None
        except (soundfile.LibsndfileError, OSError, SyntaxError) as error:
            self.say(f"{path.name} is not on the board ({error})")
            return
        self._write(lambda writer: writer.add_audio(tag, audio.mean(axis=1)[None], step, rate))
        if picture is not None:
            self._write(lambda writer: writer.add_image(tag, picture, step, dataformats="HWC"))

    def _write(self, action: Callable[[Any], None]) -> None:
        if self._writer is None:
            return
        try:
            action(self._writer)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        self.say(f"no more for TensorBoard: {self.folder} cannot be written ({error.strerror or error})")
