"""Day parts: every moment belongs to one, whatever clocks and zones do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.errors import ConfigError
from ambientd.parameters import ParameterTable, builtin_parameters
from ambientd.presets.desk import PresetDesk
from ambientd.presets.preset import Preset
from ambientd.presets.runner import DayParts
from ambientd.presets.score import DAYS, Score, load, schedule, upcoming
from ambientd.presets.shelf import Shelf

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca", "UTC"]
BERLIN = {"timezone": "Europe/Berlin", "latitude": 52.52, "longitude": 13.40}
CHANGES = [  # an hour before clocks change in one of the zones
    datetime(2025, 3, 30, 0, tzinfo=UTC), datetime(2025, 10, 26, 0, tzinfo=UTC), datetime(2025, 3, 9, 6, tzinfo=UTC),
    datetime(2025, 11, 2, 5, tzinfo=UTC), datetime(2025, 10, 4, 14, tzinfo=UTC), datetime(2025, 4, 5, 14, tzinfo=UTC),
]  # fmt: skip

times = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
suns = st.builds("{} {} {:02d}:{:02d}".format, st.sampled_from(["sunrise", "sunset"]), st.sampled_from("+-"),
                 st.integers(0, 11), st.integers(0, 59))  # fmt: skip
parts = st.builds(
    lambda at, days: {"at": at, "days": days},
    st.one_of(times, suns, st.just("sunrise"), st.just("sunset")),
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=3),
)
scores = st.builds(
    lambda zone, latitude, longitude, parts: Score(
        timezone=zone, latitude=latitude, longitude=longitude, parts=parts
    ),
    st.sampled_from(ZONES), st.sampled_from([52.5, -31.5, 69.6, 89.0, 0.0]), st.sampled_from([13.4, -122.0, 159.0]),
    st.lists(parts, min_size=1, max_size=5),
)  # fmt: skip
moments = st.one_of(
    st.builds(lambda change, minutes: change + timedelta(minutes=minutes), st.sampled_from(CHANGES),
              st.integers(-600, 600)),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
)  # fmt: skip


def score(*parts: dict, **options) -> Score:
    return Score(parts=list(parts), **options)


def begins(found: Score, now: datetime, days: int = 3) -> list[str]:
    return [f"{s.since.astimezone(found.zone):%a %d %H:%M %Z}" for s in upcoming(found, now, days)][1:]


@given(scores, moments)
def test_every_moment_has_one_part_and_it_lasts_until_the_next_begins(found: Score, now: datetime) -> None:
    state = schedule(found, now)
    assert now - timedelta(days=9) < state.since <= now
    assert schedule(found, state.since) == state
    following = next((s for s in list(upcoming(found, now, 9))[1:]), None)
    assert following is not None
    just_before = following.since - timedelta(seconds=1)
    assert schedule(found, max(now, just_before)) == state
    assert schedule(found, following.since) == following


@given(scores, moments, st.lists(st.integers(1, 3 * 3600), min_size=5, max_size=40))
def test_parts_follow_each_other_as_time_goes_on_and_none_begins_twice(found, now, steps) -> None:
    seen = [schedule(found, now)]
    for step in steps:
        now += timedelta(seconds=step)
        state = schedule(found, now)
        assert state.since >= seen[-1].since
        if state != seen[-1]:
            assert state.since > seen[-1].since
            seen.append(state)


@given(scores, moments, st.sampled_from(ZONES))
def test_it_does_not_matter_in_which_zone_the_time_is_told(found: Score, now: datetime, zone: str) -> None:
    assert schedule(found, now.astimezone(ZoneInfo(zone))) == schedule(found, now)


def test_a_time_that_spring_skips_begins_once_and_one_that_comes_twice_in_autumn_as_well() -> None:
    found = score({"at": "02:30"}, **BERLIN)
    spring = begins(found, datetime(2025, 3, 28, 12, tzinfo=UTC))
    assert spring == ["Sat 29 02:30 CET", "Sun 30 03:30 CEST", "Mon 31 02:30 CEST"]
    autumn = begins(found, datetime(2025, 10, 24, 12, tzinfo=UTC))
    assert autumn == ["Sat 25 02:30 CEST", "Sun 26 02:30 CEST", "Mon 27 02:30 CET"]


def test_weekdays_and_the_part_that_stands_last() -> None:
    found = score(
        {"at": "08:00", "days": "weekdays", "preset": "work"}, {"at": "10:00", "days": "weekend", "preset": "rest"},
        {"at": "08:00", "days": ["fri"], "preset": "friday"}, **BERLIN,
    )  # fmt: skip
    states = upcoming(found, datetime(2025, 6, 5, 10, tzinfo=UTC), 5)
    assert [f"{s.since.astimezone(found.zone):%a %H} {s.preset}" for s in states] == [
        "Thu 08 work", "Fri 08 friday", "Sat 10 rest", "Sun 10 rest", "Mon 08 work", "Tue 08 work",
    ]  # fmt: skip


def test_the_sun_is_where_the_almanac_says() -> None:
    """Berlin, 21 June 2025: sunrise 04:43, sunset 21:33 (timeanddate.com)."""
    found = score({"at": "sunrise"}, {"at": "sunset - 01:00"}, **BERLIN)
    first, second = (s.since for s in list(upcoming(found, datetime(2025, 6, 20, 23, tzinfo=UTC), 1))[1:])
    assert abs(first - datetime(2025, 6, 21, 2, 43, tzinfo=UTC)) < timedelta(minutes=2)
    assert abs(second - datetime(2025, 6, 21, 18, 33, tzinfo=UTC)) < timedelta(minutes=2)


@pytest.mark.parametrize(("month", "preset"), [(12, "night"), (6, "day")])
def test_beyond_the_polar_circle_it_is_night_in_winter_and_day_in_summer(month: int, preset: str) -> None:
    found = score(
        {"at": "sunset", "preset": "night"}, {"at": "sunrise", "preset": "day"},
        timezone="Europe/Oslo", latitude=69.65, longitude=18.96,
    )  # fmt: skip
    start = datetime(2025, month, 20, tzinfo=UTC)
    heard = [schedule(found, start + timedelta(minutes=m)).preset for m in range(0, 2880, 7)]
    assert set(heard) == {preset}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[parts]]\nat = '25:00'", r"day\.toml: 'parts\.0\.at' is '25:00'\. Expected \"HH:MM\""),
        ("[[parts]]\nat = 'noon'", '"sunrise", "sunset"'),
        ("[[parts]]\nat = 'sunrise'", "latitude and longitude"),
        ("[[parts]]\nat = '10:00'\npreste = 'x'", r"unknown key 'parts\.0\.preste'. Did you mean 'preset'"),
        ("[[parts]]\nat = '10:00'\npreset = 'nigt'", r"'parts\.0\.preset': there is no preset 'nigt'.*'night'"),
        ("[[parts]]\nat = '10:00'\npreset = '../x'", "a-z, 0-9"),
        ("[[parts]]\nat = '10:00'\ndays = ['monday']", "'mon', 'tue'"),
        ("[[parts]]\nat = '10:00'\nceiling = 2", "less than or equal to 1"),
        ("timezone = 'Europe/Berln'\n[[parts]]\nat = '10:00'", "Did you mean 'Europe/Berlin'"),
        ("parts = []", "at least 1"),
        ("fade = 1", "'parts' is missing"),
    ],
)
def test_a_bad_score_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "day.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(path, ["night", "day"])


class Stage:
    max_slots, mashup, mashup_names, models = 1, "", (), {}

    def __init__(self) -> None:
        self.parameters = ParameterTable(builtin_parameters(1))


class Rig:
    """A day of two parts, and a wall clock that can be set beside one that cannot."""

    TEXT = """
    timezone = "Europe/Berlin"
    fade = 10
    [[parts]]
    at = "08:00"
    preset = "day"
    [[parts]]
    at = "20:00"
    preset = "night"
    ceiling = 0.25
    """

    def __init__(self, folder: Path, now: datetime, known: str = "") -> None:
        self.path, self.now, self.seconds, self.said = folder / "day.toml", now, 0.0, []
        self.path.write_text(self.TEXT)
        shelf = Shelf(folder / "presets", folder)
        shelf.store("day", Preset(parameters={"slot/1/pan": 1.0}))
        shelf.store("night", Preset(parameters={"slot/1/pan": -1.0}))
        self.table = Stage().parameters
        stage = Stage()
        stage.parameters = self.table
        self.desk = PresetDesk(stage, shelf, lambda: self.seconds)
        self.parts = DayParts(self.path, self.desk, self.said.append, lambda: self.now, lambda: self.seconds)
        self.parts.known = known
        self.later(0)

    def later(self, seconds: float, stepped: float = 0.0) -> None:
        """stepped: by how much the wall clock was set forward meanwhile, in seconds."""
        self.seconds += seconds
        self.now += timedelta(seconds=seconds + stepped)
        self.parts.turn()
        self.desk.turn()

    @property
    def begun(self) -> list[str]:
        return [line.split()[2].rstrip(",") for line in self.said if line.startswith("day part: ")]


EVENING = datetime(2025, 6, 5, 17, 59, 55, tzinfo=UTC)


def test_a_part_begins_over_its_fade_and_lowers_the_ceiling(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EVENING)
    assert (rig.begun, rig.parts.ceiling, rig.table.get("slot/1/pan")) == (["day"], 1.0, 1.0)
    rig.later(5)
    assert rig.begun == ["day", "night"]
    rig.later(5)
    assert rig.table.get("slot/1/pan") == pytest.approx(0)
    assert 0.25 < rig.parts.ceiling < 1
    rig.later(5)
    assert (rig.table.get("slot/1/pan"), rig.parts.ceiling) == (-1, pytest.approx(0.25))
    rig.later(3600)
    assert rig.begun == ["day", "night"]


def test_a_part_that_had_begun_before_a_restart_leaves_what_was_turned_since(tmp_path: Path) -> None:
    mark = Rig(tmp_path, EVENING).parts.mark
    rig = Rig(tmp_path, EVENING, known=mark)
    assert (rig.begun, rig.table.get("slot/1/pan"), rig.parts.mark) == ([], 0.0, mark)
    rig.later(5)
    assert rig.begun == ["night"]
    rig.later(24 * 3600 - 10)  # the same part, a day later
    assert rig.begun == ["night", "day"]
    assert Rig(tmp_path, EVENING + timedelta(seconds=5), known=mark).begun == ["night"]


def test_a_clock_that_is_set_back_a_little_begins_nothing_twice(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EVENING)
    rig.later(6)
    rig.later(2, stepped=-30)
    for _ in range(60):
        rig.later(1)
    assert rig.begun == ["day", "night"]


def test_a_clock_that_was_wrong_by_hours_is_followed(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EVENING)
    rig.later(6, stepped=13 * 3600)
    rig.later(6, stepped=3 * 24 * 3600)
    rig.later(6, stepped=-12 * 3600)
    assert rig.begun == ["day", "day", "day", "night"]  # each on another day


def test_a_score_that_is_edited_is_taken_in_and_a_bad_one_is_not(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EVENING)
    rig.path.write_text(Rig.TEXT.replace("20:00", "late"))
    rig.later(5)
    assert "'parts.1.at' is 'late'" in rig.parts.fault
    assert rig.begun == ["day", "night"]
    rig.path.write_text(Rig.TEXT.replace("20:00", "21:00"))
    rig.later(5)
    assert rig.parts.fault == ""
    assert rig.begun == ["day", "night", "day"]


def test_a_preset_that_broke_meanwhile_is_told_and_the_ceiling_still_holds(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EVENING)
    (tmp_path / "presets" / "night.toml").write_text("fade = 'x'")
    rig.later(5)
    rig.later(20)
    assert "night.toml: 'fade' is 'x'" in rig.said[-1]
    assert rig.table.get("slot/1/pan") == 1
    assert rig.parts.ceiling == pytest.approx(0.25)
