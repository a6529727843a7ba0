"""What the supervisor makes of a mashup's states, and of a generator that ended."""

from __future__ import annotations

import signal

import pytest

from ambientd.engine.generator_config import MashupState
from ambientd.supervisor.mashup_record import LiveState, MashupRecord

PLAYING = LiveState(MashupState.PLAYING)


@pytest.fixture
def record():
    record = MashupRecord("mine", "blend")
    record.heard("mine", PLAYING)
    return record


@pytest.mark.parametrize(
    ("returncode", "conducting", "trying", "blocks", "next_one"),
    [
        (-signal.SIGKILL, 0, 0, 100, "mine"),
        (-signal.SIGKILL, 101, 0, 100, "mine"),  # a kill while it happened to be called
        (-signal.SIGKILL, 90, 0, 100, "blend"),
        (-signal.SIGSEGV, 101, 0, 100, "blend"),
        (-signal.SIGSEGV, 0, 0, 100, "mine"),
        (None, 0, 0, 100, "mine"),
        (None, 101, 0, 100, "blend"),
        (None, 0, 101, 100, "blend"),
        (1, 101, 0, 100, "mine"),
    ],
)
def test_a_mashup_is_blamed_for_what_happened_inside_its_call(record, returncode, conducting, trying, blocks, next_one):
    line = record.generator_ended(returncode, conducting, trying, blocks)
    assert ("mine" in line) == (next_one != "mine")
    assert record.for_new_generator() == next_one
    assert ("mine" in record.states) == (next_one != "mine")


def test_without_the_default_every_voice_plays_on_its_own():
    record = MashupRecord("blend", "blend")
    record.heard("blend", LiveState(MashupState.OUT_OF_MEMORY, "full"))
    assert record.for_new_generator() == ""
    record.select("blend")
    assert record.for_new_generator() == "blend"


def test_one_that_does_not_start_leaves_the_one_that_plays(record):
    record.select("other")
    assert record.heard("other", LiveState(MashupState.NOT_STARTED, "why")) == ""
    assert (record.selected, record.wanted) == ("mine", "other")


def test_what_played_before_the_next_was_asked_for_is_known_to_play(record):
    record.select("first")
    record.select("second")
    record.heard("first", PLAYING)
    record.heard("second", LiveState(MashupState.NOT_STARTED, "why"))
    assert (record.selected, record.conducting) == ("first", "first")


def test_only_one_plays_and_a_recovery_is_said(record):
    assert record.heard("mine", LiveState(MashupState.RAISES, "why")) == "mashup mine: raises, why"
    assert record.heard("mine", PLAYING) == "mashup mine plays again"
    record.select("other")
    assert record.heard("other", PLAYING) == ""
    assert record.states == {"other": PLAYING}
