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

    cli.add_command(album)
    cli.add_command(train)
    cli.add_command(evaluate)
    cli.add_command(bench)
    cli.add_command(blend_report)
