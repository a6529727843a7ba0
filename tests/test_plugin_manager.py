"""Plugins: found, loaded alone, and each with a named state."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import pytest

from ambientd.errors import PluginError
from ambientd.plugin_manager import Plugin, Plugins, PluginState

MASHUP = """
from ambientd.plugin import Mashup, Parameter, Sink, hookimpl

class Still(Mashup):
    name = "{name}"
    parameters = (Parameter("depth", "How deep"),)
    def next_mix(self, controls, clock, mix): ...

@hookimpl
def register_mashups():
    return [Still]
"""


def discover(folder: Path, **files: str) -> Plugins:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return Plugins.discover(folder)


def states(plugins: Plugins) -> dict[str, PluginState]:
    return {plugin.name: plugin.state for plugin in plugins.found}


def only(plugins: Plugins, name: str) -> Plugin:
    (plugin,) = (plugin for plugin in plugins.found if plugin.name == name)
    return plugin


def test_the_bundled_plugins_load_through_entry_points(tmp_path: Path) -> None:
    plugins = Plugins.discover(tmp_path)
    assert {"blend", "wav"} <= {plugin.name for plugin in plugins.found if plugin.state is PluginState.LOADED}
    assert plugins.mashup("blend").name == "blend"
    assert plugins.sink("wav").name == "wav"
    assert only(plugins, "blend").origin == "bundled"
    assert only(plugins, "blend").place.startswith("ambientd ")


def test_a_dropped_in_file_is_a_plugin(tmp_path: Path) -> None:
    plugins = discover(
        tmp_path, still=MASHUP.format(name="still"), _private="raise RuntimeError", test_still="raise RuntimeError"
    )
    assert plugins.mashup("still").parameters[0].id == "depth"
    assert only(plugins, "still").mashups == ["still"]
    assert only(plugins, "still").origin == "folder"
    assert only(plugins, "still").place == str(tmp_path / "still.py")
    assert not {"_private", "test_still"} & set(states(plugins))


@pytest.mark.parametrize(
    ("text", "state", "reason"),
    [
        ("import nothing_of_this_name", PluginState.IMPORT_FAILED, "No module named"),
        ("def broken(:", PluginState.IMPORT_FAILED, "SyntaxError"),
        ("raise SystemExit(3)", PluginState.IMPORT_FAILED, "SystemExit: 3"),
        ("", PluginState.BAD_REGISTRATION, "no function marked with hookimpl"),
        (
            "from ambientd.plugin import hookimpl\n@hookimpl\ndef register_mashup(): return []",
            PluginState.BAD_REGISTRATION,
            "register_mashup",
        ),
        (
            "from ambientd.plugin import hookimpl\n@hookimpl\ndef register_mashups(what): return []",
            PluginState.BAD_REGISTRATION,
            "what",
        ),
        (
            "from ambientd.plugin import hookimpl\n@hookimpl\ndef register_sinks(): raise OSError('full\\nstop')",
            PluginState.BAD_REGISTRATION,
            "register_sinks: OSError: full stop",
        ),
        (
            "from ambientd.plugin import hookimpl\n@hookimpl\ndef register_mashups(): return 3",
            PluginState.BAD_REGISTRATION,
            "returned 3",
        ),
        (
            "from ambientd.plugin import hookimpl\n@hookimpl\ndef register_mashups(): return [int]",
            PluginState.BAD_REGISTRATION,
            "not a class derived from Mashup",
        ),
        (
            MASHUP.format(name="mine").replace("next_mix", "last_mix"),
            PluginState.BAD_REGISTRATION,
            "does not implement next_mix",
        ),
        (MASHUP.format(name="Not A Name"), PluginState.BAD_REGISTRATION, "needs a name"),
        (
            MASHUP.format(name="mine").replace("parameters =", "Config = dict\n    parameters ="),
            PluginState.BAD_REGISTRATION,
            "needs a Config",
        ),
        (
            MASHUP.format(name="mine").replace('"How deep"),', '"How deep"),) * (2,'),
            PluginState.IMPORT_FAILED,
            "TypeError",
        ),
        (
            MASHUP.format(name="mine").replace('Parameter("depth", "How deep"),', "3,"),
            PluginState.BAD_REGISTRATION,
            "parameters that are not Parameter",
        ),
        (
            MASHUP.format(name="mine").replace('"How deep"),)', '"How deep"),) * 2'),
            PluginState.BAD_REGISTRATION,
            "two parameters of one id",
        ),
        (MASHUP.format(name="blend"), PluginState.NAME_TAKEN, "already is a mashup called 'blend'"),
    ],
)
def test_a_broken_plugin_has_a_state_and_a_reason_and_costs_nobody_else(
    tmp_path: Path, text: str, state: PluginState, reason: str
) -> None:
    plugins = discover(tmp_path, broken=text, good=MASHUP.format(name="good"))
    broken = only(plugins, "broken")
    assert broken.state is state
    assert reason in broken.reason
    assert "\n" not in broken.reason
    assert {"blend", "good"} <= set(plugins.mashups)
    assert states(plugins)["good"] is PluginState.LOADED


def test_a_plugin_is_taken_in_whole_or_not_at_all(tmp_path: Path) -> None:
    half = MASHUP.format(name="half") + "\n@hookimpl\ndef register_sinks():\n    raise RuntimeError('no')\n"
    plugins = discover(tmp_path, half=half)
    assert "half" not in plugins.mashups


def test_a_file_replaces_the_installed_plugin_of_its_name(tmp_path: Path) -> None:
    plugins = discover(tmp_path, blend=MASHUP.format(name="blend"))
    assert plugins.mashup("blend").__module__ == "ambientd_user_plugins.blend"
    assert [p.state for p in plugins.found if p.name == "blend"] == [PluginState.LOADED, PluginState.REPLACED]


def test_a_replacement_that_fails_leaves_the_installed_plugin_in_place(tmp_path: Path) -> None:
    plugins = discover(tmp_path, blend="raise RuntimeError('typing slip')")
    assert plugins.mashup("blend").__module__ == "ambientd_plugins.blend"
    assert [p.state for p in plugins.found if p.name == "blend"] == [PluginState.IMPORT_FAILED, PluginState.LOADED]


def test_a_name_that_matches_nothing_is_answered_with_the_nearest_or_the_fault(tmp_path: Path) -> None:
    plugins = discover(tmp_path, tangled="raise RuntimeError('typing slip')")
    with pytest.raises(PluginError, match=r"no mashup is called 'blnd'\. Did you mean 'blend'\?"):
        plugins.mashup("blnd")
    with pytest.raises(PluginError, match="tangled did not load: import failed, RuntimeError: typing slip"):
        plugins.mashup("tangled")
    with pytest.raises(PluginError, match=r"There are: .*wav"):
        plugins.sink("zzz")


COMMANDS = """
import click
from ambientd.plugin import hookimpl

@hookimpl
def register_commands(cli):
    @cli.command()
    def {first}(): ...
    {then}
"""


def test_commands_are_added_and_a_failing_plugin_adds_none(tmp_path: Path) -> None:
    plugins = discover(
        tmp_path,
        a_fails=COMMANDS.format(first="half", then="raise RuntimeError('no')"),
        b_taken=COMMANDS.format(first="run", then=""),
        c_good=COMMANDS.format(first="hello", then=""),
    )
    cli = click.Group(commands={"run": click.Command("run")})
    original = cli.commands["run"]
    plugins.add_commands(cli)
    assert "hello" in cli.commands
    assert "half" not in cli.commands
    assert cli.commands["run"] is original
    assert states(plugins)["a_fails"] is PluginState.BAD_REGISTRATION
    assert states(plugins)["b_taken"] is PluginState.NAME_TAKEN


GROUP = """
import click
from ambientd.plugin import hookimpl

@hookimpl
def register_commands(cli):
    @cli.group()
    def {group}(): ...
    @{group}.command()
    def {command}(): ...
"""


def test_a_group_that_is_there_already_takes_in_a_plugin_s_commands(tmp_path: Path) -> None:
    plugins = discover(
        tmp_path,
        a_adds=GROUP.format(group="bench", command="strings"),
        b_taken=GROUP.format(group="bench", command="engine"),
        c_no_group=GROUP.format(group="run", command="fast"),
        d_same=GROUP.format(group="bench", command="strings"),
    )
    engine, run = click.Command("engine"), click.Command("run")
    bench = click.Group("bench", commands={"engine": engine})
    cli = click.Group(commands={"bench": bench, "run": run})
    plugins.add_commands(cli)
    assert cli.commands["bench"] is bench
    assert bench.commands["engine"] is engine
    assert cli.commands["run"] is run
    assert {"engine", "strings"} <= set(bench.commands)
    assert only(plugins, "a_adds").commands == ["bench strings"]
    for name in ("b_taken", "c_no_group", "d_same"):
        assert states(plugins)[name] is PluginState.NAME_TAKEN
    assert only(plugins, "b_taken").reason == "there already is a command called 'bench engine'"


def test_an_installation_loads_only_what_it_was_set_up_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not named is not even imported; one that was changed since is another file."""
    left = "raise SystemExit('it was imported')"
    text = MASHUP.format(name="still")
    monkeypatch.setenv("AMBIENTD_PLUGINS", f"free still={hashlib.sha256(text.encode()).hexdigest()}")
    plugins = discover(tmp_path, still=text, free=MASHUP.format(name="free"), left=left, blend=left)
    assert only(plugins, "left").state is PluginState.NOT_ALLOWED
    assert {"still", "free", "blend"} <= set(plugins.mashups)
    assert [plugin.state for plugin in plugins.found if plugin.name == "blend"] == [
        PluginState.NOT_ALLOWED,
        PluginState.LOADED,
    ]
    with pytest.raises(PluginError, match="SHA-256"):
        plugins.update(str(tmp_path / "still.py"), text + "\n")
    monkeypatch.setenv("AMBIENTD_PLUGINS", "")
    assert {p.origin for p in Plugins.discover(tmp_path).found if p.hooks} == {"bundled"}
