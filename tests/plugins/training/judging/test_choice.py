"""The best checkpoint is the one that both the numbers and the ear choose."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from ambientd.samplernn.checkpoint import Architecture, Card, Checkpoint, Training, load
from ambientd.samplernn.model import SampleRNN
from ambientd.samplernn.scores import Scores
from ambientd_plugins.training import dataset
from ambientd_plugins.training.folder import RunFolder
from ambientd_plugins.training.judging.choice import NEAR, Choice, ranked
from ambientd_plugins.training.judging.listen import TEMPERATURES, Ear, Heard, best_of, outward

ARCHITECTURE = Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1)
RATE = 8000
ALBUM = Scores(0.0, 0.01, 0.8, 0.0, 0, 0.0, -20.0, 2.0)
GOOD = replace(ALBUM, distance=4.0)
POOR = replace(ALBUM, tonality=0.1, distance=8.0)
HISS = replace(ALBUM, flatness=0.5, distance=9.0)


def card(step, bits, scores=None):
    """As a training leaves it; hiss has no safe temperature."""
    heard = {"scores": scores.to_dict(), "album_scores": ALBUM.to_dict()} if scores else {}
    safe = (0.95, 1.0) if scores and scores is not HISS else None
    training = Training(steps=step, validation_bits=bits)
    return Card(architecture=ARCHITECTURE, sample_rate=RATE, training=training, temperature_range=safe, **heard)


@pytest.mark.parametrize(
    ("cards", "order"),
    [
        ([card(1, 5.0), card(2, 4.0), card(3, 4.5)], [2, 3, 1]),
        ([card(1, 4.0 + NEAR / 2, GOOD), card(2, 4.0, POOR)], [1, 2]),
        ([card(1, 4.0 + NEAR * 2, GOOD), card(2, 4.0, POOR)], [2, 1]),
        ([card(1, 6.0, POOR), card(2, 4.0, HISS)], [1, 2]),
        ([card(1, 6.0, GOOD), card(2, 4.0, HISS), card(3, 5.0, POOR)], [3, 1, 2]),
        ([card(1, 4.0, HISS), card(2, 4.0 + NEAR / 2, HISS)], [1, 2]),
        ([card(1, 4.0 + NEAR / 2, GOOD), card(2, 4.0)], [1, 2]),
        ([card(1, 4.0, HISS), card(2, 5.0)], [2, 1]),
        ([], []),
    ],
)
def test_the_rule(cards, order):
    assert [c.training.steps for c in ranked(cards)] == order


def heard(*qualities):
    """At 0.9, 0.95 and so on; below 0 is a fault."""
    return [Heard(round(0.9 + 0.05 * i, 2), GOOD, "hiss" if q < 0 else "", q) for i, q in enumerate(qualities)]


@pytest.mark.parametrize(
    ("qualities", "best", "safe"),
    [
        ((0.2, 0.5, 0.4, -0.1), 0.95, (0.9, 1.0)),
        ((0.2, -0.5, 0.4, 0.1), 1.0, (1.0, 1.05)),
        ((-0.2, -0.1, -0.4), 0.95, None),
        ((0.3,), 0.9, (0.9, 0.9)),
    ],
)
def test_the_safe_range_has_no_gap(qualities, best, safe):
    found, range_ = best_of(heard(*qualities))
    assert (found.temperature, range_) == (best, safe)


@pytest.mark.parametrize(
    ("again", "best", "safe"),
    [
        ({0.95: 0.4}, 0.95, (0.9, 1.0)),  # for long it sounds a little worse, as everything does
        ({0.95: -0.4}, 0.9, (0.9, 0.9)),
        ({0.9: -0.2, 0.95: 0.3}, 0.95, (0.95, 1.0)),
        ({0.9: -0.2, 0.95: -0.4, 1.0: -0.1}, 1.0, None),
    ],
)
def test_where_little_is_heard_again_the_rest_stays_known(again, best, safe):
    """What is in the longer take counts; at 0.9, 0.95 and 1 there was a shorter one."""
    longer = [Heard(t, GOOD, "hiss" if q < 0 else "", q) for t, q in again.items()]
    found, range_ = best_of(longer, heard(0.5, 0.6, 0.5, -0.1)[:3])
    assert (found.temperature, range_) == (best, safe)


@pytest.mark.parametrize("first", TEMPERATURES)
def test_what_was_heard_has_no_gap_and_begins_where_it_should(first):
    order = outward(first)
    assert order[0] == first
    for count in range(1, len(order) + 1):
        places = [TEMPERATURES.index(t) for t in order[:count]]
        assert max(places) - min(places) == count - 1
    assert outward(1.0) == [1.0, 0.95, 0.9, 1.05, 0.85]


class HissAbove(Ear):
    """Hears GOOD below `limit` and HISS from there on, and writes down what it heard: (step, temperature)."""

    def __init__(self, limit):
        self.limit, self.album, self.profile, self.heard = limit, ALBUM, None, []

    def hear(self, checkpoint, out, length, temperature, own_temperature, interrupted):
        assert load(checkpoint).card.temperature == own_temperature
        out.parent.mkdir(exist_ok=True)
        soundfile.write(out, np.zeros(round(length * RATE)), RATE)
        self.heard.append((int(checkpoint.stem.removeprefix("step")), temperature))
        return self.judged(temperature, HISS if temperature >= self.limit else GOOD)


@pytest.fixture
def choice(tmp_path):
    torch.manual_seed(0)
    t = np.arange(20 * RATE)
    music = np.rint(128 + 60 * np.sin(t / 9) + 20 * np.sin(t / 31)).astype(np.uint8)
    data = dataset.split([music], 64, "time", np.random.default_rng(0))
    return Choice(RunFolder(tmp_path / "run"), data, ARCHITECTURE, RATE, listens=True)


def enter(choice, step, bits, seconds=0.0):
    prime = dataset.prime(choice.data.train, RATE)
    checkpoint = Checkpoint("", card(step, bits), SampleRNN(ARCHITECTURE).export(), prime)
    return choice.enter(checkpoint, 0.0, seconds, lambda: False)


def test_it_is_heard_through_the_public_command(choice):
    verdict = enter(choice, 10, 5.0, seconds=60.0)
    assert list(verdict.line["scores"]) == ["0.85", "0.9", "0.95", "1", "1.05"]
    assert [path.name for path in verdict.sounds] == [f"step10-t{t}.wav" for t in ("0.85", "0.9", "0.95", "1", "1.05")]
    assert all(soundfile.info(path).duration == 6 for path in verdict.sounds)
    picture = choice.folder.samples / f"step10-t{verdict.line['temperature']:g}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = load(choice.folder.best)
    assert found.card.scores == Scores.from_dict(found.card.scores).to_dict()
    assert found.card.album_scores["tonality"] > 0.5
    # A model of random weights makes noise, and noise is never safe.
    assert (found.card.temperature_range, bool(verdict.line["fault"])) == (None, True)
    assert np.array_equal(found.profile, choice.ear.profile.to_array())
    json.dumps(verdict.line)


def test_listening_stops_when_its_time_is_up(choice):
    assert list(enter(choice, 10, 5.0).line["scores"]) == ["1"]


def test_the_few_best_are_kept_and_heard_again(choice):
    for step, bits in ((10, 5.0), (20, 4.0), (30, 4.9), (40, 4.8)):
        enter(choice, step, bits)
    assert [path.stem for path in choice.folder.candidates()] == ["step20", "step30", "step40"]
    assert load(choice.folder.best).card.training.steps == 20
    assert choice.best_bits == 4.0
    said, done = [], []
    choice.folder.say, choice.folder.doing = said.append, done.append
    choice.finish(0.1, lambda: False)
    assert list(dict.fromkeys(done)) == ["listening", "testing"]
    assert soundfile.info(choice.folder.samples / "step20-t1.wav").duration == 40
    best = load(choice.folder.best).card
    assert best.training.steps == 20
    assert best.training.test_bits > 7
    assert said[0] == "trained; now the last choice and its test"
    assert said[1:] == [f"test {best.training.test_bits:.3f} bits per sample"]
    again = Choice(choice.folder, choice.data, ARCHITECTURE, RATE, listens=True)
    assert {step: c.scores for step, c in again.cards.items()} == {step: c.scores for step, c in choice.cards.items()}
    assert again.best_bits == 4.0


def test_a_short_last_listening_discards_nothing(choice):
    """The better model hisses from 1.0 up, and there is time for one take."""
    choice.ear = HissAbove(1.0)
    enter(choice, 10, 6.0, seconds=60.0)
    line = enter(choice, 20, 4.0, seconds=60.0).line
    choice.folder.append(choice.folder.log, {"step": 20} | line)
    before = load(choice.folder.best).card
    assert (before.training.steps, before.temperature_range) == (20, (0.85, 0.95))
    again = Choice(choice.folder, choice.data, ARCHITECTURE, RATE, listens=True)
    again.ear = HissAbove(1.0)
    again.finish(1e-3, lambda: False)
    assert again.ear.heard == [(20, before.temperature)]
    after = load(choice.folder.best).card
    assert (after.training.steps, after.temperature, after.temperature_range) == (20, before.temperature, (0.85, 0.95))


def test_what_a_long_take_found_unsafe_stays_so(choice):
    choice.ear = HissAbove(1.1)
    line = enter(choice, 10, 5.0, seconds=60.0).line
    choice.folder.append(choice.folder.log, {"step": 10} | line)
    choice.ear = HissAbove(0.95)
    choice.finish(60.0, lambda: False)
    assert load(choice.folder.best).card.temperature_range == (0.85, 0.9)
    again = Choice(choice.folder, choice.data, ARCHITECTURE, RATE, listens=True)
    again.ear = HissAbove(0.95)
    again.finish(1e-3, lambda: False)
    assert load(choice.folder.best).card.temperature_range == (0.85, 0.9)


def test_each_picture_is_of_the_take_beside_it(choice, monkeypatch):
    drawn = "ambientd_plugins.training.judging.choice.mel_png"
    monkeypatch.setattr(drawn, lambda panels, rate: b"%d" % max(map(len, panels.values())))
    choice.ear = HissAbove(1.0)
    enter(choice, 10, 5.0, seconds=60.0)
    samples = choice.folder.samples
    other = samples / "step10-t0.95.png"
    other.write_bytes(b"of an earlier take")
    choice.finish(60.0, lambda: False)
    assert soundfile.info(samples / "step10-t0.85.wav").duration == 40
    assert [path.name for path in samples.glob("*.png")] == ["step10-t0.85.png"]
    assert (samples / "step10-t0.85.png").read_bytes() == b"%d" % (40 * RATE)


def test_a_take_that_is_gone_is_not_drawn(choice):
    """What is heard for long hisses, and of what is left the best has no file any more."""
    choice.ear = HissAbove(1.0)
    enter(choice, 10, 5.0, seconds=60.0)
    first = load(choice.folder.best).card.temperature
    choice.ear = HissAbove(0.1)
    for sound in choice.folder.samples.glob("step10-*.wav"):
        sound.unlink()
    choice.finish(1e-3, lambda: False)
    assert choice.ear.heard == [(10, first)]
    assert load(choice.folder.best).card.temperature != first
    assert not list(choice.folder.samples.glob("*.png"))


def test_a_validation_listens_first_as_the_best_sounds_best(choice):
    choice.ear = HissAbove(0.9)
    enter(choice, 10, 5.0, seconds=60.0)
    enter(choice, 20, 4.0)
    assert choice.ear.heard[-1] == (20, 0.85)
    best = load(choice.folder.best).card
    assert (best.training.steps, best.temperature, best.temperature_range) == (20, 0.85, (0.85, 0.85))


def test_without_listening_the_numbers_choose(choice):
    choice.listens = False
    assert enter(choice, 10, 5.0).line == {}
    assert enter(choice, 20, 4.0).sounds == []
    choice.finish(0.0, lambda: False)
    assert load(choice.folder.best).card.training.steps == 20
    assert not choice.folder.samples.exists()


def test_an_interrupt_ends_the_listening(choice):
    prime = dataset.prime(choice.data.train, RATE)
    with pytest.raises(KeyboardInterrupt):
        choice.enter(Checkpoint("", card(10, 5.0), SampleRNN(ARCHITECTURE).export(), prime), 0.0, 60.0, lambda: True)


def test_what_cannot_be_played_is_told(choice):
    said = []
    choice.folder.say = said.append
    choice.folder.path.mkdir()
    choice.folder.samples.write_text("in the way")
    assert enter(choice, 10, 5.0).line == {}
    assert said[0].startswith("not listened to: ")
    assert load(choice.folder.best).card.training.steps == 10
