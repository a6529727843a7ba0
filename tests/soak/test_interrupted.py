"""`ambientd soak` is ended before its time: the certificate of what was shown until then is there, and says so."""

import json
import signal
import subprocess
import sys
import time

import pytest

from ambientd.soak.certificate import STEM
from ambientd.soak.scenarios.processor import SCENARIOS

FIRST, LASTING = SCENARIOS[-1].id, "hours-real"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_certificate_is_written_on_the_way_and_says_that_it_was_interrupted(tmp_path, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this signal is ignored here, and by whoever is started")
    words = ["soak", "--only", FIRST, LASTING, "--hours", "1", "--model", "freeorion-drone", "--out", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-m", "ambientd", *words], stdout=subprocess.PIPE, text=True) as soak:
        deadline = time.monotonic() + 240
        while not (written := read(tmp_path)):
            assert soak.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        soak.send_signal(number)
        said, _ = soak.communicate()
    assert (written["end"], [row["id"] for row in written["scenarios"]]) == ("unfinished", [FIRST])
    assert soak.returncode not in (0, 11)
    written = read(tmp_path)
    assert (written["end"], [row["id"] for row in written["scenarios"]]) == ("interrupted", [FIRST])
    assert (written["planned"], written["held"]) == (2, False)
    assert "interrupted" in said
    assert "in 1 of 2 scenarios" in said
    assert "interrupted" in (tmp_path / f"{STEM}.html").read_text()


def read(folder):
    path = folder / f"{STEM}.json"
    return json.loads(path.read_text()) if path.exists() else None
