"""The command line as a person or a script sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest

import ambientd
from ambientd.samplernn.checkpoint import Album, Architecture, Card, save

Run = Callable[..., subprocess.CompletedProcess[str]]


FOLDERS = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")


@pytest.fixture
def home() -> Iterator[Path]:
    """The home of a user who has nothing yet, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def run(home: Path) -> Run:
    """Runs `ambientd` as that user."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ambientd", *arguments],
            env=os.environ | {name: str(home) for name in FOLDERS},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def user_folder(home: Path, function: str) -> Path:
    """Where platformdirs puts that user's things."""
    with pytest.MonkeyPatch.context() as patch:
        for name in FOLDERS:
            patch.setenv(name, str(home))
        return Path(getattr(platformdirs, function)("ambientd"))


def test_help_lists_built_in_and_plugin_commands(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for command in ("run", "status", "devices", "models", "plugins", "render", "bench", "album", "train"):
        assert f"\n  {command} " in done.stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout.strip() == f"ambientd, version {ambientd.__version__}"


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    done = run("paly")
    assert done.returncode == 2
    assert "paly" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["status"], 8, "ambientd: ambientd is not running. Start it with `ambientd run`"),
        (["status", "--json"], 8, "ambientd: ambientd is not running. Start it with `ambientd run`"),
        (["run", "nowhere.toml"], 3, "ambientd: nowhere.toml cannot be read (No such file or directory)."),
        (["run", "--set", "osc.prot=1"], 3, "unknown key 'osc.prot'. Did you mean 'port'?"),
        (["models", "show", "nobody"], 4, "ambientd: no model is called 'nobody'"),
    ],
)
def test_an_expected_failure_is_one_line_and_a_code(run: Run, arguments: list[str], code: int, line: str) -> None:
    done = run(*arguments)
    assert done.stderr.count("\n") == 1, done.stderr
    assert line in done.stderr
    assert (done.returncode, done.stdout) == (code, "")


def test_models_are_listed_and_shown_with_the_broken_one_named(run: Run, home: Path) -> None:
    folder = user_folder(home, "user_data_path") / "models"
    folder.mkdir(parents=True)
    architecture = Architecture(dim=4, frame_sizes=(2, 4), n_rnn=1, q_levels=8)
    card = Card(architecture=architecture, sample_rate=16_000, album=Album(title="Still Water", licence="CC0-1.0"))
    tensors = {name: np.zeros(shape, np.float32) for name, shape in architecture.shapes().items()}
    save(folder / "still.safetensors", card, tensors, np.zeros((1, 64), np.uint8))
    (folder / "torn.safetensors").write_bytes((folder / "still.safetensors").read_bytes()[:100])

    listed = {entry["id"]: entry for entry in json.loads(run("models", "list", "--json").stdout)}
    assert listed["still"]["title"] == "Still Water"
    assert listed["still"]["origin"] == "user"
    assert "torn.safetensors" in listed["torn"]["fault"]
    assert "Still Water" in run("models", "list").stdout

    shown = json.loads(run("models", "show", "still", "--json").stdout)
    assert (shown["album"]["licence"], shown["architecture"]["dim"]) == ("CC0-1.0", 4)
    assert "Still Water" in run("models", "show", "still").stdout
    assert run("models", "show", "torn").returncode == 4


def test_plugins_are_listed_with_the_broken_one_named(run: Run, home: Path) -> None:
    folder = user_folder(home, "user_config_path") / "plugins"
    folder.mkdir(parents=True)
    (folder / "torn.py").write_text("import nothing_of_this_name")
    done = run("plugins", "list", "--json")
    listed = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert listed["blend"]["mashups"] == ["blend"]
    assert listed["training"]["commands"] == ["album", "train", "evaluate", "bench training", "blend-report"]
    assert listed["torn"]["state"] == "import failed"
    assert "ambientd: plugin torn: import failed, ModuleNotFoundError" in done.stderr
    assert "torn" in run("plugins", "list").stdout


def test_devices_answer_even_where_there_are_none(run: Run) -> None:
    done = run("devices", "--json")
    if done.returncode:
        assert "PortAudio" in done.stderr
    else:
        assert all({"index", "name", "channels"} <= device.keys() for device in json.loads(done.stdout))
