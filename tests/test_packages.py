"""pyproject.toml names what is there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points, requires, version
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import ambientd

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]


def test_every_folder_with_python_is_a_listed_package() -> None:
    there = {
        ".".join([name, *path.parent.relative_to(ROOT / folder).parts])
        for name, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert sorted(there) == sorted(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("package", FOLDERS)
def test_the_sibling_folders_import_under_their_names(package: str) -> None:
    assert Path(str(files(package))) == ROOT / FOLDERS[package]


def test_every_file_that_is_not_python_would_be_installed() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for name, folder in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc") and path.name[0] != ".":
                assert any(path.match(pattern) for pattern in patterns.get(name, [])), f"{path} is in no package-data"


def test_the_bundled_plugins_are_declared() -> None:
    declared = PROJECT["project"]["entry-points"]["ambientd.plugins"]
    plugins = {p.stem for p in (ROOT / "plugins").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert set(declared) == plugins - {"__init__"}
    installed = {entry.name: entry.value for entry in entry_points(group="ambientd.plugins")}
    assert declared.items() <= installed.items()


def test_the_version_is_one() -> None:
    assert version("ambientd") == ambientd.__version__


def test_the_pins_cover_what_is_asked_for() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]
    assert {name for text in wanted for name in with_extras(Requirement(text))} <= pinned


def with_extras(wanted: Requirement) -> Iterator[str]:
    yield wanted.name
    for text in requires(wanted.name) or () if wanted.extras else ():
        needed = Requirement(text)
        if needed.marker and any(needed.marker.evaluate({"extra": extra}) for extra in wanted.extras):
            yield needed.name
