"""`ambientd bench training`. Imports only click; what is measured runs in processes of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from typing import Any

import click

from ambientd.plugin import Several
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.process import wait_briefly

CASES = ((256, 16, 0), (512, 16, 0), (512, 32, 0))
"""(dim, batch, threads) where nothing is asked for; the last one for its memory."""
PATIENCE = 600
"""Seconds beyond the measurement itself, for a machine that is very slow or very busy."""


@click.group()
def bench() -> None:
    """Measure this machine."""


@bench.command()
@click.option("--dim", "dims", cls=Several, type=click.IntRange(1, 4096))
@click.option("--batch", "batches", cls=Several, type=click.IntRange(1, 4096))
@click.option("--threads", cls=Several, type=click.IntRange(1, 1024))
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=4.0, show_default=True, help="Per measurement.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def training(
    dims: tuple[int, ...],
    batches: tuple[int, ...],
    threads: tuple[int, ...],
    seconds: float,
    device: str,
    as_json: bool,
) -> None:
    """Samples trained on per second, and what share of this machine's own matrix products that is.

    With options, all combinations of the values given; what is left out is dim 256, batch 16, all threads.
    """
    wait_briefly()
    asked = dims or batches or threads
    cases = list(product(dims or [256], batches or [16], threads or [0])) if asked else CASES
    rows = []
    if not as_json:
        click.echo("  dim  batch  threads  precision  samples/s  noise  of the matrix rate    peak memory")
    for case in cases:
        row = _measured(*case, seconds, device)
        rows.append(row)
        if not as_json:
            click.echo(
                f"{row['dim']:5d}  {row['batch']:5d}  {row['threads']:7d}  {row['precision']:9s}"
                f"  {row['samples_per_second']:9.0f}  {row['noise']:5.0%}"
                f"  {row['roof_share']:4.0%} of {row['matrix_rate_gflops']:5.0f} GFLOP/s"
                f"  {row['peak_memory_mb']:8.0f} MB"
            )
    if as_json:
        click.echo(json.dumps(rows))
    else:
        click.echo("From median steps; noise: the middle half of their times. Method: benchmarks/training.md.")


def _measured(dim: int, batch: int, threads: int, seconds: float, device: str) -> dict[str, Any]:
    words = map(str, (dim, batch, threads, seconds, device))
    command = [sys.executable, "-m", "ambientd_plugins.training.bench", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds + PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise TrainingError(f"dim {dim}, batch {batch} did not end", "Measure when nothing else runs") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit {done.returncode}, perhaps out of memory"])[-1]
        raise TrainingError(
            f"dim {dim}, batch {batch} failed ({reason.rpartition('Error: ')[2]})",
            "If memory is short, lower --dim or --batch",
        )
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row
