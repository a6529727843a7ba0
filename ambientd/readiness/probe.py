"""A check in a process of its own: sound systems, MIDI servers and compilers may hang, or end whoever asks them.

`python -m ambientd.readiness.probe NAME` reads its settings as JSON and prints its findings as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ambientd.readiness.finding import Report

MODULE = "ambientd.readiness.probe"


@dataclass(frozen=True)
class Probe:
    """name: of the function below. check: the row that tells of a probe that hung or died."""

    name: str
    check: str
    patience: float
    """Seconds."""
    remedy: str


ENGINE = Probe("engine", "engine", 600.0, "Play with --set engine.precision=fp32, or see what `ambientd bench` says")
DEVICE = Probe("device", "audio device", 20.0, "Restart the sound server, or choose another device: `ambientd devices`")
MIDI = Probe("midi", "midi", 20.0, "Restart the MIDI server (JACK or ALSA)")


def run_probe(probe: Probe, settings: Mapping[str, Any], report: Report) -> None:
    """Add its findings to `report`; its death or silence is one of them."""
    from ambientd.readiness.finding import Finding

    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, probe.name],
            input=json.dumps(settings), capture_output=True, text=True, timeout=probe.patience,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        report.fail(probe.check, f"it does not answer within {probe.patience:g} s", probe.remedy)
        return
    try:
        report.findings += [Finding.from_json(row) for row in json.loads(done.stdout)]
    except (ValueError, TypeError, KeyError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        report.fail(probe.check, f"whoever opens it is ended (exit {done.returncode}: {said})", probe.remedy)


def main(name: str) -> None:
    """The child."""
    settings = json.load(sys.stdin)
    # Libraries written in C may print on the way; the findings go where only they go.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    report = Report()
    _probes()[name](settings, report)
    channel.write(json.dumps([finding.to_json() for finding in report.findings]))
    channel.flush()
    os._exit(0)  # PortAudio's and JACK's own endings may hang


def _probes() -> dict[str, Callable[[dict[str, Any], Report], None]]:
    from ambientd.readiness import connected, engine

    return {"engine": engine.probe, "device": connected.probe_device, "midi": connected.probe_midi}


if __name__ == "__main__":
    main(sys.argv[1])
