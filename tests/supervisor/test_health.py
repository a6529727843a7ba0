"""The ladder of cures: on real voices in an engine, faster than they would be heard; and once in the whole daemon."""

import os
import signal

import numpy as np
import pytest

from ambientd.config import Config, Health
from ambientd.engine.engine import Engine
from ambientd.engine.listening import Listening
from ambientd.engine.mix import slot_mix
from ambientd.engine.nudges import Nudges
from ambientd.engine.voice import VoiceLoader, next_seed, reopen
from ambientd.samplernn import library
from ambientd.soak.sick import RATE, only, reluctant, soft, write
from ambientd.supervisor.health import MOST_REST, REST, STEP, Medic
from ambientd.types import BLOCK

from ..running import makes_new_sound, process


class Hospital:
    """A slot, its engine, and a medic whose orders are carried out at once. slot 2 is empty."""

    def __init__(self, first, enabled=True):
        self.engine, self.loader = Engine(2, 1, RATE), VoiceLoader()
        self.models, self.lines, self.orders = {1: first}, [], []
        self.listening = Listening(2, RATE, self._said)
        self.nudges = Nudges(RATE)
        self.events = []
        self.medic = Medic(Config(health=Health(enabled=enabled)), self, self.lines.append)
        self.knobs = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
        self.engine.place(0, self._voice(first))
        self.out = np.zeros((BLOCK, 1), np.float32)

    def _voice(self, id):
        return self.loader.load(library.resolve(id), 1)

    def _said(self, event):
        self.events.append(event)
        self.medic.heard(event)

    def _tell_generator(self, command):
        self.orders.append((command["cmd"], self.listening._position / RATE))
        if command["cmd"] == "nudge":
            self.nudges.give(*(command[key] for key in ("slot", "low", "high", "push", "seconds")))
            self.listening.forget(command["slot"])
        else:
            voice = self.engine.occupant(command["slot"])
            self.engine.place(command["slot"], reopen(voice, next_seed(voice.seed)), fade=0.5)
        return True

    def check_model(self, id):
        library.resolve(id)

    def change_slot(self, slot, id):
        self.orders.append(("load", self.listening._position / RATE))
        self.models[slot] = id
        self.engine.place(slot - 1, self._voice(id), fade=0.5)
        self.nudges.take_back(slot - 1)

    def play(self, seconds):
        for _ in range(round(seconds * RATE / BLOCK)):
            mix = slot_mix(self.engine.infos, [self.knobs] * 2, 1)
            self.engine.render(self.nudges.apply(mix), self.out)
            self.listening.block(self.engine)
            self.listening.listen()

    @property
    def ladder(self):
        return [name for name, _ in self.orders]


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(library, "user_folder", lambda: folder)
    monkeypatch.setattr(library, "bundled_folder", lambda: tmp_path / "none")
    return folder


def test_a_nudge_heals_what_a_warmer_temperature_heals(models):
    write(models / "reluctant.safetensors", reluctant(), album={}, temperature_range=(0.9, 2.0))
    hospital = Hospital("reluctant")
    hospital.play(9)
    assert hospital.ladder == ["nudge"]
    assert hospital.medic.info(1) == {
        "state": "healthy", "last_fault": "silent", "healed": 1,
        "cures": {"nudge": 1, "reprime": 0, "next model": 0},
    }  # fmt: skip
    assert hospital.lines == [
        "slot 1 (reluctant): has fallen silent",
        "slot 1: tries a warmer temperature",
        "slot 1 is well again, by another temperature",
    ]


def test_what_nothing_helps_is_replaced_by_a_sibling_within_three_steps(models):
    write(models / "astranger.safetensors", soft(), album={})
    write(models / "dead.safetensors", only(128), family="aa")
    write(models / "sibling.safetensors", soft(), album={}, family="aa")
    hospital = Hospital("dead")
    hospital.play(10 + 3 * STEP)
    assert hospital.ladder == ["nudge", "reprime", "load"]
    first, second, third = (at for _, at in hospital.orders)
    assert first <= 10
    assert STEP <= second - first <= STEP + 1.1
    assert STEP <= third - second <= STEP + 1.1
    assert hospital.models[1] == "sibling"
    assert hospital.medic.info(1)["healed"] == 1
    assert len(hospital.lines) == 5


def test_where_there_is_no_other_model_it_rests_between_attempts(models):
    write(models / "dead.safetensors", only(128))
    hospital = Hospital("dead")
    hospital.play(150)
    # 5 s to hear it, nudge, reprime, no model; 30 s; reprime, no model; 60 s.
    assert hospital.ladder[:2] == ["nudge", "reprime"]
    assert 3 <= len(hospital.ladder) <= 4
    assert REST < MOST_REST
    assert any("no other model" in line for line in hospital.lines)


def test_who_is_not_meant_to_be_heard_is_not_ill(models):
    write(models / "dead.safetensors", only(128))
    hospital = Hospital("dead")
    hospital.knobs[0] = 0.0
    hospital.play(20)
    assert hospital.events == []
    hospital.knobs[0] = 1.0
    hospital.play(4)
    hospital.knobs[0] = 0.0005
    hospital.play(10)
    assert hospital.orders == []


def test_switched_off_it_tells_but_does_nothing(models):
    write(models / "dead.safetensors", only(128))
    hospital = Hospital("dead", enabled=False)
    hospital.play(20)
    assert (hospital.orders, hospital.medic.info(1)["state"]) == ([], "silent")


def test_the_daemon_replaces_a_voice_that_is_dead(run, home):
    models = home / "data" / "ambientd" / "models"
    write(models / "dead.safetensors", only(180), rate=16_000)
    daemon = run('slots=[{model="dead"}]', "loading.fade=0.5")
    status = daemon.until(lambda s: s["slots"][0]["id"] != "dead" and s["slots"][0]["health"]["healed"] == 1, 90)
    health = status["slots"][0]["health"]
    assert (health["state"], health["last_fault"]) == ("healthy", "dc")
    assert health["cures"] == {"nudge": 1, "reprime": 1, "next model": 1}
    assert daemon.stop()[1] == 0


def test_panic_stays_over_new_players_and_generators_until_it_is_released(run):
    daemon = run('slots=[{model="calm"}]')
    daemon.until(lambda s: makes_new_sound(s) and s["rms"] > 0.01)
    daemon.osc("/ambientd/panic", 1)
    status = daemon.until(lambda s: s["rms"] == 0)
    for role in ("player", "generator"):
        os.kill(process(status, role)["pid"], signal.SIGKILL)
        status = daemon.until(lambda s, role=role: process(s, role)["restarts"] == 1 and makes_new_sound(s))
        frames = status["uptime_seconds"]
        status = daemon.until(lambda s, since=frames: s["uptime_seconds"] > since + 1)
        assert (status["panic"], status["rms"], status["loudness"]["momentary"]) == (True, 0, None)
    daemon.osc("/ambientd/panic", 0)
    daemon.until(lambda s: s["rms"] > 0.01 and s["loudness"]["short_term"] is not None)
    assert daemon.stop()[1] == 0
