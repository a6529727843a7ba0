"""The progress bar of the long commands, and what they share on the command line."""

from __future__ import annotations

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
    # In a log file a bar is only a smudge; the lines around it say what matters.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
