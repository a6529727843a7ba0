"""Parameters: ranges, warps, and a table that nothing wrong gets into."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.errors import PluginError
from ambientd.parameters import (
    VOLUME,
    Parameter,
    ParameterTable,
    RejectedValue,
    TreeChange,
    builtin_parameters,
    mashup_parameters,
)

positions = st.floats(0, 1)


@st.composite
def knobs(draw: st.DrawFn) -> Parameter:
    warp = draw(st.sampled_from(["linear", "exponential", "decibel"]))
    low = 0.0 if warp == "decibel" else draw(st.floats(0.01 if warp == "exponential" else -1e3, 1e3))
    high = low + draw(st.floats(0.1, 1e4))
    return Parameter("knob", "A knob", low, high, default=low, warp=warp)


@given(knobs(), positions)
def test_a_position_survives_the_way_to_the_value_and_back(knob: Parameter, position: float) -> None:
    assert knob.normalise(knob.denormalise(position)) == pytest.approx(position, abs=1e-6)


@given(knobs(), positions, positions)
def test_values_rise_with_the_position_and_stay_in_range(knob: Parameter, one: float, other: float) -> None:
    lower, upper = knob.denormalise(min(one, other)), knob.denormalise(max(one, other))
    assert knob.low <= lower <= upper <= knob.high


@given(knobs())
def test_the_ends_of_a_knob_are_the_ends_of_its_range(knob: Parameter) -> None:
    assert knob.denormalise(0) == pytest.approx(knob.low)
    assert knob.denormalise(1) == pytest.approx(knob.high)


def test_a_fader_halfway_is_about_twenty_decibel_down_and_silent_at_its_end() -> None:
    assert 20 * math.log10(VOLUME.denormalise(0.5)) == pytest.approx(-20.8, abs=0.1)
    assert VOLUME.denormalise(0) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "Loud Ness"}, "not an address"),
        ({"id": "a//b"}, "not an address"),
        ({"id": ""}, "not an address"),
        ({"description": " "}, "no description"),
        ({"high": math.inf}, "not finite"),
        ({"default": math.nan}, "not finite"),
        ({"low": 2.0}, "not below"),
        ({"default": 3.0}, "outside"),
        ({"slew": -1.0}, "negative slew"),
        ({"warp": "cubic"}, "'cubic'"),
        ({"warp": "exponential"}, "above 0"),
        ({"warp": "decibel", "low": -60.0}, "low 0"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(change: dict, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        Parameter(**({"id": "knob", "description": "A knob"} | change))


def table() -> ParameterTable:
    blend = mashup_parameters("blend", [Parameter("weight/1", "A weight")])
    other = mashup_parameters("other", [Parameter("weight/1", "Another weight", high=10.0)])
    return ParameterTable([*builtin_parameters(2), *blend, *other])


def test_the_table_starts_at_the_defaults() -> None:
    values = {parameter.id: table().get(parameter.id) for parameter in table()}
    assert values == {parameter.id: parameter.default for parameter in table()}
    assert set(values) >= {"volume", "slot/1/gain", "slot/2/temperature", "mashup/blend/weight/1"}


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_float_gets_a_value_out_of_its_range(value: float) -> None:
    knobs = table()
    for setter in (knobs.set_value, knobs.set_normalised):
        if math.isfinite(value):
            setter("slot/1/pan", value)
            assert -1 <= knobs.get("slot/1/pan") <= 1
        else:
            with pytest.raises(RejectedValue, match=str(value)):
                setter("slot/1/pan", value)
            assert math.isfinite(knobs.get("slot/1/pan"))


def test_an_unknown_parameter_is_refused_by_name() -> None:
    for call in (table().get, table().index, lambda id: table().set_value(id, 0), table().parameter):
        with pytest.raises(RejectedValue, match="slot/3/gain"):
            call("slot/3/gain")


def test_listeners_hear_of_changes_only() -> None:
    knobs, heard = table(), []
    knobs.listen(lambda parameter, value: heard.append((parameter.id, value)))
    knobs.set_value("slot/1/pan", 0.5)
    knobs.set_value("slot/1/pan", 0.5)
    knobs.set_normalised("slot/1/pan", 1.0)
    assert heard == [("slot/1/pan", 0.5), ("slot/1/pan", 1.0)]


def test_values_live_in_the_cells_that_were_given() -> None:
    cells = array("d", [-1.0] * 14)
    knobs = ParameterTable(builtin_parameters(2), cells)
    knobs.set_value("slot/2/pan", -0.25)
    assert cells[knobs.index("slot/2/pan")] == -0.25
    cells[knobs.index("volume")] = 0.125
    assert knobs.get("volume") == 0.125
    assert cells[len(knobs)] == -1.0
    with pytest.raises(ValueError, match="2 cells for 13"):
        ParameterTable(builtin_parameters(2), array("d", [0, 0]))


def test_an_id_defined_twice_is_refused() -> None:
    with pytest.raises(PluginError, match="'volume' is defined twice"):
        ParameterTable([VOLUME, VOLUME])


def test_a_prefix_points_at_the_selected_mashup_and_the_others_keep_their_values() -> None:
    knobs = table()
    assert "mashup/weight/1" not in knobs
    knobs.point("mashup", "mashup/blend")
    knobs.set_normalised("mashup/weight/1", 0.5)
    knobs.point("mashup", "mashup/other")
    knobs.set_normalised("mashup/weight/1", 0.5)
    assert (knobs.get("mashup/blend/weight/1"), knobs.get("mashup/other/weight/1")) == (0.5, 5.0)
    assert knobs.get("mashup/weight/1") == 5.0
    with pytest.raises(RejectedValue, match="mashup/nothing"):
        knobs.get("mashup/nothing")


def test_a_mashup_s_parameters_can_be_other_ones_and_the_listeners_hear_of_it() -> None:
    def mine(**parameters: Parameter) -> list[Parameter]:
        return [replace(parameter, id=f"mashup/mine/{id}") for id, parameter in parameters.items()]

    knob = Parameter("knob", "A knob", default=0.5)
    table = ParameterTable([VOLUME, *mine(a=knob, b=knob)], array("d", [0.0] * 4))
    table.set_value("mashup/mine/a", 0.9)
    heard: list[TreeChange] = []
    table.listen_to_tree(heard.append)
    cell = table.index("mashup/mine/b")

    table.redefine("mashup/mine", mine(a=replace(knob, high=0.7), c=knob))
    (change,) = heard
    assert change == TreeChange(("mashup/mine/c",), ("mashup/mine/b",), ("mashup/mine/a",))
    assert str(change) == "added mashup/mine/c; removed mashup/mine/b; changed mashup/mine/a"
    assert [table.get(f"mashup/mine/{id}") for id in "ac"] == [0.7, 0.5]
    assert "mashup/mine/b" not in table
    assert [parameter.id for parameter in table] == ["volume", "mashup/mine/a", "mashup/mine/c"]

    table.redefine("mashup/mine", mine(b=knob))
    assert table.index("mashup/mine/b") == cell
    table.redefine("mashup/mine", mine(b=knob))
    assert len(heard) == 2
    with pytest.raises(PluginError, match="no room for 1 more"):
        table.redefine("mashup/mine", mine(d=knob))
    assert "mashup/mine/b" in table
