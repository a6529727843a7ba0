"""The progress bar of the long commands, and what they share on the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

PATH = click.Path(path_type=Path)
RATE = click.option("--sample_rate", default=16_000, show_default=True, help="Hz; every model of a mashup shares it.")
NARROW = 80
BAR, WIDEST_BAR = 12, 40
REST = 18
"""Characters of a line beside bar and text: the spinner, the percentage, the time left (up to 99 hours), and gaps."""
FIRST_LINE_SECONDS, LINE_SECONDS = 15.0, 180.0
"""Until a log file is first told how far a training is, so that one sees soon that it goes well, and between two."""


def bar(text: str, console: Console | None = None) -> Any:
    """rich's progress, one line of it however narrow the terminal: what does not fit is cut from `text`.

    console: default standard error.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = console or Console(stderr=True)
    width = min(WIDEST_BAR, BAR + max(0, console.width - NARROW))
    told = Column(no_wrap=True, overflow="ellipsis", max_width=max(1, console.width - width - REST))
    columns = (
        # The bar stands still while something is judged; that it turns shows that it lives.
        SpinnerColumn(), BarColumn(width), TaskProgressColumn(), TextColumn(text, table_column=told),
        TimeRemainingColumn(),
    )  # fmt: skip
    # In a log file a bar is only a smudge: a long command tells it a line now and then, at its `Pace`.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class Pace:
    """When a log file is due a line, and how much time is left then.

    fraction: where the work begins, 0 to 1.
    """

    def __init__(self, fraction: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fraction, self._clock, self._begun = fraction, clock, clock()
        self._next = self._begun + FIRST_LINE_SECONDS

    def due(self) -> bool:
        """Whether it is time for a line; the next one is due LINE_SECONDS after it."""
        due = self._clock() >= self._next
        if due:
            self._next = self._clock() + LINE_SECONDS
        return due

    def left(self, fraction: float) -> str:
        """If all goes on as fast as it went so far, its pauses included."""
        if fraction <= self._fraction:
            return "-:--:--"
        seconds = (self._clock() - self._begun) * (1 - fraction) / (fraction - self._fraction)
        return str(timedelta(seconds=round(seconds)))
