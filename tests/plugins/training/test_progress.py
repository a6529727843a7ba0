"""What is shown while one waits."""

import errno
import io
import os

import pytest
from rich.console import Console

from ambientd_plugins.training.errors import way_out
from ambientd_plugins.training.progress import bar


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("text", ["short", "many words " * 30])
def test_a_bar_is_one_line_that_ends_in_the_time_left(width, text):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    shown = bar("{task.description}", console)
    shown.add_task(text, total=1.0)
    with console.capture() as captured:
        console.print(shown.get_renderable())
    (line,) = captured.get().splitlines()
    assert len(line) <= width
    assert line.rstrip().endswith(" -:--:--")


@pytest.mark.parametrize(("number", "said"), [("ENOSPC", "room"), ("EACCES", "writable"), ("EROFS", "writable")])
def test_the_remedy_is_that_of_the_reason(number, said):
    code = getattr(errno, number)
    assert said in way_out(OSError(code, os.strerror(code)))
