"""`ambientd blend-report`. Imports only click until it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambientd.plugin import Several
from ambientd_plugins.training.errors import JudgeError
from ambientd_plugins.training.progress import PATH, bar

if TYPE_CHECKING:
    from ambientd.plugin import Floats
    from ambientd.samplernn.checkpoint import Checkpoint
    from ambientd_plugins.training.blend.curve import Take
    from ambientd_plugins.training.blend.judge import Judges
    from ambientd_plugins.training.blend.page import Report
    from ambientd_plugins.training.blend.sweep import Sweep

FAILED = 12
"""Exit status where everything was measured, and a test was not passed."""


@click.command("blend-report")
@click.argument("a")
@click.argument("b")
@click.option("--mashup", default="blend", show_default=True, help="Any that knows a way from one voice to another.")
@click.option("--set", "sets", cls=Several, metavar="KEY=VALUE...", help="The mashup's options, as in `render`.")
@click.option("--judges", nargs=2, metavar="JUDGE_A JUDGE_B",
              help="Models by id, or files.  [default: RUNS/ID-judge, or the bundled one]")  # fmt: skip
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where run folders are kept.")
@click.option("--points", type=click.IntRange(3, 101), default=9, show_default=True, help="Weights from 0 to 1.")
@click.option("--seconds", type=click.FloatRange(1, 600), default=20.0, show_default=True, help="Of each take.")
@click.option("--seeds", type=click.IntRange(1, 64), default=3, show_default=True, help="Takes at each weight.")
@click.option("--out", type=PATH, help="The page.  [default: A-B-MASHUP.html]")
@click.option("--threads", type=click.IntRange(1), help="Processor threads of the judges.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def blend_report(
    a: str,
    b: str,
    mashup: str,
    sets: tuple[str, ...],
    judges: tuple[str, str] | None,
    runs: Path,
    points: int,
    seconds: float,
    seeds: int,
    out: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Judge the way from model A to model B, and write a page to hear it by.

    The mashup plays at several weights; two judges, models of the same albums that do not play, say how many bits per
    sample they need for what they hear. It is a blend where that follows the weight, and where nothing on the way is
    music that neither knows. A judge is trained on one album by
    `ambientd train --exp ID-judge --dataset CHUNKS --dim 128 --plain`, ID being the model's; those of the bundled
    models are bundled.

    Exit status: 0 both tests passed, 10 one did not, any other: it could not be measured.
    """
    import torch

    from ambientd.samplernn.checkpoint import load, write_atomically
    from ambientd.samplernn.library import resolve_local
    from ambientd_plugins.training.blend.judge import Judges
    from ambientd_plugins.training.blend.page import render_page
    from ambientd_plugins.training.blend.sweep import Sweep

    if threads:
        torch.set_num_threads(threads)
    models = resolve_local(a), resolve_local(b)
    players = load(models[0]), load(models[1])
    page = out or Path(f"{players[0].id}-{players[1].id}-{mashup}.html")
    if not page.resolve().parent.is_dir():
        raise JudgeError(f"{page.resolve().parent} is not a folder", "Make it, or name another with --out")
    files = (resolve_local(judges[0]), resolve_local(judges[1])) if judges else _trained(players, runs)
    sweep = Sweep(models, mashup, sets, seconds, range(1, seeds + 1))
    report = _measure(sweep, points, players, Judges.of(files, players))
    write_atomically(page, render_page(report))
    if as_json:
        click.echo(json.dumps(report.to_dict() | {"page": str(page)}))
    else:
        _print(report, page)
    sys.exit(0 if report.curve.passed else FAILED)


def _trained(players: tuple[Checkpoint, Checkpoint], runs: Path) -> tuple[Path, Path]:
    """The judge of each player's album: the one trained here, by the run's name, or else the bundled one."""
    a, b = (_judge_of(player.id, runs) for player in players)
    return a, b


def _judge_of(id: str, runs: Path) -> Path:
    from ambientd.samplernn.library import bundled_judge

    trained = runs / f"{id}-judge" / "checkpoints" / "best.safetensors"
    for file in (trained, bundled_judge(id)):
        if file.is_file():
            return file
    train = f"ambientd train --exp {id}-judge --dataset CHUNKS --dim 128 --plain --listen 0"
    raise JudgeError(
        f"there is no judge of {id}'s album: {trained} does not exist",
        f"Train one on that album, `{train}`, or name two with --judges",
    )


def _measure(sweep: Sweep, points: int, players: tuple[Checkpoint, Checkpoint], judges: Judges) -> Report:
    """Play at every weight, then judge what was played."""
    from ambientd_plugins.training.blend.curve import Curve, Point, weights
    from ambientd_plugins.training.blend.page import Player, Report

    albums = judges.albums(players)
    steps = weights(points)
    with bar(f"{sweep.mashup} plays at {points} weights") as shown:
        task = shown.add_task("", total=points)
        played = sweep.play(steps, lambda: shown.advance(task))
    takes = _judge([take for takes in played for take in takes], list(sweep.seeds) * points, judges)
    each = len(sweep.seeds)
    curve = Curve([Point(weight, tuple(takes[i * each : (i + 1) * each])) for i, weight in enumerate(steps)])
    a, b = (Player(player.id, player.card, bits) for player, bits in zip(players, albums, strict=True))
    settings: dict[str, Any] = {
        "a": a.id,
        "b": b.id,
        "mashup": sweep.mashup,
        "set": list(sweep.sets),
        "judges": [judges.a.id, judges.b.id],
        "seconds": sweep.seconds,
        "seeds": list(sweep.seeds),
    }
    return Report((a, b), sweep.mashup, settings, curve, [takes[0] for takes in played], judges.a.sample_rate)


def _judge(played: list[Floats], seeds: list[int], judges: Judges) -> list[Take]:
    """What both judges and the ear say of each audio [samples]. seeds: which each was played with."""
    from ambientd.samplernn.scores import score
    from ambientd_plugins.training.blend.curve import Take

    with bar("the judges listen") as shown:
        task = shown.add_task("", total=2 * sum(map(len, played)))

        def heard(samples: int) -> None:
            shown.advance(task, samples)

        bits_a, bits_b = judges.a.bits(played, heard), judges.b.bits(played, heard)
        scores = [score(audio, judges.a.sample_rate) for audio in played]
    return [Take(*one) for one in zip(seeds, bits_a, bits_b, scores, strict=True)]


def _print(report: Report, page: Path) -> None:
    from ambientd_plugins.training.blend.page import HEADS, rows, verdict

    lines = [HEADS, *rows(report)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others[:-1], widths[1:-1], strict=True)]
        click.echo("  ".join([first.ljust(widths[0]), *cells, others[-1]]).rstrip())
    for text, passed in verdict(report.curve):
        click.echo(f"{'passed' if passed else 'failed'}: {text}")
    click.echo(f"page: {page}")
