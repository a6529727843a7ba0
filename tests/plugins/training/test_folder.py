"""What is written stays whole, whatever the disk does."""

import json

import pytest

from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.folder import RunFolder, only_one


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.told = []
    made.say = made.told.append
    return made


def test_a_file_that_did_not_fit_is_written_at_the_next_save(folder, no_room):
    folder.write(folder.state, b"good")
    with no_room():
        folder.write(folder.state, b"x" * 1000)
        assert folder.state.read_bytes() == b"good"
        assert folder.read(folder.state) == b"x" * 1000
        with pytest.raises(TrainingError, match=r"state.pt could not be saved \(File too large\)"):
            folder.settle()
    assert "could not save" in folder.told[0]
    folder.write(folder.config, b"{}")
    assert folder.state.read_bytes() == b"x" * 1000
    folder.settle()
    assert sorted(p.name for p in folder.path.iterdir()) == ["config.json", "state.pt"]


def test_lines_that_did_not_fit_come_later_and_whole(folder, no_room):
    for step in range(3):
        folder.append(folder.losses, {"step": step})
    with no_room(size=folder.losses.stat().st_size + 5):
        folder.append(folder.losses, {"step": 3})
    folder.append(folder.losses, {"step": 4})
    lines = folder.losses.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3, 4]


def test_what_comes_after_a_step_is_forgotten(folder):
    for step in (10, 20, 30):
        folder.append(folder.losses, {"step": step})
        folder.write(folder.candidate(step), b"weights")
    with folder.losses.open("a") as file:
        file.write('{"step": 2')  # cut off by a kill
    folder.append(folder.log, {"step": 20})
    folder.forget_after(20, 19)
    assert folder.losses.read_text() == '{"step": 10}\n{"step": 20}\n'
    assert [path.name for path in folder.candidates()] == ["step10.safetensors"]
    assert folder.log.read_text() == ""


def test_one_that_does_not_lead_writes_nothing(tmp_path):
    quiet = RunFolder(tmp_path / "run", writes=False)
    quiet.write(quiet.state, b"x")
    quiet.append(quiet.losses, {"step": 1})
    quiet.settle()
    assert not quiet.path.exists()


def test_a_folder_is_written_by_one_training_at_a_time(tmp_path):
    run = tmp_path / "runs" / "forest"
    with only_one(run):
        with pytest.raises(TrainingError, match=r"another training is writing to .* another --exp"), only_one(run):
            pass
        with only_one(run, leads=False), only_one(tmp_path / "runs" / "lake"):
            assert run.is_dir()
    assert list(tmp_path.iterdir()) == []
    with only_one(run):
        (run / "state.pt").write_bytes(b"x")
    assert (run / "state.pt").exists()


def test_where_there_can_be_no_folder_the_first_write_says_so(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with only_one(tmp_path / "runs" / "forest"):
        pass
    assert (tmp_path / "runs").read_text() == "a file"


@pytest.mark.parametrize("content", [None, b"", b'{"dim": 1', b"\xff", b"[1]"])
def test_a_lost_or_damaged_config_is_one_clear_error(folder, content):
    if content is not None:
        folder.write(folder.config, content)
    with pytest.raises(TrainingError, match=r"config.json cannot be read \("):
        folder.read_config()
