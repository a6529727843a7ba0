"""What may be missing where nobody watches: the music begins without it, and a line says so. Supervisor.

A controller's file that was removed, a score that recalls a deleted preset, a plugin that is gone: whoever starts by
hand wants to be told at once, so there each is an error with its exit code. After a power cut at night it is not.
What was left out is no longer in the configuration that is in force, so `ambientd reload` takes it in when it is back.
"""

from __future__ import annotations

from collections.abc import Callable

from ambientd.errors import AmbientdError


class Leniency:
    """unattended: play without what is missing. say: prints a line."""

    def __init__(self, unattended: bool, say: Callable[[str], None]) -> None:
        self._unattended, self._say = unattended, say

    def has(self, what: str, check: Callable[[], object]) -> bool:
        """Whether `check` finds it. Raises its AmbientdError where somebody watches."""
        try:
            check()
        except AmbientdError as error:
            if not self._unattended:
                raise
            self._say(f"{what} is left out until `ambientd reload`: {error}")
            return False
        return True
