"""The state file: what it takes, what it refuses, when it is written, and what a kill leaves of it."""

import os
import threading

import pytest

from ambientd.lifecycle.keeper import StateKeeper
from ambientd.lifecycle.ordeal import kill_writers
from ambientd.lifecycle.restore import last_state
from ambientd.lifecycle.state import LARGEST_FILE, MOST_ATTEMPTS, BadState, State, StateFile

KILLS = int(os.environ.get("AMBIENTD_KILLS", "5"))
STATE = State(
    configuration="c", playing=False, panic=True, mashup="blend", slots={1: "calm", 3: "loud"},
    parameters={"volume": 0.25, "slot/1/gain": 1.5}, preset="night", seconds_left=3.5, excluded=["slot/*/pan"],
)  # fmt: skip


@pytest.fixture
def file(tmp_path):
    return StateFile(tmp_path / "ambientd" / "state.json")


def test_what_is_saved_is_loaded(file):
    assert file.load() is None
    file.save(STATE)
    assert file.load() == STATE
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "\x00" * 100, '{"configuration": 1}', '{"configuration": "c", "format": 2}',
        '{"configuration": "c", "parameters": {"volume": NaN}}',
        '{"configuration": "c", "parameters": {"volume": 1e999}}',
        '{"configuration": "c", "slots": {"0": "calm"}}', '{"configuration": "c", "slots": {"65": "calm"}}',
        '{"configuration": "c", "slots": {"1": ["calm"]}}', '{"configuration": "c", "path": "/etc/passwd"}',
        '{"configuration": "c", "mashup": "%s"}' % ("m" * 1001), "[" * 100_000, " " * (LARGEST_FILE + 1),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_broken_file_is_one_line_and_set_aside(file, text):
    file.path.parent.mkdir()
    file.path.write_text(text)
    with pytest.raises(BadState) as refused:
        file.load()
    assert "\n" not in str(refused.value)
    said = []
    assert last_state(file, "c", said.append) is None
    assert len(said) == 1
    assert said[0].endswith("beginning as configured")
    assert not file.path.exists()
    assert file.path.with_suffix(".aside.json").read_text() == text


def test_a_state_belongs_to_its_configuration(file):
    file.save(STATE)
    said = []
    assert last_state(file, "another", said.append) is None
    assert "belongs to another configuration" in said[0]
    assert last_state(file, "c", said.append) is None  # it is out of the way
    assert len(said) == 1


def test_a_state_that_never_comes_to_be_heard_is_given_up(file):
    file.save(STATE)
    said = []
    for attempt in range(MOST_ATTEMPTS):
        assert last_state(file, "c", said.append) == STATE.model_copy(update={"attempts": attempt})
    assert last_state(file, "c", said.append) is None
    assert len(said) == 1
    assert "nothing came to be heard" in said[0]


class Disk(StateFile):
    """Tells what is written, and that it was."""

    def __init__(self, path):
        super().__init__(path)
        self.saved, self.written = [], threading.Semaphore(0)

    def save(self, state):
        try:
            super().save(state)
            self.saved.append(state)
        finally:
            self.written.release()

    def wait(self):
        assert self.written.acquire(timeout=30)


def test_it_is_written_when_something_changed_and_not_more_often_than_need_be(tmp_path):
    disk, now, volume = Disk(tmp_path / "state.json"), [0.0], [1.0]
    keeper = StateKeeper(disk, lambda: STATE.model_copy(update={"parameters": {"volume": volume[0]}}), print,
                         clock=lambda: now[0])  # fmt: skip
    keeper.turn()
    assert disk.saved == []  # not at once
    now[0] = 1.0
    keeper.turn()
    disk.wait()
    for now[0] in (3.0, 4.0, 5.0):
        keeper.turn()
    volume[0] = 0.5
    keeper.turn()
    assert len(disk.saved) == 1
    now[0] = 6.0
    keeper.turn()
    disk.wait()
    keeper.end()
    disk.wait()
    keeper.close()
    assert [(state.parameters["volume"], state.ended) for state in disk.saved] == [
        (1.0, False), (0.5, False), (0.5, True),
    ]  # fmt: skip
    keeper.turn()
    assert disk.load() == disk.saved[-1]


def test_a_disk_that_takes_nothing_is_told_once_and_tried_again(tmp_path):
    disk, now, said = Disk(tmp_path / "folder" / "state.json"), [0.0], []
    (tmp_path / "folder").write_text("in the way")
    keeper = StateKeeper(disk, lambda: STATE, said.append, clock=lambda: now[0])
    for _ in range(3):
        while not disk.written.acquire(timeout=0.1):
            now[0] += 10
            keeper.turn()
    (tmp_path / "folder").unlink()
    while not disk.saved:
        now[0] += 10
        keeper.turn()
        disk.written.acquire(timeout=1)
    keeper.close()
    assert len(said) == 1
    assert "cannot be written" in said[0]
    assert disk.load() == STATE


def test_a_killed_writer_leaves_a_state_that_was_written(tmp_path):
    ordeal = kill_writers(tmp_path, KILLS, seed=8)
    assert ordeal.faults == []
    assert ordeal.kills == len(ordeal.states) == KILLS
    assert ordeal.states[-1] > 0
    assert len(list(tmp_path.iterdir())) <= 2  # what was being written when it ended is written over
