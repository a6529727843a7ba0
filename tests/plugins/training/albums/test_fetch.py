"""Fetching albums from a web server on the loopback, and from files."""

import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ambientd_plugins.training.albums.chunks import read_dataset
from ambientd_plugins.training.albums.decode import to_flac
from ambientd_plugins.training.albums.fetch import fetch_album
from ambientd_plugins.training.albums.web import Web, reason
from ambientd_plugins.training.errors import AlbumError

from ..conftest import RATE, tones
from .web_server import WebServer


@pytest.fixture
def web(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "web"
    folder.mkdir()
    soundfile.write(folder / "low.flac", tones(1, 110), RATE)
    soundfile.write(folder / "mid.flac", np.stack([tones(1, 220)] * 2, 1), RATE)
    with soundfile.SoundFile(folder / "high.ogg", "w", 16_000, 1) as file:
        file.title, file.artist = "High/../Tone ☃", "Ada"
        file.license = "Some rights: https://creativecommons.org/licenses/by-sa/4.0/deed.en"
        file.write(tones(1, 440, rate=16_000))
    server = WebServer(folder)
    yield server
    server.close()


def facts(out):
    return tomllib.loads((out / "album.toml").read_text())


def fetch(out, *wanted, **head):
    return fetch_album([str(w) for w in wanted], out, head)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_an_audio_file_by_its_address(web, tmp_path):
    out = tmp_path / "out"
    report = fetch(out, f"{web.url}/high.ogg")
    (track,) = report.fetched
    assert facts(out)["tracks"] == [track]
    assert track["file"] == "01-high-tone.flac"
    assert (track["title"], track["artist"], track["channels"]) == ("High/../Tone ☃", "Ada", 1)
    assert (track["sample_rate"], track["seconds"]) == (16_000, 1.0)
    assert track["sha256"] == hashlib.sha256((out / track["file"]).read_bytes()).hexdigest()
    assert track["source_sha256"] == hashlib.sha256((web.folder / "high.ogg").read_bytes()).hexdigest()
    head = facts(out)
    assert head["source"] == f"{web.url}/high.ogg"
    assert (head["title"], head["artist"], head["licence"]) == ("High/../Tone ☃", "Ada", "CC-BY-SA-4.0")
    assert head["licence_url"] == "https://creativecommons.org/licenses/by-sa/4.0/"
    assert "Ada" in head["attribution"]
    assert "CC-BY-SA-4.0" in head["attribution"]
    album, _ = read_dataset(out, RATE)
    assert (album.artist, album.sources) == ("Ada", (track["sha256"],))


def test_a_page_becomes_an_album_without_loss(web, tmp_path):
    out = tmp_path / "out"
    report = fetch(out, web.page("album.html", "low.flac", "mid.flac"))
    assert facts(out)["title"] == "Night Tones"
    assert [track["channels"] for track in report.fetched] == [1, 2]
    for name, track in zip(("low", "mid"), report.fetched, strict=True):
        original, _ = soundfile.read(web.folder / f"{name}.flac", dtype="int16")
        assert np.array_equal(soundfile.read(out / track["file"], dtype="int16")[0], original)


def test_the_same_command_again_downloads_nothing(web, tmp_path):
    out = tmp_path / "out"
    pages = [web.page("album.html", "low.flac", "mid.flac"), web.feed("tones.rss", High="high.ogg")]
    assert len(fetch(out, *pages).fetched) == 3
    before = (out / "album.toml").read_bytes()
    web.requests.clear()
    again = fetch(out, *pages)
    assert (again.fetched, again.known, again.failed) == ((), 3, ())
    assert set(web.requests) == {"/album.html", "/tones.rss"}
    assert (out / "album.toml").read_bytes() == before


def test_a_track_that_was_taken_away_comes_back_under_its_name(web, tmp_path):
    out = tmp_path / "out"
    page = web.page("album.html", "low.flac", "mid.flac")
    first = fetch(out, page).fetched[0]
    (out / first["file"]).unlink()
    again = fetch(out, page)
    assert again.fetched == (first,)
    assert again.known == 1
    assert len(facts(out)["tracks"]) == 2


def test_the_same_sound_under_two_addresses_is_one_track(web, tmp_path):
    shutil.copy(web.folder / "low.flac", web.folder / "copy.flac")
    report = fetch(tmp_path / "out", f"{web.url}/low.flac", f"{web.url}/copy.flac", web.folder / "low.flac")
    assert (len(report.fetched), report.known) == (1, 2)


def test_a_failed_item_is_named_and_the_rest_goes_on(web, tmp_path):
    (web.folder / "cut.flac").write_bytes((web.folder / "low.flac").read_bytes()[:3000])
    (web.folder / "text.ogg").write_text("no music")
    feed = web.feed(
        "tones.rss", Gone="gone.flac", Half="short/low.flac", Cut="cut.flac", Text="text.ogg", Mid="mid.flac"
    )
    refused = f"http://127.0.0.1:{free_port()}/x.flac"
    out = tmp_path / "out"
    report = fetch(out, f"{web.url}/gone.flac", refused, feed, tmp_path / "nowhere", "ftp://host/a.flac")
    assert [track["title"] for track in report.fetched] == ["Mid"]
    reasons = {failed.item.split(" ")[0]: failed.reason for failed in report.failed}
    assert "404" in reasons[f"{web.url}/gone.flac"]
    assert "refused" in reasons[refused]
    assert "404" in reasons["Gone"]
    assert reasons["Half"]
    assert "damaged" in reasons["Cut"]
    assert reasons["Text"].startswith("it ")
    assert "does not exist" in reasons[str(tmp_path / "nowhere")]
    assert "ftp" in reasons["ftp://host/a.flac"]
    assert not any("\n" in reason for reason in reasons.values())
    assert sorted(p.name for p in out.iterdir()) == ["01-mid.flac", "album.toml"]


@pytest.mark.parametrize("fault", ["refused", "missing", "no media", "empty folder", "no folder"])
def test_nothing_fetched_is_one_line_and_leaves_nothing(web, tmp_path, fault):
    (web.folder / "text.html").write_text("<html><body>no media</body></html>")
    (tmp_path / "empty").mkdir()
    wanted = {
        "refused": f"http://127.0.0.1:{free_port()}/x.flac",
        "missing": f"{web.url}/gone.flac",
        "no media": f"{web.url}/text.html",
        "empty folder": str(tmp_path / "empty"),
        "no folder": str(tmp_path / "nowhere"),
    }[fault]
    report = fetch(tmp_path / "out", wanted)
    assert [failed.item for failed in report.failed] == [wanted]
    assert report.fetched == ()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_file_that_is_not_finite_is_named_and_the_rest_goes_on(album, tmp_path, value):
    broken = tones(20, 110)
    broken[12 * RATE] = value
    soundfile.write(tmp_path / "broken.wav", broken, RATE, subtype="FLOAT")
    report = fetch(tmp_path / "out", tmp_path / "broken.wav", album)
    assert len(report.fetched) == 3
    assert [Path(failed.item).name for failed in report.failed] == ["broken.wav"]
    assert "1 of its samples are not finite, the first at 12.000 s" in report.failed[0].reason


def test_no_name_from_outside_becomes_a_path(web, tmp_path):
    titles = {"../../../evil": "low.flac", "/etc/passwd": "mid.flac", "..": "high.ogg"}
    out = tmp_path / "deep" / "out"
    report = fetch(out, web.feed("tones.rss", **titles))
    names = [track["file"] for track in report.fetched]
    assert names == ["01-evil.flac", "02-etc-passwd.flac", "03-high-tone.flac"]
    assert sorted(p.name for p in (tmp_path / "deep").rglob("*")) == ["01-evil.flac", *names[1:], "album.toml", "out"]


def test_what_a_person_wrote_stays(web, tmp_path):
    out = tmp_path / "out"
    fetch(out, web.page("album.html", "low.flac"))
    text = (out / "album.toml").read_text().replace('artist = "unknown"', 'artist = "Me"\ncharacter = "dark"')
    (out / "album.toml").write_text(text)
    fetch(out, f"{web.url}/high.ogg", licence="CC0-1.0")
    head = facts(out)
    assert (head["artist"], head["character"], head["licence"]) == ("Me", "dark", "CC0-1.0")
    assert head["source"] == [f"{web.url}/album.html", f"{web.url}/high.ogg"]
    assert len(head["tracks"]) == 2


def test_a_folder_of_files_brings_its_metadata(album, tmp_path):
    out = tmp_path / "out"
    report = fetch(out, album)
    assert [track["title"] for track in report.fetched] == ["1-low", "2-gap", "3-high"]
    assert [track["channels"] for track in report.fetched] == [1, 2, 1]
    head = facts(out)
    assert (head["title"], head["artist"], head["licence"]) == ("Tones", "Nobody", "CC0-1.0")
    assert head["attribution"] == "made here"
    assert fetch(out, album).known == 3


def test_an_album_is_not_fetched_into_itself(album):
    with pytest.raises(AlbumError, match="is to be read"):
        fetch(album / "out", album)
    assert not (album / "out").exists()


def test_two_fetches_do_not_share_a_folder(album, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(AlbumError, match="another fetch"):
            fetch(out, album)
    finally:
        os.close(handle)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("from_web", [True, False])
def test_a_full_disk_is_one_line_and_keeps_whole_tracks(web, tmp_path, from_web):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 8 * RATE)
    soundfile.write(web.folder / "zz-noise.flac", noise, RATE)
    sources = [f"{web.url}/{n}" if from_web else web.folder / n for n in ("low.flac", "zz-noise.flac", "mid.flac")]
    out = tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(AlbumError, match="cannot be written") as caught:
            fetch(out, *sources)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(out) in str(caught.value)
    assert sorted(p.name for p in out.iterdir()) == ["01-low.flac", "album.toml"]
    assert len(fetch(out, *sources).fetched) == 2


def test_ctrl_c_leaves_a_usable_folder(web, tmp_path):
    # A shell starts what runs in the background with Ctrl-C ignored, and that is inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _interrupted(web, tmp_path / "out")
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(web, out):
    with pytest.raises(KeyboardInterrupt):
        fetch(out, f"{web.url}/low.flac", f"{web.url}/interrupt/mid.flac", f"{web.url}/high.ogg")
    assert sorted(p.name for p in out.iterdir()) == ["01-low.flac", "album.toml"]
    assert len(read_dataset(out, RATE)[1]) == 1
    again = fetch(out, f"{web.url}/low.flac", f"{web.url}/mid.flac")
    assert (again.known, len(again.fetched)) == (1, 1)


def test_what_a_killed_fetch_left_is_no_track(web, tmp_path):
    out = tmp_path / "out"
    (out / ".fetch.dead").mkdir(parents=True)
    shutil.copy(web.folder / "low.flac", out / ".fetch.dead" / "half.flac")
    with pytest.raises(AlbumError, match="no audio"):
        read_dataset(out, RATE)
    fetch(out, f"{web.url}/mid.flac")
    assert sorted(p.name for p in out.iterdir()) == ["01-mid.flac", "album.toml"]


RIDDLE = (
    "No supported JavaScript runtime could be found. Only deno is enabled by default; to use another runtime add "
    " --js-runtimes RUNTIME[:PATH]  to your command/config. See  https://github.com/yt-dlp/yt-dlp/wiki/EJS  for details"
)


def test_a_failure_tells_what_yt_dlp_warned_of_and_only_then(web, tmp_path, monkeypatch):
    from yt_dlp.extractor.generic import GenericIE

    def extract(self, url):
        name = url.rsplit("/", 1)[1]
        if not name.startswith("plain"):
            self.report_warning(RIDDLE, name, only_once=True)
        self.report_warning("Falling back on generic information extractor")
        self.report_warning("Timed out. Retrying (1/3)...")
        return {"id": name, "title": name, "url": f"{web.url}/{name.split('-')[1]}", "ext": "flac"}

    monkeypatch.setattr(GenericIE, "_real_extract", extract)
    pages = [f"{web.url}/{name}" for name in ("asks-low.flac", "plain-gone.flac", "asks-gone.flac", "asks-none.flac")]
    report = fetch(tmp_path / "out", *pages)
    assert len(report.fetched) == 1
    plain, *asked = (failed.reason for failed in report.failed)
    assert "404" in plain
    assert "(" not in plain
    assert len(asked) == 2
    for told in asked:
        assert "404" in told
        assert "(No supported JavaScript runtime could be found). Run `" in told
        assert "--" not in told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ERROR: [site] a1: Gone; please report this issue on https://x, use  yt-dlp -U", "Gone"),
        ("[youtube] a1: Sign in. Use --cookies for it. See  https://x  for cookies", "Sign in"),
        ("It has a password, use the --video-password option", "It has a password"),
        (RIDDLE, "No supported JavaScript runtime could be found"),
        ("Requested format is not available. Use --list-formats for a list", "Requested format is not available"),
    ],
)
def test_options_that_only_yt_dlp_has_are_not_advised(said, told):
    assert reason(said) == told


def test_every_javascript_runtime_is_asked(tmp_path, monkeypatch):
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v99.0.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    web = Web(tmp_path, (), lambda done, total: None)
    assert web.ydl._js_runtimes["node"].info.supported
    assert set(web.ydl.params["js_runtimes"]) >= {"deno", "node", "bun", "quickjs"}


def test_without_ffmpeg_the_remedy_is_named(tmp_path, monkeypatch):
    from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(FFmpegPostProcessor, "_version_cache", {None: None})
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0" + bytes(100))
    with pytest.raises(AlbumError, match="Install ffmpeg"):
        to_flac(tmp_path / "a.m4a", tmp_path / "out")


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")
def test_what_soundfile_cannot_read_goes_through_ffmpeg(web, tmp_path):
    file = web.folder / "low.m4a"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", web.folder / "low.flac", file], check=True)
    (track,) = fetch(tmp_path / "out", file).fetched
    assert (track["sample_rate"], track["channels"]) == (RATE, 1)
    assert track["seconds"] == pytest.approx(1, abs=0.2)


def test_the_command_reports_and_ignores_a_users_yt_dlp(web, tmp_path):
    config = tmp_path / "config" / "yt-dlp"
    plugin = config / "plugins" / "mine" / "yt_dlp_plugins" / "extractor"
    plugin.mkdir(parents=True)
    (plugin / "mine.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')")
    (config / "config").write_text("--simulate\n--verbose\n")
    words = [f"{web.url}/low.flac", f"{web.url}/gone.flac", "--out", "out", "--title", "Mine", "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "ambientd", "album", "fetch", *words],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path / "config")},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert (len(found["fetched"]), found["known"], found["tracks"]) == (1, 0, 1)
    assert [failed["item"] for failed in found["failed"]] == [f"{web.url}/gone.flac"]
    assert ran.stderr.count("\n") == 1
    assert facts(tmp_path / "out")["title"] == "Mine"
    assert not (tmp_path / "loaded").exists()


def test_the_command_fails_when_nothing_came(tmp_path):
    words = ["album", "fetch", f"http://127.0.0.1:{free_port()}/x.flac", "--out", "out"]
    ran = subprocess.run([sys.executable, "-m", "ambientd", *words], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 5
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert "refused" in ran.stderr
    assert list(tmp_path.iterdir()) == []
