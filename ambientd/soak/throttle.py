"""Less processor for the daemon: the system's own limit where it may be set, else its generator is stopped and goes on.

The soak's process. Linux.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

GROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))
"""Of version 1 and 2."""
PERIOD = 0.1
"""Seconds, the kernel's own default: what is used up is waited for until the next one begins."""
LEAST_QUOTA = 0.001
REAL_TIME_MICROSECONDS = 300_000
"""Of each second, for threads that run in real time: version 1 counts them apart, and has 950 000 for all groups."""
TURN = 0.02
HOG = "while True: pass"


def may_limit() -> bool:
    """Whether the system's own limit can be set by this user."""
    group = _make_group()
    if group:
        group.rmdir()
    return group is not None


@contextmanager
def throttled(processes: Sequence[int], generator: int, share: float) -> Iterator[None]:
    """Give `processes` together no more than `share` of one processor for as long as it lasts.

    Where only the generator can be held up, it alone runs that share of the time.
    """
    group = _make_group()
    if group is None:
        with _stuttering(generator, share):
            yield
        return
    before = _group_of(generator, group)
    try:
        _limit(group, share)
        _move(processes, group)
        yield
    finally:
        _move([int(pid) for pid in (group / "cgroup.procs").read_text().split()], before)
        group.rmdir()


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """So many processes that want a whole processor each."""
    running = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
            hog.wait()


def used_seconds(pid: int) -> float:
    """Of processor time, by all its threads since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _make_group() -> Path | None:
    for root in GROUPS:
        group = root / f"ambientd-soak-{os.getpid()}"
        try:
            group.mkdir(exist_ok=True)
        except OSError:
            continue
        if (group / "cpu.cfs_quota_us").exists() or (group / "cpu.max").exists():
            return group
        group.rmdir()
    return None


def _group_of(pid: int, group: Path) -> Path:
    """Where the process is now, in the hierarchy of `group`."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") or (number == "0" and (group / "cpu.max").exists()):
            return group.parent / path.lstrip("/")
    return group.parent


def _limit(group: Path, share: float) -> None:
    period, quota = round(1e6 * PERIOD), round(1e6 * max(share * PERIOD, LEAST_QUOTA))
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota} {period}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(period))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
        with suppress(OSError):  # no thread that runs in real time may come in without
            (group / "cpu.rt_runtime_us").write_text(str(REAL_TIME_MICROSECONDS))


def _move(processes: Sequence[int], group: Path) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


@contextmanager
def _stuttering(pid: int, share: float) -> Iterator[None]:
    over = threading.Event()

    def stutter() -> None:
        with suppress(ProcessLookupError):
            while not over.is_set():
                os.kill(pid, signal.SIGSTOP)
                over.wait(TURN * (1 - share))
                os.kill(pid, signal.SIGCONT)
                over.wait(TURN * share)

    thread = threading.Thread(target=stutter, name="stutter")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
