"""The files of a run, written so that what is good is never lost. The training process.

RUN/config.json       what was asked for; the same command again resumes
RUN/losses.jsonl      the training curve: {"step", "bits", "minutes"} every few steps
RUN/log.jsonl         one line per validation
RUN/state.pt          everything needed to go on (our own file, read with weights_only)
RUN/checkpoints/      best.safetensors, last.safetensors, and the few that best was chosen from
RUN/samples/          what was heard at each validation, and its mel spectrogram beside the album's
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ambientd.samplernn.checkpoint import write_atomically
from ambientd_plugins.training.errors import TrainingError, way_out


class RunFolder:
    """One run's files. A write that fails is told, kept, and tried again at the next one.

    writes: False in all but one of several processes: they keep nothing. say, doing: where a line for people and the
    name of what is under way ("listening") go.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.config, self.state = path / "config.json", path / "state.pt"
        self.losses, self.log = path / "losses.jsonl", path / "log.jsonl"
        self.checkpoints, self.samples = path / "checkpoints", path / "samples"
        self.best, self.last = self.checkpoints / "best.safetensors", self.checkpoints / "last.safetensors"
        self.say: Callable[[str], None] = lambda line: None
        self.doing: Callable[[str], None] = lambda phase: None
        self._waiting: dict[Path, bytes] = {}
        self._lines: dict[Path, bytes] = {}

    def asked(self) -> dict[str, Any] | None:
        """The request of the training that can be gone on with here; None where there is none. Raises TrainingError."""
        return self.read_config() if self.state.is_file() else None

    def write(self, path: Path, data: bytes) -> None:
        """The whole file, now or as soon as there is room; what was there before stays until then."""
        if self.writes:
            self._waiting.pop(path, None)
            self._waiting[path] = data
            self._tell(self._write_waiting())

    def read(self, path: Path) -> bytes:
        """What `write` was last given for this file."""
        return self._waiting[path] if path in self._waiting else path.read_bytes()

    def read_config(self) -> dict[str, Any]:
        """What the run was asked for. Raises TrainingError where that is not known any more."""
        try:
            return dict(json.loads(self.config.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            reason = getattr(error, "strerror", None) or "it is damaged"
            raise TrainingError(
                f"{self.config} cannot be read ({reason}): what this run was asked for is not known",
                "Put the file back, or use another --exp",
            ) from None

    def append(self, path: Path, line: Mapping[str, Any]) -> None:
        """One JSON object a line."""
        if self.writes:
            self._lines[path] = self._lines.get(path, b"") + json.dumps(line).encode() + b"\n"
            self._tell(self._write_lines())

    def settle(self) -> None:
        """Everything is on the disk afterwards, or TrainingError says what is not."""
        error = self._write_waiting() or self._write_lines()
        if error:
            lost = ", ".join(path.name for path in [*self._waiting, *self._lines])
            raise TrainingError(
                f"{self.path}: {lost} could not be saved ({error.strerror})",
                f"{way_out(error)}, and run the same command again; what was saved before is untouched",
            )

    def forget_after(self, step: int, validated: int) -> None:
        """Drop the losses after `step`, and the validations and checkpoints after `validated`.

        They are about to come again; a validation that was stopped half way may have left some of its own step.
        """
        if not self.writes:
            return
        for path, last in ((self.losses, step), (self.log, validated)):
            self._lines.pop(path, None)
            lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
            kept = [line for line in lines if _step_of(line) <= last]
            if kept != lines:
                write_atomically(path, b"".join(kept))
        for path in self.candidates():
            if step_of_candidate(path) > validated:
                self.remove(path)

    def candidate(self, step: int) -> Path:
        """Where a checkpoint that best may be chosen from is kept."""
        return self.checkpoints / f"step{step}.safetensors"

    def take(self, step: int, temperature: float) -> Path:
        """What was heard of a step's checkpoint; its picture is the .png of the same name."""
        return self.samples / f"step{step}-t{temperature:g}.wav"

    def candidates(self) -> list[Path]:
        """By step."""
        return sorted(self.checkpoints.glob("step*.safetensors"), key=step_of_candidate)

    def remove(self, path: Path) -> None:
        self._waiting.pop(path, None)
        path.unlink(missing_ok=True)

    def _tell(self, error: OSError | None) -> None:
        if error:
            self.say(f"could not save to {self.path} ({error.strerror}): it is kept in memory and tried again")

    def _write_waiting(self) -> OSError | None:
        for path in list(self._waiting):
            try:
                write_atomically(path, self._waiting[path])
            except OSError as error:
                return error
            del self._waiting[path]
        return None

    def _write_lines(self) -> OSError | None:
        for path in list(self._lines):
            try:
                _append(path, self._lines[path])
            except OSError as error:
                return error
            del self._lines[path]
        return None


@contextmanager
def only_one(path: Path, leads: bool = True) -> Iterator[None]:
    """While inside, no other training writes to the run folder `path`. Raises TrainingError where one does.

    leads: False in all but one of several processes. A folder that nothing was put into is not left behind.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()] if leads else []
    handle = _claim(path) if leads else None
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
        with suppress(OSError):  # something is in it
            for folder in made:
                folder.rmdir()


def _claim(path: Path) -> int | None:
    """The lock, held until it is closed; None where there can be none."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None  # the first write will say so
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise TrainingError(f"another training is writing to {path}", "Wait for it, or use another --exp") from None
    except OSError:
        pass  # a file system without locks
    return handle


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a log, oldest first; a line that is not whole is passed over."""
    found = []
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else []:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def step_of_candidate(path: Path) -> int:
    """The inverse of `RunFolder.candidate`."""
    digits = path.stem.removeprefix("step")
    return int(digits) if digits.isdecimal() else 0


def _append(path: Path, data: bytes) -> None:
    """All of it or nothing: half a line would spoil the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        written = 0
        try:
            while written < len(data):
                written += file.write(data[written:])
        except OSError:
            file.truncate(size)
            raise


def _step_of(line: bytes) -> float:
    """Where a line of a log belongs; a damaged one belongs nowhere."""
    try:
        return float(json.loads(line)["step"]) if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")
