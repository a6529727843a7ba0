"""`ambientd preset` and `ambientd dayparts`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ambientd.cli import main
from ambientd.presets import shelf


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "presets"
    folder.mkdir()
    monkeypatch.setattr(shelf, "user_folder", lambda: folder)
    (folder / "night.toml").write_text('description = "Low"\nparameters = {volume = 0.5}\n')
    (folder / "bad.toml").write_text("fade = 'x'\n")
    return folder


def ambientd(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_presets_are_listed_with_what_is_wrong_with_them_and_shown(folder: Path) -> None:
    rows = {row["name"]: row for row in json.loads(ambientd("preset", "list", "--json").output)}
    assert rows["night"]["description"] == "Low"
    assert "'fade' is 'x'" in rows["bad"]["fault"]
    assert "night  Low" in ambientd("preset", "list").output
    shown = ambientd("preset", "show", "night").output
    assert shown.splitlines()[1:] == ['description = "Low"', "", "[parameters]", '"volume" = 0.5']
    assert json.loads(ambientd("preset", "show", "night", "--json").output)["parameters"] == {"volume": 0.5}
    for name, said in (("bad", "'fade' is 'x'"), ("nigth", "Did you mean 'night'"), ("../x", "is no preset's name")):
        failed = ambientd("preset", "show", name)
        assert failed.exit_code == 3
        assert said in failed.output


def test_the_coming_days_are_printed(folder: Path) -> None:
    score = folder.parent / "day.toml"
    score.write_text(
        'timezone = "Europe/Berlin"\n[[parts]]\nat = "02:30"\npreset = "night"\n'
        '[[parts]]\nat = "20:00"\nceiling = 0.4\n'
    )
    words = ("dayparts", "show", str(score), "--from", "2025-03-29T12:00:00", "--days", "1")
    assert ambientd(*words).output.splitlines() == [
        "Sat 2025-03-29 02:30 CET  volume up to 1.00  night",
        "Sat 2025-03-29 20:00 CET  volume up to 0.40  (as it is)",
        "Sun 2025-03-30 03:30 CEST  volume up to 1.00  night",
    ]
    assert [row["preset"] for row in json.loads(ambientd(*words, "--json").output)] == ["night", None, "night"]
    score.write_text('[[parts]]\nat = "02:30"\npreset = "nigth"\n')
    failed = ambientd(*words)
    assert failed.exit_code == 3
    assert "'parts.0.preset': there is no preset 'nigth'. Did you mean 'night'" in failed.output
