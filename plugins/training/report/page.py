"""RUN/report.html: one page, all in it, about one training. The training process, or later, from the folder alone.

Nothing is loaded from elsewhere: pictures and audio are data URIs, the curves inline SVG, and the page's own
Content-Security-Policy forbids the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ambientd.samplernn.checkpoint import Card, Checkpoint, load, write_atomically
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.folder import RunFolder, read_lines
from ambientd_plugins.training.report.audio import BEST_SECONDS, MOST_SECONDS, album_flac, as_flac, latest_samples
from ambientd_plugins.training.report.chart import Line, chart
from ambientd_plugins.training.report.html import definitions, figure, link, page, section, table

REPORT = "report.html"
MOST_PICTURE_BYTES = 2 << 20


@dataclass(frozen=True)
class Records:
    """What the run folder holds. best: None before the first validation."""

    folder: Path
    config: dict[str, Any]
    losses: list[dict[str, Any]]
    log: list[dict[str, Any]]
    best: Checkpoint | None


def write_report(folder: Path) -> Path:
    """Write `folder`/report.html from what the run folder holds by now, and return its path.

    Cheap enough for every validation. Raises TrainingError where `folder` is not a run folder, CheckpointError
    where best.safetensors is damaged.
    """
    records = read_run(folder)
    sections = [_facts(records), _curves(records), _scores(records), _listen(records), _settings(records)]
    title = records.best.card.album.title if records.best else records.folder.name
    path = records.folder / REPORT
    write_atomically(path, page(title, f"training {records.folder.name}", "\n".join(filter(None, sections))).encode())
    return path


def read_run(folder: Path) -> Records:
    """Read a run folder; a line of a log that is not whole is passed over."""
    folder = folder.resolve()
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise TrainingError(f"{folder} is not a run folder", "Give one that `ambientd train` made") from None
    best = folder / "checkpoints" / "best.safetensors"
    return Records(
        folder,
        config if isinstance(config, dict) else {},
        read_lines(folder / "losses.jsonl"),
        read_lines(folder / "log.jsonl"),
        load(best) if best.is_file() else None,
    )


def _facts(records: Records) -> str:
    """Whose music, how good, how made."""
    if records.best is None:
        return "<section><p>No validation yet: there is no checkpoint to tell of.</p></section>"
    card = records.best.card
    album, training, shape = card.album, card.training, card.architecture
    safe = "–".join(f"{t:g}" for t in card.temperature_range) if card.temperature_range else ""
    rows = {
        "album": escape(f"{album.title} by {album.artist}"),
        "licence": link(album.licence, album.licence_url),
        "attribution": escape(album.attribution),
        "character": escape(album.character),
        "validation": _bits(training.validation_bits),
        "test": _bits(training.test_bits),
        "temperature": escape(f"{card.temperature:g}" + (f" (safe: {safe})" if safe else "")),
        "training": escape(
            f"{training.steps} steps, {training.hours_heard:g} h heard, {training.cpu_minutes:g} CPU minutes"
        ),
        "model": escape(
            f"dim {shape.dim}, frame sizes {', '.join(map(str, shape.frame_sizes))}, "
            f"{shape.n_rnn} {shape.cell} layers, {shape.q_levels} levels ({shape.quantization}), "
            f"pre-emphasis {shape.pre_emphasis:g}, gain {shape.album_gain:.3g}, {card.sample_rate} Hz"
        ),
        "family": escape(card.family or ""),
        "software": escape(", ".join(f"{name} {version}" for name, version in training.software.items())),
    }
    html: str = section("The best checkpoint", definitions(rows))
    return html


def _curves(records: Records) -> str:
    lines = [
        Line("training", "one", _points(records.losses, "bits")),
        Line("validation", "two", _points(records.log, "validation_bits"), dots=True),
    ]
    drawn = chart(lines, "minutes", "bits per sample")
    return section("Curves", drawn) if drawn else ""


def _points(lines: Iterable[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    pairs: list[tuple[Any, Any]] = [(line.get("minutes"), line.get(key)) for line in lines]
    return [(x, y) for x, y in pairs if _is_number(x) and _is_number(y)]


def _scores(records: Records) -> str:
    """A row for each checkpoint and temperature that was listened to; the album's own numbers to compare with."""
    rows: list[tuple[str, str, Mapping[str, Any]]] = []
    for line in records.log:
        by_temperature = line.get("scores")
        if isinstance(by_temperature, dict):
            found = [(t, s) for t, s in by_temperature.items() if isinstance(s, dict)]
            rows += [(f"step {line.get('step')}", str(t), scores) for t, scores in found]
    if records.best:
        card: Card = records.best.card
        if card.scores:
            rows.append((f"best (step {card.training.steps})", f"{card.temperature:g}", card.scores))
        if card.album_scores:
            rows.append(("the album itself", "", card.album_scores))
    if not rows:
        return ""
    measures = list(dict.fromkeys(name for _, _, scores in rows for name in scores))
    heads = ["checkpoint", "temperature", *(name.replace("_", " ") for name in measures)]
    cells = [[name, t, *(_number(scores.get(m)) for m in measures)] for name, t, scores in rows]
    html: str = section("Scores of what it plays by itself", table(heads, cells))
    return html


def _listen(records: Records) -> str:
    """The album's own sound, the best checkpoint's, then the latest samples, each with its mel spectrogram."""
    folder, best, figures = RunFolder(records.folder), None, []
    if records.best:
        card = records.best.card
        best = folder.take(card.training.steps, card.temperature)
        if records.best.prime.size:
            figures.append(figure("The album, as the model hears it", album_flac(records.best)))
        figures.append(_take(best, f"The best checkpoint: {best.stem}", BEST_SECONDS))
    figures += [_take(file, file.stem, MOST_SECONDS) for file in latest_samples(folder.samples) if file != best]
    found = "".join(figures)
    return section("To hear and to look at", found) if found else ""


def _take(file: Path, caption: str, seconds: float) -> str:
    """Nothing where it cannot be heard."""
    flac = as_flac(file, seconds)
    html: str = figure(caption, flac, _picture(file.with_suffix(".png"))) if flac else ""
    return html


def _picture(path: Path) -> bytes:
    """Empty where there is none, or one that is too large for the page."""
    return path.read_bytes() if path.is_file() and path.stat().st_size <= MOST_PICTURE_BYTES else b""


def _settings(records: Records) -> str:
    """What was asked for: the same command again."""
    rows = {key: escape(json.dumps(value)) for key, value in records.config.items()}
    html: str = section("Settings", f"<details><summary>config.json</summary>{definitions(rows)}</details>")
    return html


def _bits(value: float | None) -> str:
    return "" if value is None else f"{value:.3f} bits per sample"


def _number(value: Any) -> str:
    return f"{value:.3g}" if _is_number(value) else ("" if value is None else str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
