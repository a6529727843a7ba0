"""`ambientd surface`, and the layout that comes along."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from select import select
from threading import Thread

import py2tosc
import pytest
from click.testing import CliRunner, Result

from ambientd.cli import main
from ambientd.ipc.runtime import ask_status
from ambientd.parameters import ParameterTable, builtin_parameters
from ambientd.supervisor.status_socket import StatusSocket
from ambientd.surfaces.commands import FORMATS
from ambientd.surfaces.tree import Tree, tree_of_status

from ..running import Running

ROOT = Path(__file__).parent.parent.parent
COMMITTED = ROOT / "configs/touchosc/ambientd.tosc"
PICTURE = ROOT / "docs/touchosc.svg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has nothing of his own."""
    for name in ("CONFIG_HOME", "DATA_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path))
    return tmp_path


def surface(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["surface", *map(str, words)])


def test_the_committed_layout_is_what_the_command_writes_now(folder: Path) -> None:
    assert surface("touchosc", folder / "now.tosc").exit_code == 0
    now, committed = (zlib.decompress(path.read_bytes()) for path in (folder / "now.tosc", COMMITTED))
    assert now == committed, "make surfaces"


def test_the_picture_is_of_the_committed_layout(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.svg"
    script = ROOT / "scripts/touchosc_picture.py"
    subprocess.run([sys.executable, script, COMMITTED, drawn], check=True)
    assert drawn.read_text() == PICTURE.read_text(), "make surfaces"


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_is_written_whole_and_counted(folder: Path, format: str) -> None:
    preset = folder / "ambientd/presets/mine.toml"
    preset.parent.mkdir(parents=True)
    preset.write_text("fade = 1.0\n")
    result = surface(format, folder / "out", "--set", "max_slots=3")
    assert result.exit_code == 0
    assert "3 slots" in result.output
    data = (folder / "out").read_bytes()
    text = (zlib.decompress(data) if format == "touchosc" else data).decode()
    assert "slot/3/gain" in text
    assert "slot/4/gain" not in text
    assert "mine" in text
    assert [path.name for path in folder.iterdir() if "out" in path.name] == ["out"]


def test_a_configuration_is_a_file_too(folder: Path) -> None:
    (folder / "small.toml").write_text("max_slots = 1\n[osc]\nport = 9123\n")
    assert surface("html-table", folder / "out", folder / "small.toml").exit_code == 0
    assert "port 9123" in (folder / "out").read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--set", "mashup.name=blent"], "blent"),
        (["--set", "max_slot=3"], "Did you mean 'max_slots'?"),
        (["--running"], "ambientd is not running"),
        (["--running", "--set", "max_slots=3"], "has a configuration already"),
        (["--system"], "--system is for --running"),
        (["missing.toml"], "missing.toml cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(folder: Path, words: list[str], complaint: str) -> None:
    result = surface("touchosc", folder / "out", *words)
    assert result.exit_code != 0
    assert complaint in result.output
    assert len(result.output.splitlines()) == 1
    assert not (folder / "out").exists()


def test_a_folder_that_cannot_be_written_to(folder: Path) -> None:
    (folder / "file").touch()
    result = surface("touchosc", folder / "file/out.tosc")
    assert result.exit_code != 0
    assert result.output.startswith(f"ambientd: {folder}/file/out.tosc cannot be written")


def test_a_status_tells_the_tree(tree: Tree) -> None:
    status = {
        "parameters": ParameterTable(tree.parameters).describe(),
        "plugins": [{"mashups": ["surface"]}, {"mashups": ["many", "none"]}],
        "osc": {"host": "127.0.0.1", "port": 7770},
    }
    assert tree_of_status(json.loads(json.dumps(status)), tree.presets) == tree


def test_a_status_with_the_most_slots_arrives_whole(tmp_path: Path) -> None:
    parameters = ParameterTable(builtin_parameters(64)).describe()
    listening = StatusSocket(tmp_path / "status.sock", {"status": lambda request: {"parameters": parameters}})

    def answer() -> None:
        for _ in ("who connects", "what is asked"):
            select([listening], [], [], 10)
            listening.answer()

    answering = Thread(target=answer)
    answering.start()
    try:
        assert ask_status(listening.path)["parameters"] == parameters
    finally:
        answering.join()
        listening.close()


def test_the_running_daemon_obeys_what_its_own_layout_sends(run: Callable[..., Running], tmp_path: Path) -> None:
    """Ask for all that is shown, then press and move everything, as the file says it is sent."""
    daemon = run('slots=[{model="calm"}, {model="loud"}]', "max_slots=2", "autoplay=false")
    daemon.until(lambda status: status["osc"]["port"])
    command = [sys.executable, "-m", "ambientd", "surface", "touchosc", str(tmp_path / "own.tosc"), "--running"]
    subprocess.run(command, env=daemon.environment, check=True)
    document = py2tosc.load(tmp_path / "own.tosc")
    messages = [message for control in document.walk() for message in control.messages]
    asked = [(_address(message),) for message in messages if message.receive]
    sent = [(_address(message), *map(_told, message.arguments)) for message in messages if message.send]
    for words in (*asked, *sent):
        daemon.osc(*words)
    count = len(asked) + len(sent)
    status = daemon.until(lambda status: status["osc"]["handled"] + status["osc"]["rejected"] >= count)
    assert status["osc"]["rejected"] == 0, status["osc"]["last_fault"]
    assert status["panic"]
    assert status["preset"]["current"]
    knobs = {parameter.id: parameter for parameter in tree_of_status(status, ()).parameters}
    values = {row["id"]: row["value"] for row in status["parameters"]}
    untouched_by_presets = [id for id in knobs if id.rpartition("/")[2] in ("volume", "gain", "pan") or "weight" in id]
    assert len(untouched_by_presets) == 29
    for id in untouched_by_presets:
        assert knobs[id].normalise(values[id]) == pytest.approx(0.25), id


def _address(message: py2tosc.OscMessage) -> str:
    return "".join(partial.value for partial in message.path)


def _told(partial: py2tosc.Partial) -> str | int | float:
    """What TouchOSC makes of an argument when a knob is at a quarter of its way, or a button is pressed."""
    if partial.type != "CONSTANT":
        return 1 if partial.conversion == "INTEGER" else 0.25
    return int(partial.value) if partial.conversion == "INTEGER" else partial.value
