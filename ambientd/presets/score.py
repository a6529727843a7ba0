"""The score of an installation's days: which preset plays when, and how loud it may get. Supervisor and command line.

    timezone = "Europe/Berlin"          # IANA; the machine's own where it is left out
    latitude = 52.52                    # wanted where a part begins with the sun
    longitude = 13.40
    fade = 60                           # seconds from each part to the next

    [[parts]]
    at = "07:30"                        # or "sunrise", "sunset", "sunset - 00:45", "sunrise + 01:00"
    days = ["mon", "tue", "wed", "thu", "fri"]      # or "weekend"; every day where it is left out
    preset = "morning"
    ceiling = 0.5                       # the volume is never above this
    fade = 300

A part lasts until the next one begins, on whichever day that is. So every moment belongs to exactly one part, and
`schedule` needs nothing but the time to tell which: no clock that steps can leave a gap or play a part twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from ambientd.config import read, validate
from ambientd.errors import ConfigError
from ambientd.parameters import VOLUME
from ambientd.plugin import StrictModel
from ambientd.presets.preset import LARGEST_FILE, LONGEST_FADE, check_name, nearest

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "weekdays", "weekend", "daily"]
DAYS: tuple[Day, ...] = get_args(Day)
GROUPS = {"weekdays": DAYS[:5], "weekend": DAYS[5:7], "daily": DAYS[:7]}
MOST_PARTS = 500
_AT = re.compile(r"(?:([01]\d|2[0-3]):([0-5]\d)|(sunrise|sunset)(?:\s*([+-])\s*(0\d|1[01]):([0-5]\d))?)")
_REACH = 8
"""Days to look back: even a part that has a weekday to itself began at most so long ago."""


class Part(StrictModel):
    """What begins at `at` on each of `days`."""

    at: str
    days: list[Day] = Field(["daily"], min_length=1)
    preset: str | None = None
    ceiling: float = Field(VOLUME.high, ge=VOLUME.low, le=VOLUME.high)
    fade: float | None = Field(None, ge=0, le=LONGEST_FADE)

    @field_validator("at")
    @classmethod
    def _check_at(cls, at: str) -> str:
        if not _AT.fullmatch(at):
            raise ValueError('"HH:MM", "sunrise", "sunset", or those with "+ HH:MM" or "- HH:MM" below 12 hours')
        return at

    @field_validator("days", mode="before")
    @classmethod
    def _one_day(cls, days: object) -> object:
        return [days] if isinstance(days, str) else days

    @field_validator("preset")
    @classmethod
    def _check_preset(cls, name: str | None) -> str | None:
        try:
            return None if name is None else check_name(name)
        except ConfigError as error:
            raise ValueError(error.remedy) from None

    @property
    def weekdays(self) -> frozenset[int]:
        """0 is Monday."""
        names = {name for day in self.days for name in GROUPS.get(day, (day,))}
        return frozenset(DAYS.index(name) for name in names)

    @property
    def by_the_sun(self) -> bool:
        return self.at.startswith("sun")


class Score(StrictModel):
    """The file's contents."""

    timezone: str | None = None
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    fade: float = Field(60.0, ge=0, le=LONGEST_FADE)
    parts: Annotated[list[Part], Field(min_length=1, max_length=MOST_PARTS)]

    @field_validator("timezone")
    @classmethod
    def _check_zone(cls, name: str | None) -> str | None:
        if name is not None:
            _zone(name)
        return name

    @model_validator(mode="after")
    def _sun_needs_a_place(self) -> Score:
        if (self.latitude is None or self.longitude is None) and any(part.by_the_sun for part in self.parts):
            raise ValueError("latitude and longitude are wanted where a part begins with the sun")
        return self

    @property
    def zone(self) -> tzinfo:
        return _zone(self.timezone) if self.timezone else _machine_zone()


@dataclass(frozen=True)
class State:
    """What is to play. since: when this part began, in UTC; part: its place in the file, from 0.

    UTC, because two times of one local zone are compared by what its clocks show, and those are set back once a year.
    """

    part: int
    since: datetime
    preset: str | None
    ceiling: float
    fade: float


def load(path: Path, presets: Collection[str] | None = None) -> Score:
    """Raises ConfigError that names file, key and what was expected. presets: those that there are, if that matters."""
    score = validate(Score, read(path, LARGEST_FILE), str(path))
    for index, part in enumerate(score.parts):
        if presets is not None and part.preset is not None and part.preset not in presets:
            what = f"{path}: 'parts.{index}.preset': there is no preset {part.preset!r}"
            raise ConfigError(what, nearest(part.preset, presets, "preset"))
    return score


def schedule(score: Score, now: datetime) -> State:
    """The part that `now` belongs to; a pure function. now: with a time zone, whichever.

    Where several begin at the same moment the one that stands last in the file is meant.
    """
    today = now.astimezone(score.zone).date()
    begun = [start for start in _starts(score, today - timedelta(days=_REACH), _REACH + 2) if start[0] <= now]
    return _state(score, max(begun))


def upcoming(score: Score, now: datetime, days: int) -> Iterator[State]:
    """The part that plays, then those that begin in the next `days` days, in order; hidden ones are left out."""
    end = now + timedelta(days=days)
    yield schedule(score, now)
    starts = sorted(_starts(score, now.astimezone(score.zone).date() - timedelta(days=1), days + 3))
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        if now < start[0] <= end and (following is None or following[0] > start[0]):
            yield _state(score, start)


Start = tuple[datetime, date, int, int]
"""When in UTC, on which day, the part's order among those of one moment and day, its place in the file."""


def _state(score: Score, start: Start) -> State:
    part = score.parts[start[3]]
    fade = score.fade if part.fade is None else part.fade
    return State(start[3], start[0], part.preset, part.ceiling, fade)


def _starts(score: Score, first: date, days: int) -> Iterator[Start]:
    """Every beginning of a part on `days` days; the first and last may miss what the sun or a time zone moves there."""
    for day in (first + timedelta(days=n) for n in range(days)):
        for index, part in enumerate(score.parts):
            if day.weekday() in part.weekdays:
                # Where the sun does not rise, its day has no length: then evening is meant, though both are at noon.
                order = 0 if part.at.startswith("sunrise") else 1
                yield _begins(score, part, day), day, order * part.by_the_sun, index


def _begins(score: Score, part: Part, day: date) -> datetime:
    """In UTC. A local time that a change of clocks skips begins when it would have; of one that comes twice, the
    first is meant."""
    found = _AT.fullmatch(part.at)
    assert found
    hour, minute, event, sign, hours, minutes = found.groups()
    if event is None:
        return datetime.combine(day, time(int(hour), int(minute)), score.zone).astimezone(UTC)
    assert score.latitude is not None
    assert score.longitude is not None
    shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return _sun(score.latitude, score.longitude, score.zone, day)[event] + (-shift if sign == "-" else shift)


@lru_cache(maxsize=64)
def _sun(latitude: float, longitude: float, zone: tzinfo, day: date) -> dict[str, datetime]:
    """Sunrise and sunset of a local day, in UTC, to the second.

    Where the sun stays below the horizon both are at noon; where it stays above it they are half a day from noon.
    """
    from astral import Observer
    from astral.sun import elevation, noon, sunrise, sunset

    observer = Observer(latitude, longitude)
    middle = noon(observer, day, tzinfo=zone)
    found = {}
    for name, event, sign in (("sunrise", sunrise, -1), ("sunset", sunset, 1)):
        try:
            moment = event(observer, day, tzinfo=zone)
        except ValueError:
            half = timedelta(hours=12) if elevation(observer, middle) > 0 else timedelta(0)
            moment = middle + sign * half
        found[name] = moment.astimezone(UTC).replace(microsecond=0)
    return found


def _zone(name: str) -> tzinfo:
    """Raises ValueError with the nearest name."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"a time zone; {nearest(name, sorted(available_timezones()), 'zone')}") from None


def _machine_zone() -> tzinfo:
    """By its rules rather than today's offset from UTC, so that it changes with the seasons."""
    import os
    from zoneinfo import ZoneInfo

    try:
        if name := os.environ.get("TZ", "").lstrip(":"):
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return _localtime(file.read(1 << 16))
    except (OSError, ValueError, KeyError):
        return UTC


@lru_cache(maxsize=2)
def _localtime(rules: bytes) -> tzinfo:
    from io import BytesIO
    from zoneinfo import ZoneInfo

    return ZoneInfo.from_file(BytesIO(rules), "local")
