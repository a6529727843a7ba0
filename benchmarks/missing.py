"""Runs the measurements that a file of results does not have yet, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def read(results: Path | None) -> list[dict[str, Any]]:
    """One result a line; none where there is no file."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results and results.is_file() else []


def run_missing(
    script: Path,
    wanted: Mapping[Hashable, Sequence[object]],
    key_of: Callable[[dict[str, Any]], Hashable],
    out: Path,
    workers: int = 1,
) -> None:
    """In the order of `wanted`, `workers` side by side. wanted: by the key of its result, the words for `script`, which
    adds a line to `out` when it is done."""

    def run(key: Hashable) -> None:
        if key not in map(key_of, read(out)):
            command = [sys.executable, script, *wanted[key], "--out", out]
            ended = subprocess.run([str(word) for word in command])
            if ended.returncode:
                print(f"{key}: exit status {ended.returncode}", file=sys.stderr)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, wanted))
