"""Judges: what they hear of others' music, and which of them are refused."""

import numpy as np
import pytest

from ambientd.samplernn import quantize
from ambientd.samplernn.checkpoint import Architecture, Card, load, save
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training.blend.judge import MOST_GAIN_DB, Judge, Judges, album_level, level
from ambientd_plugins.training.errors import JudgeError

from .echoes import LEVELS, MIDDLE, NOISE, RATE, echo, save_echo


@pytest.fixture
def emphasised(tmp_path):
    """A judge with everything that changes what it hears; its album is the prime."""
    a = Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1, pre_emphasis=0.85, album_gain=3.0)
    audio = (echo(RATE, 0.7) * 0.005).astype(np.float32)
    tokens = quantize.encode(quantize.pre_emphasise(audio, 0.85) * 3, 256, "mu-law")
    path = tmp_path / "judge.safetensors"
    save(path, Card(architecture=a, sample_rate=RATE), SampleRNN(a).export(), tokens[None])
    return load(path), audio, tokens


def test_its_own_album_is_heard_as_it_was_learnt_however_loud_it_comes(emphasised):
    checkpoint, audio, tokens = emphasised
    judge = Judge(checkpoint)
    for factor in (1.0, 0.2, 3.0):
        heard = judge.tokens(audio * np.float32(factor)).astype(int)
        assert np.abs(heard - tokens).max() <= 1  # the level is known from tokens, which are rounded
    assert np.array_equal(judge.tokens(audio * 0.5), judge.tokens(audio))


def test_the_level_is_the_album_s_where_the_card_tells(emphasised):
    checkpoint, audio, _ = emphasised
    assert album_level(checkpoint) == pytest.approx(level(audio), abs=0.1)
    card = checkpoint.card.model_copy(update={"album_scores": {"level_db": -33.0}})
    checkpoint = type(checkpoint)("judge", card, checkpoint.tensors, checkpoint.prime)
    a = card.architecture
    tokens = Judge(checkpoint).tokens(audio)
    heard = quantize.decode(tokens, a.q_levels, a.quantization, a.pre_emphasis, a.album_gain)
    assert level(heard) == pytest.approx(-33.0, abs=0.2)


def test_silence_stays_silence(emphasised):
    checkpoint, _, _ = emphasised
    judge = Judge(checkpoint)
    assert (judge.tokens(np.zeros(100, np.float32)) == 128).all()
    quiet = np.full(100, 1e-6, np.float32)  # -120 dBFS, less than half a step even when MOST_GAIN_DB louder
    assert MOST_GAIN_DB < 30
    assert (judge.tokens(quiet) == 128).all()


def test_bits_are_the_cross_entropy(tmp_path):
    judge = Judge(load(save_echo(tmp_path / "judge.safetensors", 0.3)))
    own, other = ((echo(2 * RATE, factor, seed=3) * 2 / LEVELS).astype(np.float32) for factor in (0.3, -0.3))
    entropy = np.log2(NOISE * np.sqrt(2 * np.pi * np.e))
    # Of the other: (x + 0.3 y)^2 is NOISE^2 in the mean, (x - 0.3 y)^2 is 4 * 0.3^2 / (1 - 0.3^2) of it more.
    more = 0.5 * 4 * 0.3**2 / (1 - 0.3**2) / np.log(2)
    told = []
    assert judge.bits([own, other], told.append) == pytest.approx([entropy, entropy + more], abs=0.03)
    assert sum(told) == 4 * RATE


@pytest.fixture
def files(tmp_path):
    """files(name, factor, ...) -> the path of a model as `save_echo` makes."""
    return lambda name, *settings, **shape: save_echo(tmp_path / f"{name}.safetensors", *settings, **shape)


def test_judges_that_do_not_fit_are_refused(files):
    players = load(files("a", 0.3, 16)), load(files("b", -0.3, 16))
    a, b = files("judge-a", 0.3, 8), files("judge-b", -0.3, 8)
    for pair, words in [
        ((a, files("copy", -0.3, 16)), "the judge copy is b, which plays"),
        ((a, files("flat", -0.3, 8, quantization="mu-law")), "differ in quantization"),
        ((a, files("sharp", -0.3, 8, pre_emphasis=0.5)), "differ in pre_emphasis"),
        ((a, files("fast", -0.3, 8, rate=16_000)), r"several sample rates: \[8000, 16000\]"),
    ]:
        with pytest.raises(JudgeError, match=words):
            Judges.of(pair, players)
    with pytest.raises(JudgeError, match="do not tell the albums apart"):
        Judges.of((b, a), players).albums(players)
    with pytest.raises(JudgeError, match="do not tell the albums apart"):
        Judges.of((a, a), players).albums(players)
    of_a, of_b = Judges.of((a, b), players).albums(players)
    assert of_a[0] < of_a[1]
    assert of_b[1] < of_b[0]


def test_a_model_that_holds_only_silence_has_no_album_to_tell_of(files):
    a, b = files("a", 0.3, 16), files("b", -0.3, 16)
    found = load(a)
    save(a, found.card, found.tensors, np.full((1, RATE), MIDDLE, np.uint8))
    players = load(a), load(b)
    judges = Judges.of((files("judge-a", 0.3, 8), files("judge-b", -0.3, 8)), players)
    assert judges.albums(players)[0] is None
    with pytest.raises(JudgeError, match="does not tell how loud its album is"):
        Judge(players[0])
