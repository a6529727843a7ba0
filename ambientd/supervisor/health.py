"""Brings voices round that have degenerated: hears of them from the generator, and tries one cure after the other.

The ladder: a nudge of the temperature, then the voice starts over under a crossfade, then the next model of the
library. Each is given STEP seconds of audio; a voice that falls ill again soon goes on from where it was; and where
nothing helped, the next attempt waits, each time twice as long. Supervisor, in its selector loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ambientd.config import Config
from ambientd.errors import AmbientdError, CheckpointError
from ambientd.samplernn import library
from ambientd.samplernn.checkpoint import Card, load_card

STEP = 5.0
"""Seconds of audio for a cure to be heard."""
RELAPSE = 60.0
"""Seconds after which an illness is a new one."""
REST, MOST_REST = 30.0, 960.0
"""Seconds until the next attempt where all was tried; doubled each time."""
PUSH, PUSH_SECONDS = 1.05, 10.0
"""How far beyond its safe range a temperature is nudged, and for how long. A voice lives or dies by 5 %."""
OPEN_RANGE = 0.95, 1.05
"""Of the checkpoint's own temperature, where its card knows no range."""
COOLER = ("noise", "clipped")
"""What less heat helps against; silence, a constant, a loop and standing still want more."""
CURES = ("nudge", "reprime", "next model")


class Ward(Protocol):
    """Whose voices these are: the daemon."""

    @property
    def models(self) -> dict[int, str]:
        """By slot, numbered from 1."""
        ...

    def _tell_generator(self, command: dict[str, Any]) -> bool: ...

    def check_model(self, id: str) -> None: ...

    def change_slot(self, slot: int, id: str) -> None: ...


@dataclass
class Patient:
    """A slot's history. Times: seconds of the generator's audio."""

    state: str = "healthy"
    last_fault: str = ""
    healed: int = 0
    cures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CURES, 0))
    rung: int = 0
    """The next cure's place in CURES."""
    tried: str = ""
    due: float = 0.0
    rest: float = REST
    well_since: float | None = None

    def info(self) -> dict[str, Any]:
        return {"state": self.state, "last_fault": self.last_fault, "healed": self.healed, "cures": dict(self.cures)}


class Medic:
    """say: one line for people for each thing done."""

    def __init__(self, config: Config, ward: Ward, say: Callable[[str], None]) -> None:
        """config: the daemon's, asked each time, for it may change."""
        self._config, self._ward, self._say = config, ward, say
        self._patients: dict[int, Patient] = {}

    def info(self, slot: int) -> dict[str, Any]:
        """For `ambientd status`: state, last fault, how often it was healed, and by what it was tried. From 1."""
        return self._patients.get(slot, Patient()).info()

    def restarted(self) -> None:
        """The generator begins anew, its clock too; what was counted stays."""
        for patient in self._patients.values():
            patient.state, patient.well_since, patient.rung, patient.due = "healthy", None, 0, 0.0

    def heard(self, event: Mapping[str, Any]) -> None:
        """The generator's word on a slot's voice: once a second of audio while it is ill, once when it is well."""
        slot, state, at = event["slot"] + 1, event["state"], float(event["at"])
        patient = self._patients.setdefault(slot, Patient())
        if not self._config.health.enabled:
            patient.state = state
            patient.last_fault = patient.last_fault if state == "healthy" else state
        elif state == "healthy":
            self._well(slot, patient, at)
        elif state == "unheard":
            patient.state = "healthy"
        else:
            self._ill(slot, patient, state, at)

    def _well(self, slot: int, patient: Patient, at: float) -> None:
        if patient.state != "healthy":
            patient.healed += 1
            patient.state, patient.well_since = "healthy", at
            self._say(f"slot {slot} is well again" + (f", by {_in_words(patient.tried)}" if patient.tried else ""))
            patient.tried = ""

    def _ill(self, slot: int, patient: Patient, state: str, at: float) -> None:
        if patient.state == "healthy":
            recent = patient.well_since is not None and at - patient.well_since < RELAPSE
            if not recent:
                patient.rung, patient.rest = 0, REST
            patient.due = max(at, patient.due if recent else at)
            self._say(f"slot {slot} ({self._ward.models.get(slot, '')}): {FAULTS[state]}{', again' if recent else ''}")
        patient.state = patient.last_fault = state
        if at >= patient.due:
            self._treat(slot, patient, state, at)

    def _treat(self, slot: int, patient: Patient, state: str, at: float) -> None:
        """The next cure that there is."""
        if patient.rung == len(CURES):
            patient.rung = 1
        cure = CURES[patient.rung]
        patient.rung += 1
        patient.due = at + STEP
        if patient.rung == len(CURES):
            patient.due, patient.rest = at + patient.rest, min(2 * patient.rest, MOST_REST)
        try:
            done = self._attempt(cure, slot, state)
        except AmbientdError as error:
            self._say(f"slot {slot}: {_in_words(cure)} is not possible: {error}")
            return
        patient.tried = cure
        patient.cures[cure] += 1
        self._say(f"slot {slot}: tries {done}")

    def _attempt(self, cure: str, slot: int, state: str) -> str:
        if cure == "nudge":
            self._ward._tell_generator({"cmd": "nudge", "slot": slot - 1, **self._nudge(slot, state)})
            return "a cooler temperature" if state in COOLER else "a warmer temperature"
        if cure == "reprime":
            self._ward._tell_generator({"cmd": "reprime", "slot": slot - 1})
            return "to start over from its album"
        id = self._next_model(slot)
        self._ward.change_slot(slot, id)
        return f"another model, {id}"

    def _nudge(self, slot: int, state: str) -> dict[str, float]:
        low, high = OPEN_RANGE
        card = _card(self._ward.models.get(slot, ""))
        if card and card.temperature_range:
            low, high = (bound / card.temperature for bound in card.temperature_range)
        end, push = (low, 1 / PUSH) if state in COOLER else (high, PUSH)
        return {"low": low, "high": high, "push": push * end, "seconds": PUSH_SECONDS}

    def _next_model(self, slot: int) -> str:
        """One that does not play yet, a sibling before a stranger. Raises CheckpointError where there is none."""
        playing = self._ward.models
        own = _card(playing.get(slot, ""))
        found: list[tuple[bool, str]] = []
        for entry in library.entries():
            if entry.id in playing.values():
                continue
            try:
                self._ward.check_model(entry.id)
            except AmbientdError:
                continue
            card = _card(entry.id)
            found.append((not (own and card and own.family and card.family == own.family), entry.id))
        if not found:
            raise CheckpointError("the library has no other model that fits")
        return min(found)[1]


FAULTS = {
    "silent": "has fallen silent",
    "dc": "stays at a constant",
    "clipped": "clips",
    "noise": "has turned to noise",
    "loop": "goes round in circles",
    "frozen": "stands still",
}
"""What is said of each state."""


def _in_words(cure: str) -> str:
    return {"nudge": "another temperature", "reprime": "starting over"}.get(cure, "another model")


def _card(id: str) -> Card | None:
    try:
        return load_card(library.resolve(id)) if id else None
    except AmbientdError:
        return None
