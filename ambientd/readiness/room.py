"""Checks of what the daemon needs around it: port, folders, disk, bed, score. Command line, in its own process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ambientd.config import Config
from ambientd.errors import DaemonError
from ambientd.ipc.runtime import ask_status, status_socket_path
from ambientd.readiness.finding import Report
from ambientd.samplernn.sums import recorded_sum, sum_of

SHORTEST_BED = 30.0
"""Seconds: what is shorter is heard as a loop."""
QUIETEST_BED = 1e-3
"""Of its root mean square."""
CACHE_MB, CONFIG_MB, SINK_MB = 64, 1, 1024


def running_daemon() -> dict[str, Any] | None:
    """What a daemon of this user that runs already says of itself: port and device are then its own."""
    try:
        return ask_status()
    except DaemonError:
        return None


def check_daemon(running: dict[str, Any] | None, report: Report) -> None:
    """Where it is asked how it does; and whether there is one already, which the rest then makes allowance for."""
    with report.row("runtime folder"):
        path = status_socket_path()
        _check_folder(report, "runtime folder", path.parent, 1, "Set XDG_RUNTIME_DIR to a folder of yours")
        if running:
            margin = f"it plays {running['margin']:.2f} times real time"
            report.warn("daemon", f"ambientd is running; {margin}", "Stop it to check device and margin without it")


def check_osc(config: Config, running: dict[str, Any] | None, report: Report) -> None:
    """Its port, which the running daemon may hold; and who could reach it."""
    from ipaddress import ip_address

    from ambientd.control.connection import bind_both

    osc = config.osc
    if not osc.enabled:
        report.ok("osc", "not asked for")
        return
    with report.row("osc"):
        held = running and running.get("osc") and running["osc"]["port"] == osc.port
        if not held:
            for listening in bind_both(osc.host, osc.port):
                address = listening.getsockname()[0]
                listening.close()
        else:
            address = running["osc"]["host"] if running else ""
        what = f"{osc.host}:{osc.port or 'any'} is {'held by the running daemon' if held else 'free'}"
        if ip_address(address).is_loopback:
            report.ok("osc", what)
        else:
            networks = ", ".join(osc.allow) or "nobody"
            report.warn(
                "osc", f"{what}, and heard from {networks}", 'Set osc.host = "127.0.0.1" to play from here only'
            )


def check_folders(config: Config, report: Report) -> None:
    """Those that are written to: whether that is permitted, and whether there is room."""
    from platformdirs import user_cache_path

    from ambientd.engine.journal_files import logs_folder
    from ambientd.lifecycle.state import default_path
    from ambientd.midi.mapping import learned_path
    from ambientd.presets.shelf import user_folder

    rights, state = "Mend the folder's rights, or free some space", default_path()
    _check_folder(report, "kernel cache", user_cache_path("ambientd"), CACHE_MB, f"{rights}; or set XDG_CACHE_HOME")
    _check_folder(report, "presets", user_folder(), CONFIG_MB, rights)
    _check_folder(report, "midi mappings", learned_path().parent, CONFIG_MB, rights)
    _check_folder(report, "last state", state.parent, CONFIG_MB, f"{rights}; or set XDG_STATE_HOME", file=state)
    if config.log.enabled:
        _check_log(config, f"{rights}; or set log.folder, or log.limit_mb lower", report)
    if config.replay.enabled:
        remedy = f"{rights}; or set replay.limit_mb lower, or replay.enabled = false"
        have = _megabytes(logs_folder().rglob("*"))
        _check_folder(report, "replay log", logs_folder(), config.replay.limit_mb, remedy, have)
    for sink in config.sinks:
        path = sink.options.get("path")
        if isinstance(path, str):
            folder = Path(path).expanduser().absolute().parent
            _check_folder(report, f"sink {sink.name}", folder, SINK_MB, f"{rights}; or record elsewhere")


def check_bed(report: Report) -> None:
    """What is heard until there is music, and whenever there is none: the fallback."""
    import numpy as np
    import soundfile

    from ambientd.samplernn.library import bundled_folder

    path = bundled_folder() / "bed.ogg"
    remedy = "Install ambientd again; without it the first seconds, and a fault in them, are silent"
    with report.row("bed"):
        wanted = recorded_sum(path)
        try:
            audio, rate = soundfile.read(path, dtype="float32")
        except (soundfile.LibsndfileError, OSError) as error:
            report.fail("bed", f"{path}: {error}", remedy)
            return
        seconds, level = len(audio) / rate, float(np.sqrt(np.mean(audio**2))) if len(audio) else 0.0
        if seconds < SHORTEST_BED or level < QUIETEST_BED:
            report.fail("bed", f"{path} has {seconds:.0f} s at a level of {level:.4f}", remedy)
        elif wanted not in (None, sum_of(path)):
            report.fail("bed", f"{path} is not the file that was published", remedy)
        else:
            report.ok("bed", f"{seconds:.0f} s of music for when none is made")


def check_day_parts(config: Config, report: Report) -> None:
    """The score, where there is one, and that its presets are there."""
    if not config.dayparts:
        return
    from ambientd.presets.score import load
    from ambientd.presets.shelf import Shelf

    with report.row("day parts"):
        score = load(config.dayparts.expanduser(), Shelf().names())
        report.ok("day parts", f"{len(score.parts)} part(s) in {config.dayparts}")


def _check_log(config: Config, remedy: str, report: Report) -> None:
    from ambientd.supervisor.event_log import NAME, log_folder

    folder = (config.log.folder or log_folder()).expanduser().absolute()
    have = _megabytes(folder.glob(f"{NAME}*"))
    _check_folder(report, "log", folder, config.log.limit_mb, remedy, have, folder / NAME)


def _check_folder(
    report: Report,
    check: str,
    folder: Path,
    need_mb: int,
    remedy: str,
    have_mb: int = 0,
    file: Path | None = None,
) -> None:
    """need_mb: for all that will be there; have_mb: what of it is there. file: gone on with where there is one."""
    try:
        if file and file.exists():  # after a first try with sudo it is root's
            file.open("r+b").close()
        place = next((p for p in (folder, *folder.parents) if p.exists()), folder)
        with tempfile.TemporaryFile(dir=place) as trial:
            trial.write(b"\0")
            trial.flush()
        free = shutil.disk_usage(place).free // 1_000_000
    except OSError as error:
        closed = file if error.filename == str(file) else folder
        report.fail(check, f"{closed} cannot be written to ({error.strerror})", remedy)
        return
    what = f"{folder}, {free} MB free"
    if free < need_mb - have_mb:
        report.fail(check, f"{what}, and {need_mb - have_mb} MB may be needed", remedy)
    else:
        report.ok(check, what)


def _megabytes(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files if path.is_file()) // 1_000_000
