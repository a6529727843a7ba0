"""What a certificate says of the machine and of whoever ran the soak."""

import os
import sys

import pytest

from ambientd.soak import machine as facts
from ambientd.soak.machine import machine


@pytest.mark.parametrize(("may", "word"), [(True, "allowed"), (False, "refused")])
def test_whose_rights_it_was_run_with(monkeypatch, may, word):
    """Root's soak proves nothing for a service that may not run in real time."""
    monkeypatch.setattr(facts, "may_be_realtime", lambda: may)
    found = machine()
    assert (found["uid"], found["real_time"]) == (os.getuid(), word)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such limits")
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ((0, 0), "real-time priority 0, nice 19"),
        ((5, 31), "real-time priority 5, nice -11"),
        ((facts.resource.RLIM_INFINITY,) * 2, "real-time priority any, nice -20"),
    ],
)
def test_the_limits_are_those_that_the_daemon_inherits(monkeypatch, limits, words):
    told = dict(zip((facts.resource.RLIMIT_RTPRIO, facts.resource.RLIMIT_NICE), limits, strict=True))
    monkeypatch.setattr(facts.resource, "getrlimit", lambda kind: (told[kind], told[kind]))
    assert machine()["limits"] == words
