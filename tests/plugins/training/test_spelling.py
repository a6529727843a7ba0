"""The older scripts' underscores and everybody else's hyphens are the same option."""

import click
import pytest
from click.testing import CliRunner

from ambientd_plugins.training import register_commands


@pytest.fixture
def cli():
    @click.group()
    def root():
        pass

    register_commands(root)
    return root


def options(command):
    """(command, option) of all that have two words and more."""
    inside = [found for child in getattr(command, "commands", {}).values() for found in options(child)]
    return inside + [
        (command, p) for p in command.params if isinstance(p, click.Option) and "_" in p.opts[0].strip("-")
    ]


def test_options_are_shown_in_one_spelling(cli):
    assert {option.opts[0] for _, option in options(cli)} >= {"--frame_sizes", "--sample_rate", "--trim_silence"}
    for command in cli.commands.values():
        for child in [command, *getattr(command, "commands", {}).values()]:
            assert not [p.opts for p in child.params if "-" in p.opts[0].strip("-")]


@pytest.mark.parametrize("spelt", ["--frame-sizes", "--frame_sizes"])
def test_both_spellings_are_taken(cli, spelt, tmp_path):
    train = cli.commands["train"]
    words = [
        "--exp",
        "x",
        spelt,
        "8",
        "2",
        "4",
        "--quantization",
        "mu-law",
        "--cpu-minutes",
        "1",
        "--sample_rate",
        "9000",
    ]
    settings = train.context_settings
    found = train.make_context("train", words, **settings).params
    assert (found["frame_sizes"], found["cpu_minutes"], found["sample_rate"]) == ((8, 2, 4), 1.0, 9000)
    assert found["quantization"] == "mu-law"


@pytest.mark.parametrize("spelt", ["--trim-silence", "--trim_silence"])
def test_a_groups_commands_take_both(cli, spelt):
    done = CliRunner().invoke(cli, ["album", "chunk", "nowhere", "out", spelt, "loud"])
    assert "Invalid value for '--trim_silence': 'loud'" in done.output


def test_choices_are_shown_as_they_are(cli):
    assert "[mu-law|linear]" in CliRunner().invoke(cli, ["train", "--help"]).output
