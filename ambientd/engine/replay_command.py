"""`ambientd replay`. Imports only click until it runs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.engine.journal_files import Log
    from ambientd.engine.replay import Contents


@click.command()
@click.argument("log", required=False)
@click.option("--from", "start", metavar="TIME", help="Seconds since the log's beginning, or 2025-06-05T18:30:00.")
@click.option("--to", "end", metavar="TIME", help="Likewise.")
@click.option("--out", type=click.Path(path_type=Path), help="A .wav file, 32-bit float.")
@click.option("--json", "as_json", is_flag=True, help="Print for machines.")
def replay(log: str | None, start: str | None, end: str | None, out: Path | None, as_json: bool) -> None:
    """Render a stretch of a performance again, as the generator made it.

    LOG is a name from the list that `ambientd replay` alone prints, a folder, or "last". Without --out it tells what
    the log holds. What comes out is what went to the player, before volume and limiter: bit for bit where kernel and
    models are the same.
    """
    if (start or end) and not (log and out):
        raise UsageError("--from and --to choose what is rendered", "Name a log, and a file with --out")
    if log is None:
        _list(as_json)
        return
    from ambientd.engine.journal_files import Log, find
    from ambientd.engine.replay import survey

    opened = Log(find(log))
    contents = survey(opened)
    if out is None:
        _show(_facts(opened, contents), as_json)
        return
    rate = int(opened.header["sample_rate"])
    first = min((point.at for point in contents.points), default=0)
    begins = _sample(start, contents, rate, "--from") if start else first
    ends = _sample(end, contents, rate, "--to") if end else contents.end
    _show(_render(opened, contents, begins, ends, out), as_json)


def _render(log: Log, contents: Contents, start: int, end: int, out: Path) -> dict[str, Any]:
    import soundfile

    from ambientd.engine.audio_file import check_output, write_exact
    from ambientd.engine.kernels.cache import sources_digest
    from ambientd.engine.replay import Replay

    check_output(out)
    if out.suffix.lower() != ".wav":
        raise UsageError(f"{out} cannot hold 32-bit floats", "Name a .wav file")
    if log.header["kernel"] != sources_digest():
        click.echo("ambientd: another kernel wrote this log; what comes out may differ", err=True)
    again = Replay(log, contents, start, end)
    try:
        frames = write_exact(out, again.blocks(), again.rate, again.channels)
    except (OSError, soundfile.SoundFileError) as error:
        raise UsageError(f"{out} cannot be written ({error})", "Make room, or name another file") from None
    return {"out": str(out), "from": start / again.rate, "seconds": frames / again.rate,
            "seconds_rendered_before": again.seconds_before}  # fmt: skip


def _sample(text: str, contents: Contents, rate: int, option: str) -> int:
    """A time as a sample position."""
    try:
        return round(float(text) * rate)
    except ValueError:
        pass
    try:
        wanted = datetime.fromisoformat(text).timestamp()
    except ValueError:
        what = f"{option} {text!r} is neither seconds nor a time"
        raise UsageError(what, "For example 90.5, or 2025-06-05T18:30:00") from None
    known = [(at, wall) for at, wall in contents.times if wall >= wanted]
    if not known:
        raise UsageError(f"the log ends before {text}", "See what it holds with `ambientd replay LOG`")
    at, wall = known[0]
    return max(0, at - round((wall - wanted) * rate))


def _facts(log: Log, contents: Contents) -> dict[str, Any]:
    rate = int(log.header["sample_rate"])
    return {
        "log": log.folder.name,
        "began": datetime.fromtimestamp(log.header["began"]).isoformat(" ", "seconds"),
        "from": round(min((point.at for point in contents.points), default=0) / rate, 2),
        "to": round(contents.end / rate, 2),
        "snapshots": len(contents.points),
        "gaps": [round(at / rate, 2) for at in contents.gaps],
        "models": list(contents.models),
        "ambientd": log.header["ambientd"],
        "kernel": log.header["kernel"],
        "bytes": sum(path.stat().st_size for path in log.folder.iterdir()),
    }


def _list(as_json: bool) -> None:
    from ambientd.engine.journal_files import Log, LogError, performances
    from ambientd.engine.replay import survey

    rows = []
    for folder in performances():
        try:
            opened = Log(folder)
            rows.append(_facts(opened, survey(opened)))
        except LogError as error:
            rows.append({"log": folder.name, "fault": str(error)})
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        told = row.get("fault") or f"{row['from']:9.1f} to {row['to']:9.1f} s  {', '.join(row['models'])}"
        click.echo(f"{row['log']:20}  {told}")
    if not rows:
        click.echo("none yet")


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' '):24}{_text(value)}")


def _text(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
