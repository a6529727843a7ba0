"""The training plugin: `ambientd album`, `train`, `evaluate`, `blend-report` and
`bench training`. It is light until one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambientd.plugin import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def register_commands(cli: click.Group) -> None:
    from ambientd_plugins.training.albums.commands import album
    from ambientd_plugins.training.bench_command import bench
    from ambientd_plugins.training.blend.command import blend_report
    from ambientd_plugins.training.judging.evaluate_command import evaluate
    from ambientd_plugins.training.train_command import train

    for command in (album, train, evaluate, bench, blend_report):
        command.context_settings["token_normalize_func"] = either_spelling
        cli.add_command(command)


def either_spelling(name: str) -> str:
    """Of an option: `--frame_sizes`, as the older training scripts have it, and `--frame-sizes` are the same."""
    return name.replace("_", "-")
