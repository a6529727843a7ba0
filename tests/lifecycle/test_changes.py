"""What differs between two configurations."""

import pytest

from ambientd.config import Config
from ambientd.errors import ConfigError
from ambientd.lifecycle.changes import TAKES, Takes, changes, check_possible, takes
from ambientd.lifecycle.source import Source


def test_only_what_says_something_else_is_a_change():
    before = Config.model_validate({"slots": [{"model": "a"}], "mashup": {"name": "blend", "weights": [1.0]}})
    after = Config.model_validate(
        {
            "slots": [{"model": "a", "gain": 0.5}, {"model": "b"}],
            "mashup": {"name": "blend", "weights": [0.5]},
            "osc": {"port": 9000},
            "volume": 1.0,
            "sinks": [{"name": "wav", "path": "x.wav"}],
        }
    )
    found = changes(before, after)
    assert {key: found[key] for key in ("slots.0.gain", "slots.1.model", "mashup.weights", "osc.port")} == {
        "slots.0.gain": (1.0, 0.5),
        "slots.1.model": (None, "b"),
        "mashup.weights": ([1.0], [0.5]),
        "osc.port": (7770, 9000),
    }
    assert "sinks" in found
    assert "volume" not in found
    assert changes(after, after) == {}
    check_possible(found, "room.toml")


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("slots.3.model", Takes.SLOTS), ("audio.device", Takes.PLAYER), ("audio.channels", Takes.START),
        ("loading.prime", Takes.NOTHING), ("loading.fade", Takes.GENERATOR), ("something.new", Takes.START),
    ],
)  # fmt: skip
def test_the_nearest_word_counts(key, what):
    assert takes(key) is what


def test_every_key_has_its_word():
    """A new section of the configuration has to say what it takes."""
    assert {key.split(".")[0] for key in TAKES} == set(Config.model_fields)


def test_what_takes_a_new_start_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"room\.toml: 'max_slots' cannot change from 8 to 4 while"):
        check_possible(changes(Config(), Config(max_slots=4)), "room.toml")


def test_a_configuration_is_known_by_its_file_and_what_it_says(tmp_path):
    path, other = tmp_path / "a.toml", tmp_path / "b.toml"
    path.write_text("volume = 0.5\n")
    other.write_text("volume = 0.5\n")
    source = Source(path, ("osc.port=0",), ("generic",))
    before = source.fingerprint(source.load())
    assert source.load().midi.controllers == ["generic"]
    path.write_text("volume = 0.5 # louder?\n")
    assert source.fingerprint(source.load()) == before
    path.write_text("volume = 0.6\n")
    assert source.fingerprint(source.load()) != before
    assert source.at(other).fingerprint(source.at(other).load()) != before
