"""`ambientd album fetch|chunk|show`. Imports only click until a command runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ambientd.plugin import INTERRUPTED
from ambientd_plugins.training.errors import AlbumError
from ambientd_plugins.training.progress import PATH, RATE, bar


@click.group()
def album() -> None:
    """Prepare albums for training."""


@album.command()
@click.argument("wanted", metavar="URL|PATH...", nargs=-1, required=True)
@click.option("--out", required=True, type=PATH, help="The album's folder; what it holds stays.")
@click.option("--title", help="Of the album.  [default: what the source says]")
@click.option("--artist", help="Likewise.")
@click.option("--licence", help="Likewise; it travels into every checkpoint.")
@click.option("--json", "as_json", is_flag=True, help="Print the report for machines.")
def fetch(wanted: tuple[str, ...], out: Path, as_json: bool, **head: str | None) -> None:
    """Bring the tracks behind addresses, files and folders into the folder OUT, as FLAC with an album.toml.

    An address may be a page, a playlist, or an audio file: whatever yt-dlp opens. The same command again
    fetches only what is missing. An item that fails is named and the rest goes on; the exit code is 5 when
    nothing came and nothing was there before, and 0 otherwise.
    """
    from dataclasses import asdict

    from rich.markup import escape

    from ambientd_plugins.training.albums.fetch import fetch_album

    try:
        with bar("{task.description}") as progress:
            task = progress.add_task("", total=None)

            def told(note: str, done: int, total: int | None) -> None:
                progress.update(task, description=escape(note), completed=done, total=total)

            report = fetch_album(wanted, out, {key: value for key, value in head.items() if value}, told)
    except KeyboardInterrupt:
        click.echo(f"stopped; {out} keeps its whole tracks, and the same command goes on", err=True)
        sys.exit(INTERRUPTED)
    if as_json:
        click.echo(json.dumps(asdict(report)))
    for failed in report.failed:
        click.echo(f"not fetched: {failed.item}: {failed.reason}", err=True)
    if not report.fetched and not report.known:
        sys.exit(AlbumError.exit_code)
    if not as_json:
        click.echo(
            f"{out}: {len(report.fetched)} tracks fetched, {report.known} there already, {len(report.failed)} failed; "
            f"{report.tracks} tracks of {report.seconds / 60:.1f} minutes in all"
        )


@album.command()
@click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=PATH)
@click.argument("out", type=PATH)
@RATE
@click.option("--seconds", default=8.0, show_default=True, help="Length of a chunk.")
@click.option("--overlap", default=1.0, show_default=True, help="Seconds shared by neighbours.")
@click.option("--silence", default=-60.0, show_default=True, metavar="DB", help="Chunks with less RMS are dropped.")
@click.option("--trim_silence", default=-80.0, show_default=True, metavar="DB",
              help="Silent stretches under this RMS are cut out before chunks are cut.")  # fmt: skip
@click.option("--min_silence", default=2.0, show_default=True, help="Seconds; shorter silences are music.")
@click.option("--keep_silence", is_flag=True, help="Cut no silent stretches out.")
@click.option("--json", "as_json", is_flag=True, help="Print the report for machines.")
def chunk(
    inputs: tuple[Path, ...],
    out: Path,
    sample_rate: int,
    trim_silence: float,
    keep_silence: bool,
    as_json: bool,
    **numbers: float,
) -> None:
    """Cut the audio files and folders IN... into the folder OUT of overlapping chunks.

    OUT also gets what was found: report.json, and the album's mel spectrogram as report.png.
    """
    from ambientd_plugins.training.albums.chunks import PICTURE
    from ambientd_plugins.training.albums.cutting import Cut, chunk_album

    cut = Cut(trim_silence=None if keep_silence else trim_silence, **numbers)
    with bar("cutting {task.fields[note]}") as progress:
        task = progress.add_task("", total=None, note=out.name)

        def told(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        report = chunk_album(inputs, out, sample_rate, cut, told)
    if as_json:
        click.echo(json.dumps(report.as_json()))
        return
    for line in report.unreadable:
        click.echo(f"left out: {line}", err=True)
    click.echo(
        f"{out}: {report.chunks} chunks of {cut.seconds:g} s from {report.tracks} tracks; "
        f"{report.silent} silent chunks dropped, {len(report.unreadable)} files unreadable; "
        f"{report.kept_seconds / 60:.1f} of {report.seconds / 60:.1f} minutes kept"
    )
    _print_facts(report.facts)
    click.echo(f"  to look at: {out / PICTURE}")


@album.command()
@click.argument("folder", type=PATH)
@RATE
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def show(folder: Path, sample_rate: int, as_json: bool) -> None:
    """Say how much music FOLDER holds, how loud, how dynamic, and how varied it is.

    Of a chunk folder, silence, clipping and sample rates are those of the files it was cut from.
    """
    from ambientd_plugins.training.albums.chunks import facts_before_cutting, read_dataset
    from ambientd_plugins.training.albums.survey import survey

    metadata, tracks = read_dataset(folder, sample_rate)
    found = survey(tracks, sample_rate) | facts_before_cutting(folder)
    if as_json:
        click.echo(json.dumps({"album": metadata.model_dump(), **found}))
        return
    click.echo(f"{metadata.title} by {metadata.artist}, {metadata.licence}")
    click.echo(f"  {found['minutes']:.1f} minutes in {found['stretches']} stretches of sound")
    _print_facts(found)


def _print_facts(found: dict[str, Any]) -> None:
    rates = ", ".join(map(str, found["sample_rates"]))
    click.echo(f"  silence  {found['silent_minutes']:.1f} minutes")
    click.echo(f"  loudness {found['loudness_lufs']:.1f} LUFS, peak {found['peak_dbfs']:.1f} dBFS")
    click.echo(f"  dynamics {found['dynamics_db']:.1f} dB between the quiet and the loud tenth")
    click.echo(
        f"  variety  {found['variety_within_db']:.1f} dB within 8 s, {found['variety_across_db']:.1f} dB across "
        "the album (more trains livelier models)"
    )
    click.echo(f"  clipping {found['clipped_runs']} times, {found['clipped_share']:.4%} of the samples")
    click.echo(f"  DC       {found['dc']:+.5f} of full scale (taken off in training)")
    click.echo(f"  came at  {rates} Hz")
    for line in found["warnings"]:
        click.echo(f"  warning: {line}")
