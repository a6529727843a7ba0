"""The progress bar of the long commands, and what they share on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
RATE = click.option("--sample_rate", default=16_000, show_default=True, help="Hz; every model of a mashup shares it.")


def bar(text: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn(text), TimeRemainingColumn())
    console = Console(stderr=True)
    # In a log file a bar is only a smudge; the lines around it say what matters.
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
