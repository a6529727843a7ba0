"""`ambientd blend-report`: the real engine, the real judges, and music of which the curve is known beforehand.

A's samples are echoes of the one before by a factor, B's by its negative. Their product of experts at weight w has the
factor (1 - 2w) of A's, and under judges that know A's and B's, at their level,
d(w) = -2 factor^2 (1 - 2w) / (1 - factor^2) / ln 2 bits; half way (1 + factor^2) / (1 - factor^2) / 2 - 1/2 nats are
lost, which is the valley.
"""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ambientd.cli import main
from ambientd.plugin import AmbientdError
from ambientd_plugins.training.blend.command import FAILED, blend_report

from .echoes import NOISE, RATE, save_echo

SHORT = ["--points", "3", "--seconds", "2"]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """models(factor) -> A's and B's files; their judges are where training would leave them."""
    monkeypatch.chdir(tmp_path)

    def make(factor):
        for name, own in (("a", factor), ("b", -factor)):
            save_echo(tmp_path / f"{name}.safetensors", own, title=f"<{name}>")
            save_echo(tmp_path / "runs" / f"{name}-judge" / "checkpoints" / "best.safetensors", own, dim=8)
        return [str(tmp_path / f"{name}.safetensors") for name in "ab"]

    return make


def test_a_blend_that_is_one_has_the_curve_that_theory_says(models):
    factor = 0.3
    done = CliRunner().invoke(main, ["blend-report", *models(factor), *SHORT, "--seeds", "2", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    entropy = np.log2(NOISE * np.sqrt(2 * np.pi * np.e))
    contrast = 2 * factor**2 / (1 - factor**2) / np.log(2)
    valley = ((1 + factor**2) / (1 - factor**2) - 1) / 2 / np.log(2)
    points = found["points"]
    assert [point["weight"] for point in points] == [0, 0.5, 1]
    assert [point["d"] for point in points] == pytest.approx([-contrast, 0, contrast], abs=0.05)
    assert points[0]["bits_a"] == pytest.approx(entropy, abs=0.05)
    assert points[-1]["bits_b"] == pytest.approx(entropy, abs=0.05)
    assert found["valley"] == pytest.approx(valley, abs=0.05)
    assert found["correlation"] == pytest.approx(1)
    assert (found["follows"], found["holds"], found["passed"]) == (True, True, True)
    assert [take["seed"] for take in points[1]["takes"]] == [1, 2]
    assert all(take["fault"].startswith("hiss") for point in points for take in point["takes"])
    assert points[1]["flatness"] > points[0]["flatness"]  # half way there is no echo: white noise
    assert [album["bits_a"] < album["bits_b"] for album in found["albums"]] == [True, False]
    check_page(found["page"])


def check_page(path):
    """Everything is in it, and nothing is loaded from elsewhere."""
    html = Path(path).read_text()
    sources = re.findall(r'(?:src|poster|data)="([^"]*)"', html)
    assert all(source.startswith("data:") for source in sources)
    assert "default-src 'none'" in html
    assert "<script" not in html
    players = [source for source in sources if source.startswith("data:audio/flac")]
    assert len(players) == sum(source.startswith("data:image/png") for source in sources) == 3
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(players[0].partition("base64,")[2])))
    assert (rate, len(audio)) == (RATE, 2 * RATE)
    assert np.corrcoef(audio[1:], audio[:-1])[0, 1] == pytest.approx(0.3, abs=0.05)
    assert html.count("<svg") == 2 + 4
    assert "&lt;a&gt; by unknown" in html


def test_a_valley_is_told_and_is_an_exit_status(models):
    done = CliRunner().invoke(main, ["blend-report", *models(0.8), *SHORT, "--seeds", "1", "--out", "page.html"])
    assert done.exit_code == FAILED
    head, *_, follows, holds, page = done.stdout.splitlines()
    assert head.split()[:5] == ["NLL", "A", "NLL", "B", "d"]
    assert follows.startswith("passed: rank correlation of d with the weight 1.000")
    assert holds.startswith("failed: valley 2.")
    assert page == "page: page.html"
    assert "failed" in Path("page.html").read_text()


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["--runs", "elsewhere"], "Train one on that album, `ambientd train --exp a-judge --dataset CHUNKS", 9),
        (["--judges", "nobody", "nobody"], "no model is called 'nobody'", 4),
        (["--judges", "a.safetensors", "b.safetensors"], "the judge a is a, which plays", 9),
        (["--out", "nowhere/page.html"], "nowhere is not a folder", 9),
        (["--mashup", "blennd"], "blennd at 0 cannot be played: ambientd: no mashup is called 'blennd'", 9),
    ],
)
def test_what_cannot_be_measured_is_one_line(models, words, said, code):
    with pytest.raises(AmbientdError) as caught:
        blend_report.main([*models(0.3), *SHORT, "--seeds", "1", *words], standalone_mode=False)
    assert caught.value.exit_code == code
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
