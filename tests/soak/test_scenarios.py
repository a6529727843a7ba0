"""Every scenario once, with tiny models and generous limits: what must happen happens, however slow the machine is."""

from __future__ import annotations

import pytest

from ambientd.soak.outcome import State
from ambientd.soak.rig import Rig, sound_server
from ambientd.soak.runner import attempt
from ambientd.soak.scenario import Effort
from ambientd.soak.scenarios import all_scenarios

from ..running import write_calm_model

PATIENCE = 10.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    models = [tmp_path_factory.mktemp("models") / f"{name}.safetensors" for name in ("calm", "calmer")]
    write_calm_model(models[0])
    write_calm_model(models[1], level=0.1)
    with sound_server() as server, Rig(tmp_path_factory.mktemp("soak"), models, server=server) as rig:
        yield rig


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda scenario: scenario.id)
def test_a_promise_is_held(rig, scenario):
    outcome = attempt(rig, scenario, Effort(rounds=1, seconds=5.0, patience=PATIENCE))
    if outcome.state is State.NOT_TRIED:
        pytest.skip(outcome.reason)
    assert outcome.measures, outcome.reason
    assert [measure for measure in outcome.measures if not measure.holds] == [], rig.lines()[-5:]
