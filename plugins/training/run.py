"""A run: one training in one folder, from its first step or from where it was left. The training process."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ambientd.plugin import AmbientdError
from ambientd.samplernn.checkpoint import Album, Card, Checkpoint, Training
from ambientd_plugins.training import dataset, families
from ambientd_plugins.training.corpus import difference, read_corpus
from ambientd_plugins.training.distributed import ALONE, Team
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.folder import RunFolder
from ambientd_plugins.training.interrupts import interrupts
from ambientd_plugins.training.judging.choice import Choice
from ambientd_plugins.training.report.page import write_report
from ambientd_plugins.training.request import MAY_CHANGE, Request, completed, option, same, typed
from ambientd_plugins.training.trainer import CPU, Recipe, Trainer, validation_bits

if TYPE_CHECKING:
    from ambientd.plugin import Floats
    from ambientd_plugins.training.corpus import Marks
    from ambientd_plugins.training.report.board import Board

SAVE_EVERY_SECONDS = 45.0
LOSSES_EVERY = 10
"""Steps between two points of the training curve."""
VALIDATION_SAMPLES = 1_000_000
LISTEN_IN_BETWEEN = 0.5
"""Of the time for listening; the rest is for the last choice."""
FAILURES_IN_A_ROW = 10
"""So many skipped steps and it is not the data: the run goes back to its last saved state, at half the rate."""
MOST_RETURNS = 3
"""Without a validation in between; then the run ends."""
KEPT = ("bits", "validated", "validated_step", "listened", "skipped", "returns", "finished")
"""What a run's state holds beside the trainer's."""


@dataclass(frozen=True)
class Progress:
    """Told to the progress bar after each step. bits: a running mean of the training loss."""

    fraction: float
    bits: float
    samples_per_second: float
    hours: float
    validation_bits: float | None


class Run:
    """One training in one folder.

    base: begin with its weights, unless the folder holds a state to go on from.
    team, device: who trains together, and on what.
    """

    def __init__(
        self,
        folder: Path,
        request: Request,
        base: Checkpoint | None = None,
        team: Team = ALONE,
        device: torch.device = CPU,
    ) -> None:
        self.folder, self.request, self.team = RunFolder(folder, team.leads), request, team
        if team.leads:
            self._refuse_other_settings()
        architecture = request.architecture()
        corpus = read_corpus(
            request.folders,
            architecture,
            request.sample_rate,
            request.held_out.shortest,
            request.split,
            request.seed,
            request.augment,
        )
        origin = request.base_album
        self.album = families.credited(corpus.album, Album.model_validate(origin)) if origin else corpus.album
        self.marks = corpus.marks
        architecture = architecture.model_copy(update={"album_gain": corpus.gain})
        fields = {f.name: getattr(request, f.name) for f in dataclasses.fields(Recipe) if hasattr(request, f.name)}
        self.trainer = Trainer(architecture, request.sample_rate, corpus.data, Recipe(**fields), team, device)
        self.choice = Choice(self.folder, corpus.data, architecture, request.sample_rate, request.listen > 0)
        self.bits = math.nan
        self.validated = 0
        self.validated_step = -1
        self.listened = 0.0
        self.skipped = 0
        self.returns = 0
        self.finished = -1
        self.saved_step = 0
        self._curve: list[float] = []
        self.board: Board | None = None
        saved = self._saved_state()
        if saved is not None:
            self._restore(saved)
        elif base is not None:
            self.trainer.start_from(base.tensors)
        if team.leads:
            self._remember_request()  # not before its music is known to be what it was

    @property
    def best_checkpoint(self) -> Path:
        path: Path = self.folder.best
        return path

    @property
    def best(self) -> float:
        """Validation bits of the best checkpoint so far; infinite before there is one."""
        bits: float = self.choice.best_bits
        return bits

    def train(
        self,
        progress: Callable[[Progress], None],
        say: Callable[[str], None],
        doing: Callable[[str], None] = lambda phase: None,
    ) -> None:
        """Go on to the end. Ctrl-C or SIGTERM saves first and raises KeyboardInterrupt.

        doing: told what is under way whenever it is not the next step: "validating", "listening" or "testing".
        Raises TrainingError where the loss does not stay finite, where no validation was worth keeping, or where
        nothing could be saved.
        """
        self.folder.say = say if self.team.leads else lambda line: None
        self.folder.doing = doing
        with interrupts() as interrupted, self._board():
            if self.trainer.step == 0:
                self.save_state()
                self.folder.settle()
            elif self._due:  # it was stopped while it listened
                self._judge(interrupted)
            saved = time.monotonic()
            while self.trainer.progress < 1:
                self._step()
                progress(self._progress())
                late, stop = self._agreed(time.monotonic() - saved > SAVE_EVERY_SECONDS, interrupted())
                if late or stop or self._due:
                    self.save_state()
                    saved = time.monotonic()
                if stop:
                    self.folder.settle()
                    raise KeyboardInterrupt
                if self._due:
                    self._judge(interrupted)
                    saved = time.monotonic()
            if self.validated_step != self.trainer.step:
                self.validate(interrupted)
            self._finish(interrupted)

    @property
    def _due(self) -> bool:
        """Whether to validate now, before the next step."""
        due: bool = self.trainer.progress * self.request.validations >= self.validated + 1
        return due and self.validated_step != self.trainer.step

    def _judge(self, interrupted: Callable[[], bool]) -> None:
        self.validate(interrupted)
        self.save_state()

    def _agreed(self, late: bool, stop: bool) -> tuple[bool, bool]:
        """Process 0 says when to save, anybody may ask to stop, and all do so after the same step."""
        late_sum, stop_sum = self.team.total([float(late and self.team.leads), float(stop)])
        return late_sum > 0, stop_sum > 0

    def _step(self) -> None:
        loss = self.trainer.train_step()
        if math.isnan(loss):
            self._skip()
            return
        self.bits = loss if math.isnan(self.bits) else 0.98 * self.bits + 0.02 * loss
        self._curve.append(loss)
        if self.trainer.step % LOSSES_EVERY == 0:
            minutes = round(self.trainer.seconds / 60, 3)
            bits = sum(self._curve) / len(self._curve)
            self.folder.append(self.folder.losses, {"step": self.trainer.step, "bits": bits, "minutes": minutes})
            if self.board:
                self.board.losses(self.trainer.step, bits, self._progress().samples_per_second, self.trainer.rate)
            self._curve = []

    def _skip(self) -> None:
        self.skipped += 1
        if self.skipped & (self.skipped - 1) == 0:  # a power of two: told ever more rarely
            rate = f"the learning rate is at {self.trainer.caution:.3g} of its schedule"
            self.folder.say(f"step {self.trainer.step} was not finite and is skipped ({self.skipped} so far); {rate}")
        if self.trainer.failed_in_a_row >= FAILURES_IN_A_ROW:
            self._go_back()

    def _go_back(self) -> None:
        """To the last saved state, with half the learning rate from now on."""
        returns, state = self.returns + 1, self._saved_state()
        if returns > MOST_RETURNS or state is None:
            kept = f"; the best checkpoint so far is {self.best_checkpoint}" if math.isfinite(self.best) else ""
            raise TrainingError(
                f"the loss of {self.folder.path} does not stay finite, after going back {self.returns} times{kept}",
                "Use another --exp with a lower --lr",
            )
        skipped = self.skipped
        self._restore(state)
        self.skipped, self.returns = skipped, returns
        self.trainer.lower_rate()
        self.save_state()
        self.folder.say(f"{FAILURES_IN_A_ROW} steps in a row failed: back to step {self.trainer.step}, at a lower rate")

    def _progress(self) -> Progress:
        t = self.trainer
        best = self.best if math.isfinite(self.best) else None
        return Progress(t.progress, self.bits, t.samples / max(1e-9, t.seconds), self._hours, best)

    @property
    def _hours(self) -> float:
        hours: float = self.trainer.samples / self.request.sample_rate / 3600
        return hours

    def validate(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Judge the averaged weights by numbers and by ear, and let them compete for the best checkpoint."""
        # Where more are asked for half-way, what was not planned before is not made up for.
        self.validated = max(self.validated + 1, int(self.trainer.progress * self.request.validations))
        self.validated_step = self.trainer.step
        self.returns = 0
        if not self.team.leads:
            return
        self.folder.doing("validating")
        model = self.trainer.averaged()
        held = self.trainer.data.validation
        bits = validation_bits(model, held, self.request.sequence, VALIDATION_SAMPLES)
        if not math.isfinite(bits):
            self.folder.say("the averaged weights do not predict the held-out part at all: not saved")
            return
        started = time.monotonic()
        prime = dataset.prime(self.trainer.data.train, self.request.sample_rate)
        card = self._card(bits)
        try:
            verdict = self.choice.enter(
                Checkpoint("", card, model.export(), prime, guide=self._guide),
                self.trainer.progress,
                self._allowance(LISTEN_IN_BETWEEN),
                interrupted,
            )
        except AmbientdError as error:
            self.folder.say(f"not saved: {error}")
            return
        self.listened += time.monotonic() - started
        line = {
            "step": self.trainer.step,
            "minutes": round(self.trainer.seconds / 60, 2),
            "train_bits": round(self.bits, 4),
            "validation_bits": round(bits, 4),
            "hours_heard": round(self._hours, 3),
            "listened_minutes": round(self.listened / 60, 2),
            **verdict.line,
        }
        self.folder.append(self.folder.log, line)
        self.folder.say(
            f"validation at {self.trainer.progress:.0%}, {self.trainer.seconds / 60:.1f} minutes: {bits:.3f} bits per "
            f"sample (training {self.bits:.3f}, best {self.best:.3f})" + _heard(line)
        )
        if self.board:
            self.board.validation(self.trainer.step, line, verdict.sounds)
        self._report()

    @contextmanager
    def _board(self) -> Iterator[None]:
        """TensorBoard's files, while training."""
        if self.team.leads:
            from ambientd_plugins.training.report.board import Board

            self.board = Board(self.folder.path, self.trainer.step, self.folder.say)
        try:
            yield
        finally:
            if self.board:
                self.board.close()
            self.board = None

    def _report(self) -> None:
        """The page is a convenience: without it the training goes on."""
        try:
            write_report(self.folder.path)
        except (AmbientdError, OSError) as error:
            self.folder.say(f"no report: {error}")

    def _allowance(self, share: float) -> float:
        """Seconds that may be listened now, so that validations leave half for the end."""
        seconds: float = share * self.request.listen * self.trainer.seconds - self.listened
        return seconds

    def _finish(self, interrupted: Callable[[], bool]) -> None:
        """The last choice among the best few, once for all that was trained."""
        self.save_state()
        if self.team.leads and self.finished != self.trainer.step and math.isfinite(self.best):
            started = time.monotonic()
            self.choice.finish(self._allowance(1.0), interrupted)
            self.listened += time.monotonic() - started
            self._report()
        self.finished = self.trainer.step
        self.save_state()
        self.folder.settle()
        if self.team.leads and not math.isfinite(self.best):
            raise TrainingError(
                f"{self.folder.path} ends without a checkpoint: no validation was worth keeping",
                "Use another --exp with a lower --lr",
            )

    @cached_property
    def _guide(self) -> Floats | None:
        """What a voice with a forecast follows through this album."""
        a = self.trainer.architecture
        return dataset.guide(self.trainer.data.train, a, self.request.sample_rate) if a.forecast else None

    def _card(self, bits: float) -> Card:
        t = self.trainer
        training = Training(
            steps=t.step,
            hours_heard=round(self.request.base_hours + self._hours, 3),
            cpu_minutes=round(t.cpu_seconds / 60, 1),
            validation_bits=round(bits, 4),
            albums=len(self.request.folders),
            held_out=self.request.held_out,
            software={name: version(name) for name in ("ambientd", "torch", "numpy")},
        )
        return Card(
            architecture=t.architecture,
            sample_rate=self.request.sample_rate,
            album=self.album,
            training=training,
            family=self.request.family,
        )

    def save_state(self) -> None:
        """Of a run that is failing just now the state before it stays."""
        if self.trainer.failed_in_a_row:
            return
        run = {name: getattr(self, name) for name in KEPT}
        state = {"trainer": self.trainer.state(), "run": run, "curve": self._curve, "albums": self.marks}
        if self.team.leads:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            self.folder.write(self.folder.state, buffer.getvalue())
        self.saved_step = self.trainer.step

    def _saved_state(self) -> bytes | None:
        """The state file as process 0 sees it: the others may be on other machines."""
        mine = self.team.leads and self.folder.state.is_file()
        data: bytes | None = self.team.from_leader(self.folder.state.read_bytes() if mine else None)
        return data

    def _restore(self, data: bytes) -> None:
        try:
            state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
            self._refuse_other_music(state.get("albums", self.marks))
            self.trainer.restore(state["trainer"])
            for name in KEPT:
                setattr(self, name, state["run"][name])
            self._curve = state["curve"]
        except (RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).partition("\n")[0]
            raise TrainingError(
                f"{self.folder.state} is damaged, or of another version ({reason})", "Use another --exp"
            ) from None
        # A longer training than was planned is validated all the way.
        self.validated = min(self.validated, int(self.trainer.progress * self.request.validations))
        self.saved_step = self.trainer.step
        self.folder.forget_after(self.trainer.step, self.validated_step)
        self.choice.remember()

    def _refuse_other_settings(self) -> None:
        """A run folder belongs to one model: going on with another would mix two trainings."""
        asked = self.folder.asked()
        if asked is None:
            return
        before = completed(asked)
        changed = [k for k, v in self._asked.items() if not same(k, before.get(k), v) and k not in MAY_CHANGE]
        if changed:
            detail = ", ".join(
                f"{option(k)} was {typed(k, before.get(k))}, now {typed(k, self._asked[k])}" for k in changed
            )
            where = self.folder.path
            raise TrainingError(
                f"{where} holds a training with other settings ({detail})",
                "Leave out what differs to go on with it, or use another --exp",
            )

    def _refuse_other_music(self, before: list[Marks]) -> None:
        """Of an album that has changed the gain and the held-out part are others, and streams stand elsewhere."""
        if changed := difference(before, self.marks):
            raise TrainingError(
                f"the music of {self.folder.path} is not what it learnt from ({changed})",
                "Put it back as it was, name the right folder with --dataset, or use another --exp",
            )

    def _remember_request(self) -> None:
        self.folder.write(self.folder.config, (json.dumps(self._asked, indent=1) + "\n").encode())
        self.folder.settle()

    @property
    def _asked(self) -> dict[str, Any]:
        """The request as JSON gives it back."""
        asked: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self.request)))
        return asked


def _heard(line: Mapping[str, Any]) -> str:
    """How it sounded, to say after the numbers."""
    if "temperature" not in line:
        return ""
    how = line["fault"] or f"sounds {line['quality']:.2f} like the album"
    return f"; at temperature {line['temperature']:g}: {how}"


def folder_for(runs: Path, name: str) -> Path:
    """RUNS/NAME; made when there is something to put into it."""
    if Path(name).name != name or name.startswith("."):
        raise TrainingError(f"{name!r} cannot name a run", "Use letters, digits, - and _")
    return runs / name
