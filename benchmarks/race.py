"""The whole race of training.md: this project beside a textbook SampleRNN, on each album with each seed.

    python benchmarks/race.py --album FOLDER FOLDER --workers 2     whatever race.jsonl has not yet
    python benchmarks/race.py --table                               as Markdown

Six hours of processor time for two albums and three seeds: it may be stopped, and goes on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from missing import read, run_missing

RESULTS = Path(__file__).parent / "race.jsonl"
SCRIPT = Path(__file__).parent / "textbook.py"
RATES = 1e-3, 3e-3
"""The textbook's; the better one counts."""
KINDS: tuple[tuple[str, float | None], ...] = (("ours", None), *(("textbook", rate) for rate in RATES))
NAMES = "this project", *(f"textbook, {rate:g}" for rate in RATES)


def key_of(row: dict[str, Any]) -> Hashable:
    """What makes one run another. This project's own learning rate is the only one that it has."""
    return row["album"], row["who"], row["lr"] if row["who"] == "textbook" else None, row["seed"]


def race(options: argparse.Namespace) -> None:
    """Seed by seed, so that what there is can be compared at any time."""
    wanted: dict[Hashable, list[object]] = {}
    for seed in options.seeds:
        for album in options.album:
            for who, rate in KINDS:
                words = ["--album", album, "--who", who, "--seed", seed, "--cpu-minutes", options.cpu_minutes]
                words += ["--lr", rate] if rate else []
                wanted[album.name, who, rate, seed] = [*words, "--dim", options.dim]
    run_missing(SCRIPT, wanted, key_of, options.out, options.workers)


def table(rows: list[dict[str, Any]]) -> str:
    """Test bits: a line for each album and seed, and the means of the seeds that all have."""
    found = {key_of(row): row["test_bits"] for row in rows}
    lines = ["| album | seed | " + " | ".join(NAMES) + " |", "|---" * (2 + len(NAMES)) + "|"]
    for album in sorted({row["album"] for row in rows}):
        seeds = sorted({row["seed"] for row in rows if row["album"] == album})
        bits = [[found.get((album, who, rate, seed)) for who, rate in KINDS] for seed in seeds]
        for seed, run in zip(seeds, bits, strict=True):
            lines.append(f"| {album} | {seed} | " + " | ".join(f"{b:.3f}" if b else "" for b in run) + " |")
        columns = [[b for b in column if b] for column in zip(*bits, strict=True)]
        means = [f"{statistics.fmean(column):.3f} ({len(column)})" if column else "" for column in columns]
        lines.append(f"| {album} | mean of (so many) | " + " | ".join(means) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--album", type=Path, nargs="+", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--cpu-minutes", type=float, default=20.0)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--workers", type=int, default=1, help="runs side by side, a thread each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        race(options)
    print(table(read(options.out)))


if __name__ == "__main__":
    main()
