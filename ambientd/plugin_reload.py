"""Watches the plugin folder while the music plays. Supervisor, inside its selector loop; never waits.

A changed file is tried in a fresh process first, which may crash, hang or eat memory as it likes. What passes is
taken in; what does not is refused with a reason, and the last good version goes on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientd.errors import AmbientdError
from ambientd.ipc.child import Child
from ambientd.plugin_sources import plugin_files
from ambientd.rehearsal import MODULE as REHEARSAL

LOOK_SECONDS = 0.5
TRIAL_SECONDS = 30.0


@dataclass
class _Trial:
    path: str
    text: str
    child: Child
    began: float


class Reloader:
    """known: the files' texts as they were loaded. conditions: what the rehearsal takes beside path and text.

    take_in(path, text) may raise AmbientdError to refuse after all; refuse(path, reason) is told of every refusal.
    """

    def __init__(
        self,
        folder: Path,
        known: Mapping[str, str],
        conditions: Callable[[], Mapping[str, Any]],
        take_in: Callable[[str, str], None],
        refuse: Callable[[str, str], None],
    ) -> None:
        self._folder, self._conditions = folder, conditions
        self._take_in, self._refuse = take_in, refuse
        self._tried = dict(known)
        """Texts that need not be tried (again)."""
        self._seen = self._stamps()
        self._pending: set[str] = set(self._seen)
        self._look_at = 0.0
        self._trial: _Trial | None = None

    def turn(self) -> None:
        """Call often."""
        now = time.monotonic()
        if self._trial:
            self._follow(self._trial, now)
        elif now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look(now)

    def close(self) -> None:
        if self._trial:
            self._trial.child.close()

    def _look(self, now: float) -> None:
        """Try the first changed file that has kept still since the last look: an editor may be half way through."""
        stamps, before = self._stamps(), self._seen
        self._seen = stamps
        self._pending |= {path for path, stamp in stamps.items() if before.get(path) != stamp}
        still = sorted(path for path in self._pending if before.get(path) == stamps.get(path))
        texts = plugin_files(self._folder) if still else {}
        for path in still:
            self._pending.discard(path)
            text = texts.get(path)
            if text is not None and self._tried.get(path) != text:
                self._tried[path] = text
                child = Child.spawn(REHEARSAL, {"path": path, "text": text, **self._conditions()})
                self._trial = _Trial(path, text, child, now)
                return

    def _follow(self, trial: _Trial, now: float) -> None:
        ended = not trial.child.alive  # asked before its last words are read
        fault = f"it was not tried within {TRIAL_SECONDS:g} s" if now - trial.began > TRIAL_SECONDS else ""
        fault = "its rehearsal ended without a word" if ended else fault
        for event in trial.child.poll():
            if event["event"] == "failed":
                fault = event["what"]
            elif event["event"] == "sound":
                fault = self._accept(trial)
                ended = True
        if fault:
            self._refuse(trial.path, fault)
        if ended or fault:
            trial.child.close()
            self._trial = None

    def _accept(self, trial: _Trial) -> str:
        """Why not; empty when it was taken in."""
        try:
            self._take_in(trial.path, trial.text)
        except AmbientdError as error:
            return error.what
        return ""

    def _stamps(self) -> dict[str, tuple[int, int, int]]:
        stamps = {}
        for path in self._folder.glob("*.py") if self._folder.is_dir() else ():
            with contextlib.suppress(OSError):
                status = path.stat()
                stamps[str(path)] = status.st_mtime_ns, status.st_size, status.st_ino
        return stamps
