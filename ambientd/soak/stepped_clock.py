"""A wall clock that is stepped under one daemon alone: a shim that is preloaded. The soak's process, and the tests'."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ambientd.soak.scenario import NotTried

SHIM = Path(__file__).with_suffix(".c")


class SteppedClock:
    """environment: of the processes whose clock it is. folder: where the shim is put. Raises NotTried."""

    def __init__(self, folder: Path) -> None:
        if sys.platform != "linux" or not shutil.which("cc"):
            raise NotTried("to step the clock of one program alone needs Linux and a C compiler (cc)")
        shim, self._offset = folder / "stepped_clock.so", folder / "clock"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, SHIM], check=True)
        self._offset.write_bytes(bytes(8))
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(shim), "CLOCK_OFFSET": str(self._offset)}

    def step_to(self, seconds: int) -> None:
        """The wall clock is so far from the truth, from now on."""
        with self._offset.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    def told(self) -> float:
        """The time, as a program is told that has this clock."""
        ask = [sys.executable, "-c", "import time; print(time.time())"]
        environment = dict(os.environ) | dict(self.environment)
        return float(subprocess.run(ask, env=environment, capture_output=True, text=True, check=True).stdout)
