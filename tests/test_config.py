"""The configuration: defaults, files, --set, and one clear line for everything wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from ambientd.config import Config, load, validate
from ambientd.errors import ConfigError
from ambientd.plugin import StrictModel


def write(folder: Path, text: str) -> Path:
    path = folder / "house.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_loopback_device_and_blend() -> None:
    config = load()
    assert config == Config()
    assert (config.osc.host, config.osc.port) == ("127.0.0.1", 7770)
    assert (config.audio.output, config.audio.sample_rate, config.mashup.name) == ("device", 48_000, "blend")


def test_a_file_is_changed_by_sets(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        volume = 0.5
        [mashup]
        name = "blend"
        weights = [1.0, 0.5]
        [[slots]]
        model = "one"
        [[sinks]]
        name = "wav"
        path = "out.wav"
        """,
    )
    sets = ["slots.0.pan=-1", "slots.1.model=two", "osc.port=0", "audio.device=USB (2)", "latency=live"]
    config = load(path, sets)
    assert [(slot.model, slot.pan) for slot in config.slots] == [("one", -1.0), ("two", 0.0)]
    assert (config.volume, config.osc.port, config.audio.device, config.latency) == (0.5, 0, "USB (2)", "live")
    assert config.mashup.options == {"weights": [1.0, 0.5]}
    assert (config.sinks[0].name, config.sinks[0].options) == ("wav", {"path": "out.wav"})


def test_a_set_value_is_toml_else_text() -> None:
    config = load(
        None, ["mashup.weights=[1, 0.5]", "mashup.label=plain words", 'mashup.quoted="0.5"', "mashup.on=true"]
    )
    assert config.mashup.options == {"weights": [1, 0.5], "label": "plain words", "quoted": "0.5", "on": True}
    assert config.mashup.name == "blend"


@pytest.mark.parametrize(
    ("sets", "line"),
    [
        (["osc.prot=1"], "the configuration: unknown key 'osc.prot'. Did you mean 'port'?"),
        (["slots.0.modle=x"], "the configuration: 'slots.0.model' is missing. Add it"),
        (["slots.0={model='x', pam=1}"], "the configuration: unknown key 'slots.0.pam'. Did you mean 'pan'?"),
        (["qqq=1"], "unknown key 'qqq'. Valid here: slots, mashup,"),
        (["osc.port=70000"], "the configuration: 'osc.port' is 70000. Expected less than or equal to 65535"),
        (["osc.allow=['lan']"], "'osc.allow' is ['lan']. Expected networks like \"192.168.1.0/24\"; 'lan' is none"),
        (["latency=soon"], "'latency' is 'soon'. Expected 'normal' or 'live'"),
        (["volume=nan"], "'volume' is nan. Expected"),
        (["engine.device=cude"], "'engine.device' is 'cude'. Expected 'auto', 'cpu' or 'cuda'; did you mean 'cuda'?"),
        (["max_slots=1", "slots=[{model='a'}, {model='b'}]"], "at most max_slots = 1 slots, not 2"),
        (["osc"], "--set 'osc' is not key=value"),
        (["osc..port=1"], "is not key=value"),
        (["slots.1.model=x"], "'1' is no place in a list of 0"),
        (["volume=1", "volume.left=1"], "'left' lies below a plain value"),
        (["sinks.0.path=x"], "'sinks.0.name' is missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(sets: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, sets)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    wrong_key = write(tmp_path, "[osc]\nhots = 'x'")
    with pytest.raises(ConfigError, match=r"house\.toml: unknown key 'osc\.hots'\. Did you mean 'host'\?"):
        load(wrong_key)
    with pytest.raises(ConfigError, match=r"house\.toml is not TOML: Expected ']'"):
        load(write(tmp_path, "[osc"))
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read \(No such file"):
        load(tmp_path / "nowhere.toml")


class Options(StrictModel):
    weights: list[float] = []
    depth: float = Field(0.5, le=1)


def test_a_plugins_own_section_is_checked_the_same_way() -> None:
    assert validate(Options, {"depth": 0.25}, "house.toml", "mashup").depth == 0.25
    with pytest.raises(ConfigError, match=r"house\.toml: unknown key 'mashup\.weight'\. Did you mean 'weights'\?"):
        validate(Options, {"weight": 1}, "house.toml", "mashup")
    with pytest.raises(ConfigError, match=r"house\.toml: 'mashup\.weights\.1' is 'x'\. Expected a valid number"):
        validate(Options, {"weights": [1, "x"]}, "house.toml", "mashup")
