"""Models of samplernn-pytorch: the same function after the import, and nothing bad from a bad file.

`Foreign` is that project's architecture written down anew from its description, under its tensors' names.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from ambientd.cli import main
from ambientd.errors import CheckpointError
from ambientd.samplernn import foreign_reader, library
from ambientd.samplernn.checkpoint import load
from ambientd.samplernn.foreign import convert
from ambientd.samplernn.model import SampleRNN

NORMS = {
    "none": lambda module: module,
    "old": torch.nn.utils.weight_norm,
    "new": parametrizations.weight_norm,
}
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")


class Upsampling(nn.Module):
    def __init__(self, dim, ratio, norm):
        super().__init__()
        self.conv_t = norm(nn.ConvTranspose1d(dim, dim, ratio, stride=ratio, bias=False))
        self.bias = nn.Parameter(torch.zeros(dim, ratio))

    def forward(self, x):
        """[B, F, D] -> [B, F * ratio, D]"""
        return (self.conv_t(x.transpose(1, 2)) + self.bias.repeat(1, x.shape[1])).transpose(1, 2)


class FrameTier(nn.Module):
    def __init__(self, dim, size, ratio, n_rnn, norm):
        super().__init__()
        self.size = size
        self.h0 = nn.Parameter(torch.zeros(n_rnn, dim))
        self.input_expand = norm(nn.Conv1d(size, dim, 1))
        self.rnn = nn.GRU(dim, dim, n_rnn, batch_first=True)
        self.upsampling = Upsampling(dim, ratio, norm)

    def forward(self, samples, above):
        """samples [B, F * size], above [B, F, D] or 0 -> [B, F * ratio, D]"""
        frames = samples.unflatten(1, (-1, self.size))
        x = self.input_expand(frames.transpose(1, 2)).transpose(1, 2) + above
        return self.upsampling(self.rnn(x, self.h0[:, None].repeat(1, len(x), 1))[0])


class SampleMLP(nn.Module):
    def __init__(self, dim, size, q, norm):
        super().__init__()
        self.embedding = nn.Embedding(q, q)
        self.input = norm(nn.Conv1d(q, dim, size, bias=False))
        self.hidden = norm(nn.Conv1d(dim, dim, 1))
        self.output = norm(nn.Conv1d(dim, q, 1))

    def forward(self, tokens, conditioning):
        x = F.relu(self.input(self.embedding(tokens).transpose(1, 2)) + conditioning.transpose(1, 2))
        return F.log_softmax(self.output(F.relu(self.hidden(x))).transpose(1, 2), -1)


class Foreign(nn.Module):
    def __init__(self, multiples=(4, 2), n_rnn=1, dim=12, q=32, norm="old"):
        super().__init__()
        sizes = np.cumprod(multiples).tolist()
        tiers = zip(sizes, multiples, strict=True)
        self.q, self.sizes = q, sizes
        self.frame_level_rnns = nn.ModuleList(FrameTier(dim, s, r, n_rnn, NORMS[norm]) for s, r in tiers)
        self.sample_level_mlp = SampleMLP(dim, sizes[0], q, NORMS[norm])
        with torch.no_grad():
            for p in self.parameters():
                p.add_(torch.randn_like(p) * 0.2)

    def forward(self, tokens):
        """[B, longest frame + T] -> log-probabilities [B, T, q] of the last T"""
        heard, longest = 2 * (tokens / (self.q / 2) - 1), self.sizes[-1]
        conditioning = 0.0
        for tier in reversed(self.frame_level_rnns):
            conditioning = tier(heard[:, longest - tier.size : -tier.size], conditioning)
        return self.sample_level_mlp(tokens[:, longest - self.sizes[0] : -1], conditioning)


def numpy_state(model):
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def difference(foreign, architecture, tensors):
    """The largest difference of teacher-forced log-probabilities over five of the longest frames, of the largest."""
    ours = SampleRNN(architecture)
    ours.restore(tensors)
    tokens = torch.randint(0, foreign.q, (2, 6 * ours.context))
    logits, _ = ours(tokens.to(torch.uint8), ours.initial_state(2))
    expected = foreign(tokens)
    assert expected.std(1).mean() > 0.01
    return float((F.log_softmax(logits, -1) - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    return Foreign()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("multiples", "n_rnn", "q"), [((4,), 1, 256), ((16, 4), 2, 256), ((2, 4, 2), 1, 64), ((3, 2), 3, 17)]
)
def test_the_function_is_the_same(multiples, n_rnn, q, norm):
    torch.manual_seed(0)
    foreign = Foreign(multiples, n_rnn, 12, q, norm)
    architecture, tensors = convert(numpy_state(foreign), "linear")
    assert (architecture.dim, architecture.ratios, architecture.n_rnn) == (12, multiples, n_rnn)
    assert (architecture.q_levels, architecture.quantization) == (q, "linear")
    assert difference(foreign, architecture, tensors) < 1e-5


def test_biases_may_be_missing(model):
    biases = [name for name in model.state_dict() if "bias" in name or "h0" in name]
    without = Foreign()
    without.load_state_dict(model.state_dict() | {name: 0 * model.state_dict()[name] for name in biases})
    state = {name: tensor for name, tensor in numpy_state(without).items() if name not in biases}
    assert difference(without, *convert(state, "linear")) < 1e-5


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"model.{name}": tensor for name, tensor in state.items()},
        lambda state: {0: None, **state, "epoch": 3},
        lambda state: {"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(())}}}, "model": state},
        lambda state: {"state_dict": {f"module.model.{name}": tensor for name, tensor in state.items()}},
    ],
)
def test_the_model_is_found_in_what_it_is_wrapped_in(model, wrap):
    found = foreign_reader.model_tensors(wrap(model.state_dict()))
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("legacy", [False, True])
def test_the_reader_hands_the_numbers_over(model, tmp_path, legacy):
    """As of double precision, and in the format before PyTorch 1.6, which these projects wrote."""
    path = tmp_path / "ep3-it500"
    doubles = {f"model.{name}": tensor.double() for name, tensor in model.state_dict().items()}
    torch.save(doubles, path, _use_new_zipfile_serialization=not legacy)
    found = foreign_reader.read(path)
    expected = numpy_state(model)
    assert found.keys() == expected.keys()
    assert {tensor.dtype for tensor in found.values()} == {np.dtype(np.float32)}
    assert all(np.array_equal(found[name], tensor) for name, tensor in expected.items())


class Trap:
    """Makes `marker` when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'echo sprung > "{self.marker}"',)


def test_code_in_a_file_is_named_and_not_run(model, tmp_path):
    marker, path, out = tmp_path / "marker", tmp_path / "trap.pt", tmp_path / "out.safetensors"
    trap = Trap(marker)
    torch.save({"model": model.state_dict(), "args": trap}, path)
    result = CliRunner().invoke(main, ["models", "import", str(path), "--out", str(out)])
    assert result.exit_code == 4
    assert result.stderr.startswith(f"ambientd: {path} holds {os.name}.system beside tensors; nothing of it was run.")
    assert result.stderr.count("\n") == 1
    assert not marker.exists()
    assert not out.exists()
    pickle.loads(pickle.dumps(trap))
    assert marker.exists()


def damaged(path, kind):
    match kind:
        case "truncated":
            torch.save(Foreign().state_dict(), path)
            path.write_bytes(path.read_bytes()[:-2000])
        case "text":
            path.write_text("<html>not found</html>")
        case "oversized":
            with path.open("wb") as file:
                file.truncate(foreign_reader.MAX_FILE_BYTES + 1)
        case "folder":
            path.mkdir()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "is truncated, was not written by torch.save"),
        ("text", "was not written by torch.save"),
        ("oversized", "MiB, more than"),
        ("folder", "is not a file"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, kind, message):
    path = tmp_path / "model.pt"
    damaged(path, kind)
    with pytest.raises(CheckpointError, match=message) as caught:
        foreign_reader.read(path)
    assert str(path) in caught.value.what
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame_level_rnns.0.h0": torch.ones(1).expand(1 << 20, 1 << 20)}, "tensors of 1099511"),
        ({f"frame_level_rnns.{n}": torch.ones(1) for n in range(foreign_reader.MAX_TENSORS)}, "tensors of"),
        ({"sample_level_mlp.hidden.bias": "twelve"}, "other than numbers"),
        ({"sample_level_mlp.hidden.bias": torch.ones(12, dtype=torch.int64)}, "other than numbers"),
    ],
)
def test_the_reader_hands_back_only_what_a_model_may_hold(model, changes, message):
    with pytest.raises(foreign_reader.Refused, match=message):
        foreign_reader.model_tensors({"model": model.state_dict() | changes})


def test_another_model_is_refused():
    with pytest.raises(foreign_reader.Refused, match="holds no SampleRNN"):
        foreign_reader.model_tensors(nn.Linear(3, 3).state_dict())


HIDDEN_BIAS = "sample_level_mlp.hidden.bias"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({HIDDEN_BIAS: np.full(12, np.nan, np.float32)}, "NaN or infinity"),
        ({HIDDEN_BIAS: np.ones(13, np.float32)}, r"should be \[12\] and is \[13\]"),
        ({"sample_level_mlp.hidden.weight_v": np.zeros((12, 12, 1), np.float32)}, "NaN or infinity"),
        ({"sample_level_mlp.hidden.weight_g": np.ones((7, 1, 1), np.float32)}, "the weight norm of"),
        ({"sample_level_mlp.hidden.weight_g": None, "sample_level_mlp.hidden.weight_v": None}, "has no tensor"),
        ({"frame_level_rnns.0.rnn.weight_ih_l0": None}, "n_rnn is 0"),
        ({"frame_level_rnns.0.rnn.weight_ih_l0_reverse": np.ones((36, 12), np.float32)}, "not known here"),
        ({"frame_level_rnns.2.h0": np.ones((1, 12), np.float32)}, "not known here"),
        ({"frame_level_rnns.1.input_expand.weight_v": np.ones((12, 9, 1), np.float32)}, "frame_sizes is"),
    ],
)
def test_weights_that_do_not_fit_are_named(model, changes, message):
    state = {name: tensor for name, tensor in (numpy_state(model) | changes).items() if tensor is not None}
    with pytest.raises(CheckpointError, match=message) as caught:
        convert(state, "linear")
    assert caught.value.remedy


def test_an_input_bias_joins_the_table():
    foreign = Foreign(norm="none")
    foreign.sample_level_mlp.input.bias = nn.Parameter(torch.randn(12))
    assert difference(foreign, *convert(numpy_state(foreign), "linear")) < 1e-5


def test_more_levels_than_a_token_holds():
    with pytest.raises(CheckpointError, match="q_levels is 512"):
        convert(numpy_state(Foreign(q=512)), "linear")


def test_folding_cannot_be_made_to_fill_the_memory():
    """A narrow embedding stores little and folds into a table of 64 GiB."""
    dim, size = 4096, 4096
    ones = np.broadcast_to(np.float32(1), (1,))
    state = {
        "frame_level_rnns.0.input_expand.weight": np.broadcast_to(ones, (dim, size, 1)),
        "frame_level_rnns.0.rnn.weight_ih_l0": ones,
        "sample_level_mlp.output.weight": np.broadcast_to(ones, (256, dim, 1)),
    }
    with pytest.raises(CheckpointError, match="too large"):
        convert(state, "linear")


CONFINED = """
import json, os, socket, subprocess, sys
from pathlib import Path
from ambientd.samplernn import foreign_reader as reader

light = not {"numpy", "torch"} & set(sys.modules)
alone = reader.leave_network()
interfaces = Path("/proc/self/net/dev").read_text().splitlines()[2:] if alone else []
reader.limit_resources()
sys.addaudithook(reader.forbid_effects)

def outcome(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"

marker = sys.argv[1]
print(json.dumps({
    "light": light,
    "interfaces": [line.split(":")[0].strip() for line in interfaces],
    "socket": outcome(lambda: socket.create_connection(("127.0.0.1", 9))),
    "program": outcome(lambda: subprocess.run(["true"])),
    "shell": outcome(lambda: os.system("true")),
    "write": outcome(lambda: open(marker, "w")),
    "raw write": outcome(lambda: os.open(marker, os.O_WRONLY | os.O_CREAT)),
    "remove": outcome(lambda: os.remove(__file__ if "__file__" in globals() else marker)),
    "memory": outcome(lambda: bytearray(reader.MEMORY_BYTES + (16 << 20))),  # some is free meanwhile
    "read": outcome(lambda: open(reader.__file__, "rb").read()),
}))
"""


def test_the_reader_is_confined(tmp_path):
    marker = tmp_path / "marker"
    done = subprocess.run([sys.executable, "-c", CONFINED, str(marker)], capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    assert set(found.pop("interfaces")) <= {"lo"}
    assert found.pop("light"), "threads that these start would keep it in the network"
    assert found.pop("read") == "done"
    memory = found.pop("memory")
    assert memory == "MemoryError" or sys.platform != "linux"
    assert set(found.values()) == {"PermissionError"}, found
    assert not marker.exists()


def test_a_reader_that_hangs_is_ended(model, tmp_path, monkeypatch):
    monkeypatch.setattr(foreign_reader, "WALL_SECONDS", 0.01)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="bounds on memory and time"):
        foreign_reader.read(tmp_path / "model.pt")


@pytest.fixture
def models_import(model, tmp_path, monkeypatch):
    """Run `ambientd models import` on the model with these arguments -> click's result; the library is empty."""
    monkeypatch.setattr(library, "user_folder", lambda: tmp_path / "library")
    path = tmp_path / "best-ep3-it500"
    torch.save({f"model.{name}": tensor for name, tensor in model.state_dict().items()}, path)
    return lambda *arguments: CliRunner().invoke(main, ["models", "import", str(path), *map(str, arguments)])


def test_import_puts_a_playable_checkpoint_into_the_library(model, models_import, tmp_path):
    result = models_import("--frame_sizes", 4, 2, "--sample_rate", 8000)
    assert result.exit_code == 0, result.output
    assert "frames of 4 and 8 samples" in result.stdout
    assert "\nhear it: ambientd render --model best-ep3-it500 --seconds 30 --out best-ep3-it500.wav\n" in result.stdout
    assert "licence is unknown" in result.stderr

    path = tmp_path / "library" / "best-ep3-it500.safetensors"
    checkpoint = load(path)
    assert load_file(path)["tiers.0.input.weight"].dtype == np.float32
    assert difference(model, checkpoint.card.architecture, checkpoint.tensors) < 1e-5
    assert (checkpoint.card.sample_rate, checkpoint.card.album.licence) == (8000, "unknown")
    assert checkpoint.prime.tolist() == [[16] * 8]

    wav = tmp_path / "out.wav"
    rendered = CliRunner().invoke(
        main, ["render", "--model", str(path), "--seconds", "0.2", "--out", str(wav), "--precision", "fp32"]
    )
    assert rendered.exit_code == 0, rendered.output
    audio, rate = soundfile.read(wav)
    assert (rate, len(audio)) == (8000, 1600)
    assert np.abs(audio).max() > 0.01

    again = models_import()
    assert again.exit_code == 2
    assert "the library has a 'best-ep3-it500' already" in again.stderr


def test_the_album_and_a_recording_go_with_it(models_import, tmp_path):
    album = tmp_path / "album.toml"
    album.write_text('title = "A"\nartist = "B"\nlicence = "CC0-1.0"\nyear = 1999\n[[tracks]]\nsha256 = "ab"\n')
    recording = tmp_path / "album.wav"
    soundfile.write(recording, 0.05 * np.sin(np.arange(66_150) * 0.1), 22_050)
    out = tmp_path / "out.safetensors"
    described = ["--album", album, "--artist", "C", "--attribution", "A by C"]
    result = models_import("--out", out, *described, "--prime", recording, "--quantization", "mu-law", "--half")
    assert (result.exit_code, result.stderr) == (0, "")
    checkpoint = load(out)
    about = checkpoint.card.album
    assert (about.title, about.artist, about.licence, about.attribution) == ("A", "C", "CC0-1.0", "A by C")
    assert about.sources == ("ab",)
    assert checkpoint.card.architecture.quantization == "mu-law"
    assert checkpoint.prime.shape == (4, 32_000)
    assert (checkpoint.prime.min(), checkpoint.prime.max()) == (0, 31)
    assert load_file(out)["tiers.0.input.weight"].dtype == np.float16
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "../up"], "cannot name a model"),
        (["--out", "model.pt"], "does not end in .safetensors"),
        (["--out", "model.safetensors", "--name", "a"], "exclude each other"),
        (["--album", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--frame_sizes", "8", "2"], "was trained with --frame_sizes 4 2, not 8 2"),
        (["--prime", "nowhere.wav"], "cannot be read as audio"),
    ],
)
def test_arguments_that_cannot_be_honoured(models_import, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = models_import(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-ep3-it500"]
