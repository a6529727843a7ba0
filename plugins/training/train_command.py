"""`ambientd train`. Imports only click until it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambientd.plugin import INTERRUPTED, Several
from ambientd_plugins.training.process import keep_freed_memory, wait_briefly
from ambientd_plugins.training.progress import PATH, Pace, bar

if TYPE_CHECKING:
    import torch

    from ambientd.samplernn.checkpoint import Checkpoint
    from ambientd_plugins.training.distributed import Team
    from ambientd_plugins.training.request import Request
    from ambientd_plugins.training.run import Progress, Run

POSITIVE = click.IntRange(1)
ABOVE_0 = click.FloatRange(0, min_open=True)


@click.command()
@click.option("--dataset", type=PATH, help="A chunk folder, or any folder of audio.")
@click.option("--albums", cls=Several, type=PATH, metavar="FOLDER...",
              help="Several such folders: makes a common base to fine-tune.")  # fmt: skip
@click.option(
    "--exp", required=True, metavar="NAME", help="Name of the run; the same name goes on with it, as it was asked for."
)
@click.option("--base", metavar="ID", help="Fine-tune this model (or .safetensors), and join its family.")
@click.option("--frame_sizes", cls=Several, type=click.IntRange(2, 4096), default=(16, 4), show_default="16 4",
              metavar="N N...", help="In multiples of the size below: 16 4 means frames of 16 and 64.")  # fmt: skip
@click.option("--n_rnn", type=click.IntRange(1, 8), default=2, show_default=True, help="GRU layers per tier.")
@click.option("--dim", type=click.IntRange(1, 4096), default=256, show_default=True, help="Width of every layer.")
@click.option("--q_levels", type=click.IntRange(2, 256), default=256, show_default=True, help="Quantization levels.")
@click.option("--quantization", type=click.Choice(["mu-law", "linear"]), default="mu-law", show_default=True)
@click.option("--pre_emphasis", type=click.FloatRange(0, 1, max_open=True), default=0.85, show_default=True,
              help="0 is none; less hiss in quiet music.")  # fmt: skip
@click.option("--plain", is_flag=True,
              help="SampleRNN as published, without the forecast that holds tones.")  # fmt: skip
@click.option("--sample_rate", type=click.IntRange(1000, 384_000), default=16_000, show_default=True,
              help="Hz; every model of a mashup shares it.")  # fmt: skip
@click.option("--batch", type=POSITIVE, help="Streams walked side by side.  [default: 16, on a GPU 128]")
@click.option("--sequence", type=POSITIVE, default=1024, show_default=True, help="Samples between two updates.")
@click.option("--lr", type=ABOVE_0, help="Learning rate.  [default: 0.006, less above dim 192 and with --base]")
@click.option("--minutes", type=ABOVE_0, help="Train for so long.  [default: 30, or 10 with --base]")
@click.option("--cpu_minutes", type=ABOVE_0, help="The same in processor time, of all threads together.")
@click.option("--steps", type=POSITIVE, help="Train for so many updates instead.")
@click.option(
    "--validations", type=POSITIVE, default=8, show_default=True, help="How often to judge, save and preview."
)
@click.option("--listen", type=click.FloatRange(0, 1), default=0.15, show_default=True, metavar="SHARE",
              help="How much of the training's time may go into listening to what it learnt.")  # fmt: skip
@click.option("--split", type=click.Choice(["auto", "track", "time"]), default="auto", show_default=True,
              help="What is held out: whole tracks, or the end of each.")  # fmt: skip
@click.option("--dropout", type=click.FloatRange(0, 0.9), metavar="SHARE",
              help="How much of the sample tier each step leaves out.  [default: 0.25]")  # fmt: skip
@click.option("--augment", type=click.IntRange(0, 100), default=0, show_default=True, metavar="COPIES",
              help="Train on so many copies of the album as well, at other pitches and gains.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=POSITIVE, help="Processor threads.  [default: all]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where run folders are kept.")
@click.option("--install", is_flag=True, help="Put the best checkpoint into the library, called NAME.")
@click.option("--replace", is_flag=True, help="With --install: also in the place of a model that is not this run's.")
def train(
    exp: str,
    device: str,
    threads: int | None,
    runs: Path,
    install: bool,
    replace: bool,
    **settings: Any,
) -> None:
    """Train a SampleRNN on an album. Ctrl-C saves; the same command goes on.

    Several processes, on one machine or many, train one model when `torchrun` starts them:
    `torchrun --nproc-per-node 2 -m ambientd train ...`; --batch is then each one's. docs/training.md says more.
    """
    wait_briefly()
    keep_freed_memory()
    import torch

    from ambientd.samplernn.library import hear_it
    from ambientd_plugins.training.asking import ask
    from ambientd_plugins.training.devices import device_named
    from ambientd_plugins.training.distributed import processes, team
    from ambientd_plugins.training.folder import RunFolder, only_one
    from ambientd_plugins.training.installing import install_best, library_place
    from ambientd_plugins.training.run import folder_for

    if threads:
        torch.set_num_threads(threads)
    source_of = click.get_current_context().get_parameter_source
    given = {name for name in settings if source_of(name) is not click.core.ParameterSource.DEFAULT}
    folder = folder_for(runs, exp)
    place = device_named(device)
    with team(place) as members, only_one(folder, members.leads):
        # The run folder is the first process's alone.
        before = json.loads(members.from_leader(json.dumps(RunFolder(folder).asked()).encode()))
        request, base = ask(settings, given, processes(), before, place.type)
        if install and members.leads:
            library_place(folder, exp, replace)
        finished = _train(_prepared(folder, request, base, members, place), members)
    if not finished:
        sys.exit(INTERRUPTED)
    if install and members.leads:
        click.echo(f"installed as {install_best(folder, exp, replace)}")
    if members.leads:
        click.echo(hear_it(exp if install else str(RunFolder(folder).best), exp))


def _prepared(folder: Path, request: Request, base: Checkpoint | None, members: Team, device: torch.device) -> Run:
    """The run with its album read and its state restored: what takes its time before the first step."""
    from ambientd_plugins.training.run import Run

    with bar("{task.description}") as shown:
        if members.leads:
            shown.add_task("preparing", total=None)
            if shown.disable:
                click.echo(f"preparing {folder.name}: reading the music")
        return Run(folder, request, base, members, device)


def _train(run: Run, members: Team) -> bool:
    """Whether it came to its end; else it was interrupted, and is saved."""
    from ambientd_plugins.training.report.page import REPORT

    try:
        if not members.leads:
            run.train(lambda progress: None, lambda line: None)
            return True
        if run.trainer.step:
            click.echo(f"resuming {run.folder.path} at step {run.trainer.step}")
            if run.trainer.progress >= 1:
                click.echo("it has trained all that it was asked to; more --minutes (or --steps) make it go on")
        _with_progress(run)
    except KeyboardInterrupt:
        if members.leads:
            click.echo(f"saved; the same command goes on from step {run.saved_step}", err=True)
        return False
    click.echo(f"best checkpoint: {run.best_checkpoint} ({run.best:.3f} bits per sample)")
    report = run.folder.path / REPORT
    if report.is_file():
        click.echo(f"report: {report}")
    return True


def _with_progress(run: Run) -> None:
    numbers = "{task.fields[bits]:.3f} bits (best {task.fields[best]}) {task.fields[speed]} {task.fields[hours]:.2f} h"
    with bar("{task.description} " + numbers) as shown:
        task = shown.add_task("training", total=1.0, bits=float("nan"), best="-", speed="", hours=0.0)
        pace = Pace(run.trainer.progress)

        def told(p: Progress) -> None:
            best = f"{p.validation_bits:.3f}" if p.validation_bits else "-"
            thousands = f"{p.samples_per_second / 1000:.0f}k"
            now = {"bits": p.bits, "best": best, "speed": f"{thousands}/s", "hours": p.hours}
            shown.update(task, description="training", completed=p.fraction, **now)
            if shown.disable and pace.due():
                say(
                    f"training at {p.fraction:.0%}: {p.bits:.3f} bits per sample (best {best}), {thousands} samples/s, "
                    f"{p.hours:.2f} h heard, {pace.left(p.fraction)} left"
                )

        def doing(phase: str) -> None:
            shown.update(task, description=phase)

        def say(line: str) -> None:
            # As it is: a log file has no width, and what stands in [brackets] is no markup.
            shown.console.print(line, soft_wrap=True, markup=False, highlight=False)

        run.train(told, say, doing)
