"""What is on a surface, whatever its format: knobs, pads, buttons and readings, in sections. The command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from ambientd.parameters import Parameter
from ambientd.surfaces.tree import ROOT, Tree

_OF_SLOT = re.compile(r"slot/(\d+)/(.+)")


@dataclass(frozen=True)
class Knob:
    """Moves a parameter by the position 0..1 of its knob, and shows where it is."""

    label: str
    parameter: Parameter

    @property
    def address(self) -> str:
        return ROOT + self.parameter.id


@dataclass(frozen=True)
class Pad:
    """Two knobs under one finger."""

    label: str
    x: Knob
    y: Knob


@dataclass(frozen=True)
class Button:
    """Sends `argument`, or none at all, when it is pressed, and nothing when it is let go."""

    label: str
    address: str
    argument: str | int | None
    description: str


@dataclass(frozen=True)
class Switch:
    """Sends 1 and 0 in turn, and shows which."""

    label: str
    address: str
    description: str


@dataclass(frozen=True)
class Text:
    """Shows the text that an address tells."""

    label: str
    address: str
    description: str


@dataclass(frozen=True)
class Meter:
    """Shows the number 0..1 that an address tells."""

    label: str
    address: str
    description: str


Control = Knob | Pad | Button | Switch | Text | Meter
Some = TypeVar("Some", bound=Control)


@dataclass(frozen=True)
class Section:
    """Controls that belong together, in the order in which a hand wants them."""

    title: str
    controls: tuple[Control, ...]

    def only(self, *kinds: type[Some]) -> list[Some]:
        """The controls of these kinds."""
        return [control for control in self.controls if isinstance(control, kinds)]

    @property
    def knobs(self) -> list[Knob]:
        """Those that are not under a pad."""
        return self.only(Knob)

    @property
    def all_knobs(self) -> list[Knob]:
        return [knob for pad in self.only(Pad) for knob in (pad.x, pad.y)] + self.knobs


@dataclass(frozen=True)
class Plan:
    """Every parameter of the tree is on exactly one knob. others: what belongs to no slot and no mashup."""

    master: Section
    slots: tuple[Section, ...]
    mashups: tuple[Section, ...]
    presets: Section
    others: Section

    @property
    def sections(self) -> tuple[Section, ...]:
        return (self.master, *self.slots, *self.mashups, self.presets, *([self.others] * bool(self.others.controls)))


def plan(tree: Tree) -> Plan:
    """Put all that there is to control into sections."""
    slots: dict[int, list[Knob]] = {}
    mashups: dict[str, list[Knob]] = {name: [] for name in tree.mashups}
    master: list[Knob] = []
    others: list[Knob] = []
    for parameter in tree.parameters:
        mashup = next((name for name in mashups if parameter.id.startswith(f"mashup/{name}/")), None)
        if parameter.id == "volume":
            master.append(Knob("volume", parameter))
        elif found := _OF_SLOT.fullmatch(parameter.id):
            slots.setdefault(int(found[1]), []).append(Knob(found[2], parameter))
        elif mashup is not None:
            mashups[mashup].append(Knob(parameter.id.removeprefix(f"mashup/{mashup}/"), parameter))
        else:
            others.append(Knob(parameter.id, parameter))
    return Plan(
        master=_master(master),
        slots=tuple(_slot(number, knobs) for number, knobs in sorted(slots.items())),
        mashups=tuple(_mashup(name, knobs) for name, knobs in mashups.items()),
        presets=_presets(tree.presets),
        others=Section("more", tuple(others)),
    )


def _master(knobs: Iterable[Knob]) -> Section:
    return Section("master", (
        *knobs,
        Meter("level", f"{ROOT}level", "What is heard now, from -60 dB (0) to full scale (1)"),
        Text("mashup", f"{ROOT}mashup/select", "The mashup that plays"),
        Button("play", f"{ROOT}play", None, "Fade in"),
        Button("stop", f"{ROOT}stop", None, "Fade out and rest"),
        Switch("panic", f"{ROOT}panic", "Silence at once, until released"),
    ))  # fmt: skip


def _slot(number: int, knobs: Iterable[Knob]) -> Section:
    address = f"{ROOT}slot/{number}"
    return Section(f"slot {number}", (
        Text("model", f"{address}/load", "The model in the slot"),
        *knobs,
        Button("reprime", f"{address}/reprime", 1, "The voice starts over from a piece of its album"),
    ))  # fmt: skip


def _mashup(name: str, knobs: Iterable[Knob]) -> Section:
    select = Button(f"play {name}", f"{ROOT}mashup/select", name, "Let this mashup decide")
    by_label = {knob.label: knob for knob in knobs}
    if by_label.keys() >= {"x", "y"}:
        pad = Pad("x and y", by_label.pop("x"), by_label.pop("y"))
        return Section(name, (select, pad, *by_label.values()))
    return Section(name, (select, *by_label.values()))


def _presets(names: Iterable[str]) -> Section:
    recall = f"{ROOT}preset/recall"
    return Section("presets", (
        Text("preset", recall, "The preset that was recalled or stored last"),
        *(Button(name, recall, name, "Go there, over the preset's own fade") for name in names),
        Button("hold", f"{ROOT}preset/hold", 1, "Stop on the way, where things are"),
    ))  # fmt: skip
