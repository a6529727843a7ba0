"""Every scenario once, with tiny models and generous limits: what must happen happens, however slow the machine is."""

from __future__ import annotations

import pytest

from ambientd.samplernn.library import bundled_folder
from ambientd.soak.outcome import State
from ambientd.soak.rig import Rig, sound_server
from ambientd.soak.runner import attempt
from ambientd.soak.scenario import Effort
from ambientd.soak.scenarios import all_scenarios

PATIENCE = 10.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    models = [bundled_folder() / "freeorion-drone.safetensors"] * 2  # music, so that a click stands out
    with sound_server() as server, Rig(tmp_path_factory.mktemp("soak"), models, server=server) as rig:
        yield rig


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda scenario: scenario.id)
def test_a_promise_is_held(rig, scenario):
    outcome = attempt(rig, scenario, Effort(rounds=1, seconds=3.0, patience=PATIENCE))
    if outcome.state is State.NOT_TRIED:
        pytest.skip(outcome.reason)
    assert outcome.measures, outcome.reason
    # Events, and times with patience. What is heard is the soak's to judge: a busy machine has underruns of its own.
    judged = [measure for measure in outcome.measures if measure.least or measure.unit == "s"]
    assert [measure for measure in judged if not measure.holds] == [], rig.lines()[-5:]
