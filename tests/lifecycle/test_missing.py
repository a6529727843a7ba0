"""A start at which much is missing, on the real daemon: where nobody watches, there is music all the same."""

import socket

import pytest

from ..running import makes_new_sound

MISSING = [
    "mashup.name=gone",
    "sinks.1.name=gone",
    "midi.controllers=['gone']",
]


@pytest.fixture
def taken():
    """A port that somebody else has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        yield other


@pytest.fixture
def score(home):
    """One whose preset was deleted."""
    path = home / "day.toml"
    path.write_text('[[parts]]\nat = "00:00"\npreset = "gone"\n')
    return path


def test_it_plays_without_and_listens_once_it_can(run, home, taken, score):
    learned = home / "config" / "ambientd" / "midi" / "learned.toml"
    learned.parent.mkdir(parents=True)
    learned.write_text("broken")
    port = taken.getsockname()[1]
    daemon = run(*MISSING, f"dayparts={score}", f"osc.port={port}", words=["--restore"])
    status = daemon.until(makes_new_sound)
    assert (status["mashup"], status["osc"], status["day_parts"]) == ("blend", None, None)
    assert [sink["name"] for sink in status["sinks"]] == ["wav"]
    taken.close()
    daemon.until(lambda status: status["osc"] and status["osc"]["port"] == port)
    daemon.osc("/ambientd/volume/value", 0.5)
    daemon.until(lambda status: status["osc"]["handled"] == 1)
    assert daemon.stop()[1] == 0
    said = daemon.process.stderr.read()
    for text in ("the mashup is left out", "sink gone is left out", "no controller is called 'gone'", "learned.toml",
                 "the score of day parts is left out", "osc: "):  # fmt: skip
        assert text in said, said


@pytest.mark.parametrize(("missing", "code"), [(MISSING[0], 7), (MISSING[1], 7), (MISSING[2], 3), ("osc.port", 8)])
def test_who_starts_it_by_hand_is_told_and_it_ends(run, taken, missing, code):
    port = [f"osc.port={taken.getsockname()[1]}"] if missing == "osc.port" else [missing]
    daemon = run(*port)
    said = daemon.process.communicate(timeout=60)[1]
    assert daemon.process.returncode == code, said
    assert "Traceback" not in said
