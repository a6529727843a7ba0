"""Writes a plan in one of the formats. The command line."""

from __future__ import annotations

from pathlib import Path

from ambientd.errors import UsageError
from ambientd.samplernn.checkpoint import write_atomically
from ambientd.surfaces.html_table import html_table
from ambientd.surfaces.open_stage_control import open_stage_control
from ambientd.surfaces.plan import Plan
from ambientd.surfaces.touchosc import touchosc
from ambientd.surfaces.tree import Tree


def encode(format: str, plan: Plan, tree: Tree) -> bytes:
    """The file's bytes. format: touchosc, open-stage-control or html-table."""
    match format:
        case "touchosc":
            return touchosc(plan)
        case "open-stage-control":
            return open_stage_control(plan)
        case _:
            return html_table(plan, tree)


def write(format: str, plan: Plan, tree: Tree, out: Path) -> None:
    """Whole or not at all. Raises UsageError where `out` cannot be written."""
    try:
        write_atomically(out, encode(format, plan, tree))
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror})", "Name a file in a folder of yours") from None
