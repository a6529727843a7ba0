"""benchmarks/device_faults.py, one cycle each: a sound server is taken away from the real player and given back."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def faults(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import device_faults

    return device_faults


@pytest.mark.parametrize("hz", [999.0, 1000.0, 1000.5, 1088.0])
def test_the_pitch_of_a_recorded_tone_is_measured_to_a_millionth(faults, hz):
    noise = np.random.default_rng(3).normal(0, 1e-4, 72_000)
    tone = (0.3 * np.sin(2 * np.pi * hz * np.arange(72_000) / 48_000) + noise).astype(np.float32)
    assert faults.frequency(tone, 48_000) == pytest.approx(hz, rel=1e-6)


@pytest.mark.parametrize("fault", ["killed", "hung", "rate", "elsewhere", "default", "jack-rate"])
def test_the_sound_comes_back_at_its_pitch_and_the_tap_never_notices(fault):
    command = [sys.executable, str(BENCHMARKS / "device_faults.py"), "--fault", fault, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    rows = json.loads(done.stdout) if done.stdout else []
    if "is missing" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert rows, done.stderr
    (row,) = rows
    # A wrong rate is 8 % off; two blocks that a busy machine kept back turn the phase by a thousandth.
    assert abs(row["pitch_percent"]) <= 0.5
    assert row["seconds"] < 20  # the promise is 5; how soon depends on what else the machine does
    assert row["breaks"] == 0
    assert row["elsewhere"] < 4_800  # promised are 480 of a device that goes, else none
    assert row["device_rate"] == (44_100 if fault == "jack-rate" else 48_000)
