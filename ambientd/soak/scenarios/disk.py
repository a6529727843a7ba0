"""Promise 6: the disk is full, read-only or may not be written, or what is written to is removed. The music goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ambientd.soak.listening import hearing
from ambientd.soak.rig import Rig
from ambientd.soak.running import makes_new_sound
from ambientd.soak.scenario import Effort, Measure, NotTried, Scenario, at_most, happened

DISK_MB = 16
WHOLE_DISK_MB = 512
"""With all that is compiled for this machine."""
PAGE = 4096
PATIENCE = 60.0
LISTEN_SECONDS = 3.0
RECORDER, LOG, REPLAY = "sink wav stopped", "the log ", "what is played is not logged any more"
"""How the one line of each begins or says."""


def full(rig: Rig, effort: Effort) -> list[Measure]:
    """While it plays and records, and then there is room again."""
    with small_disk() as disk, rig.fresh(*rig.recorder(disk / "heard.wav"), disk=disk) as other:
        before, heard = other.status(), other.mark()
        fill(disk)
        recorder = other.until(lambda s: _sink(s).startswith("failed"), PATIENCE)
        other.osc("/ambientd/preset/store", "soak")
        refused = other.until(lambda s: s["osc"]["rejected"] > before["osc"]["rejected"], PATIENCE)
        file = Path(before["log"]["file"])
        (disk / "filler").unlink()
        with file.open("ab") as log:
            log.write(b"\n" * (-file.stat().st_size % PAGE))  # or there would be room in its last page
        filler = fill(disk)
        stopped = _happening(other, lambda s: s["log"]["state"] != "writing")
        other.listen(LISTEN_SECONDS)
        filler.unlink()
        resumed = _happening(other, lambda s: s["log"]["state"] == "writing")
        return [
            *_unheard(other, heard, before),
            _one_line(other, "the recorder stops, with one line", RECORDER),
            _one_line(other, "the log stops, with one line", LOG),
            at_most("lines about the replay's log", _lines(other, REPLAY), "", 1),
            happened("a preset that cannot be stored is refused", int(bool(recorder and refused)), 1),
            happened("the log goes on when there is room", int(bool(stopped and resumed and file.stat().st_size)), 1),
        ]


def read_only(rig: Rig, effort: Effort) -> list[Measure]:
    """From the start: nothing that it wants to write can be written."""
    with small_disk(WHOLE_DISK_MB) as disk:
        cache = {"XDG_CACHE_HOME": str(_compiled_on(disk))}
        files = rig.recorder(disk / "heard.wav")
        with rig.fresh(*files, disk=disk, start=False, environment=cache) as other:
            other.furnish()
            with unwritable(disk), other:
                before, heard = other.status(), other.mark()
                other.until(lambda s: _sink(s).startswith("failed") and s["log"]["state"] != "writing", PATIENCE)
                other.listen(LISTEN_SECONDS)
                measures = [
                    *_unheard(other, heard, before),
                    _one_line(other, "the recorder does not begin, with one line", RECORDER),
                    _one_line(other, "nor does the log", LOG),
                    _one_line(other, "nor does the replay's log", REPLAY),
                ]
                other.signal("generator", signal.SIGKILL)
                other.until(lambda s: s["restarts"] > before["restarts"], PATIENCE)
                other.until(makes_new_sound, PATIENCE)  # or the attempt is broken
                return [*measures, happened("a generator that is killed comes back", 1, 1)]


def _compiled_on(disk: Path) -> Path:
    """A cache on this disk that holds the kernels already, as on a machine that has played before."""
    from ambientd.engine.kernels.cache import kernel_folder

    kept, cache = kernel_folder(), disk / "cache"
    # Somebody else may be compiling into it.
    unfinished = shutil.ignore_patterns("*.tmp.*")
    shutil.copytree(kept, cache / "ambientd" / "kernels" / kept.name, ignore=unfinished)
    return cache


def removed(rig: Rig, effort: Effort) -> list[Measure]:
    """The folders of recorder, log and replay, while all three write."""
    with tempfile.TemporaryDirectory(prefix="ambientd-soak-") as name:
        folder = Path(name) / "recordings"
        with rig.fresh(*rig.recorder(folder / "heard.wav")) as other:
            before, heard = other.status(), other.mark()
            file = Path(before["log"]["file"])
            _happening(other, lambda s: folder.exists())
            for path in (folder, file.parent, other.disk / "data" / "ambientd" / "replay"):
                # At once: who finds its folder half removed makes a file in it.
                path.rename(aside := path.with_name(f"{path.name}-removed"))
                shutil.rmtree(aside)
            other.until(lambda s: _sink(s).startswith("failed") and _lines(other, REPLAY), PATIENCE)
            _happening(other, lambda s: file.exists())
            other.listen(LISTEN_SECONDS)
            return [
                *_unheard(other, heard, before),
                _one_line(other, "the recorder stops, with one line", RECORDER),
                _one_line(other, "the replay's log stops, with one line", REPLAY),
                happened("the log makes its folder again", int(file.exists() and not _lines(other, LOG)), 1),
            ]


@contextmanager
def small_disk(megabytes: int = DISK_MB) -> Iterator[Path]:
    """A disk of one's own in memory. Raises NotTried for whom may not mount one."""
    with tempfile.TemporaryDirectory(prefix="ambientd-disk-") as name:
        try:
            _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", name)
        except (OSError, subprocess.CalledProcessError):
            raise NotTried(
                "a small disk can only be mounted as root", "Run it as root, on a machine for trials"
            ) from None
        try:
            yield Path(name)
        finally:
            _umount(name)


@contextmanager
def unwritable(disk: Path) -> Iterator[None]:
    """A mounted disk, read-only for as long as it lasts."""
    _mount("-o", "remount,ro", str(disk))
    try:
        yield
    finally:
        _mount("-o", "remount,rw", str(disk))


def fill(disk: Path) -> Path:
    """The file that takes all room that there is, and may be there."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError:
            return path


def _mount(*words: str) -> None:
    if os.geteuid() != 0:
        raise PermissionError
    subprocess.run(["mount", *words], check=True, capture_output=True)


def _umount(name: str) -> None:
    subprocess.run(["umount", "-l", name], check=True, capture_output=True)


def _sink(status: dict[str, Any]) -> str:
    return next((str(sink["state"]) for sink in status["sinks"] if sink["name"] == "wav"), "")


def _happening(rig: Rig, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Give the log something to write until a status fulfils `condition`."""
    for _ in range(10):
        rig.osc("/ambientd/slot/1/reprime")
        rig.listen(1.0)
        if condition(status := rig.status()):
            return status
    return rig.until(condition, 1.0)


def _lines(rig: Rig, text: str) -> int:
    return sum(text in line for line in rig.lines())


def _one_line(rig: Rig, name: str, text: str) -> Measure:
    lines = _lines(rig, text)
    return happened(name, lines if lines == 1 else 0, 1)


def _unheard(rig: Rig, heard: int, before: dict[str, Any]) -> list[Measure]:
    after = rig.status()
    restarts = after["restarts"] - before["restarts"]
    return [*hearing(rig.since(heard), rig.rate), at_most("processes that ended", restarts, "", 0)]


SCENARIOS = (
    Scenario("disk-full", 6, "The disk is full", "real: a small disk in memory that is filled", full, 20.0),
    Scenario("disk-read-only", 6, "The disk is read-only", "real: a disk that is mounted read-only", read_only, 15.0),
    Scenario("folders-removed", 6, "Recordings, log and replay are removed", "real: the folders are removed",
             removed, 15.0),
)  # fmt: skip
