"""The page that `ambientd blend-report` writes: plot, table, players, pictures, all in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ambientd.samplernn.checkpoint import Card
from ambientd_plugins.training.blend.curve import DEEPEST_VALLEY, LEAST_CORRELATION, MEASURES, Curve, Point
from ambientd_plugins.training.report.audio import flac
from ambientd_plugins.training.report.chart import Line, chart
from ambientd_plugins.training.report.html import definitions, figure, link, page, section, table

if TYPE_CHECKING:
    from ambientd.plugin import Floats
    from ambientd_plugins.training.blend.judge import AlbumBits

X_LABEL = "weight of B"
UNITS = {"level_db": "level dB", "flatness": "flatness", "silent_share": "silent share", "tonality": "tonality"}
MOST_SECONDS = 30.0
"""Of each weight's first take: the page stays some megabytes small."""


@dataclass(frozen=True)
class Player:
    """One of the two models. bits: of its album's own sound, under both judges."""

    id: str
    card: Card
    bits: AlbumBits


@dataclass(frozen=True)
class Report:
    """Everything about one sweep. settings: what was asked for, by name. audio: each weight's first take [samples]."""

    players: tuple[Player, Player]
    mashup: str
    settings: Mapping[str, Any]
    curve: Curve
    audio: Sequence[Floats]
    sample_rate: int

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        albums: list[dict[str, Any]] = [
            {"id": p.id, "bits_a": p.bits and p.bits[0], "bits_b": p.bits and p.bits[1]} for p in self.players
        ]
        return {**self.settings, "albums": albums, **self.curve.to_dict()}


HEADS = ("", "NLL A", "NLL B", "d", "±", *UNITS.values(), "fault")


def rows(report: Report) -> list[list[str]]:
    """The table under HEADS: a line for each weight, and each album's own for comparison."""
    found = [_point_row(point) for point in report.curve.points]
    return [*found, *(_album_row(name, player) for name, player in zip("AB", report.players, strict=True))]


def verdict(curve: Curve) -> list[tuple[str, bool]]:
    """Each test in one line of plain text, and whether it was passed."""
    correlation = f"rank correlation of d with the weight {curve.correlation:.3f} (at least {LEAST_CORRELATION})"
    valley = f"valley {curve.valley:.3f} bits above the worst end (at most {DEEPEST_VALLEY})"
    return [(correlation, curve.follows), (valley, curve.holds)]


def render_page(report: Report) -> bytes:
    """The whole page."""
    a, b = report.players
    tests = {text: "passed" if passed else "failed" for text, passed in verdict(report.curve)}
    parts = [
        section("Verdict", definitions(tests)),
        section("What the judges say", _bits_charts(report.curve)),
        section("Along the curve", _measure_charts(report.curve) + table(HEADS, rows(report))),
        section("To hear and to look at", _sounds(report)),
        section("Models", definitions({"A": _credit(a), "B": _credit(b)})),
        section("Settings", definitions({key: escape(str(value)) for key, value in report.settings.items()})),
    ]
    html: str = page(f"{a.id} to {b.id}", f"{report.mashup}, blend-report", "\n".join(parts))
    return html.encode()


def _bits_charts(curve: Curve) -> str:
    xs = [point.weight for point in curve.points]
    judged = [
        Line("NLL A", "one", [(p.weight, p.bits_a) for p in curve.points], dots=True),
        Line("NLL B", "two", [(p.weight, p.bits_b) for p in curve.points], dots=True),
        Line("limit", "limit", [(x, curve.limit) for x in (xs[0], xs[-1])]),
    ]
    d = Line("d = NLL A - NLL B", "three", [(p.weight, p.d) for p in curve.points], dots=True)
    return _chart(judged, "bits per sample") + _chart([d], "bits per sample")


def _measure_charts(curve: Curve) -> str:
    drawn = (
        _chart([Line("", "one", [(p.weight, p.measure(name)) for p in curve.points], dots=True)], UNITS[name])
        for name in MEASURES
    )
    return f'<div class="pairs">{"".join(drawn)}</div>'


def _chart(lines: Sequence[Line], y_label: str) -> str:
    drawn: str = chart(lines, X_LABEL, y_label, stray=0)
    return drawn


def _sounds(report: Report) -> str:
    from ambientd_plugins.training.report.pictures import mel_png

    figures = []
    for point, audio in zip(report.curve.points, report.audio, strict=True):
        name, cut = f"weight {point.weight:g}", audio[: round(MOST_SECONDS * report.sample_rate)]
        figures.append(figure(name, flac(cut, report.sample_rate), mel_png({name: cut}, report.sample_rate)))
    return "".join(figures)


def _credit(player: Player) -> str:
    album = player.card.album
    words = [escape(f"{player.id}: {album.title} by {album.artist}"), link(album.licence, album.licence_url)]
    return ", ".join(words) + (f". {escape(album.attribution)}" if album.attribution else "")


def _point_row(point: Point) -> list[str]:
    bits = [f"{value:.3f}" for value in (point.bits_a, point.bits_b, point.d, point.spread)]
    kinds = sorted({fault.partition(" (")[0] for fault in point.faults})
    faults = f"{', '.join(kinds)} ({len(point.faults)} of {len(point.takes)})" if kinds else ""
    return [f"{point.weight:g}", *bits, *(f"{point.measure(name):.3g}" for name in MEASURES), faults]


def _album_row(name: str, player: Player) -> list[str]:
    bits = [f"{value:.3f}" for value in (*player.bits, player.bits[0] - player.bits[1])] if player.bits else [""] * 3
    scores = player.card.album_scores
    return [f"album {name}", *bits, "", *(f"{scores[m]:.3g}" if m in scores else "" for m in MEASURES), ""]
