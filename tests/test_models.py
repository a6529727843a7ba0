"""What is bundled: each model loads, says whose music it is, and is named in the page beside it."""

from pathlib import Path

import pytest
import soundfile

from ambientd.config import Config
from ambientd.samplernn import library
from ambientd.samplernn.checkpoint import load
from ambientd.supervisor.slots import find_slots

BUNDLED = sorted(library.bundled_folder().glob(f"*{library.SUFFIX}"))


def test_there_are_three_siblings_and_a_stranger():
    families = [load(path).card.family for path in BUNDLED]
    assert max(families.count(family) for family in families if family) >= 3
    assert len(set(families)) >= 2
    assert sum(path.stat().st_size for path in library.bundled_folder().rglob("*") if path.is_file()) < 40e6


def test_siblings_play_to_begin_with():
    first, second = find_slots(Config(), lambda line: None)
    assert first.card.family == second.card.family


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_a_bundled_model_is_whole_and_attributed(path):
    checkpoint = load(path)
    album = checkpoint.card.album
    assert all("CC-BY" in licence for licence in album.licence.split("; "))
    assert album.attribution
    assert album.sources
    assert checkpoint.card.training.hours_heard > 1
    assert len(checkpoint.guide) > 100
    page = Path(path.parent, "README.md").read_text()
    for fact in (path.stem, album.attribution, album.licence):
        assert fact in page


def test_the_first_bed_is_a_minute_or_more():
    info = soundfile.info(library.bundled_folder() / "bed.ogg")
    assert info.duration >= 60


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_each_has_a_judge_that_does_not_play_and_a_minute_to_hear(path):
    judge, model = load(library.bundled_judge(path.stem)), load(path)
    assert judge.card.architecture.dim == 128
    assert judge.card.family != model.card.family
    assert set(judge.card.album.sources) <= set(model.card.album.sources)
    assert path.stem in [entry.id for entry in library.entries()]
    minute = soundfile.info(Path(__file__).parents[1] / "docs" / "listen" / f"{path.stem}.mp3")
    assert minute.duration == pytest.approx(60, abs=1)
