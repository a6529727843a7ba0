"""What OSC can ask of the instrument beside turning its knobs: one row, one address. Supervisor."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from ambientd.control.osc_methods import Info, Method, number
from ambientd.control.peer import Peer, Values
from ambientd.control.preset_addresses import Presets, preset_methods
from ambientd.parameters import ParameterTable, RejectedValue

LONGEST_FADE = 600.0
METER_DECIBELS = 60.0

Tell = Callable[[str, Values], None]
"""Answers later: what follows /ambientd/, and its values."""


class Instrument(Protocol):
    """What OSC plays: the daemon, seen from here. Its methods return at once and raise AmbientdError to refuse."""

    @property
    def parameters(self) -> ParameterTable: ...

    @property
    def presets(self) -> Presets: ...

    def info(self) -> Mapping[str, Any]:
        """What JSON can hold; among it `mashup`, the selected one's name, `panic` and `playing`, whether it is
        on, `rms` of what is heard, and `slots`.
        """
        ...

    def play(self, fade: float | None) -> None: ...

    def stop(self, fade: float | None) -> None: ...

    def panic(self, on: bool) -> None: ...

    def select_mashup(self, name: str) -> None: ...

    def reprime(self, slot: int, seed: int | None) -> None:
        """slot: numbered from 1."""
        ...

    def load(self, slot: int, id: str, prime: str | None, tell: Tell) -> None:
        """prime: "own", "now", or None for the configured one. tell: how it comes out."""
        ...

    def unload(self, slot: int, tell: Tell) -> None: ...

    def learn_midi(self, address: str) -> None:
        """address: what the next MIDI control that is moved shall move."""
        ...


def commands(instrument: Instrument) -> Iterator[Method]:
    """All commands, those of a slot once for each slot there is."""

    def told(state: Callable[[Info], Values]) -> dict[str, Any]:
        return {"state": state, "query": lambda: state(instrument.info())}

    fade, switch = (0.0, LONGEST_FADE), (0.0, 1.0)
    play, stop = (partial(_fade_to, act) for act in (instrument.play, instrument.stop))
    panic, select, learn = (partial(act, instrument) for act in (_panic, _select, _learn))
    yield Method("ping", "Answers with pong", "s", query=lambda: ("pong",))
    yield Method("info", "All about the daemon, as JSON", "s", query=lambda: (json.dumps(instrument.info()),))
    yield Method("play", "Fade in, over so many seconds if any are given", "f", play, range=fade)
    yield Method("stop", "Fade out and rest, over so many seconds if any are given", "f", stop, range=fade)
    yield Method(
        "playing", "1 after play, 0 after stop", "i", **told(lambda info: (int(info["playing"]),)), range=switch
    )
    yield Method(
        "panic", "1: silence at once; 0: go on", "i", panic, **told(lambda info: (int(info["panic"]),)), range=switch
    )
    heard = told(lambda info: (_position_of_meter(info["rms"]),))
    yield Method("level", "How loud it is: 0 is -60 dB and below, 1 full scale", "f", **heard, range=switch)
    yield Method("mashup/select", "The mashup that plays", "s", select, **told(lambda info: (info["mashup"],)))
    yield from preset_methods(instrument.presets)
    yield Method("midi/learn", "The next MIDI control that is moved moves this address from then on", "s", learn)
    for slot in slots(instrument.parameters):
        yield from _slot_commands(instrument, slot)


def _position_of_meter(rms: float) -> float:
    """In steps of 0.6 dB: no eye sees smaller ones, and each is told to all surfaces."""
    decibels = 20 * math.log10(max(rms, 1e-9))
    return round(min(max(1 + decibels / METER_DECIBELS, 0.0), 1.0), 2)


def slots(table: ParameterTable) -> Iterable[int]:
    """Their numbers, from 1, by the knobs that there are."""
    slot = 1
    while f"slot/{slot}/gain" in table:
        yield slot
        slot += 1


def _slot_commands(instrument: Instrument, slot: int) -> Iterator[Method]:
    yield Method(
        f"slot/{slot}/load",
        "The model in the slot; with an id, that model of the library comes in, primed from its own album or, "
        "with a second argument now, from what is sounding",
        "s",
        partial(_load, instrument, slot),
        query=lambda: _model_in(instrument.info(), slot),
        state=lambda info: _model_in(info, slot),
        says_why_not=True,
    )
    yield Method(
        f"slot/{slot}/unload",
        "The voice leaves; 0, the button let go, does nothing",
        "i",
        partial(_unload, instrument, slot),
        range=(0.0, 1.0),
        says_why_not=True,
    )
    yield Method(
        f"slot/{slot}/reprime",
        "The voice starts over from a piece of its album; 0, the button let go, does nothing",
        "i",
        partial(_reprime, instrument, slot),
        range=(0.0, 1.0),
    )
    yield Method(
        f"slot/{slot}/seed",
        "The voice starts over from the piece that this number stands for",
        "h",
        partial(_seed, instrument, slot),
        lambda: _seed_of(instrument.info(), slot),
    )


def _fade_to(act: Callable[[float | None], None], arguments: list[Any], peer: Peer) -> None:
    act(_fade(arguments))


def _panic(instrument: Instrument, arguments: list[Any], peer: Peer) -> None:
    instrument.panic(number(arguments, truth=True) > 0)


def _select(instrument: Instrument, arguments: list[Any], peer: Peer) -> None:
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise RejectedValue(f"one name is wanted, not {arguments!r}")
    instrument.select_mashup(arguments[0])


def _learn(instrument: Instrument, arguments: list[Any], peer: Peer) -> None:
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise RejectedValue(f"one address is wanted, not {arguments!r}")
    instrument.learn_midi(arguments[0])


def _load(instrument: Instrument, slot: int, arguments: list[Any], peer: Peer) -> None:
    if not 1 <= len(arguments) <= 2 or not all(isinstance(argument, str) for argument in arguments):
        raise RejectedValue(f"a model's id is wanted, and perhaps own or now, not {arguments!r}")
    prime = arguments[1] if len(arguments) == 2 else None
    if prime not in (None, "own", "now"):
        raise RejectedValue(f"a voice is primed from own or now, not {prime!r}")
    instrument.load(slot, arguments[0], prime, peer.tell)


def _unload(instrument: Instrument, slot: int, arguments: list[Any], peer: Peer) -> None:
    if not arguments or number(arguments, truth=True) > 0:
        instrument.unload(slot, peer.tell)


def _reprime(instrument: Instrument, slot: int, arguments: list[Any], peer: Peer) -> None:
    # A button of a control surface sends 1 when it is pressed and 0 when it is let go.
    if not arguments or number(arguments, truth=True) > 0:
        instrument.reprime(slot, None)


def _seed(instrument: Instrument, slot: int, arguments: list[Any], peer: Peer) -> None:
    seed = number(arguments)
    if not seed.is_integer() or seed < 0:
        raise RejectedValue(f"a seed is a whole number from 0 on, not {arguments[0]!r}")
    instrument.reprime(slot, int(arguments[0]))


def _model_in(info: Info, slot: int) -> Values:
    return (next((row["id"] for row in info["slots"] if row["slot"] == slot), ""),)


def _seed_of(info: Info, slot: int) -> Values:
    seeds = [row["seed"] for row in info["slots"] if row["slot"] == slot]
    if not seeds:
        raise RejectedValue(f"slot {slot} is empty")
    return (seeds[0],)


def _fade(arguments: list[Any]) -> float | None:
    if not arguments:
        return None
    seconds = number(arguments)
    if not 0 <= seconds <= LONGEST_FADE:
        raise RejectedValue(f"a fade takes 0 to {LONGEST_FADE:g} s, not {seconds:g}")
    return seconds
