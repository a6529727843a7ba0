"""Options of several commands. Any command; imports only click."""

from __future__ import annotations

from typing import Any

import click

as_system = click.option("--system", is_flag=True, help="The machine's service, rather than the user's.")


class Several(click.Option):
    """`--flag A B C`, up to the next option; `--flag A --flag B` works as well.

    One whose metavar is KEY=VALUE... ends before a word without =, which is an argument of the command.
    click has no greedy options, and the older training scripts' `--frame_sizes 16 4` is a form people know.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"multiple": True})

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        options = [*parser._long_opt.values(), *parser._short_opt.values()]
        option = next(option for option in options if option.obj is self)
        process = option.process
        needed = "=" if "=" in (self.metavar or "") else ""

        def greedy(value: Any, state: Any) -> None:
            process(value, state)
            while state.rargs and not state.rargs[0].startswith("-") and needed in state.rargs[0]:
                process(state.rargs.pop(0), state)

        option.process = greedy
