"""The log: one line an event, capped, and no obstacle to anything."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from ambientd.supervisor import event_log
from ambientd.supervisor.event_log import FILES, LARGEST_BURST, NAME, EventLog, line

SMALL = 64 << 10


@pytest.fixture
def said():
    return []


@pytest.fixture
def log(tmp_path, said):
    return EventLog(tmp_path / "deep" / "log", SMALL, said.append)


def lines(log):
    """What it has written, once all of it is."""
    log.close()
    return Path(log.file.baseFilename).read_text().splitlines()


def test_a_line_is_one_line_and_names_who_and_what_state():
    assert line(
        "generator", "waiting to restart", {"why": 'a "b"\nc', "restarts": 1, "pid": None, "shed": ["a", "b"]}
    ) == ('generator waiting-to-restart why="a \\"b\\"\\nc" restarts=1 shed=a,b')
    assert "\n" not in line("a", "b", {"text": "x\ny"})
    assert len(line("a", "b", {"text": "x" * 10_000})) <= event_log.LONGEST_LINE


def test_an_event_has_a_time_and_a_level_and_faults_are_kept(log):
    log.event("generator", "running", pid=1)
    log.event("generator", "lost", logging.WARNING, why="SIGKILL", level=3, who="x")
    written = lines(log)
    assert [text.split(" ", 1)[1] for text in written] == [
        "info generator running pid=1",
        "warning generator lost why=SIGKILL level=3 who=x",
    ]
    assert written[0][:2] == "20"
    assert [(fault["state"], fault["why"]) for fault in log.faults] == [("lost", "SIGKILL")]


def test_what_comes_every_second_does_not_wash_the_other_faults_away(said):
    log = EventLog(None, SMALL, said.append)
    log.event("generator", "waiting to restart", logging.WARNING, why="ended (SIGKILL)", restarts=1)
    for total in range(3 * event_log.FAULTS):
        log.event("player", "underruns", logging.WARNING, total=total)
    log.event("generator", "waiting to restart", logging.WARNING, why="made no progress for 3 s", restarts=2)
    log.event("generator", "waiting to restart", logging.WARNING, why="ended (SIGKILL)", restarts=3)
    told = [(f["who"], f.get("why", f.get("total")), f["count"]) for f in log.faults]
    assert told == [
        ("player", 3 * event_log.FAULTS - 1, 3 * event_log.FAULTS),
        ("generator", "made no progress for 3 s", 1),
        ("generator", "ended (SIGKILL)", 2),
    ]
    assert list(log.faults[-1])[:3] == ["at", "who", "state"]
    log.close()


def test_what_comes_too_often_is_counted(log, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(event_log.time, "monotonic", lambda: now)
    for _ in range(LARGEST_BURST + 7):
        log.event("player", "underrun")
    log.event("player", "late")
    now += event_log.BURST_SECONDS
    log.event("player", "underrun")
    written = lines(log)
    assert sum("underrun" in text for text in written) == LARGEST_BURST + 1
    assert written[-1].endswith("player underrun left_out=7")


def test_it_never_grows_beyond_its_limit(tmp_path, log):
    for number in range(4000):
        log.event(f"voice-{number}", "loaded", text="x" * 100)
    log.close()
    files = list((tmp_path / "deep" / "log").iterdir())
    assert len(files) == FILES
    assert SMALL / 2 < sum(path.stat().st_size for path in files) <= SMALL


def test_a_folder_that_is_removed_is_made_again(log, said):
    log.event("a", "one")
    lines(log)
    again = EventLog(Path(log.file.baseFilename).parent, SMALL, said.append)
    again.event("a", "two")
    while not again.file.stream:
        pass
    shutil.rmtree(Path(again.file.baseFilename).parent)
    again.event("a", "three")
    assert [text.split()[-1] for text in lines(again)] == ["three"]
    assert said == []


def test_where_it_cannot_write_it_says_so_once_and_goes_on_when_it_can(tmp_path, said, monkeypatch):
    monkeypatch.setattr(event_log, "RETRY_SECONDS", 0.0)
    folder = tmp_path / "log"
    folder.write_text("a file where the folder should be")
    log = EventLog(folder, SMALL, said.append)
    log.event("a", "one")
    log.event("a", "two")
    while log.file.state == "writing" or log.file._left_out < 2:
        pass
    assert len(said) == 1
    assert "the music goes on" in said[0]
    assert log.info()["state"].startswith("failed")
    folder.unlink()
    log.event("a", "three")
    written = [text.split(" ", 1)[1] for text in lines(log)]
    assert written[0] == "info a three"
    assert written[1].startswith("warning log resumed after=")
    assert written[1].endswith("left_out=2")
    assert log.info()["state"] == "writing"


def test_a_full_disk_is_no_fault_of_the_caller(tmp_path, said):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / NAME).symlink_to("/dev/full")
    log = EventLog(tmp_path, SMALL, said.append)
    log.event("a", "one")
    log.close()
    assert len(said) == 1
    assert "No space left" in said[0]


def test_without_a_folder_only_the_faults_are_kept(said):
    log = EventLog(None, SMALL, said.append)
    log.saying("daemon", said.append)("hello")
    log.event("a", "lost", logging.ERROR)
    log.close()
    assert said == ["hello"]
    assert [fault["state"] for fault in log.faults] == ["lost"]
    assert log.info() == {"file": None, "state": "off"}
