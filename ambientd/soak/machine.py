"""Which machine a soak ran on, and which versions. Facts for people, by name; the soak's process."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ambientd import __version__
from ambientd.soak.sound_servers import may_be_realtime

LIBRARIES = ("numpy", "numba", "llvmlite", "sounddevice", "soundfile", "soxr")


def machine() -> dict[str, Any]:
    """What decides how it comes out. Nothing that names the machine, its user or its network: users have numbers."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "memory_gb": round(int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) / 2**20, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "uid": os.getuid(),
        "real_time": "allowed" if may_be_realtime() else "refused",
        "limits": _limits(),
    }


def versions() -> dict[str, str]:
    """Of ambientd, Python and what makes the sound."""
    found = {"ambientd": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    try:
        said = subprocess.run(["pulseaudio", "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        said = ""
    return found | ({"pulseaudio": said.split()[-1]} if said.strip() else {})


def _limits() -> str:
    """Of priority, as the daemon inherits them; empty where the system has none. Root may exceed them."""
    if not hasattr(resource, "RLIMIT_RTPRIO"):
        return ""
    real_time, nice = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE))
    endless = resource.RLIM_INFINITY
    # The system counts niceness from 40, the highest priority, to 1.
    lowest = -20 if nice == endless else min(20 - nice, 19)
    return f"real-time priority {'any' if real_time == endless else real_time}, nice {lowest}"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.platform()


def _field(path: str, name: str) -> str | None:
    try:
        found = re.search(rf"^{name}\s*:\s*(.+)$", Path(path).read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None
