"""What a checkpoint has to show before it is let in, and where its voice begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ambientd.engine import voice
from ambientd.engine.admission import admit, check_memory, verify
from ambientd.engine.kernels.plan import WINDOW
from ambientd.engine.recent import Recent, requantised
from ambientd.engine.voice import MAX_PRIME, VoiceLoader, pack
from ambientd.errors import CheckpointError
from ambientd.samplernn.checkpoint import Forecast, load, save
from ambientd.samplernn.quantize import decode
from ambientd.samplernn.sums import sum_of
from ambientd.types import BLOCK


def sound(info, seconds=1.0, level=0.05):
    """Low-passed noise [n]."""
    noise = np.random.default_rng(0).standard_normal(int(seconds * info.sample_rate)).astype(np.float32)
    return np.float32(level) * np.convolve(noise, np.hanning(9) / 3, "same").astype(np.float32)


@pytest.mark.parametrize("forecast", [None, Forecast(orders=(32, 16), rates=(0.01, 0.002))])
def test_weights_that_play_as_the_file_says_are_let_in(make_checkpoint, forecast):
    checkpoint = make_checkpoint(dim=40, frame_sizes=(4, 12), n_rnn=2, forecast=forecast)
    verify(checkpoint, pack(checkpoint))
    verify(replace(checkpoint, prime=checkpoint.prime[:0]), pack(checkpoint))


def test_weights_of_another_model_are_refused(make_checkpoint):
    with pytest.raises(CheckpointError, match="'random-1' does not play as its weights say"):
        verify(make_checkpoint(seed=1), pack(make_checkpoint(seed=2)))


def test_a_model_that_computes_no_numbers_is_refused(make_checkpoint):
    checkpoint = make_checkpoint()
    tensors = dict(checkpoint.tensors) | {"sample.output.weight": np.full((256, 24), 3e38, np.float32)}
    with pytest.raises(CheckpointError, match="is no number"):
        verify(replace(checkpoint, tensors=tensors), pack(replace(checkpoint, tensors=tensors)))


def test_a_model_that_is_not_the_one_published_is_refused(tmp_path, make_checkpoint):
    checkpoint, path, sums = make_checkpoint(), tmp_path / "a.safetensors", tmp_path / "SHA256SUMS"
    save(path, checkpoint.card, checkpoint.tensors, checkpoint.prime)
    admit(VoiceLoader(), path, 1, 0, None)
    sums.write_text(f"{sum_of(path)}  a.safetensors\n")
    admit(VoiceLoader(), path, 1, 0, None)
    save(path, checkpoint.card, dict(make_checkpoint(seed=2).tensors), checkpoint.prime)
    with pytest.raises(CheckpointError, match=r"a\.safetensors is not the file that was published"):
        admit(VoiceLoader(), path, 1, 0, None)


def test_a_model_that_is_replaced_while_it_is_read_is_refused(tmp_path, make_checkpoint, monkeypatch):
    checkpoint, path, loader = make_checkpoint(), tmp_path / "a.safetensors", VoiceLoader()
    save(path, checkpoint.card, checkpoint.tensors, checkpoint.prime)

    def read_and_replaced(path):
        found = load(path)
        save(path, checkpoint.card, checkpoint.tensors, checkpoint.prime)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(voice, "load", read_and_replaced)
        with pytest.raises(CheckpointError, match="was replaced while it was read"):
            loader.read(path)
        patched.setattr(voice, "load", lambda path: path.unlink() or checkpoint)
        with pytest.raises(CheckpointError, match="was replaced while it was read"):
            loader.read(path)
    with pytest.raises(CheckpointError, match="does not exist"):
        loader.read(path)


def test_what_was_refused_once_is_refused_again(tmp_path, make_checkpoint):
    checkpoint, path, loader = make_checkpoint(), tmp_path / "wild.safetensors", VoiceLoader()
    tensors = dict(checkpoint.tensors) | {"sample.output.weight": np.full((256, 24), 3e38, np.float32)}
    save(path, checkpoint.card, tensors, checkpoint.prime, half=False)
    errors = []
    for _ in range(2):  # the first error, while it is kept, keeps alive what was loaded
        with pytest.raises(CheckpointError, match="no number") as caught:
            admit(loader, path, 1, 0, None)
        errors.append(caught.value)


def test_a_model_that_is_too_large_is_refused_before_it_is_read(make_checkpoint):
    card = make_checkpoint().card
    check_memory("fits", card, None)
    check_memory("fits", card, 1 << 30)
    with pytest.raises(CheckpointError, match=r"'wide' takes \d+ MB to load and 10 MB are left"):
        check_memory("wide", card, 10 << 20)


@pytest.mark.parametrize(("pre_emphasis", "gain"), [(0.0, 1.0), (0.85, 6.0)])
def test_what_a_voice_played_is_what_another_of_its_kind_hears(make_checkpoint, pre_emphasis, gain):
    info = make_checkpoint(pre_emphasis=pre_emphasis, album_gain=gain).info
    first = requantised(sound(info), info)
    again = requantised(decode(first, 256, "mu-law", pre_emphasis, gain), info)
    # The first sample has lost what came before it.
    np.testing.assert_array_equal(again[1:], first[1:])
    assert len(first) % info.frame_sizes[-1] == 0
    assert np.unique(first).size > 10


def test_what_is_too_loud_is_turned_down_and_what_is_silent_is_nothing(make_checkpoint):
    info = make_checkpoint(album_gain=50.0).info
    loud = requantised(sound(info, level=0.5), info)
    assert np.mean((loud == 0) | (loud == 255)) < 1e-3
    assert requantised(sound(info, level=1e-5), info) is None
    assert requantised(np.zeros(3, np.float32), info) is None


def test_the_last_seconds_are_kept_in_order_and_in_one_channel():
    recent, count = Recent(1000), MAX_PRIME // BLOCK + 10
    ramp = np.arange(count * BLOCK, dtype=np.float32).reshape(count, BLOCK, 1) / count / BLOCK
    for block in ramp:
        recent.add(np.concatenate((block, block), axis=1) * np.float32(np.sqrt(0.5)))
        if block is ramp[0]:
            np.testing.assert_allclose(recent.last(), block[:, 0], rtol=1e-6)
    np.testing.assert_allclose(recent.last(), ramp.ravel()[-MAX_PRIME:], rtol=1e-6)


def test_a_voice_takes_up_what_sounds_now_or_else_its_own_album(model_files):
    loader = VoiceLoader()
    own = admit(loader, model_files[0], 7, 0, None)
    heard = sound(own.info)
    now = admit(loader, model_files[0], 7, 0, lambda: heard)
    tokens = requantised(heard, own.info)
    assert now.stream[WINDOW - 512 : WINDOW].tolist() == tokens[-512:].tolist()
    silence = admit(loader, model_files[0], 7, 0, lambda: np.zeros(4096, np.float32))
    assert silence.stream.tolist() == own.stream.tolist()
    assert now.packed is own.packed
