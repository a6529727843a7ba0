"""`ambientd train`. Imports only click until it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambientd.plugin import Several
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.progress import PATH, RATE, bar

if TYPE_CHECKING:
    from ambientd_plugins.training.run import Progress


@click.command()
@click.option("--dataset", required=True, type=PATH, help="A chunk folder, or any folder of audio.")
@click.option("--exp", required=True, metavar="NAME", help="Name of the run; the same name resumes it.")
@click.option("--frame_sizes", cls=Several, type=int, default=(16, 4), show_default="16 4", metavar="N N...",
              help="In multiples of the size below: 16 4 means frames of 16 and of 64 samples.")  # fmt: skip
@click.option("--n_rnn", default=2, show_default=True, help="GRU layers per tier.")
@click.option("--dim", default=256, show_default=True, help="Width of every layer.")
@click.option("--q_levels", default=256, show_default=True, help="Quantization levels, at most 256.")
@click.option("--quantization", type=click.Choice(["mu-law", "linear"]), default="mu-law", show_default=True)
@click.option("--pre_emphasis", default=0.85, show_default=True, help="0 is none; less hiss in quiet music.")
@RATE
@click.option("--batch", default=16, show_default=True, help="Streams walked side by side.")
@click.option("--sequence", default=1024, show_default=True, help="Samples between two updates.")
@click.option("--lr", type=float, help="Learning rate.  [default: 0.006, less above dim 192]")
@click.option("--minutes", type=float, help="Train for so long.  [default: 30]")
@click.option("--steps", type=int, help="Train for so many updates instead.")
@click.option("--validations", default=8, show_default=True, help="How often to judge, save and preview.")
@click.option("--split", type=click.Choice(["auto", "track", "time"]), default="auto", show_default=True,
              help="What is held out: whole tracks, or the end of each.")  # fmt: skip
@click.option("--seed", default=1, show_default=True)
@click.option("--threads", type=int, help="Processor threads.  [default: all]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where run folders are kept.")
@click.option("--install", is_flag=True, help="Put the best checkpoint into the library, called NAME.")
def train(
    dataset: Path,
    exp: str,
    frame_sizes: tuple[int, ...],
    lr: float | None,
    minutes: float | None,
    steps: int | None,
    threads: int | None,
    runs: Path,
    install: bool,
    dim: int,
    **settings: Any,
) -> None:
    """Train a SampleRNN on an album. Ctrl-C saves; the same command goes on."""
    if minutes is not None and steps is not None:
        raise TrainingError("--minutes and --steps exclude each other", "Give one of them")
    from itertools import accumulate
    from operator import mul

    import torch

    from ambientd_plugins.training.run import Request, Run, folder_for

    if threads:
        torch.set_num_threads(threads)
    request = Request(
        dataset=str(dataset),
        dim=dim,
        frame_sizes=tuple(accumulate(frame_sizes, mul)),
        learning_rate=lr or 0.006 * min(1.0, 192 / dim),
        steps=steps,
        minutes=None if steps else minutes or 30.0,
        **settings,
    )
    folder = folder_for(runs, exp)
    run = Run(folder, request)
    if run.trainer.step:
        click.echo(f"resuming {folder} at step {run.trainer.step}")
    try:
        _with_progress(run)
    except KeyboardInterrupt:
        click.echo(f"saved; the same command goes on from step {run.trainer.step}", err=True)
        sys.exit(130)
    click.echo(f"best checkpoint: {run.best_checkpoint} ({run.best:.3f} bits per sample)")
    if install:
        click.echo(f"installed as {_install(run.best_checkpoint, exp)}")


def _with_progress(run: Any) -> None:
    numbers = "{task.fields[bits]:.3f} bits (best {task.fields[best]}) {task.fields[speed]}"
    with bar(numbers + " {task.fields[hours]:.2f} h heard") as shown:
        task = shown.add_task("", total=1.0, bits=float("nan"), best="-", speed="", hours=0.0)

        def told(p: Progress) -> None:
            best = f"{p.validation_bits:.3f}" if p.validation_bits else "-"
            speed = f"{p.samples_per_second / 1000:.0f}k samples/s"
            shown.update(task, completed=p.fraction, bits=p.bits, best=best, speed=speed, hours=p.hours)

        run.train(told, shown.console.print)


def _install(checkpoint: Path, name: str) -> Path:
    from ambientd.samplernn.checkpoint import valid_id, write_atomically
    from ambientd.samplernn.library import SUFFIX, user_folder

    if not valid_id(name):
        raise TrainingError(f"{name!r} cannot name a model", "Use letters, digits, -, _ and dots")
    target = user_folder() / f"{name}{SUFFIX}"
    write_atomically(target, checkpoint.read_bytes())
    return target
