"""Mapping files: what they say, what is wrong with them, and what is written by learning."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.errors import ConfigError
from ambientd.midi.mapping import (
    Addresses,
    Mapping,
    Target,
    as_toml,
    bundled_folder,
    controllers,
    escaped,
    find,
    learned_path,
    load,
    port_matcher,
    save_learned,
)
from ambientd.midi.surface import Surface
from ambientd.parameters import Parameter, builtin_parameters, mashup_parameters

WEIGHTS = [Parameter(f"weight/{n}", "A weight") for n in range(1, 9)]
ADDRESSES = Addresses(p.id for p in [*builtin_parameters(8), *mashup_parameters("blend", WEIGHTS)])


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["nanokontrol2", "midimix", "launch-control-xl", "beatstep", "generic"])
def test_the_bundled_controllers_load_and_say_where_their_numbers_are_from(name: str) -> None:
    path = bundled_folder() / f"{name}.toml"
    mappings = load(path, ADDRESSES)
    assert "Source" in path.read_text()
    assert len({mapping.identity for mapping in mappings}) == len(mappings), "a control is mapped twice"
    assert find(name) == controllers()[name] == path


@pytest.mark.parametrize(
    ("name", "port", "message", "moved"),
    [
        ("nanokontrol2", "nanoKONTROL2:nanoKONTROL2 MIDI 1 24:0", [0xB0, 32, 127], "slot/1/freeze"),
        ("midimix", "MIDI Mix:MIDI Mix MIDI 1 20:0", [0x90, 4, 127], "slot/2/freeze"),
        ("launch-control-xl", "Launch Control XL", [0x98, 60, 127], "slot/8/freeze"),
        ("beatstep", "Arturia BeatStep", [0x95, 45, 90], "slot/2/freeze"),
    ],
)
def test_a_button_of_each_controller(name: str, port: str, message: list, moved: str) -> None:
    from mido import Message

    mappings = load(find(name), ADDRESSES)
    assert port_matcher(mappings[0].port or "")(port)
    actions = Surface(mappings, ADDRESSES).hear(Message.from_bytes(message), 0.0, lambda address: 0.0)
    assert [(action.address, action.position) for action in actions] == [(moved, 1.0)]  # type: ignore[union-attr]


def test_defaults_of_the_file_and_of_the_mapping(tmp_path: Path) -> None:
    text = """
    port = "Box"
    channel = 3
    takeover = "scale"
    [[map]]
    cc = 1
    to = "/ambientd/volume"
    [[map]]
    cc14 = [2, 34]
    channel = 4
    takeover = "jump"
    to = ["slot/1/gain", { address = "slot/2/gain", range = [0.2, 0.8], invert = true }]
    """
    first, second = load(written(tmp_path, text), ADDRESSES)
    assert (first.port, first.channel, first.takeover) == ("Box", 3, "scale")
    assert first.to == [Target(address="volume")]
    assert (second.channel, second.takeover, second.to[1].ends) == (4, "jump", (0.8, 0.2))


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("porrt = 'x'", "porrt", "did you mean 'port'"),
        ("takeover = 'pikup'", "takeover", "did you mean 'pickup'"),
        ("[[map]]\ncc = 1\nto = 'slot/1/gian'", "map.0.to", "did you mean 'slot/1/gain'"),
        ("[[map]]\ncc = 1\nto = 'slot/1/reprimee'", "map.0.to", "reprime"),
        ("[[map]]\ncc = 1\nto = 'volume'\ntakover = 'jump'", "map.0.takover", "did you mean 'takeover'"),
        ("[[map]]\ncc = 128\nto = 'volume'", "map.0.cc", "127"),
        ("[[map]]\ncc = 1\nnote = 1\nto = 'volume'", "map.0", "exactly one of cc"),
        ("[[map]]\nto = 'volume'", "map.0", "exactly one of cc"),
        ("[[map]]\ncc = 1", "map.0.to", "add it"),
        ("[[map]]\ncc = 1\nto = { address = 'volume', rnge = [0, 1] }", "rnge", "did you mean 'range'"),
        ("[[map]]\nnote = 1\nto = 'volume'\nencoder = 'offset'", "map.0", "encoder goes with cc"),
        ("[[map]]\ncc = 1\nto = 'volume'\nencoder = 'ofset'", "encoder", "did you mean 'offset'"),
        ("[[map", "TOML", "toml"),
    ],
)
def test_what_is_wrong_is_named_with_file_key_and_nearest(tmp_path: Path, text: str, key: str, hint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, ADDRESSES)
    line = str(caught.value)
    assert str(path) in line
    assert key in line
    assert hint in line.lower()
    assert "\n" not in line


def test_an_unknown_controller_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'midimix'"):
        find("midimiks")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(find("nowhere.toml"), ADDRESSES)


def test_what_was_learned_is_saved_once_for_each_control(own_configuration: Path) -> None:
    path = learned_path()
    assert path.parent == own_configuration
    first = Mapping(cc=1, channel=1, port="Box", to=[Target(address="volume")])  # type: ignore[call-arg]
    again = first.model_copy(update={"to": [Target(address="slot/1/gain")]})
    other = Mapping(note=1, channel=1, port="Box", to=[Target(address="stop", arguments=[8.0])])  # type: ignore[call-arg]
    for mapping in (first, other, again):
        save_learned(path, mapping, ADDRESSES)
    kept = load(path, ADDRESSES)
    assert [mapping.identity for mapping in kept] == [other.identity, again.identity]
    assert kept[0].to[0].arguments == [8.0]
    assert [target.address for target in kept[1].to] == ["slot/1/gain"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_learned_file_that_was_broken_by_hand_is_left_alone(own_configuration: Path) -> None:
    path = learned_path()
    path.parent.mkdir(parents=True)
    path.write_text("[[map]]\ncc = 200\nto = 'volume'\n")
    with pytest.raises(ConfigError, match=r"map\.0\.cc"):
        save_learned(path, Mapping(cc=1, to=[Target(address="volume")]), ADDRESSES)  # type: ignore[call-arg]
    assert "200" in path.read_text()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_port_name_survives_being_written(name: str) -> None:
    import tomllib

    mapping = Mapping(cc14=(1, 33), port=name, to=[Target(address="volume", range=(0.5, 0.1))])  # type: ignore[call-arg]
    (read,) = tomllib.loads(as_toml([mapping]))["map"]
    assert Mapping(**read) == mapping
    assert port_matcher(escaped(name))(name)


def test_port_patterns() -> None:
    assert port_matcher("midi mix")("MIDI Mix:MIDI Mix MIDI 1 20:0")
    assert port_matcher("a2j:MIDI Mix [*] (capture): *")("a2j:MIDI Mix [24] (capture): MIDI Mix MIDI 1")
    assert not port_matcher("MIDI Mix*")("My MIDI Mix")
    assert port_matcher("*")("anything")


def test_parameters_come_and_go_with_reloaded_plugins(tmp_path: Path) -> None:
    addresses = Addresses(["volume"])
    path = written(tmp_path, "[[map]]\ncc = 1\nto = 'mashup/late'")
    with pytest.raises(ConfigError, match="mashup/late"):
        load(path, addresses)
    addresses.know(["volume", "mashup/new/late"])
    assert load(path, addresses)[0].to == [Target(address="mashup/late")]
