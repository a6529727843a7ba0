"""`ambientd render` and `ambientd bench engine`, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ambientd.cli import main
from ambientd.engine.bench import Case
from ambientd.engine.bench_mashup import measure_mashup
from ambientd.engine.mix import InvalidMix
from ambientd.plugin import Mashup, Parameter


@pytest.fixture
def render(tmp_path, model_files):
    """Render with these arguments -> (audio [frames, channels], rate, the file's bytes)."""

    def run(*arguments, models=model_files[:1], out="out.wav"):
        path = tmp_path / out
        result = CliRunner().invoke(
            main, ["render", "--model", *map(str, models), "--out", str(path), *map(str, arguments)]
        )
        assert result.exit_code == 0, result.output
        audio, rate = soundfile.read(path, always_2d=True)
        return audio, rate, path.read_bytes()

    return run


def test_the_same_seed_gives_the_same_file(render):
    first, rate, data = render("--seconds", 0.5, "--seed", 7)
    assert (rate, first.shape) == (16_000, (8000, 1))
    assert render("--seconds", 0.5, "--seed", 7)[2] == data
    assert render("--seconds", 0.5, "--seed", 8)[2] != data
    assert np.abs(first).max() > 0.01


@pytest.mark.parametrize(("rate", "seconds"), [(44_100, 0.313), (48_000, 0.1), (8000, 0.2)])
def test_another_rate_has_the_exact_length_too(render, rate, seconds):
    audio, found, _ = render("--seconds", seconds, "--rate", rate, "--channels", 2, out="out.flac")
    assert (found, audio.shape) == (rate, (round(seconds * rate), 2))


def test_weights_change_a_blend(render, model_files):
    def blend(*weights):
        chosen = ["--mashup", "blend", "--set", f"weights=[{','.join(map(str, weights))}]"]
        return render("--seconds", 0.3, *chosen, models=model_files)[2]

    assert blend(1, 0.5) == blend(1, 0.5)
    assert len({blend(1, 0), blend(1, 0.5), blend(0, 1)}) == 3


def test_between_is_the_way_from_the_first_model_to_the_second(render, model_files):
    for weight in (0, 0.25, 1):
        way = render("--seconds", 0.2, "--between", weight, models=model_files)[2]
        weights = f"weights=[{1 - weight},{weight}]"
        assert render("--seconds", 0.2, "--mashup", "blend", "--set", weights, models=model_files)[2] == way


WAYLESS = """
from ambientd.plugin import Mashup, hookimpl

class Wayless(Mashup):
    name = "wayless"

    def next_mix(self, controls, clock, mix):
        pass

@hookimpl
def register_mashups():
    return [Wayless]
"""


def test_a_mashup_without_a_way_says_so(tmp_path, model_files, monkeypatch):
    (tmp_path / "wayless.py").write_text(WAYLESS)
    monkeypatch.setattr("ambientd.plugin_manager.user_folder", lambda: tmp_path)
    arguments = ["--model", *map(str, model_files), "--mashup", "wayless", "--between", "0.5", "--seconds", "1"]
    result = CliRunner().invoke(main, ["render", *arguments, "--out", str(tmp_path / "a.wav")])
    assert result.exit_code == 2
    assert "'wayless' knows no way" in result.output


def test_several_models_blend_by_themselves(render, model_files):
    explicit = render("--seconds", 0.2, "--mashup", "blend", models=model_files)[2]
    assert render("--seconds", 0.2, models=model_files)[2] == explicit


@pytest.mark.parametrize(("knob", "neutral", "value"), [("temperature", 1, 0.7), ("stretch", 1, 4), ("chaos", 0, 0.1)])
def test_a_knob_is_heard(render, knob, neutral, value):
    plain = render("--seconds", 0.2)[2]
    assert render("--seconds", 0.2, f"--{knob}", neutral)[2] == plain
    assert render("--seconds", 0.2, f"--{knob}", value)[2] != plain


def test_a_frozen_beginning_is_heard(render):
    assert render("--seconds", 0.2, "--freeze", 1)[2] != render("--seconds", 0.2)[2]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "{model}", "--out", "{folder}/a.mp3"], 2, "neither .wav nor .flac"),
        (["--model", "{model}", "--out", "{folder}/no/a.wav"], 2, "not a folder"),
        (["--model", "{model}", "--out", "{folder}/a.wav", "--mashup", "blennd"], 7, "blend"),
        (["--model", "{model}", "{model}", "--out", "{folder}/a.wav", "--set", "wights=1"], 3, "weights"),
        (["--model", "{model}", "--out", "{folder}/a.wav", "--between", "0.5"], 2, "Name two"),
        (["--model", "{folder}/gone.safetensors", "--out", "{folder}/a.wav"], 4, "gone.safetensors"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(tmp_path, model_files, arguments, code, words):
    filled = [argument.format(model=model_files[0], folder=tmp_path) for argument in arguments]
    result = CliRunner().invoke(main, ["render", "--seconds", "1", *filled])
    assert result.exit_code == code
    assert words in result.output
    assert result.output.count("\n") == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".safetensors"] * 2


def test_a_model_that_is_not_the_one_published_is_not_rendered(tmp_path, model_files):
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  {model_files[0].name}\n")
    words = ["render", "--seconds", "1", "--model", str(model_files[0]), "--out", str(tmp_path / "a.wav")]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.output.count("\n")) == (4, 1)
    assert "is not the file that was published" in result.output


def test_rendering_never_imports_torch(tmp_path, model_files):
    arguments = ["render", "--model", str(model_files[0]), "--seconds", "0.1", "--out", str(tmp_path / "a.wav")]
    code = f"""
import sys
from ambientd.cli import main
from ambientd.engine.bench import Case
from ambientd.engine.bench_mashup import measure_mashup
from ambientd.engine.mix import InvalidMix
from ambientd.plugin import Mashup, Parameter
main({arguments!r}, standalone_mode=False)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_bench_lists_the_engine_beside_the_eager_loop():
    arguments = ["bench", "engine", "--json", "--dim", "32", "--voices", "1", "2"]
    arguments += ["--precision", "int8", "eager", "--seconds", "0.1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    found = {(row["precision"], row["voices"], row["checkpoints"]) for row in rows}
    assert found == {("eager", 1, 1), ("int8", 1, 1), ("int8", 2, 1), ("int8", 2, 2)}
    assert all(row["dim"] == 32 and row["threads"] == 1 and row["xrt"] > 0 for row in rows)
    for row in rows:
        assert row["each"] == pytest.approx(row["xrt"] / row["voices"], rel=1e-3)
        if row["precision"] == "int8":
            assert row["bytes_per_sample"] > 3.5 * 32**2 * row["checkpoints"]
            assert 0 < row["bandwidth_share"] < 1.5
        else:
            assert row["bytes_per_sample"] is row["bandwidth_share"] is None


def test_bench_prints_a_table_of_what_was_asked_for():
    arguments = ["bench", "engine", "--dim", "32", "64", "--precision", "bf16", "--threads", "1", "2"]
    result = CliRunner().invoke(main, [*arguments, "--seconds", "0.1"])
    assert result.exit_code == 0, result.output
    _, *rows, _ = result.output.splitlines()
    assert [row.split()[:3] for row in rows] == [[d, "bf16", t] for d in ("32", "64") for t in ("1", "2")]


def test_bench_says_what_each_mashup_costs():
    arguments = ["bench", "engine", "--mashup", "--dim", "32", "--seconds", "0.1"]
    result = CliRunner().invoke(main, [*arguments, "--voices", "1", "3", "--json"])
    assert result.exit_code == 0, result.output
    rows = [row for row in json.loads(result.stdout) if row["mashup"] == "blend"]
    assert [(row["dim"], row["voices"], row["precision"]) for row in rows] == [(32, 1, "int8"), (32, 3, "int8")]
    assert all(row["xrt"] > 0 and row["without"] > 0 and row["cost"] > -1 and row["noise"] >= 0 for row in rows)
    _, *table, _ = CliRunner().invoke(main, arguments).output.splitlines()
    assert ["blend", "32", "int8", "2"] in [row.split()[:4] for row in table]
    assert CliRunner().invoke(main, [*arguments, "--threads", "2"]).exit_code == 2


def test_a_broken_mashup_is_not_measured():
    class Broken(Mashup):
        name = "broken"
        parameters = (Parameter("depth", "How broken", low=2, high=3, default=2),)

        def next_mix(self, controls, clock, mix):
            assert 2 <= controls["depth"] <= 3
            mix.gains[:] = np.nan

    with pytest.raises(InvalidMix, match="gains"):
        measure_mashup(Broken, Case(dim=16, voices=2, checkpoints=2), 0.01)


def test_precision_changes_the_music_only_where_it_rounds(render):
    files = {name: render("--seconds", 0.2, "--precision", name)[2] for name in ("auto", "int8", "bf16", "fp32")}
    assert files["auto"] == files["int8"]
    assert len(set(files.values())) == 3
