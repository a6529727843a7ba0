"""Imports run one way, and light things stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ambientd
import ambientd_plugins

ROOMS: tuple[tuple[str, ...], ...] = (
    ("ambientd", "ambientd.supervisor", "ambientd.errors", "ambientd.types", "ambientd.arrays"),
    ("ambientd.ipc", "ambientd.follower", "ambientd.options", "ambientd.supervisor.printer", "ambientd.pulse_guard"),
    ("ambientd.parameters",),
    ("ambientd.ensemble",),
    ("ambientd.plugin",),
    ("ambientd.config", "ambientd.samplernn"),
    ("ambientd.engine", "ambientd.audio", "ambientd.control", "ambientd.midi"),
    ("ambientd.hookspecs",),
    ("ambientd.plugin_sources",),
    ("ambientd.plugin_permits",),
    ("ambientd.plugin_manager",),
    (
        "ambientd.supervisor.event_log",
        "ambientd.generator",
        "ambientd.supervisor.gpu_policy",
        "ambientd.supervisor.mashup_record",
        "ambientd.plugin_new",
        "ambientd.rehearsal",
        "ambientd.service",
        "ambientd.presets",
        "ambientd.supervisor.shared_state",
        "ambientd.supervisor.sink_threads",
        "ambientd.supervisor.slots",
        "ambientd.supervisor.ready",
        "ambientd.supervisor.status_socket",
        "ambientd.status_words",
        "ambientd.supervisor.supervised",
    ),
    ("ambientd.plugin_reload", "ambientd.supervisor.vitals", "ambientd.supervisor.guard"),
    (
        "ambientd.supervisor.live_slots",
        "ambientd.supervisor.mashup_desk",
        "ambientd.supervisor.midi_room",
        "ambientd.supervisor.osc_room",
        "ambientd.midi_commands",
        "ambientd.surfaces",
    ),
    ("ambientd.supervisor.health", "ambientd.supervisor.loudness_desk"),
    ("ambientd.lifecycle",),
    ("ambientd.readiness", "ambientd.supervisor.child_events", "ambientd.supervisor.daemon_info"),
    ("ambientd.supervisor.children",),
    ("ambientd.daemon", "ambientd.soak"),
    ("ambientd.cli",),
    ("ambientd.__main__",),
)
"""From the bottom up: a room may import itself and those of lower rows, never one beside it."""

BESIDE = {"ambientd.types": {"ambientd.arrays"}}
"""Exceptions, by importer."""

HOSTS = {"ambientd.engine.commands"}
"""Where plugins' mashups are played without a daemon, so it may reach up to the plugin manager."""

HEAVY = {"torch", "torchaudio", "numba", "llvmlite", "numpy", "scipy", "matplotlib", "soundfile", "sounddevice", "soxr"}
SUPERVISOR = "ambientd.supervisor"
GPU_ENGINE = "ambientd.engine.kernels.cuda"
PLAYING_IMPORTS_NO = {"torch", "torchaudio", "matplotlib"}


def modules(package: object) -> dict[str, ast.Module]:
    """Every module of a package by its dotted name, parsed."""
    (folder,) = (Path(path) for path in package.__path__)  # type: ignore[attr-defined]
    name = package.__name__  # type: ignore[attr-defined]
    parsed = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [part for part in path.relative_to(folder).with_suffix("").parts if part != "__init__"]
        parsed[".".join([name, *parts])] = ast.parse(path.read_text())
    return parsed


PROGRAM = modules(ambientd)
PLUGINS = modules(ambientd_plugins)
KNOWN = PROGRAM.keys() | PLUGINS.keys()


def imports(tree: ast.AST, top_level_only: bool = False) -> Iterator[str]:
    """Dotted names of what is imported, but for type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            assert node.module
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in KNOWN else node.module for name in inner)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not (top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from imports(node, top_level_only)


def room(module: str) -> str:
    """The room that a module of ambientd belongs to: a folder, but each of the supervisor's files is one."""
    if module == "ambientd":
        return module
    depth = 3 if module.startswith(f"{SUPERVISOR}.") else 2
    return ".".join(module.split(".")[:depth])


def level(name: str) -> int:
    found = [index for index, row in enumerate(ROOMS) if name in row]
    assert found, f"{name} has no place in ROOMS"
    return found[0]


@pytest.mark.parametrize("module", PROGRAM)
def test_imports_run_one_way(module: str) -> None:
    own = room(module)
    for imported in imports(PROGRAM[module]):
        top = imported.split(".")[0]
        assert top != "ambientd_plugins", f"{module} imports a plugin"
        if top != "ambientd" or room(imported) == own or imported in BESIDE.get(own, ()):
            continue
        if module in HOSTS and imported == "ambientd.plugin_manager":
            continue
        assert level(room(imported)) < level(own), f"{module} imports {imported}, which is not below it"


@pytest.mark.parametrize("module", PLUGINS)
def test_a_plugin_uses_the_public_door(module: str) -> None:
    own = ".".join(module.split(".")[:2])
    allowed = {"ambientd.plugin"} | ({"ambientd.samplernn"} if own == "ambientd_plugins.training" else set())
    for imported in imports(PLUGINS[module]):
        top = imported.split(".")[0]
        if top == "ambientd":
            assert room(imported) in allowed, f"{module} imports {imported}"
        elif top == "ambientd_plugins":
            assert imported == own or imported.startswith(f"{own}."), f"{module} imports another plugin, {imported}"


@pytest.mark.parametrize("module", PROGRAM)
def test_what_plays_does_not_import_what_trains(module: str) -> None:
    if module == "ambientd.samplernn.model" or module.startswith(GPU_ENGINE):
        return
    tops = {imported.split(".")[0] for imported in imports(PROGRAM[module], top_level_only=True)}
    assert not tops & PLAYING_IMPORTS_NO
    if not module.startswith("ambientd.engine"):
        assert not tops & {"numba", "llvmlite"}


@pytest.mark.parametrize("module", [name for name in PROGRAM if not name.startswith(GPU_ENGINE)])
def test_a_gpu_is_nobodys_business_but_of_who_has_one(module: str) -> None:
    assert not [name for name in imports(PROGRAM[module], top_level_only=True) if name.startswith(GPU_ENGINE)]


@pytest.mark.parametrize("module", PROGRAM | PLUGINS)
def test_every_module_says_what_it_is(module: str) -> None:
    assert ast.get_docstring((PROGRAM | PLUGINS)[module])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plugins", "list", "--json"], ["run", "--help"]])
def test_help_is_light(arguments: list[str]) -> None:
    code = f"""
import sys
from ambientd.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
