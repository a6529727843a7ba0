"""Slots while the music plays: what was asked to come or go, what came of it, and who is to be told. Supervisor."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from ambientd.config import Config
from ambientd.errors import AmbientdError, UsageError
from ambientd.supervisor.slots import MEASURED, LoadedSlot, open_slot

Tell = Callable[[str, tuple[Any, ...]], None]
"""Answers whoever asked: an address below /ambientd/, and its values."""
REFUSALS = 8
"""Of the latest, kept for the status."""
SEEDS_APART = 1009
"""A prime, so that no slot's next voices begin with another's seeds."""


@dataclass
class Pending:
    """A change that the generator was asked for. slot: what is to be there; None: nothing."""

    number: int
    slot: LoadedSlot | None
    tell: Tell
    done: bool = False
    """Whether it has happened, and is only still being measured."""


class LiveSlots:
    """The loaded slots, by number. send: hands the generator a command; False when there is no generator."""

    def __init__(self, slots: Sequence[LoadedSlot], config: Config, send: Callable[[dict[str, Any]], bool]) -> None:
        self._first = slots[0]
        self.sample_rate = self._first.card.sample_rate
        self.refused: deque[dict[str, Any]] = deque(maxlen=REFUSALS)
        self._slots = {slot.number: slot for slot in slots}
        self._config, self._send = config, send
        self._pending: dict[int, Pending] = {}
        self._tickets = count(1)
        self._seed = secrets.randbits(30) if config.engine.seed is None else config.engine.seed

    def __iter__(self) -> Iterator[LoadedSlot]:
        return (self._slots[number] for number in sorted(self._slots))

    @property
    def loading(self) -> list[dict[str, Any]]:
        """What is on its way into slots."""
        waiting = (pending for pending in self._pending.values() if not pending.done)
        return [{"slot": p.number, "id": p.slot.id} for p in waiting if p.slot]

    @property
    def models(self) -> dict[int, str]:
        """By the number of the slot that they are in, or on their way to."""
        coming = {slot["slot"]: slot["id"] for slot in self.loading}
        return {slot.number: slot.id for slot in self} | coming

    def load(self, number: int, id: str, prime: str | None, tell: Tell) -> None:
        """Let the library's model `id` come into slot `number`, in place of whoever is there.

        prime: "own", "now", or None for what `loading.prime` says.
        Raises AmbientdError when that is refused at once; later refusals reach `tell` as `error`, address, reason.
        """
        try:
            self.check_slot(number)
            if prime not in (None, "own", "now"):
                raise UsageError(f"a voice is primed from its own album or from what sounds now, not {prime!r}")
            ticket = next(self._tickets)
            slot = open_slot(number, id, self._seed + number + SEEDS_APART * ticket, self._first)
        except AmbientdError as error:
            self._refuse(number, id, str(error))
            raise
        order = {"cmd": "load", "id": id, "path": str(slot.path), "seed": slot.seed}
        self._ask(ticket, Pending(number, slot, tell), order | {"prime": prime or self._config.loading.prime})

    def unload(self, number: int, tell: Tell) -> None:
        """Let the voice in slot `number` go."""
        self.check_slot(number)
        if number not in self._slots:
            raise UsageError(f"slot {number} is empty")
        self._ask(next(self._tickets), Pending(number, None, tell), {"cmd": "unload"})

    def said(self, event: Mapping[str, Any]) -> None:
        """The generator's word on a slot: loaded, unloaded, changed, failed."""
        pending = self._pending.get(event.get("ticket", 0))
        kind = event["event"]
        if kind == "loaded":
            self._loaded(event, pending)
        elif kind == "unloaded" and pending:
            del self._slots[pending.number]
            pending.done = True
            pending.tell(f"slot/{pending.number}/unloaded", ())
        elif kind == "changed":
            self._changed(event)
        elif kind == "failed":
            self._failed(event, pending)

    def restarted(self) -> None:
        """Another generator begins with what was loaded: what was on its way is lost."""
        for pending in self._pending.values():
            if not pending.done:
                self._give_up(pending, "the generator had to be started again meanwhile")
        self._pending.clear()

    def check_model(self, id: str) -> None:
        """Raises CheckpointError where the library has no such model, or one that cannot play with the others."""
        open_slot(self._first.number, id, 0, self._first)

    def check_slot(self, number: int) -> None:
        """Raises UsageError where there is no such slot, or it is about to change."""
        if not 1 <= number <= self._config.max_slots:
            raise UsageError(f"there is no slot {number}", f"Slots are numbered 1 to {self._config.max_slots}")
        if any(pending.number == number and not pending.done for pending in self._pending.values()):
            raise UsageError(f"slot {number} is about to change already", "Wait for the answer")

    def _ask(self, ticket: int, pending: Pending, command: dict[str, Any]) -> None:
        if not self._send(command | {"slot": pending.number - 1, "ticket": ticket}):
            raise UsageError("the generator is being started again", "Ask again in a moment")
        self._pending[ticket] = pending

    def _loaded(self, event: Mapping[str, Any], pending: Pending | None) -> None:
        if pending and pending.slot:
            self._slots[pending.number] = pending.slot
            pending.done = True
            pending.tell(f"slot/{pending.number}/loaded", (pending.slot.id,))
        if slot := self._slots.get(event["slot"] + 1):
            slot.state, slot.seed = "playing", event["seed"]

    def _changed(self, event: Mapping[str, Any]) -> None:
        measured = {key: event[key] for key in MEASURED}
        if slot := self._slots.get(event["slot"] + 1):
            slot.change = measured
        if pending := self._pending.pop(event.get("ticket", 0), None):
            pending.tell(f"slot/{pending.number}/changed", tuple(map(float, measured.values())))

    def _failed(self, event: Mapping[str, Any], pending: Pending | None) -> None:
        reason = f"{event['what']}. {event['remedy']}".strip().removesuffix(".")
        if pending:
            del self._pending[event["ticket"]]
            self._give_up(pending, reason)
        elif slot := self._slots.get(event.get("slot", -1) + 1):
            slot.state = f"failed: {event['what']}"

    def _give_up(self, pending: Pending, reason: str) -> None:
        address = f"slot/{pending.number}/{'load' if pending.slot else 'unload'}"
        self._refuse(pending.number, pending.slot.id if pending.slot else "", reason)
        pending.tell("error", (f"/ambientd/{address}", reason))

    def _refuse(self, number: int, id: str, reason: str) -> None:
        self.refused.append({"slot": number, "id": id, "reason": reason})
