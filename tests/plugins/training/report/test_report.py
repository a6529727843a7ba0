"""report.html: whole, self-contained, and honest about what is missing."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from ambientd.samplernn.checkpoint import Album, Architecture, Card, Training, load, save
from ambientd.samplernn.model import SampleRNN
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.report import audio as report_audio
from ambientd_plugins.training.report import page as report_page
from ambientd_plugins.training.report.chart import MOST_POINTS, Line, chart, thinned
from ambientd_plugins.training.report.page import write_report
from ambientd_plugins.training.report.pictures import mel_png

RATE = 8000
ARCHITECTURE = Architecture(dim=8, frame_sizes=(4, 8), n_rnn=1, q_levels=64, album_gain=2.0)
ALBUM = Album(
    title="Tones & <Drones>",
    artist="Nobody",
    licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    attribution='"Tones" by Nobody',
)


class Page(HTMLParser):
    """Every tag with its attributes, and the text between."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def sources(self, tag):
        return [attributes["src"] for name, attributes in self.tags if name == tag]


def sound(seconds=1.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


@pytest.fixture
def run(tmp_path):
    """A run folder after two validations."""
    folder = tmp_path / "tones"
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"dataset": "<album>", "dim": 8}))
    losses = [{"step": 10 * n, "bits": 3 + 3 / (n + 1), "minutes": n / 60} for n in range(2000)]
    (folder / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in losses) + '{"step": 3, "bi')
    scores = {"0.9": {"silent_share": 0.5, "tonality": 0.111}, "1.0": {"silent_share": 0.0, "tonality": 0.222}}
    log = [{"step": s, "minutes": s / 600, "validation_bits": 4 - s / 20_000, "scores": scores} for s in (9000, 19_000)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    for step in (9000, 19_000):
        soundfile.write(folder / "samples" / f"step{step}.wav", sound(), RATE)
        (folder / "samples" / f"step{step}.png").write_bytes(mel_png({"album": sound(), "model": sound()}, RATE))
    card = Card(
        architecture=ARCHITECTURE,
        sample_rate=RATE,
        album=ALBUM,
        training=Training(steps=19_000, validation_bits=3.05, test_bits=3.125, software={"torch": "9.9"}),
        temperature=0.95,
        temperature_range=(0.9, 1.02),
        scores={"tonality": 0.25, "silent_share": 0.01},
        album_scores={"tonality": 0.75, "distance": 1.5},
    )
    prime = np.full((2, RATE // 2), 40, np.uint8)
    save(folder / "checkpoints" / "best.safetensors", card, SampleRNN(ARCHITECTURE).export(), prime)
    return folder


def test_nothing_is_loaded_from_elsewhere(run):
    path = write_report(run)
    assert path == run / "report.html"
    page = Page(path.read_text())
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object"), tag
        for name, value in attributes.items():
            assert name != "srcset"
            assert not name.startswith("on")
            if name in ("src", "data", "poster", "xlink:href"):
                assert value.startswith("data:")
            if name == "href":
                assert tag == "a"  # a place to go, not a thing to load
    assert "url(" not in re.sub(r'clip-path="url\(#plot\)"', "", path.read_text())
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy


def test_the_facts_are_there_and_cannot_break_the_page(run):
    html = write_report(run).read_text()
    assert "<Drones>" not in html
    assert "<album>" not in html
    text = Page(html).text
    for fact in ("Tones & <Drones> by Nobody", '"Tones" by Nobody', "CC BY 4.0", "3.050 bits", "3.125 bits",
                 "0.95 (safe: 0.9–1.02)", "torch 9.9", "dim 8, frame sizes 4, 8"):  # fmt: skip
        assert fact in text
    assert ("a", {"href": ALBUM.licence_url, "rel": "noreferrer"}) in Page(html).tags


def test_every_temperature_and_checkpoint_has_its_scores(run):
    html = write_report(run).read_text()
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]
    assert rows == [
        ["checkpoint", "temperature", "silent share", "tonality", "distance"],
        ["step 9000", "0.9", "0.5", "0.111", ""],
        ["step 9000", "1.0", "0", "0.222", ""],
        ["step 19000", "0.9", "0.5", "0.111", ""],
        ["step 19000", "1.0", "0", "0.222", ""],
        ["best (step 19000)", "0.95", "0.01", "0.25", ""],
        ["the album itself", "", "", "0.75", "1.5"],
    ]


def test_the_sounds_and_pictures_are_inside(run):
    page = Page(write_report(run).read_text())
    album, latest, first = (base64.b64decode(s.partition("base64,")[2]) for s in page.sources("audio"))
    heard, rate = soundfile.read(io.BytesIO(latest), dtype="float32")
    assert rate == RATE
    assert np.abs(heard - sound()).max() < 1e-4
    assert soundfile.info(io.BytesIO(album)).frames == RATE  # two places of half a second
    pictures = [base64.b64decode(s.partition("base64,")[2]) for s in page.sources("img")]
    assert pictures == [(run / "samples" / f"step{step}.png").read_bytes() for step in (19_000, 9000)]
    assert "step19000" in page.text
    assert soundfile.info(io.BytesIO(first)).frames == RATE


def test_the_page_stays_small(run, monkeypatch):
    monkeypatch.setattr(report_audio, "MOST_SAMPLES", 3)
    monkeypatch.setattr(report_page, "MOST_SECONDS", 0.5)
    for step in (20_000, 21_000, 100_000):
        soundfile.write(run / "samples" / f"step{step}.flac", sound(4.0), RATE)
    (run / "samples" / "step200000.wav").write_bytes(b"half a file")
    figures = Page(write_report(run).read_text()).sources("audio")
    assert len(figures) == 1 + 2  # the album, and of the three latest the two that can be read
    assert soundfile.info(io.BytesIO(base64.b64decode(figures[1].partition("base64,")[2]))).frames == RATE // 2


@pytest.mark.parametrize("later", [2, 40])
def test_the_best_checkpoint_is_heard_first_however_old_it_is(run, later):
    best = run / "checkpoints" / "best.safetensors"
    loaded = load(best)
    training = loaded.card.training.model_copy(update={"steps": 9000})
    save(best, loaded.card.model_copy(update={"training": training}), loaded.tensors, loaded.prime)
    take = run / "samples" / "step9000-t0.95.wav"
    soundfile.write(take, sound(40.0) / 2, RATE)
    take.with_suffix(".png").write_bytes(mel_png({"best": sound()}, RATE))
    for step in range(later):
        soundfile.write(run / "samples" / f"step{10_000 + step}-t0.95.wav", sound(0.1), RATE)
    html = write_report(run).read_text()
    captions = re.findall("<figcaption>(.*?)</figcaption>", html)
    assert captions[:3] == ["The album, as the model hears it", "The best checkpoint: step9000-t0.95", "step19000"]
    assert len(captions) == min(later + 4, 2 + report_audio.MOST_SAMPLES)
    heard, _ = soundfile.read(io.BytesIO(base64.b64decode(Page(html).sources("audio")[1].partition("base64,")[2])))
    assert np.abs(heard - sound(40.0) / 2).max() < 1e-4
    assert Page(html).sources("img")[0].endswith(base64.b64encode(take.with_suffix(".png").read_bytes()).decode())


def test_a_young_run_has_a_page_too(run):
    for path in [run / "log.jsonl", run / "losses.jsonl", *run.glob("*/*")]:
        path.unlink()
    text = Page(write_report(run).read_text()).text
    assert "No validation yet" in text
    assert '"<album>"' in text


def test_a_link_is_made_of_web_addresses_only(run):
    best = run / "checkpoints" / "best.safetensors"
    card = Card(architecture=ARCHITECTURE, sample_rate=RATE, album=Album(licence_url="javascript:alert(1)"))
    save(best, card, SampleRNN(ARCHITECTURE).export(), np.zeros((1, 8), np.uint8))
    assert "javascript:" not in write_report(run).read_text()


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="is not a run folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_chart_shows_its_points_where_they_belong():
    falling = Line("training", "one", [(n, 10 - n) for n in range(11)])
    odd = Line("validation", "two", [(5, 5.0), (6, float("nan"))], dots=True)
    svg = ElementTree.fromstring(chart([falling, odd], "minutes", "bits & bytes"))
    curve, single = (g.find("path") for g in svg.findall("g"))
    points = [tuple(map(float, pair.split())) for pair in curve.get("d")[1:].split("L")]
    assert len(points) == 11
    assert all(b[0] > a[0] and b[1] > a[1] for a, b in pairwise(points))  # down is greater
    assert single.get("d") == f"M{points[5][0]} {points[5][1]}"
    assert len(svg.findall(".//circle")) == 1
    labels = [t.text for t in svg.findall("text")]
    assert {"minutes", "bits & bytes", "training", "validation", "0", "10"} <= set(labels)
    assert chart([Line("nothing", "one", [(1, float("inf"))])], "x", "y") == ""


def test_a_long_curve_is_averaged():
    found = thinned([(n, n % 2) for n in range(10_000)])
    assert len(found) == MOST_POINTS
    assert all(y == 0.5 for _, y in found)
    assert found[0][0] == pytest.approx(9.5)
