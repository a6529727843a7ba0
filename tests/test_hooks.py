"""A hook that is undocumented, never called or untested fails here, and so does a page made from code that is stale."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path

import pytest

import ambientd
from ambientd import hookspecs

ROOT = Path(__file__).parent.parent
HOOKS = [name for name, item in vars(hookspecs).items() if inspect.isfunction(item) and hasattr(item, "ambientd_spec")]


def test_there_are_hooks() -> None:
    assert "register_mashups" in HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_says_what_it_takes_and_on_which_thread(name: str) -> None:
    text = inspect.getdoc(getattr(hookspecs, name)) or ""
    assert "thread" in text
    assert len(text.splitlines()) >= 3


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_called_by_the_program(name: str) -> None:
    sources = (path.read_text() for path in Path(ambientd.__file__).parent.rglob("*.py"))
    assert any(re.search(rf"hooks\.{name}\b", source) for source in sources)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_implemented_by_a_test(name: str) -> None:
    tests = Path(__file__).parent
    assert any(re.search(rf"def {name}\(", path.read_text()) for path in tests.rglob("test_*.py"))


def test_the_page_of_hooks_is_what_make_docs_writes() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "hook_docs.py"))
    assert made["PAGE"].read_text() == made["page"](), "docs/hooks.md is stale: run `make docs`"


def test_the_page_of_the_configuration_is_what_make_docs_writes() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "config_docs.py"))
    assert made["PAGE"].read_text() == made["page"](), "docs/configuration.md is stale: run `make docs`"


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_its_place_on_the_page(name: str) -> None:
    assert f"\n## `{name}`\n" in (ROOT / "docs" / "hooks.md").read_text()
