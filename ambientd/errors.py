"""Errors that people read. Any process; imports nothing.

Each error says what went wrong, where (file, section, key), what was expected and what to do
about it, in one line. The command line prints that line and exits with the class's `exit_code`,
so that scripts can tell the cases apart; a traceback is reserved for bugs.
Plugins define their own (training: 5 and 9).
"""

from __future__ import annotations

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells have it."""


class AmbientdError(Exception):
    """Base of every expected failure.

    what: the fact, naming the thing ("models/a.safetensors is truncated").
    remedy: what the reader can do about it; empty where nothing helps.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}" if self.remedy else self.what


class UsageError(AmbientdError):
    """A command was called with arguments that cannot be honoured."""

    exit_code = 2


class ConfigError(AmbientdError):
    """A configuration file, key or value is wrong."""

    exit_code = 3


class CheckpointError(AmbientdError):
    """A checkpoint is missing, truncated, oversized, foreign or inconsistent."""

    exit_code = 4


class IncompatibleVoices(CheckpointError):
    """Two voices were asked to share what their checkpoints do not allow."""


class DeviceError(AmbientdError):
    """An audio device or a processor feature that was asked for is not there."""

    exit_code = 6


class GpuFault(DeviceError):
    """What a GPU was playing is lost, and all that was on it: the process has to end."""

    exit_code = 10


class PluginError(AmbientdError):
    """A plugin could not be loaded, or a name matches none."""

    exit_code = 7


class DaemonError(AmbientdError):
    """The daemon cannot start, or cannot be reached."""

    exit_code = 8
