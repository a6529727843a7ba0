"""A run folder, and the loop that fills it.

RUN/config.json       what was asked for; the same command again resumes
RUN/log.jsonl         one line per validation
RUN/state.pt          everything needed to go on (our own file, read with weights_only)
RUN/checkpoints/      best.safetensors (lowest validation bits), last.safetensors
RUN/samples/          a preview WAV and a mel-spectrogram PNG per validation
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ambientd.plugin import AmbientdError
from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Album, Architecture, Card, Training, save, write_atomically
from ambientd_plugins.training import dataset
from ambientd_plugins.training.chunks import read_dataset
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.pictures import mel_png
from ambientd_plugins.training.trainer import Recipe, Trainer, validation_bits

SAVE_EVERY_SECONDS = 45.0
PREVIEW_SECONDS = 8
VALIDATION_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Request:
    """What the command line asked for; stored as config.json."""

    dataset: str
    dim: int
    frame_sizes: tuple[int, ...]
    n_rnn: int
    q_levels: int
    quantization: str
    pre_emphasis: float
    sample_rate: int
    batch: int
    sequence: int
    learning_rate: float
    steps: int | None
    minutes: float | None
    validations: int
    split: str
    seed: int
    cpu_minutes: float | None = None


@dataclass(frozen=True)
class Progress:
    """Told to the progress bar after each step. bits: a running mean of the training loss."""

    fraction: float
    bits: float
    samples_per_second: float
    hours: float
    validation_bits: float | None


class Run:
    """One training in one folder."""

    def __init__(self, folder: Path, request: Request) -> None:
        self.folder, self.request = folder, request
        self._refuse_other_settings()
        self.album, tracks = read_dataset(Path(request.dataset), request.sample_rate)
        dc, gain = dataset.scale(tracks, request.pre_emphasis)
        architecture = Architecture(
            dim=request.dim,
            frame_sizes=request.frame_sizes,
            n_rnn=request.n_rnn,
            q_levels=request.q_levels,
            quantization=request.quantization,
            pre_emphasis=request.pre_emphasis,
            album_gain=gain,
        )
        tokens = [dataset.tokenise(t, dc, architecture) for t in tracks]
        data = dataset.split(tokens, 2 * request.sequence, request.split, np.random.default_rng(request.seed))
        fields = {f.name: getattr(request, f.name) for f in dataclasses.fields(Recipe)}
        self.trainer = Trainer(architecture, request.sample_rate, data, Recipe(**fields))
        self.best = math.inf
        self.bits = math.nan
        self.validated = 0
        self._remember_request()
        if self.state_file.is_file():
            self._restore()

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    @property
    def best_checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "best.safetensors"

    def train(self, progress: Callable[[Progress], None], say: Callable[[str], None]) -> None:
        """Go on to the end. Ctrl-C or SIGTERM saves first and raises KeyboardInterrupt."""
        saved = time.monotonic()
        with _interrupts() as interrupted:
            while self.trainer.progress < 1:
                self._step()
                progress(self._progress())
                if self.trainer.progress * self.request.validations >= self.validated + 1:
                    self.validate(say)
                    saved = -math.inf
                if interrupted() or time.monotonic() - saved > SAVE_EVERY_SECONDS:
                    self.save_state()
                    saved = time.monotonic()
                if interrupted():
                    raise KeyboardInterrupt
            if self.validated < self.request.validations:
                self.validate(say)
            self.save_state()

    def _step(self) -> None:
        loss = self.trainer.train_step()
        if not math.isfinite(loss):
            if math.isnan(self.bits):
                raise TrainingError("the very first update was not finite", "Lower --lr")
            return
        self.bits = loss if math.isnan(self.bits) else 0.98 * self.bits + 0.02 * loss

    def _progress(self) -> Progress:
        t = self.trainer
        speed = t.samples / max(1e-9, t.seconds)
        hours = t.samples / self.request.sample_rate / 3600
        return Progress(t.progress, self.bits, speed, hours, self.best if math.isfinite(self.best) else None)

    def validate(self, say: Callable[[str], None]) -> None:
        """Judge the averaged weights, keep the better checkpoint, leave a preview to hear and to look at."""
        model = self.trainer.averaged()
        bits = validation_bits(model, self.trainer.data.validation, self.request.sequence, VALIDATION_SAMPLES)
        self.validated += 1
        prime = dataset.prime(self.trainer.data.train, self.request.sample_rate)
        card = self._card(bits)
        last = self.folder / "checkpoints" / "last.safetensors"
        save(last, card, model.export(), prime)
        if bits < self.best:
            self.best = bits
            write_atomically(self.best_checkpoint, last.read_bytes())
        line = {
            "step": self.trainer.step,
            "minutes": round(self.trainer.seconds / 60, 2),
            "train_bits": round(self.bits, 4),
            "validation_bits": round(bits, 4),
            "hours_heard": round(self.trainer.samples / self.request.sample_rate / 3600, 3),
        }
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        say(f"validation {bits:.3f} bits per sample (training {self.bits:.3f}, best {self.best:.3f})")
        try:
            self._preview(last, f"{self.validated:02d}-step{self.trainer.step}")
        except AmbientdError as error:
            say(f"no preview: {error}")

    def _preview(self, checkpoint: Path, name: str) -> None:
        """Free-run the checkpoint through the public command, and draw it beside the album."""
        import soundfile

        wav = self.folder / "samples" / f"{name}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "ambientd", "render", "--model", str(checkpoint), "--seed", "1"]
        command += ["--seconds", str(PREVIEW_SECONDS), "--out", str(wav)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise TrainingError(f"`ambientd render` ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        heard, rate = soundfile.read(wav, dtype="float32", always_2d=True)
        a = self.trainer.architecture
        album = np.concatenate(self.trainer.data.validation)[: PREVIEW_SECONDS * rate]
        original = quantize.decode(album, a.q_levels, a.quantization, a.pre_emphasis, a.album_gain)
        picture = mel_png({"album (held out)": original, f"model, {name}": heard.mean(axis=1)}, rate)
        write_atomically(wav.with_suffix(".png"), picture)

    def _card(self, bits: float) -> Card:
        t = self.trainer
        training = Training(
            steps=t.step,
            hours_heard=round(t.samples / self.request.sample_rate / 3600, 3),
            cpu_minutes=round(t.cpu_seconds / 60, 1),
            validation_bits=round(bits, 4),
            software={name: version(name) for name in ("ambientd", "torch", "numpy")},
        )
        album: Album = self.album
        return Card(architecture=t.architecture, sample_rate=self.request.sample_rate, album=album, training=training)

    def save_state(self) -> None:
        buffer = io.BytesIO()
        torch.save({"trainer": self.trainer.state(), "run": [self.best, self.bits, self.validated]}, buffer)
        write_atomically(self.state_file, buffer.getvalue())

    def _restore(self) -> None:
        state = torch.load(self.state_file, weights_only=True)
        self.trainer.restore(state["trainer"])
        self.best, self.bits, self.validated = state["run"]

    def _refuse_other_settings(self) -> None:
        """A run folder belongs to one model: going on with another would mix two trainings."""
        if not self.state_file.is_file():
            return
        before: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        may_change = ("steps", "minutes", "cpu_minutes", "validations")
        changed = [k for k, v in self._asked.items() if before.get(k) != v and k not in may_change]
        if changed:
            detail = ", ".join(f"{k} was {before.get(k)!r}, now {self._asked[k]!r}" for k in changed)
            raise TrainingError(f"{self.folder} holds a training with other settings ({detail})", "Use another --exp")

    def _remember_request(self) -> None:
        try:
            write_atomically(self.folder / "config.json", (json.dumps(self._asked, indent=1) + "\n").encode())
        except OSError as error:
            raise TrainingError(
                f"{self.folder} cannot be written to ({error.strerror})", "Pass --runs FOLDER"
            ) from None

    @property
    def _asked(self) -> dict[str, Any]:
        """The request as JSON gives it back."""
        asked: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self.request)))
        return asked


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """While inside, the first SIGINT or SIGTERM only asks to stop; a second SIGINT interrupts at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def folder_for(runs: Path, name: str) -> Path:
    """RUNS/NAME; made when there is something to put into it."""
    if Path(name).name != name or name.startswith("."):
        raise TrainingError(f"{name!r} cannot name a run", "Use letters, digits, - and _")
    return runs / name
