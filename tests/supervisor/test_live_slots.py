"""What is asked of slots while the music plays, and who is told what."""

from __future__ import annotations

import pytest

from ambientd.config import Config
from ambientd.engine.warm import random_checkpoint
from ambientd.errors import AmbientdError, CheckpointError, UsageError
from ambientd.samplernn.checkpoint import Architecture, save
from ambientd.supervisor.live_slots import LiveSlots
from ambientd.supervisor.slots import open_slot

MEASURED = {
    "gap_ms": 12.0, "level_step_db": 0.5, "jump": 0.01, "level_shift_db": 2.0, "heard_step_db": 0.7, "jump_around": 0.02
}  # fmt: skip


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Models `one`, `two` and, at another rate, `fast`."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("ambientd.samplernn.library.user_folder", lambda: tmp_path)
    for name, rate in (("one", 16_000), ("two", 16_000), ("fast", 32_000)):
        checkpoint = random_checkpoint(Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1), 0, rate)
        save(tmp_path / f"{name}.safetensors", checkpoint.card, checkpoint.tensors, checkpoint.prime)


class Desk:
    """Live slots with `one` in slot 1, and all that was sent and told."""

    def __init__(self, **loading):
        self.sent, self.told, self.running = [], [], True
        config = Config.model_validate({"max_slots": 3, "loading": loading, "engine": {"seed": 5}})
        self.slots = LiveSlots([open_slot(1, "one", 7, None)], config, self._send)

    def _send(self, command):
        self.sent.append(command)
        return self.running

    def tell(self, address, values):
        self.told.append((address, values))

    def load(self, number, id, prime=None):
        self.slots.load(number, id, prime, self.tell)

    def said(self, event, **values):
        self.slots.said({"event": event, "slot": self.sent[-1]["slot"], "ticket": self.sent[-1]["ticket"], **values})

    @property
    def playing(self):
        return [(slot.number, slot.id, slot.state) for slot in self.slots]


def test_a_model_comes_in_and_its_asker_hears_what_it_cost(library):
    desk = Desk(prime="now")
    desk.load(1, "two")
    order = desk.sent[-1]
    assert (order["cmd"], order["slot"], order["id"], order["prime"]) == ("load", 0, "two", "now")
    assert order["path"].endswith("two.safetensors")
    assert (desk.playing, desk.slots.loading) == ([(1, "one", "loading")], [{"slot": 1, "id": "two"}])
    desk.said("loaded", id="two", seed=order["seed"])
    assert (desk.playing, desk.slots.loading) == ([(1, "two", "playing")], [])
    desk.said("changed", **MEASURED)
    assert desk.told == [("slot/1/loaded", ("two",)), ("slot/1/changed", (12.0, 0.5, 0.01, 2.0, 0.7, 0.02))]
    assert next(iter(desk.slots)).change == MEASURED


def test_a_voice_goes(library):
    desk = Desk()
    desk.slots.unload(1, desk.tell)
    desk.said("unloaded")
    desk.said("changed", **MEASURED)
    assert desk.playing == []
    assert desk.told[0] == ("slot/1/unloaded", ())
    with pytest.raises(UsageError, match="slot 1 is empty"):
        desk.slots.unload(1, desk.tell)


@pytest.mark.parametrize(
    ("number", "id", "prime", "reason"),
    [
        (0, "two", None, "there is no slot 0"),
        (4, "two", None, "there is no slot 4"),
        (2, "twoo", None, "Did you mean 'two'"),
        (2, "../two", None, "no model is called"),
        (2, "fast", None, "fast runs at 32000 Hz"),
        (2, "two", "loud", "not 'loud'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(library, number, id, prime, reason):
    desk = Desk()
    with pytest.raises(AmbientdError, match=reason):
        desk.load(number, id, prime)
    assert not desk.sent
    assert reason in desk.slots.refused[0]["reason"]
    assert (desk.playing, desk.slots.loading) == ([(1, "one", "loading")], [])


def test_what_the_generator_refuses_changes_nothing_and_is_told(library):
    desk = Desk()
    desk.load(1, "two")
    with pytest.raises(UsageError, match="about to change already"):
        desk.load(1, "two")
    desk.said("failed", what="it is damaged", remedy="Fetch it", exit_code=4)
    assert desk.told == [("error", ("/ambientd/slot/1/load", "it is damaged. Fetch it"))]
    assert list(desk.slots.refused)[-1] == {"slot": 1, "id": "two", "reason": "it is damaged. Fetch it"}
    assert [slot.id for slot in desk.slots] == ["one"]
    desk.load(1, "two")


def test_a_generator_that_ends_takes_along_what_was_on_its_way(library):
    desk = Desk()
    desk.load(2, "two")
    desk.slots.restarted()
    assert desk.told[0][0] == "error"
    assert "started again" in desk.told[0][1][1]
    desk.running = False
    with pytest.raises(UsageError, match="Ask again"):
        desk.load(2, "two")
    assert desk.slots.loading == []


def test_each_load_has_a_seed_of_its_own_and_the_same_next_time(library):
    def seeds():
        desk = Desk()
        for number in (2, 3, 2):
            desk.load(number, "two")
            desk.said("loaded", id="two", seed=desk.sent[-1]["seed"])
        return [order["seed"] for order in desk.sent]

    assert seeds() == seeds()
    assert len(set(seeds())) == 3


def test_a_first_model_that_fails_says_so(library):
    desk = Desk()
    desk.slots.said({"event": "failed", "slot": 0, "what": "it is gone", "remedy": ""})
    assert desk.playing == [(1, "one", "failed: it is gone")]
    with pytest.raises(CheckpointError):
        open_slot(1, "none", 1, None)
