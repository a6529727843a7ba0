"""Surfaces show the true state: leases, coalescing, and nobody hears himself."""

from __future__ import annotations

import pytest

from ambientd.control.feedback import LEASE_SECONDS, MOST_SURFACES

from .wire import Surface, Wire


@pytest.fixture
def other(wire: Wire) -> Surface:
    return wire.surface()


def test_a_change_is_told_to_all_but_whoever_made_it(wire: Wire, other: Surface) -> None:
    third = wire.surface()
    for surface in (wire, other):
        surface.send("/ambientd/subscribe", 1)
        assert surface.heard()["/ambientd/volume"] == 1.0  # all values come with the first subscription
    wire.send("/ambientd/volume", 0.25)
    wire.tick()
    assert other.heard() == {"/ambientd/volume": 0.25}
    assert wire.heard() == third.heard() == {}
    wire.instrument.parameters.set_value("slot/1/pan", 0.5)  # MIDI, a preset, or whatever
    wire.tick()
    assert other.heard() == wire.heard() == {"/ambientd/slot/1/pan": 0.75}


def test_a_mashups_knob_is_told_under_each_name_that_it_has(wire: Wire, other: Surface) -> None:
    other.send("/ambientd/subscribe", 1)
    other.heard()
    wire.send("/ambientd/mashup/weight/1", 0.5)
    wire.tick()
    assert other.heard() == {"/ambientd/mashup/weight/1": 0.5, "/ambientd/mashup/blend/weight/1": 0.5}


@pytest.mark.parametrize(("rms", "position"), [(0.0, 0.0), (1e-4, 0.0), (0.1, 0.67), (1.0, 1.0), (1.5, 1.0)])
def test_a_meter_is_told_how_loud_it_is(wire: Wire, other: Surface, rms: float, position: float) -> None:
    other.send("/ambientd/subscribe", 1)
    other.heard()
    wire.instrument.rms = 0.5
    wire.tick()
    assert other.heard() == {"/ambientd/level": pytest.approx(0.9)}
    wire.instrument.rms = rms
    wire.tick()
    assert other.heard() == {"/ambientd/level": pytest.approx(position)}


def test_a_surface_is_told_which_models_are_in_the_slots(wire: Wire, other: Surface) -> None:
    other.send("/ambientd/subscribe", 1)
    told = other.heard()
    assert [told[f"/ambientd/slot/{slot}/load"] for slot in (1, 2)] == ["", "calm"]


def test_many_changes_within_a_tick_are_told_once(wire: Wire, other: Surface) -> None:
    other.send("/ambientd/subscribe", 1)
    other.heard()
    wire.tick()
    for step in range(50):
        wire.send("/ambientd/volume", step / 100)
        wire.send("/ambientd/slot/1/chaos", step / 100)
        wire.server.turn()
    assert other.heard() == {}
    wire.tick()
    packet = other.socket.recv(2048)
    assert packet.startswith(b"#bundle")
    assert (packet.count(b"/volume"), packet.count(b"/chaos")) == (1, 1)
    assert other.heard() == {}


def test_a_surface_that_turned_too_far_is_told_where_it_stands(wire: Wire) -> None:
    wire.send("/ambientd/subscribe", 1)
    wire.heard()
    wire.send("/ambientd/slot/1/gain/value", 5.0)
    wire.tick()
    assert wire.heard() == {"/ambientd/slot/1/gain": 1.0}
    wire.send("/ambientd/slot/1/gain/value", 6.0)
    wire.tick()
    assert wire.heard() == {"/ambientd/slot/1/gain": 1.0}


def test_a_lease_ends_unless_it_is_renewed(wire: Wire, other: Surface) -> None:
    other.send("/ambientd/subscribe", 1)
    assert len(other.heard()) > 10
    wire.tick(LEASE_SECONDS - 1)
    other.send("/ambientd/subscribe", 1)
    assert other.heard() == {}  # a renewal does not bring everything again
    wire.tick(LEASE_SECONDS - 1)
    wire.send("/ambientd/volume", 0.5)
    wire.tick()
    assert other.heard() == {"/ambientd/volume": 0.5}
    wire.tick(2)
    assert wire.counted("surfaces") == (0,)
    wire.send("/ambientd/volume", 0.25)
    wire.tick()
    assert other.heard() == {}


def test_a_subscription_can_be_ended_and_narrowed(wire: Wire, other: Surface) -> None:
    other.send("/ambientd/subscribe", 1, "/ambientd/slot/*/gain/value")
    assert other.heard() == {f"/ambientd/slot/{n}/gain/value": 1.0 for n in (1, 2)}
    wire.send("/ambientd/volume", 0.5)
    wire.send("/ambientd/slot/2/gain/value", 0.5)
    wire.tick()
    assert other.heard() == {"/ambientd/slot/2/gain/value": 0.5}
    other.send("/ambientd/subscribe", 0)
    wire.send("/ambientd/slot/2/gain/value", 1.5)
    wire.tick()
    assert other.heard() == {}


@pytest.mark.parametrize("values", [["1"], [1, 2], [1, "/nothing"], [1, "/[a"], [1, "/*" * 200], [1, "/*", "/*"]])
def test_a_subscription_that_makes_no_sense_is_refused(wire: Wire, values: list) -> None:
    wire.send("/ambientd/subscribe", *values)
    assert wire.counted("rejected", "surfaces") == (1, 0)


def test_states_are_told_as_knobs_are(wire: Wire, other: Surface) -> None:
    for surface in (wire, other):
        surface.send("/ambientd/subscribe", 1)
        assert surface.heard()["/ambientd/panic"] == 0
    wire.send("/ambientd/panic", 1)
    wire.tick()
    assert other.heard() == {"/ambientd/panic": 1}
    assert wire.heard() == {}
    wire.instrument.playing = False  # however that came about
    wire.tick()
    assert other.heard() == wire.heard() == {"/ambientd/playing": 0}


def test_another_mashup_brings_its_knobs(wire: Wire, other: Surface) -> None:
    other.send("/ambientd/subscribe", 1)
    first = other.heard()
    assert "/ambientd/mashup/weight/1" in first
    assert "/ambientd/mashup/depth" not in first
    wire.send("/ambientd/mashup/select", "other")
    wire.send("/ambientd/mashup/depth/value", 2000.0)
    wire.tick()
    told = other.heard()
    assert told["/ambientd/mashup/select"] == "other"
    assert told["/ambientd/mashup/depth"] == 1.0
    assert "/ambientd/mashup/weight/1" not in told


def test_a_reply_port_hears_everything_but_its_own_machine_s_surface() -> None:
    wire = Wire()
    listening = wire.surface()
    wire.server.close()
    wire = Wire(reply_port=listening.port)
    wire.send("/ambientd/volume", 0.5)
    assert listening.heard()["/ambientd/volume"] == 0.5
    wire.send("/ambientd/volume", 0.25)
    wire.tick()
    assert listening.heard() == {}
    wire.instrument.parameters.set_normalised("volume", 0.75)
    wire.tick(3600)
    assert listening.heard() == {"/ambientd/volume": 0.75}
    listening.socket.close()
    wire.close()


def test_there_are_so_many_surfaces_and_no_more(wire: Wire) -> None:
    surfaces = [wire.surface() for _ in range(MOST_SURFACES + 1)]
    for surface in surfaces:
        surface.send("/ambientd/subscribe", 1)
        surface.heard()
    wire.send("/ambientd/volume", 0.25)
    wire.tick()
    assert wire.counted("surfaces") == (MOST_SURFACES,)
    assert [len(surface.heard()) for surface in surfaces] == [0] + [1] * MOST_SURFACES
