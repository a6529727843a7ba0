"""The wav sink: what was played is what is in the file, and a file is complete or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ambientd.config import validate
from ambientd.errors import ConfigError, PluginError
from ambientd_plugins import wav
from ambientd_plugins.wav import Wav, WavConfig

AUDIO = np.random.default_rng(7).uniform(-1, 1, (4_800, 2)).astype(np.float32)


def record(path: Path, **options: str) -> Wav:
    sink = Wav(WavConfig(path=path, **options), 48_000, 2)
    for block in np.split(AUDIO, 5):
        sink.write(block)
    return sink


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.wav", {}, 1 / 32768),
        ("a.WAV", {"subtype": "FLOAT"}, 0),
        ("deep/er/a.flac", {"subtype": "PCM_24"}, 2**-23),
    ],
)
def test_the_file_holds_what_was_played(tmp_path: Path, name: str, options: dict, tolerance: float) -> None:
    path = tmp_path / name
    record(path, **options).close()
    audio, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 48_000
    np.testing.assert_allclose(audio, AUDIO, rtol=0, atol=tolerance)
    assert list(path.parent.iterdir()) == [path]


def test_the_name_appears_with_the_complete_file_only(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    sink = record(path)
    assert not path.exists()
    sink.close()
    sink.close()
    assert soundfile.info(path).frames == len(AUDIO)


def test_what_was_recorded_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"an older recording")
    (tmp_path / "a-2.wav.part").write_bytes(b"one that was cut short")
    record(path).close()
    assert soundfile.info(tmp_path / "a-3.wav").frames == len(AUDIO)
    assert path.read_bytes() == b"an older recording"
    assert (tmp_path / "a-2.wav.part").read_bytes() == b"one that was cut short"


def test_the_time_of_the_start_can_be_in_the_name(tmp_path: Path) -> None:
    sink = record(tmp_path / "%Y-%m.wav")
    sink.close()
    (made,) = tmp_path.iterdir()
    assert made.stem.split("-")[0].isdigit()


@pytest.mark.parametrize(("name", "options"), [("a.flac", {"subtype": "FLOAT"}), ("a.wav", {"subtype": "LOUD"})])
def test_a_subtype_that_the_format_lacks_is_one_clear_line(tmp_path: Path, name: str, options: dict) -> None:
    with pytest.raises(PluginError, match=rf"{name} cannot be recorded to .*Check the wav sink"):
        record(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PluginError, match="cannot be recorded to"):
        record(tmp_path / "file" / "a.wav")


def test_an_unknown_format_is_a_configuration_error() -> None:
    with pytest.raises(
        ConfigError, match=r"'sinks\.0\.path' is 'a\.mp3'\. Expected a path that ends in \.wav or \.flac"
    ):
        validate(WavConfig, {"path": "a.mp3"}, "house.toml", "sinks.0")


def test_a_full_wav_ends_the_sink_and_keeps_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "WAV_LIMIT", AUDIO.size * 2 + 100)
    sink = record(tmp_path / "a.wav")
    with pytest.raises(PluginError, match="as long as a WAV file can be"):
        sink.write(AUDIO)
    sink.close()
    assert soundfile.info(tmp_path / "a.wav").frames == len(AUDIO)
