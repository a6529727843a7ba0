"""A run ends well or says why, and never keeps what is broken."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import torch

from ambientd.samplernn.checkpoint import load
from ambientd_plugins.training.albums.cutting import Cut, chunk_album
from ambientd_plugins.training.distributed import Team
from ambientd_plugins.training.errors import AlbumError, TrainingError
from ambientd_plugins.training.run import Run

from .conftest import RATE


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def train(run):
    """What was said meanwhile."""
    said = []
    run.train(lambda progress: None, said.append)
    return said


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def finite(run):
    return all(bool(torch.isfinite(w).all()) for w in [*run.trainer.weights, *run.trainer.average])


def test_what_is_under_way_is_told(album, tmp_path, request_for):
    done = []
    run = Run(tmp_path / "run", request_for(album, steps=4))
    run.train(lambda progress: done.append(progress.fraction), lambda line: None, done.append)
    assert done == [0.25, 0.5, "validating", 0.75, 1.0, "validating", "testing"]


def test_a_validation_tells_how_far_the_training_is(album, tmp_path, request_for):
    run = Run(tmp_path / "run", request_for(album, steps=4))
    said = [line for line in train(run) if line.startswith("validation")]
    assert [line.partition(", ")[0] for line in said] == ["validation at 50%", "validation at 100%"]
    assert re.fullmatch(r"validation at 100%, 0\.\d minutes: \d\.\d+ bits per sample \(training .*, best .*\)", said[1])


def test_a_bad_step_is_told_and_the_training_goes_on(album, tmp_path, request_for):
    run = Run(tmp_path / "run", request_for(album))
    step, bad = run.trainer.train_step, iter(range(30))

    def spoilt():
        if next(bad) == 5:
            run.trainer.hidden[0][0].fill_(math.nan)
            run.trainer.streams.remaining[:] = 10_000
            run.trainer.streams.position[:] = 0
        return step()

    run.trainer.train_step = spoilt
    said = train(run)
    assert [line for line in said if "not finite" in line] == [
        "step 6 was not finite and is skipped (1 so far); the learning rate is at 0.5 of its schedule"
    ]
    assert finite(run)
    assert [line["step"] for line in lines(run.folder.losses)] == [10, 20, 30]
    assert load(run.best_checkpoint).card.training.steps == 30


def test_a_rate_that_destroys_the_model_ends_in_an_error_and_keeps_the_last_good_checkpoint(
    album, tmp_path, request_for
):
    run = Run(tmp_path / "run", request_for(album, steps=60, validations=3))
    steps = run.trainer.train_step

    def destroyed():
        if run.trainer.step >= 25:
            # What a step that is too long leaves behind: finite weights that no forward pass survives.
            with torch.no_grad():
                run.trainer.model.sample.table.fill_(3e38)
        return steps()

    run.trainer.train_step = destroyed
    with pytest.raises(TrainingError, match=r"does not stay finite, after going back 3 times; the best .*lower --lr"):
        train(run)
    assert load(run.best_checkpoint).card.training.steps == 20
    again = Run(tmp_path / "run", request_for(album, steps=60, validations=3))
    assert again.trainer.step == 20
    assert again.trainer.ceiling == 1 / 8
    assert [line["step"] for line in lines(run.folder.losses)] == [10, 20]
    assert finite(again)
    train(again)
    assert load(run.best_checkpoint).card.training.steps == 60


def test_a_run_that_diverged_from_the_start_is_no_success(album, tmp_path, request_for, monkeypatch):
    monkeypatch.setattr("ambientd_plugins.training.run.validation_bits", lambda *words: math.inf)
    for _ in range(2):  # the second time there is nothing left to train
        with pytest.raises(TrainingError, match=r"ends without a checkpoint: .*lower --lr"):
            train(Run(tmp_path / "run", request_for(album, steps=4)))


def test_more_validations_than_before_are_not_made_up_for(album, tmp_path, request_for):
    run = Run(tmp_path / "run", request_for(album, steps=20, validations=1))
    train(run)
    again = Run(tmp_path / "run", request_for(album, steps=40, validations=8))
    train(again)
    assert [line["step"] for line in lines(run.folder.log)] == [20, 21, 25, 30, 35, 40]


@pytest.mark.parametrize("saves", [True, False])
def test_a_run_that_was_stopped_while_it_validated_goes_on_with_that(album, tmp_path, request_for, saves):
    """saves: whether the validation was over, but for its state, when the process was killed."""
    settings = {"steps": 30, "validations": 3, "dropout": 0.25}
    whole = Run(tmp_path / "whole", request_for(album, **settings))
    train(whole)
    run = Run(tmp_path / "run", request_for(album, **settings))
    enter = run.choice.enter

    def stopped(*words):
        if run.trainer.step == 20:
            if saves:
                enter(*words)
                run.folder.append(run.folder.log, {"step": 20})
            raise KeyboardInterrupt
        return enter(*words)

    run.choice.enter = stopped
    with pytest.raises(KeyboardInterrupt):
        train(run)
    again = Run(tmp_path / "run", request_for(album, **settings))
    assert again.trainer.step == 20
    assert list(again.choice.cards) == [10]
    train(again)
    for name in ("losses", "log"):
        first, second = (lines(getattr(r.folder, name)) for r in (whole, again))
        timeless = [{k: v for k, v in line.items() if "minutes" not in k} for line in first]
        assert [{k: v for k, v in line.items() if "minutes" not in k} for line in second] == timeless
    assert [p.name for p in again.folder.candidates()] == [p.name for p in whole.folder.candidates()]


def test_a_full_disk_is_told_and_the_last_good_files_stay(album, tmp_path, request_for, no_room):
    run = Run(tmp_path / "run", request_for(album, steps=30, validations=3))
    step = run.trainer.train_step
    room = no_room(size=1000)

    def filling():
        if run.trainer.step == 12:
            room.__enter__()
        if run.trainer.step == 25:
            room.__exit__(None, None, None)
        return step()

    run.trainer.train_step = filling
    said = train(run)
    told = [line for line in said if "could not save" in line]
    assert told
    assert all(line.endswith(": it is kept in memory and tried again") for line in told)
    assert [line["step"] for line in lines(run.folder.log)] == [10, 20, 30]
    assert load(run.best_checkpoint).card.training.steps == 30
    assert Run(tmp_path / "run", request_for(album)).trainer.step == 30


def test_a_disk_that_stays_full_is_an_error_at_the_end(album, tmp_path, request_for, no_room):
    run = Run(tmp_path / "run", request_for(album, steps=20, validations=2))
    step = run.trainer.train_step
    room = no_room(size=1000)

    def filling():
        if run.trainer.step == 12:
            room.__enter__()
        return step()

    run.trainer.train_step = filling
    try:
        with pytest.raises(TrainingError, match="could not be saved"):
            train(run)
    finally:
        room.__exit__(None, None, None)
    assert load(run.best_checkpoint).card.training.steps == 10
    assert Run(tmp_path / "run", request_for(album)).trainer.step == 10


def test_nowhere_to_write_is_an_error_before_the_first_step(album, tmp_path, request_for):
    (tmp_path / "run").write_text("a file where the folder should be")
    with pytest.raises(TrainingError, match="could not be saved"):
        Run(tmp_path / "run", request_for(album))


def test_it_finishes_once(album, tmp_path, request_for):
    run = Run(tmp_path / "run", request_for(album, steps=10, validations=1))
    train(run)
    before = run.best_checkpoint.read_bytes()
    again = Run(tmp_path / "run", request_for(album, steps=10, validations=1))
    assert train(again) == []
    assert again.trainer.step == 10
    assert run.best_checkpoint.read_bytes() == before


def test_only_the_first_of_several_processes_listens_at_the_end(album, tmp_path, request_for):
    """Going on, the others see the checkpoints that the first has left in the folder."""
    first = Run(tmp_path / "run", request_for(album, steps=2, validations=1))
    train(first)

    class Other(Team):
        leads = False

        def from_leader(self, data):
            return first.folder.state.read_bytes()

    run = Run(tmp_path / "run", request_for(album, steps=4, validations=1), team=Other())
    assert run.trainer.step == 2
    done = []
    run.choice.finish = lambda *words: done.append("finish")
    train(run)
    assert (run.trainer.step, done) == (4, [])


def test_the_checkpoint_leads_its_voices_along_the_album(album, tmp_path, request_for):
    with_forecast, plain = tmp_path / "a", tmp_path / "b"
    train(Run(with_forecast, request_for(album, steps=2, validations=1)))
    train(Run(plain, request_for(album, forecast=None, steps=2, validations=1)))
    guide = load(with_forecast / "checkpoints" / "best.safetensors").guide
    assert guide.shape[1] == 65
    assert len(guide) > 20
    assert load(plain / "checkpoints" / "best.safetensors").guide is None


@pytest.mark.parametrize("batch", [1, 64])
def test_no_batch_trains_nothing(album, tmp_path, request_for, batch):
    run = Run(tmp_path / "run", request_for(album, batch=batch, steps=2, validations=1))
    before = [w.detach().clone() for w in run.trainer.weights]
    train(run)
    assert run.trainer.samples == 2 * batch * 256
    assert not all(torch.equal(a, b) for a, b in zip(before, run.trainer.weights, strict=True))


def test_an_album_too_short_or_silent_is_refused(tmp_path, request_for):
    import soundfile

    for name, audio in (("short", np.ones(500) * 0.1), ("silent", np.zeros(80_000))):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", audio, 8000)
    with pytest.raises(AlbumError, match="short: the album is too short"):
        Run(tmp_path / "run", request_for(tmp_path / "short"))
    with pytest.raises(AlbumError, match="nothing but silence"):
        Run(tmp_path / "run", request_for(tmp_path / "silent"))


def changed_album(folder, change):
    import soundfile

    low = folder / "1-low.wav"
    if change == "gone":
        low.unlink()
    elif change == "new":
        shutil.copy(low, folder / "4-new.wav")
    else:
        audio, rate = soundfile.read(low)
        soundfile.write(low, audio[::-1], rate)


@pytest.mark.parametrize(
    ("change", "said", "chunked"),
    [
        ("gone", "1-low is gone", False),
        ("new", "4-new is new", False),
        ("other", "1-low is another recording", False),
        ("other", "000-1-low@0 is another recording", True),
    ],
)
def test_a_run_is_not_gone_on_with_on_other_music(album, tmp_path, request_for, change, said, chunked):
    def folder():
        if not chunked:
            return album
        chunks = tmp_path / "chunks"
        shutil.rmtree(chunks, ignore_errors=True)
        chunk_album([album], chunks, RATE, Cut())
        return chunks

    settings = {"steps": 2, "validations": 1}
    train(Run(tmp_path / "run", request_for(folder(), **settings)))
    assert Run(tmp_path / "run", request_for(folder(), **settings)).trainer.step == 2
    changed_album(album, change)
    with pytest.raises(TrainingError, match=rf"not what it learnt from \({said}\)\. .* use another --exp"):
        Run(tmp_path / "run", request_for(folder(), **settings))


def test_a_damaged_state_is_named(album, tmp_path, request_for):
    run = Run(tmp_path / "run", request_for(album, steps=2, validations=1))
    train(run)
    run.folder.state.write_bytes(b"no state")
    with pytest.raises(TrainingError, match=r"state.pt is damaged"):
        Run(tmp_path / "run", request_for(album))
