"""A tree with everything that a surface must find a place for."""

from __future__ import annotations

import pytest

from ambientd.parameters import Parameter, builtin_parameters, mashup_parameters
from ambientd.surfaces.plan import Plan, plan
from ambientd.surfaces.tree import Tree

SLOTS = 11
"""More than fit on a page."""
WEIGHTS = 47


@pytest.fixture
def tree() -> Tree:
    surface = (
        Parameter("x", "Left to right", default=0.25),
        Parameter("y", "Up"),
        Parameter("glide", "Slow", unit="s"),
    )
    many = tuple(Parameter(f"weight/{number}", "<Much> & more ]]>") for number in range(WEIGHTS))
    parameters = (
        *builtin_parameters(SLOTS),
        *mashup_parameters("surface", surface),
        *mashup_parameters("many", many),
        Parameter("limiter/ceiling", "Belongs to nothing else", -12.0, 0.0, -1.0, unit="dB"),
    )
    presets = tuple(f"preset-{number}" for number in range(45))
    return Tree(parameters, ("surface", "many", "none"), presets, "127.0.0.1", 7770)


@pytest.fixture
def planned(tree: Tree) -> Plan:
    return plan(tree)
