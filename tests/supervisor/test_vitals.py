"""A room that is silent though it should not be is told of, once."""

import pytest

from ambientd.supervisor.event_log import EventLog
from ambientd.supervisor.vitals import HELD_UP, SILENT_SECONDS, Vitals

CALM = dict.fromkeys((*HELD_UP, "margin", "ring_seconds", "bed_seconds", "memory_bytes"), 0)
PLAYING = CALM | {"playing": True, "panic": False, "volume": 1.0, "rms": 0.0, "mashup": "blend", "slots": []}


@pytest.fixture
def room():
    """Its faults after a minute and a half in which `info` was what was given."""

    def minute(*infos):
        said, now, seen = [], 0.0, {}
        log = EventLog(None, 0, said.append)
        vitals = Vitals(log, lambda: seen, said.append, lambda: now)
        for info in infos:
            seen.update(info)
            for _ in range(int(3 * SILENT_SECONDS)):
                now += 1.0
                vitals.turn()
        return [(fault["state"], fault["count"]) for fault in log.faults], said

    return minute


def test_silence_is_told_once_and_again_after_music(room):
    faults, said = room(PLAYING, PLAYING | {"rms": 0.1}, PLAYING)
    assert faults == [("silent", 2)]
    assert len(said) == 2


@pytest.mark.parametrize(
    "info", [{"playing": False}, {"panic": True}, {"volume": 0.0}, {"rms": 0.02}, {"volume": 0.01, "rms": 2e-4}]
)
def test_what_is_meant_to_be_silent_is_not(room, info):
    assert room(PLAYING | info) == ([], [])
