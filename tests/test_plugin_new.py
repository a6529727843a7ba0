"""`ambientd plugins new`: what it writes works as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.errors import PluginError, UsageError
from ambientd.plugin_manager import Plugins
from ambientd.plugin_new import write_plugin


def ambientd(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_CONFIG_HOME": str(home)}
    words = [sys.executable, "-m", "ambientd", *arguments]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)


def test_the_mashup_and_its_test_work_as_written(tmp_path: Path) -> None:
    done = ambientd(tmp_path, "plugins", "new", "slow_tide")
    assert done.returncode == 0, done.stderr
    plugin, test = map(Path, done.stdout.splitlines())
    assert plugin == tmp_path / "ambientd" / "plugins" / "slow_tide.py"
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(test)]
    tested = subprocess.run(words, cwd=test.parent, capture_output=True, text=True, timeout=120)
    assert tested.returncode == 0, tested.stdout
    assert "5 passed" in tested.stdout
    assert Plugins.discover(plugin.parent).mashup("slow_tide").__name__ == "SlowTide"

    before = plugin.read_text()
    again = ambientd(tmp_path, "plugins", "new", "slow_tide")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert plugin.read_text() == before


@pytest.mark.parametrize("name", ["", "Tide", "slow-tide", "2nd", "../tide", "tide.py", "test_tide", "class", "blend"])
def test_a_name_that_will_not_do_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_plugin(name, tmp_path / "new", Plugins.discover(tmp_path))
    assert not list(tmp_path.iterdir())


def test_neither_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "test_tide.py").write_text("mine")
    with pytest.raises(UsageError, match=r"test_tide\.py is there already"):
        write_plugin("tide", tmp_path, Plugins.discover(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["test_tide.py"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="cannot be written to"):
        write_plugin("tide", tmp_path / "file" / "folder", Plugins.discover(tmp_path))
