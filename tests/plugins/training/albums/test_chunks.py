"""Cutting albums and putting them back together."""

import json
import resource

import numpy as np
import pytest
import soundfile

from ambientd_plugins.training.albums.chunks import MANIFEST, PICTURE, REPORT, facts_before_cutting, read_dataset
from ambientd_plugins.training.albums.cutting import Cut, chunk_album
from ambientd_plugins.training.albums.decode import tags, to_flac
from ambientd_plugins.training.albums.survey import survey
from ambientd_plugins.training.errors import AlbumError

from ..conftest import tones

RATE = 8000


def test_counts_are_exact(album, tmp_path):
    out = tmp_path / "chunks"
    report = chunk_album([album], out, RATE, Cut(seconds=4.0, overlap=1.0, trim_silence=None))
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
    report = chunk_album([album], out, RATE, Cut(seconds=4.0, overlap=1.0, trim_silence=None))
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


AAC = b"\0\0\0\x18ftypM4A \0\0\0\0" + bytes(100)


def test_what_has_to_be_converted_is_named_and_the_rest_goes_on(album, tmp_path, capsys):
    (album / "4-song.m4a").write_bytes(AAC)
    report = chunk_album([album], tmp_path / "chunks", RATE)
    assert report.tracks == len(read_dataset(album, RATE)[1]) == 3
    for told in (report.unreadable[0], capsys.readouterr().err):
        assert "4-song.m4a" in told
        assert f"Run `ambientd album fetch {album} --out FOLDER`" in told


@pytest.mark.parametrize("beside", ["nothing", "a jingle"])
def test_an_album_that_has_to_be_converted_is_refused_with_the_remedy(tmp_path, beside):
    album = tmp_path / "my album"
    album.mkdir()
    for name in ("1.m4a", "2.WMA"):
        (album / name).write_bytes(AAC)
    if beside == "a jingle":
        soundfile.write(album / "jingle.wav", tones(3, 110), RATE)
    with pytest.raises(AlbumError, match=r"Left out, with 1 more: .*1.m4a .* fetch '.*my album' --out"):
        chunk_album([album], tmp_path / "chunks", RATE)
    if beside == "nothing":
        with pytest.raises(AlbumError, match=r"1.m4a .* fetch '.*my album' --out"):
            read_dataset(album, RATE)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
def test_a_file_that_is_not_finite_is_refused_by_name(album, tmp_path, value):
    broken = tones(20, 110)
    broken[12 * RATE :: RATE] = value
    soundfile.write(album / "0-broken.wav", broken, RATE, subtype="FLOAT")
    with pytest.raises(AlbumError, match=r"0-broken.wav: 8 of its samples are not finite, the first at 12.000 s"):
        read_dataset(album, RATE)
    report = chunk_album([album], tmp_path / "chunks", RATE)
    assert report.tracks == 3
    assert "0-broken.wav" in report.unreadable[0]
    json.dumps(report.as_json(), allow_nan=False)


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


def test_a_decoder_says_nothing_to_people(album, tmp_path, capfd):
    file = album / "4-noise.mp3"
    soundfile.write(file, np.random.default_rng(1).normal(0, 0.1, 20 * RATE), RATE, format="MP3")
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes(300) + whole[middle + 300 :])
    soundfile.read(file)
    assert capfd.readouterr().err, "there is nothing to be quiet about"
    read_dataset(album, RATE)
    tags(file)
    to_flac(file, tmp_path / "noise.flac")
    assert capfd.readouterr().err == ""


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
    with pytest.raises(AlbumError, match="Give --sample_rate 8000 "):
        read_dataset(tmp_path / "chunks", 16_000)


def test_silence_inside_a_track_is_cut_out_and_told(album, tmp_path):
    out = tmp_path / "chunks"
    report = chunk_album([album], out, RATE, Cut(seconds=4.0, overlap=1.0))
    _, tracks = read_dataset(out, RATE)
    lengths = [len(t.audio) / RATE for t in tracks]
    assert lengths == pytest.approx([10, 8.1, 9.1, 12], abs=0.05)
    assert report.silent == 0
    assert report.facts["silent_minutes"] * 60 == pytest.approx(15.8, abs=0.05)
    assert sum(lengths) == pytest.approx(report.kept_seconds)


def test_the_report_lies_beside_the_chunks(album, tmp_path):
    out = tmp_path / "chunks"
    report = chunk_album([album], out, RATE)
    assert json.loads((out / REPORT).read_text()) == json.loads(json.dumps(report.as_json()))
    assert (out / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert report.facts["sample_rates"] == [8000, 16_000]
    assert -40 < report.facts["loudness_lufs"] < -10
    assert facts_before_cutting(out)["sample_rates"] == [8000, 16_000]
    (out / REPORT).write_text('{"warnings": 3')
    assert facts_before_cutting(out) == {}


def test_what_is_wrong_with_the_files_is_told(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    low = np.random.default_rng(1).normal(0, 0.1, 9 * 4000)
    soundfile.write(folder / "low.wav", low, 4000)
    soundfile.write(folder / "loud.wav", np.clip(20 * low, -1, 1), RATE)
    report = chunk_album([folder], tmp_path / "chunks", RATE, Cut(seconds=4.0))
    assert report.facts["clipped_runs"] > 100
    told = "\n".join(report.facts["warnings"])
    assert "1 of 2 files have 4000 Hz" in told
    assert "clipped" in told


@pytest.mark.parametrize(
    ("cut", "rate", "match"),
    [
        (Cut(seconds=60), RATE, "less than a chunk of 60 s"),
        (Cut(seconds=1, overlap=1), RATE, "--overlap"),
        (Cut(min_silence=0), RATE, "--min_silence"),
        (Cut(min_silence=1e300), RATE, "--min_silence"),
        (Cut(min_silence=np.nan), RATE, "--min_silence is nan"),
        (Cut(seconds=np.inf), RATE, "--seconds is inf"),
        (Cut(seconds=1e-9, overlap=0), RATE, "--seconds"),
        (Cut(overlap=np.nan), RATE, "--overlap is nan"),
        (Cut(silence=np.nan), RATE, "--silence is nan"),
        (Cut(trim_silence=np.inf), RATE, "--trim_silence is inf"),
        (Cut(), 0, "no sample rate"),
    ],
)
def test_a_cut_that_cannot_be_leaves_nothing(album, tmp_path, cut, rate, match):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AlbumError, match=match):
        chunk_album([album], tmp_path / "chunks", rate, cut)
    assert sorted(tmp_path.rglob("*")) == before


def test_chunks_do_not_lie_in_what_they_are_cut_from(album):
    before = sorted(album.rglob("*"))
    with pytest.raises(AlbumError, match="lies in"):
        chunk_album([album], album / "new" / "chunks", RATE)
    assert sorted(album.rglob("*")) == before


def test_a_folder_around_chunks_is_no_album(album, tmp_path):
    chunks = tmp_path / "all" / "tones"
    chunk_album([album], chunks, RATE)
    with pytest.raises(AlbumError, match=f"Give {chunks}"):
        read_dataset(tmp_path / "all", RATE)
    for again in (chunks, tmp_path / "all"):
        with pytest.raises(AlbumError, match="the album that they were cut from"):
            chunk_album([again], tmp_path / "again", RATE)


def test_a_file_without_samples_is_passed_over(album, tmp_path):
    soundfile.write(album / "0-empty.wav", np.zeros(0), RATE)
    _, tracks = read_dataset(album, RATE)
    assert len(tracks) == 3
    assert survey(tracks, RATE)["minutes"] > 0.5
    assert chunk_album([album], tmp_path / "chunks", RATE).chunks > 0


def test_an_album_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(AlbumError, match="holds no sound"):
        read_dataset(tmp_path, RATE)
    with pytest.raises(AlbumError, match="no usable audio"):
        chunk_album([tmp_path / "empty.wav"], tmp_path / "chunks", RATE)


def test_a_full_disk_leaves_nothing(album, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(AlbumError, match="chunks cannot be written"):
            chunk_album([album], tmp_path / "chunks", RATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(tmp_path.rglob("*")) == before
