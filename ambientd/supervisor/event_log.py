"""What happened, one line an event, in files that rotate and never grow beyond their limit. Supervisor.

    2026-11-22T03:12:45.123+0100 warning generator lost why="ended (SIGKILL)" restarts=1
    2026-11-22T03:12:45.125+0100 info generator waiting-to-restart
    2026-11-22T03:12:48.410+0100 info generator running restarts=1

When, how bad, who, its state by name, and facts as `key=value` (logfmt, so that grep and awk are enough at night):
`grep ' generator ' ambientd.log`. An event that comes time after time is written LARGEST_BURST times a minute; how
often it was left out is told with the next one. The lines are written by a thread: a disk that is slow, full,
read-only or gone holds up nobody. The log says so once, and goes on by itself when it can.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any

NAME = "ambientd.log"
FILES = 8
LARGEST_BURST = 20
BURST_SECONDS = 60.0
RETRY_SECONDS = 5.0
MOST_WAITING = 10_000
"""Lines on their way to a disk that does not answer."""
FAULTS = 10
LONGEST_LINE = 2000
"""Characters."""
_PLAIN = re.compile(r"[^\s\"=]+")

Say = Callable[[str], None]


def log_folder() -> Path:
    """Where the log is, unless the configuration says otherwise."""
    from platformdirs import user_log_path

    return user_log_path("ambientd")


def line(who: str, state: str, facts: Mapping[str, Any]) -> str:
    """An event's part of a line, on one line and no longer than LONGEST_LINE."""
    words = [
        who,
        _name(state),
        *(f"{key}={_fact(value)}" for key, value in facts.items() if value not in (None, "", [])),
    ]
    return " ".join(words)[:LONGEST_LINE]


@dataclass
class _Burst:
    """How often an event came within the minute that began then."""

    began: float
    count: int = 0
    left_out: int = 0


class EventLog:
    """folder: None keeps no file, and all else goes on. most_bytes: of all files. say: told when it cannot be written.

    `event` and `turn` are for one thread.
    """

    def __init__(self, folder: Path | None, most_bytes: int, say: Say) -> None:
        self.faults: deque[dict[str, Any]] = deque(maxlen=FAULTS)
        """The last warnings and errors, for `/info`: when, who, state and facts; equal ones once, with their count."""
        self._bursts: dict[tuple[str, str], _Burst] = {}
        # Not one of logging's registered loggers: nobody else's settings shall reach it.
        self._logger = logging.Logger("ambientd", logging.INFO)
        self.file: LogFile | None = None
        self._listener: QueueListener | None = None
        if folder is not None:
            self.file = LogFile(folder / NAME, most_bytes // FILES, say)
            waiting: queue.Queue[Any] = queue.Queue(MOST_WAITING)
            self._logger.addHandler(_Quiet(waiting))
            self._listener = QueueListener(waiting, self.file)
            self._listener.start()

    def event(self, who: str, state: str, level: int = logging.INFO, /, **facts: Any) -> None:
        """Write one event, or count it where there were too many of its kind. Never waits, never raises."""
        if level >= logging.WARNING:
            self._remember(who, state, facts)
        now = time.monotonic()
        burst = self._bursts.setdefault((who, state), _Burst(now))
        if now - burst.began >= BURST_SECONDS:
            facts |= {"left_out": burst.left_out} if burst.left_out else {}
            burst = self._bursts[who, state] = _Burst(now)
        burst.count += 1
        if burst.count > LARGEST_BURST:
            burst.left_out += 1
            return
        self._logger.log(level, line(who, state, facts))

    def _remember(self, who: str, state: str, facts: Mapping[str, Any]) -> None:
        """What comes every second, such as underruns, must not push out why the generator ended."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        fault = {"at": at, "who": who, "state": state} | {k: v for k, v in facts.items() if v != ""}
        same = next((before for before in self.faults if _kind(before) == _kind(fault)), None)
        if same:
            self.faults.remove(same)
        self.faults.append(fault | {"count": 1 + (same["count"] if same else 0)})

    def saying(self, who: str, say: Say) -> Say:
        """What says a line to people, and writes it as `who`'s event as well."""

        def say_and_write(text: str) -> None:
            say(text)
            self.event(who, "said", text=text.strip())

        return say_and_write

    def info(self) -> dict[str, Any]:
        """Where it is, and how it is."""
        return {
            "file": str(self.file.baseFilename) if self.file else None,
            "state": self.file.state if self.file else "off",
        }

    def close(self) -> None:
        """Write what is left."""
        if self._listener and self.file:
            self._listener.stop()
            self.file.close()


class _Quiet(QueueHandler):
    """Drops what there is no room for: a disk that hangs must not cost memory without end."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class LogFile(RotatingFileHandler):
    """The writing end, on the listener's thread. state: "writing", or what keeps it from that."""

    def __init__(self, path: Path, most_bytes: int, say: Say) -> None:
        super().__init__(path, maxBytes=most_bytes, backupCount=FILES - 1, encoding="utf-8", delay=True)
        self.state = "writing"
        self._say = say
        self._retry_at = 0.0
        self._left_out = 0
        formatter = logging.Formatter("%(asctime)s %(level)s %(message)s")
        formatter.formatTime = _time  # type: ignore[method-assign]
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() < self._retry_at:
            self._left_out += 1
            return
        record.level = record.levelname.lower()
        try:
            self._reopen_where_gone()
            if self.shouldRollover(record):
                self.doRollover()
            self._write(self.format(record))
        except (OSError, ValueError) as error:
            self._fail(error)
        else:
            if self._left_out or self.state != "writing":
                self._resume()

    def _write(self, text: str) -> None:
        if self.stream is None:
            self.stream = self._open()
        self.stream.write(text + self.terminator)
        self.stream.flush()

    def _reopen_where_gone(self) -> None:
        """A file that was removed, with its folder or alone, would be written to and never be read."""
        path = Path(self.baseFilename)
        try:
            there = path.stat()
            # None until the first line: nothing checks the stream that typeshed declares as always there.
            same = self.stream is not None and os.path.samestat(os.fstat(self.stream.fileno()), there)
        except FileNotFoundError:
            same = False
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not same:
            self._drop()

    def _fail(self, error: Exception) -> None:
        self._drop()
        self._left_out += 1
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self.state == "writing":
            self.state = f"failed: {getattr(error, 'strerror', None) or error}"
            self._say(f"the log {self.baseFilename} is not written ({self.state[8:]}); the music goes on without it")

    def _resume(self) -> None:
        why, self.state = self.state, "writing"
        left_out, self._left_out = self._left_out, 0
        record = self._record(line("log", "resumed", {"after": why, "left_out": left_out}))
        try:
            self._write(self.format(record))
        except (OSError, ValueError) as error:
            self._fail(error)

    def _record(self, message: str) -> logging.LogRecord:
        record = logging.LogRecord("ambientd", logging.WARNING, "", 0, message, None, None)
        record.level = "warning"
        return record

    def _drop(self) -> None:
        """Forget the stream; what it still holds cannot be written, and says so."""
        stream, self.stream = self.stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError:
                return


def _time(record: logging.LogRecord, datefmt: str | None = None) -> str:
    local = time.localtime(record.created)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(record.msecs):03d}{time.strftime('%z', local)}"


def _kind(fault: Mapping[str, Any]) -> tuple[Any, ...]:
    return fault["who"], fault["state"], fault.get("why")


def _name(state: str) -> str:
    """One word."""
    return re.sub(r"\s+", "-", state.strip()) or "-"


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{key}:{one}" for key, one in value.items()]
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
