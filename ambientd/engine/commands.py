"""`ambientd render` and `ambientd bench engine`. Imports only click until one of them runs.

The one module of the engine that reaches up to the plugin manager: here mashups are played without a daemon.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ambientd.engine.replay_command import replay
from ambientd.errors import AmbientdError, UsageError
from ambientd.options import Several

if TYPE_CHECKING:
    from ambientd.engine.bench import Case
    from ambientd.engine.takes import Take
    from ambientd.plugin import Mashup
    from ambientd.types import VoiceInfo

DEFAULT_MASHUP = "blend"


def register(group: click.Group) -> None:
    """Add the commands to `ambientd`."""
    group.add_command(render)
    group.add_command(bench)
    group.add_command(replay)


@click.command()
@click.option("--model", "models", cls=Several, required=True, metavar="ID...", help="Models by id, or .safetensors.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), required=True, help="Exact length.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Same seed, same file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .wav or .flac file, 16 bits.")
@click.option("--mashup", help=f"How several models play together.  [default: {DEFAULT_MASHUP}]")
@click.option("--set", "sets", cls=Several, metavar="KEY=VALUE...", help="The mashup's options: weights=[1,0.5]")
@click.option("--between", type=click.FloatRange(0, 1), metavar="W", help="Of two models: 0 the first, 1 the second.")
@click.option(
    "--temperature", type=click.FloatRange(0.1, 4), default=1.0, show_default=True, help="1: the models' own."
)
@click.option("--stretch", type=click.FloatRange(1, 8), default=1.0, help="Evolve so many times slower.")
@click.option("--freeze", type=click.FloatRange(0, 1), default=0.0, help="Hold the first moment: 0 not at all, to 1.")
@click.option("--chaos", type=click.FloatRange(0, 1), default=0.0, help="Noise in the models' memory: 0 none, to 1.")
@click.option("--rate", type=click.IntRange(8000, 384_000), help="Resample to this rate.  [default: the models']")
@click.option("--channels", type=click.IntRange(1, 8), default=1, show_default=True)
@click.option("--precision", type=click.Choice(("auto", "int8", "bf16", "fp32")), default="auto", show_default=True)
@click.option("--count", type=click.IntRange(1, 9999), help="So many takes, OUT-01 to OUT-N, listed best first.")
@click.option("--json", "as_json", is_flag=True, help="Print the takes for machines.")
def render(
    models: tuple[str, ...],
    seconds: float,
    seed: int,
    out: Path,
    mashup: str | None,
    sets: tuple[str, ...],
    between: float | None,
    temperature: float,
    stretch: float,
    freeze: float,
    chaos: float,
    rate: int | None,
    channels: int,
    precision: str,
    count: int | None,
    as_json: bool,
) -> None:
    """Make an audio file of one or several models, as fast as this machine can.

    With --count many, with seeds from --seed on, each the file that its seed makes alone. They are listed by how
    near they come to the model's album: 1 is like it, and what collapsed (silent, hiss, loop, clipped) is below 0.
    """
    from ambientd.engine.audio_file import Stream, check_output, frame_count, write
    from ambientd.engine.offline import render_blocks
    from ambientd.engine.takes import Reference, TakeMaker, take_files
    from ambientd.engine.voice import VoiceLoader
    from ambientd.samplernn.checkpoint import load_card
    from ambientd.samplernn.library import resolve_local
    from ambientd.samplernn.sums import check_sum

    if as_json and not count:
        raise UsageError("--json prints the order of several takes", "Say how many with --count")
    check_output(out)
    paths = [resolve_local(model) for model in models]
    for path in paths:
        check_sum(path)
    loader = VoiceLoader(precision, levelled=len(paths) > 1)  # one alone is as loud as its album, and is judged so
    inner = {"temperature": temperature, "stretch": stretch, "freeze": freeze, "chaos": chaos}

    def play(seed: int) -> Stream:
        voices = [loader.load(path, seed + slot) for slot, path in enumerate(paths)]
        chosen, controls = _mashup(mashup, sets, between, tuple(voice.info for voice in voices))
        blocks = render_blocks(voices, chosen, controls, inner, channels)
        return Stream(blocks, voices[0].info.sample_rate, channels)

    if count:
        reference = Reference.of(paths)
        with _progress(out.name, count * frame_count(seconds, rate or load_card(paths[0]).sample_rate)) as tell:
            takes = TakeMaker(play, reference, seconds, rate, tell).run(seed, take_files(out, count))
        _show_takes(takes, as_json)
    else:
        stream = play(seed)
        with _progress(out.name, frame_count(seconds, rate or stream.rate)) as tell:
            write(out, stream, seconds, rate, tell)
        click.echo(f"{out}: {seconds:g} s, seed {seed}")


def _mashup(
    name: str | None, sets: tuple[str, ...], between: float | None, slots: tuple[VoiceInfo, ...]
) -> tuple[Mashup | None, Mapping[str, float]]:
    """The mashup and its parameters' values; one model alone needs none."""
    from ambientd import config
    from ambientd.plugin_manager import Plugins

    if between is not None and len(slots) != 2:
        raise UsageError(f"--between is the way from one model to another, and {len(slots)} play", "Name two")
    if name is None and len(slots) == 1:
        if sets:
            raise UsageError("--set sets a mashup's options, and one model alone has none", "Name a --mashup")
        return None, {}
    plugins = Plugins.discover()
    if name is None and not sets and between is None and DEFAULT_MASHUP not in plugins.mashups:
        return None, {}
    name = name or DEFAULT_MASHUP
    kind = plugins.mashup(name)
    # The whole schema reads the options, so that they are spelt as in `ambientd run --set mashup.KEY=VALUE`.
    options = config.load(None, [f"mashup.name={name}", *(f"mashup.{text}" for text in sets)]).mashup.options
    section = config.validate(kind.Config, options, "--set")
    defaults = {parameter.id: parameter.default for parameter in kind.parameters}
    way = kind.between(between) if between is not None else {}
    if between is not None and not way:
        raise UsageError(f"the mashup {name!r} knows no way from one model to another", "Use --set")
    return kind(section, slots), defaults | dict(kind.initial_values(section)) | dict(way)


@contextmanager
def _progress(name: str, frames: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal; what it gives is told how many frames were added, by any thread."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(name), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=frames)
        yield lambda added: progress.advance(task, added)


def _show_takes(takes: Sequence[Take], as_json: bool) -> None:
    """Best first."""
    if as_json:
        click.echo(json.dumps([take.to_dict() for take in takes]))
        return
    width = max(len(take.file.name) for take in takes)
    click.echo(f"{'file':{width}}  seed  quality  distance  tonality  flatness  silent  level dB  loop")
    for take in takes:
        found = take.scores
        far = "" if found.distance is None else f"{found.distance:.2f}"
        loop = f"{found.loop_repeats} x {found.loop_seconds:g} s" if found.loop_repeats else "none"
        click.echo(
            f"{take.file.name:{width}}  {take.seed:4d}  {take.quality:7.3f}  {far:>8}  {found.tonality:8.3f}  "
            f"{found.flatness:8.4f}  {found.silent_share:6.1%}  {found.level_db:8.1f}  {loop:4}  {take.fault}".rstrip()
        )


@click.group()
def bench() -> None:
    """Measure this machine."""


@bench.command()
@click.option("--dim", "dims", cls=Several, type=click.IntRange(1, 4096))
@click.option("--precision", "precisions", cls=Several, type=click.Choice(("int8", "bf16", "fp32", "eager")))
@click.option("--threads", cls=Several, type=click.IntRange(1, 2))
@click.option("--voices", cls=Several, type=click.IntRange(1, 64), help="Of one checkpoint, and of one each.")
@click.option("--device", type=click.Choice(("cpu", "cuda")), default="cpu", help="cuda: the GPU engine's makers.")
@click.option("--mashup", is_flag=True, help="What each mashup costs beside as many voices without one, by default 2.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=1.5, show_default=True, help="Per measurement.")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def engine(
    dims: tuple[int, ...],
    precisions: tuple[str, ...],
    threads: tuple[int, ...],
    voices: tuple[int, ...],
    device: str,
    mashup: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Real-time factors: seconds of audio made per second, and how near that is to what memory can deliver.

    Without options a table of what matters, beside PyTorch's eager loop. With any, all combinations of the values
    given; what is left out is dim 512, int8, 1 thread, 1 voice, and no forecast.
    """
    from dataclasses import asdict

    from ambientd.engine.bench import CASES, EAGER, combinations, measure

    if device == "cuda":
        _bench_gpu(dims, voices, seconds, as_json)
        return
    if mashup:
        if threads or EAGER in precisions:
            raise UsageError("--mashup measures on one thread of the engine", "Leave out --threads and eager")
        asked = combinations(dims, precisions, (), voices or (2,))
        _bench_mashups([case for case in asked if case.checkpoints == case.voices], seconds, as_json)
        return
    cases = combinations(dims, precisions, threads, voices) if dims or precisions or threads or voices else CASES
    rows = []
    if not as_json:
        click.echo(
            "  dim  precision  threads  voices (checkpoints)  forecast  x real time   each  noise  kB/sample  bandwidth"
        )
    for row in measure(cases, seconds):
        rows.append(asdict(row))
        if not as_json:
            size = f"{row.bytes_per_sample / 1000:9.0f}" if row.bytes_per_sample else " " * 9
            share = f"{row.bandwidth_share:9.0%}" if row.bandwidth_share else ""
            forecast = "yes" if row.forecast else "no"
            click.echo(
                f"{row.dim:5d}  {row.precision:9s}  {row.threads:7d}  {row.voices:6d} ({row.checkpoints})            "
                f"{forecast:8s}  {row.xrt:11.3f} {row.each:6.2f}   {row.noise:4.0%}  {size}  {share}"
            )
    if as_json:
        click.echo(json.dumps(rows))
    else:
        click.echo("Medians; noise: their middle half. bandwidth: of what this machine read from as large a buffer.")


def _bench_gpu(dims: Sequence[int], voices: Sequence[int], seconds: float, as_json: bool) -> None:
    """Every maker of the GPU engine. Raises DeviceError (exit 6) where there is no GPU."""
    from dataclasses import asdict
    from itertools import product

    from ambientd.engine.bench_gpu import CASES, GpuCase, measure_gpu

    cases: Sequence[GpuCase] = CASES
    if dims or voices:
        asked = product(("graph", "persistent"), dims or [1024], voices or [1])
        cases = [GpuCase(maker, dim, count) for maker, dim, count in asked]
    rows = []
    for row in measure_gpu(cases, seconds):
        rows.append(asdict(row))
        if not as_json:
            click.echo(
                f"{row.maker:10s} dim {row.dim:4d}  {row.voices:4d} voices ({row.checkpoints})  {row.xrt:8.2f} x real "
                f"time  {row.streams:8.1f} streams  noise {row.noise:4.0%}  host {row.host:5.1%} of a core"
            )
    if as_json:
        click.echo(json.dumps(rows))


def _bench_mashups(cases: Sequence[Case], seconds: float, as_json: bool) -> None:
    """Every mashup there is, in every case; one that fails is named, and the others go on."""
    from dataclasses import asdict

    from ambientd.engine.bench_mashup import measure_mashup
    from ambientd.plugin_manager import Plugins

    rows = []
    if not as_json:
        click.echo("mashup            dim  precision  voices  x real time  without    cost  noise")
    for name, kind in sorted(Plugins.discover().mashups.items()):
        for case in cases:
            try:
                row = measure_mashup(kind, case, seconds)
            except AmbientdError as error:
                click.echo(f"{name}: {error}", err=True)
                break
            rows.append(asdict(row))
            if not as_json:
                click.echo(
                    f"{name:15s} {row.dim:5d}  {row.precision:9s}  {row.voices:6d}  {row.xrt:11.3f}  {row.without:7.3f}"
                    f"  {row.cost:+6.1%}  {row.noise:4.0%}"
                )
    if as_json:
        click.echo(json.dumps(rows))
    else:
        click.echo("Medians; cost: of a block's time, the mashup's own in it; noise: the middle half of that.")
