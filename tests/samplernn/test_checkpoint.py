"""The file: what is written comes back, and what is foreign or damaged is refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ambientd.engine.warm import random_checkpoint
from ambientd.errors import CheckpointError
from ambientd.samplernn import checkpoint as ck


def test_a_checkpoint_comes_back(tmp_path, write):
    path = tmp_path / "album.safetensors"
    tensors, prime = write(path)
    found = ck.load(path)
    assert found.id == "album"
    assert found.card == ck.load_card(path)
    assert (found.card.album.licence, found.card.sample_rate) == ("CC-BY-4.0", 8000)
    assert np.array_equal(found.prime, prime)
    for name, tensor in tensors.items():
        assert np.allclose(found.tensors[name], tensor, atol=2e-3), name
        assert found.tensors[name].dtype == np.float32
    assert found.info.album_gain == 2.0
    assert list(tmp_path.iterdir()) == [path]


def test_a_card_without_the_newer_fields_still_loads(tmp_path, write):
    path = tmp_path / "album.safetensors"
    write(path)
    header, body = header_of(path)
    card = json.loads(header["__metadata__"]["ambientd"])
    for name in ("temperature_range", "scores", "album_scores"):
        del card[name]
    header["__metadata__"]["ambientd"] = json.dumps(card)
    with_header(path, header, body)
    found = ck.load(path)
    assert (found.card.temperature_range, found.card.scores, found.profile) == (None, {}, None)


def test_scores_and_the_profile_come_back(tmp_path, write):
    path = tmp_path / "album.safetensors"
    tensors, prime = write(path)
    scores = {"tonality": 0.5, "distance": 2.0}
    card = ck.load_card(path).model_copy(update={"temperature_range": (0.9, 1.05), "scores": scores})
    profile = np.arange(12, dtype=np.float32).reshape(4, 3)
    ck.save(path, card, tensors, prime, profile=profile)
    found = ck.load(path)
    assert (found.card.temperature_range, found.card.scores) == ((0.9, 1.05), scores)
    assert np.array_equal(found.profile, profile)
    ck.save(path, card, tensors, prime, profile=profile.T)
    with pytest.raises(CheckpointError, match="profile should be"):
        ck.load(path)


def test_a_voice_is_trimmed_by_what_it_plays_else_by_its_album(write, tmp_path):
    write(tmp_path / "album.safetensors")
    found = ck.load(tmp_path / "album.safetensors")
    assert (found.info.trim, found.card.trim) == (1, 1)
    for scores, album, decibel in (
        ({"level_db": -26.0}, {"level_db": -10.0}, 6),
        ({"tonality": 0.5}, {"level_db": -10.0}, -10),
        ({"level_db": -60.0}, {}, 12),
        ({"level_db": -3.0}, {}, -12),
        ({"level_db": float("nan")}, {}, 0),
    ):
        card = found.card.model_copy(update={"scores": scores, "album_scores": album})
        levelled = replace(found, card=card)
        assert 20 * np.log10(levelled.info.trim) == pytest.approx(decibel)
        assert replace(levelled, levelled=False).info.trim == 1


FORECAST = ck.Forecast(orders=(64, 16), rates=(0.01, 0.002))
GOOD_GUIDE = np.full((3, 33), 0.5, np.float32)


def save_with_guide(path, guide, forecast=FORECAST):
    checkpoint = random_checkpoint(ck.Architecture(dim=8, frame_sizes=(4,), n_rnn=1, forecast=forecast))
    ck.save(path, checkpoint.card, checkpoint.tensors, checkpoint.prime, guide=guide)


def test_the_guide_comes_back(tmp_path):
    path = tmp_path / "led.safetensors"
    save_with_guide(path, GOOD_GUIDE)
    assert np.array_equal(ck.load(path).guide, GOOD_GUIDE)
    save_with_guide(path, np.zeros((0, 33)))
    assert ck.load(path).guide is None


@pytest.mark.parametrize(
    ("guide", "forecast", "said"),
    [
        (np.ones(33), FORECAST, "guide should be"),
        (np.ones((3, 32)), FORECAST, "guide should be"),
        (np.ones((3, 81)), FORECAST, "up to 64"),
        (np.ones((3, 33)), None, "guide should be"),
        (GOOD_GUIDE * np.nan, FORECAST, "NaN"),
        (np.concatenate((GOOD_GUIDE[:, :32], GOOD_GUIDE[:, :1] * 2), axis=1), FORECAST, "no autocorrelation"),
        (GOOD_GUIDE * 0, FORECAST, "no autocorrelation"),
    ],
)
def test_a_guide_that_no_voice_can_follow_is_refused(tmp_path, guide, forecast, said):
    path = tmp_path / "led.safetensors"
    save_with_guide(path, guide, forecast)
    with pytest.raises(CheckpointError, match=said):
        ck.load(path)


def header_of(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path, header, body):
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + body)


def damaged_card(path, **fields):
    header, body = header_of(path)
    card = json.loads(header["__metadata__"]["ambientd"])
    header["__metadata__"]["ambientd"] = json.dumps(card | fields)
    with_header(path, header, body)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def cut_in_the_header(path):
    path.write_bytes(path.read_bytes()[:50])


def endless_header(path):
    path.write_bytes((1 << 60).to_bytes(8, "little") + path.read_bytes()[8:])


def too_many_tensors(path):
    header, body = header_of(path)
    header |= {f"t{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(300)}
    with_header(path, header, body)


def another_shape(path):
    header, body = header_of(path)
    header["sample.hidden.weight"]["shape"] = [4, 16]
    with_header(path, header, body)


def no_prime(path):
    header, body = header_of(path)
    del header["prime"]
    with_header(path, header, body)


def a_pickle(path):
    path.write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94.")


def foreign_safetensors(path):
    with_header(path, {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0\0\0\0")


def from_the_future(path):
    damaged_card(path, format=99)


def huge_dim(path):
    header, _ = header_of(path)
    damaged_card(path, architecture=json.loads(header["__metadata__"]["ambientd"])["architecture"] | {"dim": 1 << 40})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, "truncated or damaged"),
        (cut_in_the_header, "not an ambientd checkpoint"),
        (endless_header, "not an ambientd checkpoint"),
        (a_pickle, "not an ambientd checkpoint"),
        (foreign_safetensors, "not an ambientd checkpoint"),
        (too_many_tensors, "tensors, more than 256"),
        (another_shape, "sample.hidden.weight should be [8, 8]"),
        (no_prime, "prime audio"),
        (from_the_future, "newer format"),
        (huge_dim, "architecture.dim"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, write, damage, said):
    path = tmp_path / "album.safetensors"
    write(path)
    damage(path)
    with pytest.raises(CheckpointError) as caught:
        ck.load(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_oversized_file_is_refused_before_it_is_read(tmp_path, write):
    path = tmp_path / "album.safetensors"
    write(path)
    with path.open("r+b") as file:
        file.truncate(ck.MAX_FILE_BYTES + 1)  # sparse: costs no disk
    with pytest.raises(CheckpointError, match="larger than"):
        ck.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        ck.load(tmp_path / "none.safetensors")


def test_weights_that_are_not_numbers_are_refused(tmp_path, write):
    path = tmp_path / "album.safetensors"
    write(path)
    for bad in (np.nan, 1e6):  # the second is none as a half float
        with pytest.raises(CheckpointError, match=r"sample\.output\.bias holds NaN, infinity"):
            write(path, **{"sample.output.bias": np.full(16, bad, np.float32)})
    ck.load(path)
    header, body = header_of(path)
    start, end = header["sample.output.bias"]["data_offsets"]
    nan = np.full((end - start) // 2, np.nan, np.float16).tobytes()
    with_header(path, header, body[:start] + nan + body[end:])
    with pytest.raises(CheckpointError, match="NaN"):
        ck.load(path)


def test_a_family_is_founded_by_who_has_none(tmp_path, write):
    path = tmp_path / "album.safetensors"
    tensors, prime = write(path)
    base = ck.load(path)
    assert base.card.family == base.info.family == ck.fingerprint(base.tensors) == ck.fingerprint(tensors)
    ck.save(path, base.card, {n: t * 2 for n, t in tensors.items()}, prime)
    assert ck.load(path).family == base.family
    damaged_card(path, family=None)  # as older versions wrote it
    assert ck.load(path).family == ck.fingerprint({n: t * 2 for n, t in base.tensors.items()})


def test_frame_sizes_must_nest():
    with pytest.raises(ValueError, match="multiple"):
        ck.Architecture(dim=8, frame_sizes=(4, 6), n_rnn=1)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a"
    ck.write_atomically(path, b"before")
    with pytest.raises(TypeError):
        ck.write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "valid"), [("a-1.b_c", True), ("../a", False), ("a/b", False), ("", False), (".a", False)]
)
def test_ids_are_never_paths(text, valid):
    assert ck.valid_id(text) is valid
