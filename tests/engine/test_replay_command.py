"""`ambientd replay`: what there is, and times as people say them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from ambientd.cli import main
from ambientd.engine import journal_files
from ambientd.engine.journal_files import Segments
from ambientd.engine.replay import Contents
from ambientd.engine.replay_command import _sample
from ambientd.errors import UsageError

RATE = 16_000
BEGAN = datetime(2025, 6, 5, 18, 30).timestamp()
HEADER = {"format": 2, "ambientd": "0", "kernel": "k", "precision": "int8", "sample_rate": RATE, "channels": 1,
          "slots": 1, "began": BEGAN}  # fmt: skip


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(journal_files, "logs_folder", lambda: tmp_path)
    return tmp_path


def test_performances_are_listed_and_told_of(logs: Path) -> None:
    segments = Segments(logs / "20250605-183000", HEADER, 1 << 26)
    segments.write({"at": 0, "mix": ""})
    segments.write({"at": 90 * RATE, "time": BEGAN + 90})
    segments.close()
    (logs / "20250606-183000").mkdir()
    (logs / "20250606-183000" / "000001.jsonl").write_text("nothing")
    good, bad = json.loads(CliRunner().invoke(main, ["replay", "--json"]).output)
    assert (good["log"], good["from"], good["to"]) == ("20250605-183000", 0, 90)
    assert "is no log" in bad["fault"]
    told = CliRunner().invoke(main, ["replay", "20250605-183000"]).output
    assert "2025-06-05 18:30:00" in told
    failed = CliRunner().invoke(main, ["replay", "yesterday"])
    assert failed.exit_code == 10
    assert "there is no log 'yesterday'" in failed.output


def test_times_are_seconds_or_the_wall_clock_s() -> None:
    contents = Contents((), 60 * RATE, ((10 * RATE, BEGAN + 10.5), (20 * RATE, BEGAN + 80.5)), (), ())
    assert _sample("1.5", contents, RATE, "--from") == 1.5 * RATE
    assert _sample("2025-06-05T18:30:05", contents, RATE, "--from") == 4.5 * RATE
    assert _sample("2025-06-05 18:31:15", contents, RATE, "--from") == 14.5 * RATE  # it rested for a minute
    with pytest.raises(UsageError, match="neither seconds nor a time"):
        _sample("soon", contents, RATE, "--from")
    with pytest.raises(UsageError, match="ends before"):
        _sample("2025-06-05T19:00", contents, RATE, "--to")
