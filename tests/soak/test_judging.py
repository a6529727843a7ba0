"""What a soak hears, plans, judges and writes down, apart from the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from ambientd.errors import UsageError
from ambientd.samplernn.library import bundled_folder
from ambientd.soak import certificate
from ambientd.soak.listening import MOST_CLICK, hearing, longest_gap, pitch, sharpest_click
from ambientd.soak.loudness import after_silence, fade_seconds, step_at, true_peak
from ambientd.soak.outcome import End, Outcome, Result, State
from ambientd.soak.resources import Held, family, held, slope
from ambientd.soak.runner import attempt, choose, perform, plan
from ambientd.soak.scenario import Effort, Missed, NotTried, Scenario, at_least, at_most
from ambientd.soak.scenarios import all_scenarios
from ambientd.soak.scenarios.health import Course
from ambientd.supervisor.health import CURES

RATE = 48_000


def scenario(run=lambda rig, effort: [at_most("a", 1, "s", 2)], id="one", **facts):
    return Scenario(
        **{"id": id, "promise": 1, "title": "One", "layer": "real: here", "run": run, "seconds": 10.0} | facts
    )


@pytest.fixture(scope="module")
def music():
    import soundfile
    import soxr

    audio, rate = soundfile.read(bundled_folder() / "bed.ogg", dtype="float32", stop=16_000 * 20)
    # Not its ends, where the resampler sees it begin and break off.
    return soxr.resample(audio, rate, RATE).astype(np.float32)[RATE // 10 : -RATE // 10]


def test_music_has_no_gap_and_no_click(music):
    assert [measure.name for measure in hearing(music, RATE) if not measure.holds] == []


def test_what_is_cut_out_is_a_click_and_what_is_silenced_a_gap(music):
    middle = len(music) // 2
    cuts = [sharpest_click(np.delete(music, np.s_[middle + k : middle + k + 1000])) for k in range(0, 24_000, 3000)]
    assert np.median(cuts) > MOST_CLICK
    silenced = music.copy()
    silenced[middle : middle + RATE // 10] = 0
    assert longest_gap(silenced, RATE) == pytest.approx(100, abs=1)
    assert longest_gap(music[:0], RATE) == 0
    assert not hearing(music[:10], RATE)[0].holds


@pytest.mark.parametrize("frequency", [440.0, 440.4, 1000.0])
def test_a_tone_has_its_pitch(frequency):
    assert pitch(np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE), RATE) == pytest.approx(frequency, rel=1e-4)


def test_a_limit_holds_up_to_itself_and_never_for_what_is_no_number():
    assert at_most("a", 2, "s", 2).holds
    assert not at_most("a", 2.1, "s", 2).holds
    assert at_least("a", 2, "", 2).holds
    assert not at_least("a", float("nan"), "", 2).holds
    assert not at_most("a", float("nan"), "", 2).holds


def test_a_plan_tries_what_it_has_time_for_and_spends_the_rest():
    struck, more = scenario(id="struck", rounds=1), scenario(id="more", rounds=5)
    lasting = scenario(id="lasting", lasting=True)
    planned = {s.id: effort for s, effort in plan([struck, lasting, more], 100)}
    assert {id: effort.rounds for id, effort in planned.items()} == {"struck": 1, "more": 5, "lasting": 1}
    assert planned["lasting"].seconds == pytest.approx(40)
    assert [effort.rounds for _, effort in plan([struck, scenario(id="other", promise=2), lasting], 1)] == [1, 1, 0]
    twice = [struck, scenario(id="long", seconds=60), scenario(id="other", promise=2)]
    assert {s.id: e.rounds for s, e in plan(twice, 70)} == {"struck": 1, "long": 0, "other": 1}
    assert {s.id: e.rounds for s, e in plan(twice, 90)} == {"struck": 1, "long": 1, "other": 1}
    assert {s.id: e.rounds for s, e in plan([struck, more], 3600)} == {"struck": 6, "more": 30}


def test_what_lasts_gets_what_the_others_leave():
    given = []

    def run(rig, effort):
        given.append(effort.seconds)
        return [at_most("a", 1, "s", 2)]

    lasting = [
        (scenario(run, id=id, lasting=True), Effort(1, seconds)) for id, seconds in (("one", 1.0), ("two", 90.0))
    ]
    assert len(list(perform(None, [(scenario(), Effort(1, 99.0)), *lasting], 100.0))) == 3
    assert given == [pytest.approx(50, abs=1), pytest.approx(100, abs=1)]


def test_scenarios_are_chosen_by_fault_and_by_id():
    calm, fault = scenario(id="calm", fault=False), scenario(id="fault")
    assert choose([calm, fault], False, ()) == [calm]
    assert choose([calm, fault], True, ()) == [calm, fault]
    assert choose([calm, fault], False, ("fault",)) == [fault]
    with pytest.raises(UsageError, match="calm, fault"):
        choose([calm, fault], False, ("clam",))


def raising(error):
    def run(rig, effort):
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "state", "reason"),
    [
        (lambda rig, effort: [at_most("a", 1, "", 2)], State.HELD, ""),
        (lambda rig, effort: [at_most("a", 1, "", 2), at_most("b", 3, "", 2)], State.BROKEN, ""),
        (lambda rig, effort: [], State.BROKEN, ""),
        (raising(NotTried("no swap here")), State.NOT_TRIED, "no swap here"),
        (raising(Missed("it never came")), State.BROKEN, "it never came"),
        (raising(OSError("gone")), State.BROKEN, "OSError: gone"),
        (raising(KeyError("next model")), State.BROKEN, "KeyError: 'next model'"),
    ],
)
def test_what_is_not_shown_to_hold_is_broken_or_not_tried(run, state, reason):
    outcome = attempt(None, scenario(run), Effort())
    assert (outcome.state, outcome.reason) == (state, reason)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(143)])
def test_who_interrupts_is_heard_although_tidying_up_fails(interruption):
    def run(rig, effort):
        try:
            raise interruption
        finally:
            raise Missed("the daemon does not answer") from None

    with pytest.raises(type(interruption)):
        attempt(None, scenario(run), Effort())


@pytest.mark.parametrize(
    ("states", "held"),
    [
        ([State.HELD, State.NOT_TRIED], True),
        ([State.HELD, State.BROKEN], False),
        ([State.NOT_TRIED], False),
        ([], False),
    ],
)
def test_a_certificate_says_what_was_measured(tmp_path, states, held):
    measures = [at_most("<gap>", 1.5, "ms", 20)]
    outcomes = [Outcome(scenario(title="Über & out"), state, measures, 1, 2.0, "why") for state in states]
    result = Result("2026-01-01", {"cores": 2}, {"ambientd": "1"}, {"models": ["a", "b"]}, outcomes, 9, End.COMPLETE)
    json_path, html_path = certificate.write(result, tmp_path / "deep" / "er")
    written = json.loads(json_path.read_text())
    assert written["held"] is held
    assert [row["state"] for row in written["scenarios"]] == [state.value for state in states]
    page = html_path.read_text()
    assert ("Every promise that was tried was held" in page) is held
    assert "<gap>" not in page
    assert page.count("&lt;gap&gt;") == len(states)
    assert "http" not in page
    result.end = End.INTERRUPTED
    certificate.write(result, json_path.parent)
    written = json.loads(json_path.read_text())
    assert (written["held"], written["end"], written["planned"]) == (False, "interrupted", 9)
    assert f"interrupted: {'not every' if State.BROKEN in states else 'no'} promise" in html_path.read_text()
    assert f"{len(states)} of 9 scenarios" in html_path.read_text()


def test_a_slope_is_that_of_a_straight_line():
    samples = [Held(10 + t, 1000 + 3 * t, 1, 1) for t in range(20)]
    assert slope(samples) == pytest.approx(3)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what another process holds")
def test_what_a_childs_child_holds_is_counted():
    words = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        rows = [{"role": "player", "pid": child.pid}, {"role": "midi", "pid": None}]
        both = held(1.0, {"processes": rows})
        (grandchild,) = family([child.pid]) - {child.pid}
        os.kill(grandchild, signal.SIGKILL)
        child.stdin.close()
    assert both.threads == 2
    assert both.at == 1.0
    gone = held(2.0, {"processes": rows})
    assert (gone.bytes, gone.handles, gone.threads) == (0, 0, 0)


@pytest.mark.parametrize(
    ("fault", "tried", "healed"),
    [
        ("noise", ("nudge", "reprime", "next model"), "is replaced, by the third step"),
        ("noise", ("nudge", "reprime"), "is well by a reprime"),
        ("noise", ("nudge",), "is well by a nudge"),
        ("reluctant", ("nudge",), "is well by a nudge"),
    ],
)
def test_whatever_cure_healed_a_voice_is_measured(fault, tried, healed):
    course = Course(fault)
    state = "noise" if fault == "noise" else "silent"

    def look(at, **health):
        cures = {cure: int(cure in tried[:at]) for cure in CURES}
        course.look({"id": fault, "health": {"state": state, "healed": 0, "cures": cures} | health}, at, at - 1)

    look(1)
    look(2)
    look(3)
    assert not course.counted
    look(4, state="healthy", healed=1, last_fault=state)
    assert course.counted
    heard, cured = course.measures(Effort())
    assert (heard.name, cured.name) == (f"{fault}: heard", f"{fault}: {healed}")
    assert heard.holds
    assert cured.holds
    assert cured.value == (3 if "next model" in tried else 4) - 1
    assert cured.limit == 5 * len(tried)
    look(5, healed=1, cures=dict.fromkeys(CURES, 1))  # a relapse is another course
    assert course.measures(Effort()) == [heard, cured]


def test_every_scenario_has_an_id_of_its_own_and_a_promise():
    found = all_scenarios()
    assert len({s.id for s in found}) == len(found)
    assert all(1 <= s.promise <= 10 and s.title and s.layer.startswith(("real", "simulated")) for s in found)


@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.0])
def test_the_fade_of_a_hiss_has_its_length(seconds):
    hiss = np.random.default_rng(1).choice([-0.2, 0.2], 4 * RATE)
    gain = 0.5 - 0.5 * np.cos(np.pi * np.minimum(np.arange(4 * RATE) / RATE / seconds, 1))
    heard = np.concatenate([np.zeros(RATE // 3), gain * hiss])
    assert fade_seconds(after_silence(heard), RATE) == pytest.approx(seconds, abs=0.03)


def test_a_click_in_music_is_found_and_a_peak_between_samples_measured(music):
    heard = music[: 2 * RATE].copy()
    heard[RATE : RATE + 2400] += 0.9
    assert step_at(heard, RATE) == pytest.approx(RATE, abs=48)
    quarter = 0.9 * np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4)
    assert true_peak(quarter) == pytest.approx(20 * np.log10(0.9), abs=0.3)
