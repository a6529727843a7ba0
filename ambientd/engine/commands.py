"""`ambientd render` and `ambientd bench engine`. Imports only click until one of them runs.

The one module of the engine that reaches up to the plugin manager: here mashups are played without a daemon.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambientd.errors import UsageError
from ambientd.options import Several

if TYPE_CHECKING:
    from ambientd.arrays import Floats
    from ambientd.plugin import Mashup
    from ambientd.types import VoiceInfo

DEFAULT_MASHUP = "blend"


def register(group: click.Group) -> None:
    """Add the commands to `ambientd`."""
    group.add_command(render)
    group.add_command(bench)


@click.command()
@click.option("--model", "models", cls=Several, required=True, metavar="ID...", help="Models by id, or .safetensors.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), required=True, help="Exact length.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Same seed, same file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .wav or .flac file, 16 bits.")
@click.option("--mashup", help=f"How several models play together.  [default: {DEFAULT_MASHUP}]")
@click.option("--set", "sets", cls=Several, metavar="KEY=VALUE...", help="The mashup's options: weights=[1,0.5]")
@click.option(
    "--temperature", type=click.FloatRange(0.1, 4), default=1.0, show_default=True, help="1: the models' own."
)
@click.option("--stretch", type=click.FloatRange(1, 8), default=1.0, help="Evolve so many times slower.")
@click.option("--freeze", type=click.FloatRange(0, 1), default=0.0, help="Hold the first moment: 0 not at all, to 1.")
@click.option("--chaos", type=click.FloatRange(0, 1), default=0.0, help="Noise in the models' memory: 0 none, to 1.")
@click.option("--rate", type=click.IntRange(8000, 384_000), help="Resample to this rate.  [default: the models']")
@click.option("--channels", type=click.IntRange(1, 8), default=1, show_default=True)
@click.option("--precision", type=click.Choice(("auto", "int8", "bf16", "fp32")), default="auto", show_default=True)
def render(
    models: tuple[str, ...],
    seconds: float,
    seed: int,
    out: Path,
    mashup: str | None,
    sets: tuple[str, ...],
    temperature: float,
    stretch: float,
    freeze: float,
    chaos: float,
    rate: int | None,
    channels: int,
    precision: str,
) -> None:
    """Make an audio file of one or several models, as fast as this machine can."""
    from ambientd.engine.offline import render_blocks
    from ambientd.engine.voice import VoiceLoader
    from ambientd.samplernn.library import resolve_local

    _check_output(out)
    loader = VoiceLoader(precision)
    voices = [loader.load(resolve_local(model), seed + slot) for slot, model in enumerate(models)]
    chosen, controls = _mashup(mashup, sets, tuple(voice.info for voice in voices))
    inner = {"temperature": temperature, "stretch": stretch, "freeze": freeze, "chaos": chaos}
    blocks = render_blocks(voices, chosen, controls, inner, channels)
    source_rate = voices[0].info.sample_rate
    frames = max(1, round(seconds * (rate or source_rate)))
    if rate and rate != source_rate:
        blocks = _resampled(blocks, source_rate, rate, channels)
    _write(out, _exactly(blocks, frames), frames, rate or source_rate, channels)


def _mashup(
    name: str | None, sets: tuple[str, ...], slots: tuple[VoiceInfo, ...]
) -> tuple[Mashup | None, Mapping[str, float]]:
    """The mashup and its parameters' values; one model alone needs none."""
    from ambientd import config
    from ambientd.plugin_manager import Plugins

    if name is None and len(slots) == 1:
        if sets:
            raise UsageError("--set sets a mashup's options, and one model alone has none", "Name a --mashup")
        return None, {}
    plugins = Plugins.discover()
    if name is None and not sets and DEFAULT_MASHUP not in plugins.mashups:
        return None, {}
    name = name or DEFAULT_MASHUP
    kind = plugins.mashup(name)
    # The whole schema reads the options, so that they are spelt as in `ambientd run --set mashup.KEY=VALUE`.
    options = config.load(None, [f"mashup.name={name}", *(f"mashup.{text}" for text in sets)]).mashup.options
    section = config.validate(kind.Config, options, "--set")
    defaults = {parameter.id: parameter.default for parameter in kind.parameters}
    return kind(section, slots), defaults | dict(kind.initial_values(section))


def _exactly(blocks: Iterable[Floats], frames: int) -> Iterator[Floats]:
    """`frames` frames of an endless stream."""
    for block in blocks:
        yield block[:frames]
        frames -= len(block)
        if frames <= 0:
            return


def _resampled(blocks: Iterable[Floats], source_rate: int, rate: int, channels: int) -> Iterator[Floats]:
    import soxr

    stream = soxr.ResampleStream(source_rate, rate, channels, dtype="float32")
    for block in blocks:
        resampled: Floats = stream.resample_chunk(block)
        yield resampled.reshape(-1, channels)


def _check_output(out: Path) -> None:
    """Before minutes of work rather than after them."""
    if out.suffix.lower() not in (".wav", ".flac"):
        raise UsageError(f"{out} is neither .wav nor .flac", "Name one of them")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise UsageError(f"{out.parent} is not a folder that can be written to", "Make it, or name another")


def _write(out: Path, blocks: Iterable[Floats], frames: int, rate: int, channels: int) -> None:
    """Under another name until it is complete: what is called `out` can always be played."""
    import soundfile
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    part = out.with_name(f".{out.name}.part")
    kind = out.suffix[1:].upper()
    columns = (TextColumn(out.name), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    try:
        # 16-bit: a float WAV carries the time of its making, and would never be the same twice.
        with (
            soundfile.SoundFile(part, "w", rate, channels, "PCM_16", format=kind) as file,
            Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        ):
            task = progress.add_task("", total=frames)
            for block in blocks:
                file.write(block.clip(-1, 1))
                progress.advance(task, len(block))
        os.replace(part, out)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, (OSError, soundfile.SoundFileError)):
            raise UsageError(f"{out} cannot be written ({error})", "Make room, or name another file") from None
        raise


@click.group()
def bench() -> None:
    """Measure this machine."""


@bench.command()
@click.option("--dim", "dims", cls=Several, type=click.IntRange(1, 4096))
@click.option("--precision", "precisions", cls=Several, type=click.Choice(("int8", "bf16", "fp32", "eager")))
@click.option("--threads", cls=Several, type=click.IntRange(1, 2))
@click.option("--voices", cls=Several, type=click.IntRange(1, 64), help="Of one checkpoint, and of one each.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=1.5, show_default=True, help="Per measurement.")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def engine(
    dims: tuple[int, ...],
    precisions: tuple[str, ...],
    threads: tuple[int, ...],
    voices: tuple[int, ...],
    seconds: float,
    as_json: bool,
) -> None:
    """Real-time factors: seconds of audio made per second, and how near that is to what memory can deliver.

    Without options a table of what matters, beside PyTorch's eager loop. With any, all combinations of the values
    given; what is left out is dim 512, int8, 1 thread, 1 voice.
    """
    from dataclasses import asdict

    from ambientd.engine.bench import CASES, combinations, measure

    cases = combinations(dims, precisions, threads, voices) if dims or precisions or threads or voices else CASES
    rows = []
    if not as_json:
        click.echo("  dim  precision  threads  voices (checkpoints)   x real time   each  noise  kB/sample  bandwidth")
    for row in measure(cases, seconds):
        rows.append(asdict(row))
        if not as_json:
            size = f"{row.bytes_per_sample / 1000:9.0f}" if row.bytes_per_sample else " " * 9
            share = f"{row.bandwidth_share:9.0%}" if row.bandwidth_share else ""
            click.echo(
                f"{row.dim:5d}  {row.precision:9s}  {row.threads:7d}  {row.voices:6d} ({row.checkpoints})"
                f"             {row.xrt:11.3f} {row.each:6.2f}   {row.noise:4.0%}  {size}  {share}"
            )
    if as_json:
        click.echo(json.dumps(rows))
    else:
        click.echo("Medians; noise: their middle half. bandwidth: of what this machine read from as large a buffer.")
