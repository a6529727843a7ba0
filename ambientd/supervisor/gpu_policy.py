"""What the next generator is to play on: a GPU that fails twice is not tried again. The supervisor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ambientd.config import Engine
from ambientd.engine.gpu_signs import seems_there
from ambientd.errors import DeviceError

MOST_FAULTS = 2
HOST_MB = 16_384
"""That a GPU's driver and libraries may have of this machine's memory, beside `engine.memory_limit_mb`."""


class GpuPolicy:
    """say: prints a line for the person who started the daemon."""

    def __init__(self, config: Engine, say: Callable[[str], None]) -> None:
        """Raises DeviceError where a GPU is asked for, there is none, and the CPU is not to do instead."""
        self._say, self._config = say, config
        self._faults = 0
        self.device: str = config.device
        """For a `GeneratorConfig`."""
        self.playing = ""
        """The name of the GPU that plays; empty: the CPU does."""
        if config.device != "cpu" and not seems_there():
            self.device = "cpu"
            if config.device == "cuda":
                fault = 'engine.device is "cuda", but there is no NVIDIA GPU here (or no driver for it)'
                if not config.fallback:
                    raise DeviceError(fault, 'Set engine.fallback to true, or engine.device to "cpu"')
                say(f"{fault}; playing with the CPU")

    @property
    def memory_limit_mb(self) -> int:
        """For a `GeneratorConfig`."""
        return self._config.memory_limit_mb + (0 if self.device == "cpu" else HOST_MB)

    def said(self, event: dict[str, Any]) -> None:
        """The generator told which GPU it plays on."""
        self.playing = event["name"]

    def lost(self) -> None:
        """The generator ended or hung: while it played on a GPU, that is what is blamed."""
        if not self.playing:
            return
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            self.device = "cpu"
            self._say(f"{self.playing} has failed {self._faults} times; going on with the CPU")
        else:
            self._say(f"{self.playing} has failed; trying it once more")
        self.playing = ""
