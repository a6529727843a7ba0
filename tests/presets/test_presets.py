"""Presets: stored and recalled, morphed to, and refused when their files are wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.errors import AmbientdError, CheckpointError, ConfigError, UsageError
from ambientd.parameters import Parameter, ParameterTable, builtin_parameters, mashup_parameters
from ambientd.presets.desk import PresetDesk
from ambientd.presets.preset import Preset, load
from ambientd.presets.shelf import Shelf, bundled_folder


class Stage:
    """A table with two mashups and three slots, and what presets asked of it."""

    max_slots = 3
    mashup_names = ("blend", "drift")

    def __init__(self) -> None:
        knobs = [*builtin_parameters(3)]
        for name in self.mashup_names:
            knobs += mashup_parameters(name, [Parameter("weight/1", "A weight", default=1.0)])
        self.parameters = ParameterTable(knobs)
        self.mashup = "blend"
        self.models = {1: "calm", 2: "loud"}
        self.asked: list[tuple[object, ...]] = []
        self.busy: set[int] = set()

    def select_mashup(self, name: str) -> None:
        self.mashup = name
        self.asked.append(("mashup", name))

    def check_model(self, id: str) -> None:
        if id not in ("calm", "loud"):
            raise CheckpointError(f"no model is called {id!r}", "Did you mean 'calm'?")

    def check_slot(self, slot: int) -> None:
        if slot in self.busy:
            raise UsageError(f"slot {slot} is about to change already")

    def change_slot(self, slot: int, id: str) -> None:
        self.asked.append(("slot", slot, id))


class Rig:
    def __init__(self, folder: Path) -> None:
        self.now, self.folder, self.stage = 0.0, folder / "user", Stage()
        self.table = self.stage.parameters
        self.folder.mkdir()
        self.desk = PresetDesk(self.stage, Shelf(self.folder, folder / "bundled"), lambda: self.now)

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.toml").write_text(text)

    def at(self, now: float) -> None:
        self.now = now
        self.desk.turn()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_what_is_stored_comes_back(rig: Rig) -> None:
    rig.table.set_value("slot/1/gain", 0.1)
    rig.table.set_value("mashup/blend/weight/1", 1 / 3)
    before = {p.id: rig.table.get(p.id) for p in rig.table}
    rig.desk.store("night")
    assert [path.name for path in rig.folder.iterdir()] == ["night.toml"]
    stored = load(rig.folder / "night.toml")
    assert stored.slots == {"1": "calm", "2": "loud", "3": ""}
    assert "mashup/drift/weight/1" not in stored.parameters
    assert not any(id.startswith("slot/3/") for id in stored.parameters)
    for id in stored.parameters:
        rig.table.set_normalised(id, 0.9)
    rig.stage.mashup, rig.stage.models = "drift", {2: "loud", 3: "calm"}
    rig.desk.recall("night")
    assert {id: rig.table.get(id) for id in stored.parameters} == {id: before[id] for id in stored.parameters}
    assert rig.stage.asked == [("mashup", "blend"), ("slot", 1, "calm"), ("slot", 3, "")]


@given(st.text(max_size=50), st.lists(st.text(max_size=20), max_size=3), st.floats(allow_nan=False))
def test_a_file_says_what_the_preset_said(tmp_path_factory, text: str, exclude: list[str], value: float) -> None:
    preset = Preset(description=text, exclude=exclude, fade=1.5, slots={"1": text}, parameters={"volume": 0.1})
    if math.isfinite(value):
        preset.parameters["slot/1/pan"] = value
    path = tmp_path_factory.getbasetemp() / "round.toml"
    path.write_bytes(preset.to_toml().encode())
    assert load(path) == preset


def test_a_morph_goes_evenly_along_the_knobs_ways_and_ends_exactly(rig: Rig) -> None:
    rig.write("far", '[parameters]\nvolume = 0.1\n"slot/1/stretch" = 8.0\n"slot/1/pan" = 0.3\n')
    start = rig.table.get_normalised("volume")
    end = rig.table.parameter("volume").normalise(0.1)
    rig.desk.recall("far", 10.0)
    assert rig.table.get("slot/1/pan") == 0
    rig.at(5.0)
    assert rig.table.get_normalised("volume") == pytest.approx((start + end) / 2)
    assert rig.table.get("slot/1/stretch") == pytest.approx(math.sqrt(8))
    assert rig.desk.info()["seconds_left"] == 5
    rig.at(10.0)
    assert [rig.table.get(id) for id in ("volume", "slot/1/stretch", "slot/1/pan")] == [0.1, 8.0, 0.3]
    assert rig.desk.info()["seconds_left"] == 0


def test_a_knob_that_is_moved_meanwhile_wins_and_the_others_go_on(rig: Rig) -> None:
    rig.write("far", '[parameters]\nvolume = 0.0\n"slot/1/pan" = 1.0\n')
    rig.desk.recall("far", 10.0)
    rig.at(2.0)
    rig.table.set_value("slot/1/pan", -0.5)
    rig.at(10.0)
    assert (rig.table.get("volume"), rig.table.get("slot/1/pan")) == (0.0, -0.5)


def test_another_recall_takes_over_where_the_first_one_is_and_hold_stops(rig: Rig) -> None:
    rig.write("left", '[parameters]\n"slot/1/pan" = -1.0\n')
    rig.write("right", 'fade = 4.0\n[parameters]\n"slot/1/pan" = 1.0\n')
    rig.desk.recall("left", 10.0)
    rig.at(5.0)
    rig.desk.recall("right")
    assert rig.table.get("slot/1/pan") == -0.5
    rig.at(7.0)
    assert rig.table.get("slot/1/pan") == 0.25
    rig.desk.hold()
    rig.at(20.0)
    assert rig.table.get("slot/1/pan") == 0.25


def test_what_is_excluded_stays(rig: Rig) -> None:
    rig.write("all", 'exclude = ["volume"]\n[parameters]\nvolume = 0\n"slot/1/pan" = 1\n"slot/2/pan" = 1\n')
    rig.desk.exclude("slot/1/*", True)
    rig.desk.recall("all")
    assert [rig.table.get(id) for id in ("volume", "slot/1/pan", "slot/2/pan")] == [1, 0, 1]
    rig.desk.exclude("slot/1/*", False)
    rig.desk.recall("all")
    assert rig.table.get("slot/1/pan") == 1
    with pytest.raises(ConfigError, match="names no parameter"):
        rig.desk.exclude("slot/9/*", True)


def test_storing_again_keeps_what_was_written_by_hand(rig: Rig) -> None:
    rig.write("mine", 'description = "Mine"\nfade = 3\nexclude = ["volume"]\n')
    rig.desk.store("mine")
    found = load(rig.folder / "mine.toml")
    assert (found.description, found.fade, found.exclude) == ("Mine", 3, ["volume"])
    assert found.parameters["volume"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fade = 'long'", r"bad\.toml: 'fade' is 'long'\. Expected a valid number"),
        ("fade = -1", "'fade' is -1.*greater than or equal to 0"),
        ("paramters = {}", "unknown key 'paramters'. Did you mean 'parameters'"),
        ("[parameters]\n'slot/1/gian' = 1", "there is no parameter 'slot/1/gian'. Did you mean 'slot/1/gain'"),
        ("[parameters]\n'slot/1/pan' = 7", "'parameters.slot/1/pan' is 7. Expected -1 to 1"),
        ("[parameters]\nvolume = nan", "'parameters.volume' is nan"),
        ("mashup = 'blent'", "there is no mashup 'blent'. Did you mean 'blend'"),
        ("exclude = ['volum']", "there is no parameter 'volum'. Did you mean 'volume'"),
        ("[slots]\n9 = 'calm'", "there is no slot '9'. Expected 1 to 3"),
        ("[slots]\n1 = 'clam'", "'slots.1': no model is called 'clam'. Did you mean 'calm'"),
        ("a = = 1", r"bad\.toml is not TOML"),
        ("#" * 70_000, "larger than 65536 bytes"),
        ("a = " + "[" * 20_000, r"bad\.toml is not TOML"),
    ],
)
def test_a_bad_file_says_where_and_changes_nothing(rig: Rig, text: str, said: str) -> None:
    rig.write("going", '[parameters]\n"slot/2/pan" = 1.0\n')
    rig.write("bad", "volume = 0\n".replace("volume", "parameters.volume") + text if text[0] == "m" else text)
    rig.desk.recall("going", 10.0)
    rig.at(5.0)
    before = {p.id: rig.table.get(p.id) for p in rig.table}
    with pytest.raises(ConfigError, match=said):
        rig.desk.recall("bad")
    assert {p.id: rig.table.get(p.id) for p in rig.table} == before
    assert rig.stage.asked == []
    assert rig.desk.current == "going"
    rig.at(10.0)
    assert rig.table.get("slot/2/pan") == 1


@pytest.mark.parametrize("name", ["../night", "/etc/passwd", "a/b", "", ".", "Night", "a" * 65, "night\n", "a.toml"])
def test_no_name_is_a_path(rig: Rig, name: str) -> None:
    (rig.folder.parent / "night.toml").write_text("[parameters]\nvolume = 0\n")
    for call in (rig.desk.recall, rig.desk.store):
        with pytest.raises(ConfigError, match="is no preset's name"):
            call(name)
    assert sorted(path.name for path in rig.folder.parent.iterdir()) == ["night.toml", "user"]


def test_a_preset_that_is_not_there_names_the_nearest(rig: Rig) -> None:
    rig.desk.store("night")
    with pytest.raises(ConfigError, match=r"there is no preset 'nihgt'\. Did you mean 'night'"):
        rig.desk.recall("nihgt")
    with pytest.raises(AmbientdError, match="takes 0 to"):
        rig.desk.recall("night", math.nan)


def test_a_user_s_preset_stands_before_the_bundled_one(tmp_path: Path) -> None:
    user, bundled = tmp_path / "user", tmp_path / "bundled"
    shelf = Shelf(user, bundled)
    Shelf(bundled).store("one", Preset(description="bundled"))
    Shelf(bundled).store("two", Preset())
    shelf.store("one", Preset(description="mine"))
    assert shelf.names() == ["one", "two"]
    assert shelf.load("one").description == "mine"


def test_a_folder_that_cannot_be_written_keeps_the_old_preset(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "file" / "presets", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        shelf.store("one", Preset())


def test_a_slot_that_cannot_change_now_leaves_all_as_it_is(rig: Rig) -> None:
    rig.write("night", 'mashup = "drift"\n[slots]\n1 = "calm"\n2 = "calm"\n3 = "loud"\n')
    rig.stage.busy = {3}
    with pytest.raises(UsageError, match="slot 3 is about to change"):
        rig.desk.recall("night")
    assert (rig.stage.asked, rig.desk.current) == ([], "")
    rig.stage.busy = {1}  # which has what it is to have
    rig.desk.recall("night")
    assert rig.stage.asked == [("mashup", "drift"), ("slot", 2, "calm"), ("slot", 3, "loud")]


def test_the_bundled_presets_can_be_recalled(tmp_path: Path) -> None:
    stage = Stage()
    desk = PresetDesk(stage, Shelf(tmp_path, bundled_folder()))
    assert desk.names()
    for name in desk.names():
        desk.recall(name, 0)
