"""Every scenario there is. A module of this package is found by being here: a list would be in everybody's way."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from ambientd.soak.scenario import Scenario


def all_scenarios() -> list[Scenario]:
    """Of all modules, by promise and then as their module lists them."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = [scenario for name in names for scenario in import_module(f"{__name__}.{name}").SCENARIOS]
    return sorted(found, key=lambda scenario: scenario.promise)
