"""What is shown while one waits."""

import errno
import io
import os

import pytest
from rich.console import Console

from ambientd_plugins.training.errors import way_out
from ambientd_plugins.training.progress import FIRST_LINE_SECONDS, LINE_SECONDS, Pace, bar


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


def test_a_log_file_has_a_line_soon_and_then_every_few_minutes():
    now = [1000.0]
    pace, told = Pace(0.2, lambda: now[0]), []
    for second in range(600):
        now[0] = 1000.0 + second
        if pace.due():
            told.append(second)
    assert told == [FIRST_LINE_SECONDS + LINE_SECONDS * n for n in range(4)]


def test_the_time_left_counts_from_where_the_work_begins():
    now = [1000.0]
    pace = Pace(0.2, lambda: now[0])
    now[0] = 1600.0
    assert pace.left(0.3) == "1:10:00"
    assert pace.left(1.0) == "0:00:00"
    assert pace.left(0.2) == "-:--:--"


@pytest.mark.parametrize(("number", "said"), [("ENOSPC", "room"), ("EACCES", "writable"), ("EROFS", "writable")])
def test_the_remedy_is_that_of_the_reason(number, said):
    code = getattr(errno, number)
    assert said in way_out(OSError(code, os.strerror(code)))
