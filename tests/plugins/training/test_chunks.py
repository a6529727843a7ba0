"""Cutting albums and putting them back together."""

import json

import numpy as np
import pytest
import soundfile

from ambientd_plugins.training.chunks import MANIFEST, chunk_album, read_dataset
from ambientd_plugins.training.errors import AlbumError

RATE = 8000


def test_counts_are_exact(album, tmp_path):
    out = tmp_path / "chunks"
    report = chunk_album([album], out, RATE, seconds=4.0, overlap=1.0)
    files = sorted(out.glob("*.flac"))
    assert report.tracks == 3
    assert report.chunks == len(files) == len(json.loads((out / MANIFEST).read_text())["chunks"])
    # 33 s of the gap track in steps of 3 s; the silence lies in 8..24.
    assert report.silent == 4
    assert report.seconds == pytest.approx(10 + 33 + 12, abs=0.1)
    assert all(soundfile.info(f).samplerate == RATE and soundfile.info(f).channels == 1 for f in files)
    assert soundfile.info(files[0]).frames == 4 * RATE


def test_tracks_come_back_whole_except_for_the_silence(album, tmp_path):
    out = tmp_path / "chunks"
    report = chunk_album([album], out, RATE, seconds=4.0, overlap=1.0)
    metadata, tracks = read_dataset(out, RATE)
    assert (metadata.title, metadata.licence, metadata.attribution) == ("Tones", "CC0-1.0", "made here")
    assert len(metadata.sources) == 3
    assert len(tracks) == 4  # the silence parts one track in two
    assert sum(len(t.audio) for t in tracks) == round(report.kept_seconds * RATE)
    original, _ = soundfile.read(album / "1-low.wav", dtype="float32")
    assert np.abs(tracks[0].audio - original[: len(tracks[0].audio)]).max() < 1e-3


def test_the_rest_goes_on_without_an_unreadable_file(album, tmp_path):
    (album / "0-broken.wav").write_bytes(b"RIFF no music")
    report = chunk_album([album], tmp_path / "chunks", RATE)
    assert report.tracks == 3
    assert len(report.unreadable) == 1
    assert "0-broken.wav" in report.unreadable[0]


@pytest.mark.parametrize("content", ["silence", "text", "nothing"])
def test_an_album_without_usable_audio_leaves_nothing_behind(tmp_path, content):
    album = tmp_path / "album"
    album.mkdir()
    if content == "silence":
        soundfile.write(album / "a.wav", np.zeros(RATE * 20), RATE)
    elif content == "text":
        (album / "a.wav").write_text("no music")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AlbumError) as caught:
        chunk_album([album], tmp_path / "out" / "chunks", RATE)
    assert str(album) in str(caught.value)
    assert sorted(p for p in tmp_path.rglob("*") if p != tmp_path / "out") == before


def test_an_existing_folder_is_never_overwritten(album, tmp_path):
    with pytest.raises(AlbumError, match="exists already"):
        chunk_album([album], tmp_path, RATE)


def test_a_folder_of_audio_is_an_album(album):
    metadata, tracks = read_dataset(album, RATE)
    assert metadata.title == "Tones"
    assert [round(len(t.audio) / RATE) for t in tracks] == [10, 33, 12]


def test_a_manifest_cannot_point_outside(album, tmp_path):
    out = tmp_path / "chunks"
    chunk_album([album], out, RATE)
    data = json.loads((out / MANIFEST).read_text())
    data["chunks"][0]["file"] = "../album/1-low.wav"
    (out / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(AlbumError, match="outside"):
        read_dataset(out, RATE)


def test_the_wrong_rate_is_named(album, tmp_path):
    chunk_album([album], tmp_path / "chunks", RATE)
    with pytest.raises(AlbumError, match="8000"):
        read_dataset(tmp_path / "chunks", 16_000)
