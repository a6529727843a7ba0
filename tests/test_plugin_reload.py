"""Plugin files that change while the real daemon plays."""

from __future__ import annotations

import os
import signal

import pytest

from ambientd.errors import AmbientdError
from ambientd.rehearsal import check

from .running import makes_new_sound, process

MASHUP = """
from ambientd.plugin import Mashup, Parameter, hookimpl

class Mine(Mashup):
    name = "mine"
    parameters = ({parameters})
    def next_mix(self, controls, clock, mix):
        mix.gains[:, {silent}] = 0

@hookimpl
def register_mashups():
    return [Mine]
"""
DEPTH = 'Parameter("depth", "How deep", default=0.25),'
WIDTH = 'Parameter("width", "How wide", default=0.5),'


def row(status, name):
    return next((row for row in status["plugins"] if row["name"] == name), {"state": "unknown", "reason": ""})


def test_a_changed_file_is_taken_in_and_a_broken_one_is_not(run, home):
    folder = home / "config" / "ambientd" / "plugins"
    folder.mkdir(parents=True)
    file = folder / "mine.py"
    file.write_text(MASHUP.format(parameters=DEPTH, silent=0))
    daemon = run('slots=[{model="calm"}]', "mashup.name=mine", "reload=true")
    daemon.until(lambda s: makes_new_sound(s) and row(s, "mine")["state"] == "playing")
    daemon.osc("/ambientd/mashup/depth/value", 0.75)
    daemon.osc("/ambientd/mashup/width/value", 0.75)
    daemon.until(lambda s: (s["osc"]["handled"], s["osc"]["rejected"]) == (1, 1))

    file.write_text(MASHUP.format(parameters=DEPTH + WIDTH, silent=1))
    daemon.said("plugin mine: taken in")
    daemon.said("parameters added mashup/mine/width")
    daemon.osc("/ambientd/mashup/width/value", 0.75)
    daemon.until(lambda s: s["osc"]["handled"] == 2 and row(s, "mine")["state"] == "playing")

    good = file.read_text()
    for broken, reason in ((good + "\n1 / 0", "ZeroDivisionError"), (good.replace('"mine"', '"yours"'), "'mine' any")):
        file.write_text(broken)
        refused = daemon.until(lambda s, reason=reason: reason in row(s, "mine")["reason"])
        assert row(refused, "mine")["state"] == "update refused"
    (folder / "other.py").write_text(MASHUP.format(parameters="", silent=0).replace('"mine"', '"other"'))
    daemon.until(lambda s: row(s, "other")["state"] == "loaded")

    # What plays after a restart is the last good version, whatever the folder holds.
    os.kill(process(refused, "generator")["pid"], signal.SIGKILL)
    back = daemon.until(lambda s: process(s, "generator")["restarts"] == 1 and makes_new_sound(s))
    assert back["mashup"] == "mine"
    assert row(back, "mine")["state"] == "update refused"
    daemon.osc("/ambientd/mashup/select", "other")
    daemon.until(lambda s: row(s, "other")["state"] == "playing")
    assert daemon.stop()[1] == 0
    heard = daemon.recorded()
    assert abs(heard[:, 0]).max() > 0.01  # the second version plays to the left, the first and the last to the right
    assert abs(heard[:, 1]).max() > 0.01


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("mix.gains[:, 0] = 0", "mix.gains[:] = float('inf')"), "NaN or infinity"),
        (("mix.gains[:, 0] = 0", "self.slots[1].id"), "AttributeError"),
        (("mix.gains[:, 0] = 0", "__import__('time').sleep(0.02)"), "longer than a block lasts"),
        (("class", "class class"), "import failed"),
        (("@hookimpl", ""), "bad registration"),
    ],
)
def test_the_rehearsal_says_what_is_wrong(change, fault):
    text = MASHUP.format(parameters=DEPTH, silent=0)
    check("mine.py", text, {}, voices=4, channels=2)
    with pytest.raises(AmbientdError, match=fault):
        check("mine.py", text.replace(*change), {}, voices=4, channels=2)
