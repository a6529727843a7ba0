"""A whole soak: one server, one daemon, and everything that is done to it. The soak's process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ambientd.soak.machine import machine, versions
from ambientd.soak.outcome import End, Outcome, Result
from ambientd.soak.rig import Rig, sound_server
from ambientd.soak.runner import perform, plan
from ambientd.soak.scenario import Scenario


def soaking(
    models: Sequence[Path],
    scenarios: Sequence[Scenario],
    seconds: float,
    sets: Sequence[str],
    tell: Callable[[Outcome], None],
    keep: Callable[[Result], None],
) -> Result:
    """Play `models` for about so many seconds and try the scenarios; tell: of each outcome as it comes.

    keep: called with each outcome, and at the end, also when that is Ctrl-C or an exit: before the daemon is ended,
    for who interrupts may lose patience. Raises DaemonError or Missed where the daemon does not even start.
    """
    result = Result(time.strftime("%Y-%m-%d %H:%M %Z"), machine(), versions(), {"models": [m.stem for m in models]})
    result.planned = len(scenarios)
    with (
        sound_server() as server,
        tempfile.TemporaryDirectory(prefix="ambientd-soak-") as home,
        Rig(Path(home), models, sets, server) as rig,
    ):
        result.played |= {"output": rig.output, "configuration": list(sets), "sample_rate": rig.rate}
        try:
            for outcome in perform(rig, plan(scenarios, seconds), seconds):
                result.outcomes.append(outcome)
                keep(result)
                tell(outcome)
            result.end = End.COMPLETE
        except (KeyboardInterrupt, SystemExit):
            result.end = End.INTERRUPTED
            raise
        finally:
            keep(result)
    return result
