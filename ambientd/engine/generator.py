"""The generator: voices in, blocks of audio into the ring. Its process's main (render) thread.

The process itself is `ambientd.generator`, which alone may know where mashups come from. Voices are loaded
on a thread of their own and mashups run on a conductor's, so that neither holds up a block.
"""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.admission import admit
from ambientd.engine.beat import BlockBeat
from ambientd.engine.change_watch import Change, Watch
from ambientd.engine.conductor import Request
from ambientd.engine.engine import Engine
from ambientd.engine.generator_config import GeneratorConfig, GeneratorStatus, MashupState, SlotConfig
from ambientd.engine.governor import ExtraVoices, Governor
from ambientd.engine.gpu_seat import GpuSeat
from ambientd.engine.journal_writer import open_journal
from ambientd.engine.kernels import selftest
from ambientd.engine.knob import Knob
from ambientd.engine.listening import Listening
from ambientd.engine.memory_limit import OutOfMemory, lift_limit, peak_bytes
from ambientd.engine.memory_use import give_back, resident_bytes
from ambientd.engine.mix import equal_gain, slot_mix
from ambientd.engine.nudges import Nudges
from ambientd.engine.podium import Podium, Repertoire
from ambientd.engine.recent import Recent
from ambientd.engine.voice import Voice, VoiceLoader, next_seed, reopen
from ambientd.errors import AmbientdError, CheckpointError, DeviceError, GpuFault, UsageError
from ambientd.ipc.child import ParentLink
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.values import Values
from ambientd.parameters import SLOT_PARAMETERS, Parameter
from ambientd.types import BLOCK

COLLECT_EVERY = 256
"""Blocks between two passes of the garbage collector, which is off otherwise: it would pause at any moment."""
FIRST_TRIAL_SECONDS = 2.0
"""What the first mashup is waited for. Less than the supervisor's patience with a generator that makes nothing."""
LOADER_NICE = 5
"""Of the loading thread. Much more, and on a busy machine it would keep the interpreter from the render thread."""


@dataclass(frozen=True)
class Order:
    """A voice that the loader is to make. replaces: only for as long as its checkpoint is the one in the slot."""

    slot: int
    id: str
    make: Callable[[], Voice]
    change: Change
    replaces: Voice | None = None


class Generator:
    """Owns the engine and the writing end of the ring."""

    def __init__(self, config: GeneratorConfig, link: ParentLink, repertoire: Repertoire) -> None:
        self._config = config
        self._link = link
        self._repertoire = repertoire
        self._cells = config.cells
        self._engine = Engine(config.max_slots, config.channels, config.sample_rate, "auto", "behind")
        self._ring = Ring(Segment.attach(config.ring_fd), config.ring_frames, config.channels)
        values = Segment.attach(config.values_fd)
        self._parameters = Values(values, values.nbytes // Values.nbytes(1))
        self._status = Values(Segment.attach(config.status_fd), len(GeneratorStatus))
        self._engine.witness = self._journal = open_journal(config, self._notify)
        self._seat = GpuSeat(self._notify, lambda name: link.send({"event": "device", "name": name}))
        self._loader = VoiceLoader(config.precision, config.level_voices)
        for line in selftest.fallbacks:
            self._notify(line)
        self._recent = Recent(config.sample_rate)
        self._watch = Watch(config.sample_rate)
        self._nudges = Nudges(config.sample_rate)
        self._listening = Listening(config.max_slots, config.sample_rate, link.send) if config.listen else None
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._loaded: queue.SimpleQueue[tuple[Order, Voice | AmbientdError]] = queue.SimpleQueue()
        self._voices = ExtraVoices(self._engine)
        self._governor = Governor([self._voices], config.ring_frames / config.sample_rate, self._report_governor)
        self._podium = Podium(repertoire, self._status, self._knobs, self._report_mashup, self._report_failure)
        self._slot_knobs = [
            list(self._knobs(f"slot/{number}", SLOT_PARAMETERS).values()) for number in range(1, config.max_slots + 1)
        ]
        self._beat = BlockBeat(config.transport_fd, BLOCK / config.sample_rate)
        self._block = 0

    def run(self) -> NoReturn:
        """Until the supervisor goes away, which ends the process. Raises where not one voice can be loaded."""
        self._load_first_voices()
        looks_for_gpu = self._config.device != "cpu" and self._load_gpu()
        threading.Thread(target=self._load_voices, name="loader", daemon=True).start()
        if self._listening:
            self._listening.start()
        gc.freeze()
        gc.disable()
        self._ring.mark_splice()
        self._link.send({"event": "ready"})  # before the mashup: whoever hangs there is noticed soon
        if self._config.mashup:
            self._podium.select(self._config.mashup, self._config.mashup_options, self._request())
            self._podium.wait(FIRST_TRIAL_SECONDS)
        if looks_for_gpu:
            self._seat.open(self._engine)
        try:
            self._play()
        except (MemoryError, OutOfMemory):
            lift_limit()
            name = self._podium.name
            if name and not self._podium.out_of_memory:
                # Whoever conducts is the one that was free to grow: voices are bounded, and refused by the loader.
                self._report_mashup(name, MashupState.OUT_OF_MEMORY, "it reached engine.memory_limit_mb")
            limit = self._config.memory_limit_mb
            raise OutOfMemory(f"the generator holds all of its {limit} MB", "See engine.memory_limit_mb") from None

    def _load_gpu(self) -> bool:
        """Whether it is worth looking for one."""
        try:
            self._seat.load()
        except DeviceError as error:
            if not self._may_use_cpu:
                raise
            self._notify(f"{error.what}; playing goes on with the CPU")
            return False
        return True

    @property
    def _may_use_cpu(self) -> bool:
        return self._config.fallback or self._config.device == "auto"

    def _play(self) -> NoReturn:
        # Where the user may. On Linux this thread alone: a mashup that never rests shall not win over the supervisor.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        out = np.zeros((BLOCK, self._config.channels), np.float32)
        written = time.perf_counter()
        while True:
            written += self._wait_for_room()
            began = time.perf_counter()
            self._take_voices()
            self._seat.turn(self._engine, self._may_use_cpu)
            self._podium.turn()
            self._watch.before(self._engine)
            self._render(out)
            self._ring.write(out)
            if self._listening:
                self._listening.block(self._engine)
            now = time.perf_counter()
            self._measure(now - began)
            self._listen(out, now - written)
            written = now
            if self._journal:
                self._journal.turn(self._engine)
            self._status[GeneratorStatus.BLOCKS] = self._block
            if self._podium.out_of_memory:
                raise OutOfMemory("the mashup holds all memory")
            if self._block % COLLECT_EVERY == 0:
                gc.collect()
                self._status[GeneratorStatus.PEAK_BYTES] = peak_bytes()
                self._status[GeneratorStatus.MEMORY_BYTES] = resident_bytes()

    def _wait_for_room(self) -> float:
        """Obey commands; while the ring is full, sleep on them in steps of a quarter block. Seconds so spent."""
        step = BLOCK / self._config.sample_rate / 4
        pause = rested = 0.0
        while True:
            began = time.perf_counter()
            for command in self._link.poll(pause):
                self._attempt(self._obey, command, slot=command.get("slot"), ticket=command.get("ticket"))
            if self._ring.free >= BLOCK:
                return rested
            rested += time.perf_counter() - began
            pause = step

    def _listen(self, out: Floats, gap: float) -> None:
        """Remember what was made, and tell what changes of voices have cost."""
        self._recent.add(out)
        for change in self._watch.block(out, gap, self._engine):
            self._link.send({"event": "changed", **_about(change.slot, change.ticket), **change.measured()})
            self._orders.put(None)

    def _render(self, out: Floats) -> None:
        request = self._request()
        mix, known = self._podium.mix(request)
        try:
            self._engine.render(self._nudges.apply(mix), out, known)
        except GpuFault:
            raise
        except AmbientdError:
            # Voices changed since the mix was checked; what always works bridges the block.
            self._engine.render(equal_gain(request.slots, request.mix), out)
        if self._engine.fault:
            self._report_failure(self._engine.fault)
            self._engine.fault = None
        self._block += 1
        seconds = BLOCK / self._config.sample_rate
        for knob in chain(*self._slot_knobs):
            knob.follow(seconds)
        # The block just made is not in the ring yet.
        waiting = self._ring.frames - self._ring.free + BLOCK
        self._beat.advance(waiting / self._config.sample_rate)
        self._podium.follow(seconds)
        self._podium.request(self._request())

    def _knobs(self, prefix: str, parameters: Iterable[Parameter]) -> dict[str, Knob]:
        """Each where it stands now."""
        cells = self._cells
        return {p.id: Knob(p, self._parameters, cells[f"{prefix}/{p.id}"]) for p in parameters}

    def _request(self) -> Request:
        """The next block's clock, voices and live parameters."""
        infos = self._engine.infos
        values = [[knob.value for knob in slot] for slot in self._slot_knobs]
        clock = self._beat.clock(self._block, self._config.sample_rate)
        return Request(clock, infos, self._podium.controls, slot_mix(infos, values, self._config.channels))

    def _measure(self, seconds: float) -> None:
        duration = BLOCK / self._config.sample_rate
        margin, smoothing = duration / seconds, duration
        before = self._status[GeneratorStatus.MARGIN] or margin
        self._status[GeneratorStatus.MARGIN] = before + smoothing * (margin - before)
        self._status[GeneratorStatus.LATE] += margin < 1
        filled = (self._ring.frames - self._ring.free) / self._config.sample_rate
        self._governor.observe(self._block * duration, margin, filled)

    # Commands

    def _attempt(
        self, action: Callable[..., None], *args: Any, slot: int | None = None, ticket: int | None = None
    ) -> None:
        """Do it, or tell the supervisor in one line why not."""
        try:
            action(*args)
        except AmbientdError as error:
            self._report_failure(error, slot, ticket)

    def _obey(self, command: Mapping[str, Any]) -> None:
        if self._journal:
            self._journal.command(command)
        match command:
            case {"cmd": "select", "name": str(name)}:
                self._podium.select(name, command.get("options", {}), self._request())
            case {"cmd": "plugin", "path": str(path), "text": str(text), "cells": dict(cells)}:
                self._repertoire.change(path, text)
                self._cells = cells
            case {"cmd": "load", "slot": int(slot), "id": str(id), "path": str(path), "seed": int(seed)}:
                self._check_slot(slot)
                config = SlotConfig(slot, id, path, seed)
                self._orders.put(self._order(config, command.get("prime") == "now", command.get("ticket")))
            case {"cmd": "reprime", "slot": int(slot)}:
                self._check_slot(slot)
                self._reprime(slot, command.get("seed"))
            case {"cmd": "nudge", "slot": int(slot), "low": low, "high": high, "push": push, "seconds": seconds}:
                self._check_slot(slot)
                self._nudges.give(slot, low, high, push, seconds)
                if self._listening:
                    self._listening.forget(slot)
            case {"cmd": "unload", "slot": int(slot)}:
                self._check_slot(slot)
                self._unload(slot, command.get("ticket"))
            case _:
                raise UsageError(f"the generator knows no command {dict(command)!r}")

    def _check_slot(self, slot: int) -> None:
        if not 0 <= slot < self._config.max_slots:
            raise UsageError(f"there is no slot {slot + 1}", f"Slots are numbered 1 to {self._config.max_slots}")

    # Voices

    def _load_first_voices(self) -> None:
        failures: list[AmbientdError] = []
        for order in map(self._order, self._config.slots):
            try:
                self._place(order, self._make(order))
            except AmbientdError as error:
                failures.append(error)
                self._report_failure(error, order.slot)
            self._watch.drop(order.change)
        if failures and len(failures) == len(self._config.slots):
            raise failures[0]

    def _load_voices(self) -> None:
        """The loader thread: reading, packing, checking and priming take a while, the last without the GIL."""
        _yield_to_others()
        while True:
            order = self._orders.get()
            if order is None:
                give_back()
                continue
            try:
                self._loaded.put((order, self._make(order)))
            except AmbientdError as error:
                self._loaded.put((order, error.with_traceback(None)))  # its frames hold what was loaded
            except Exception as error:  # without this thread nothing would ever be loaded again
                reason = f"{type(error).__name__}: {error}"
                self._loaded.put((order, CheckpointError(f"{order.id!r} cannot be loaded ({reason})", "Try again")))
            del order  # it may hold a voice, which would stay until the next order comes

    def _order(self, config: SlotConfig, now: bool = False, ticket: int | None = None) -> Order:
        """now: the voice is to go on from what is sounding when it is ready to."""
        heard = self._recent.last if now else None
        path, limit = Path(config.path), self._config.memory_limit_mb
        make = partial(admit, self._loader, path, config.seed, limit, heard)
        return Order(config.slot, config.id, make, self._watch.order(config.slot, ticket))

    def _reprime(self, slot: int, seed: int | None) -> None:
        """Let the slot's voice start over from a piece of its album; it fades out when the new one is ready."""
        voice = self._voices.occupant(slot)
        if voice is None:
            raise UsageError(f"slot {slot + 1} is empty", "Only a voice can start over")
        make = partial(reopen, voice, next_seed(voice.seed) if seed is None else seed)
        self._orders.put(Order(slot, voice.info.id, make, self._watch.order(slot, None), voice))

    def _make(self, order: Order) -> Voice:
        try:
            voice = order.make()
            self._seat.prepare(voice)
            return voice
        except MemoryError:
            raise CheckpointError(
                f"there is no memory left for {order.id!r}", "Raise engine.memory_limit_mb, or play fewer models"
            ) from None

    def _take_voices(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                order, made = self._loaded.get_nowait()
                try:
                    if isinstance(made, AmbientdError):
                        raise made
                    self._place(order, made)
                except AmbientdError as error:
                    self._watch.drop(order.change)
                    self._report_failure(error, order.slot, order.change.ticket)

    def _place(self, order: Order, voice: Voice) -> None:
        if order.replaces:
            present = self._voices.occupant(order.slot)
            if present is None or present.packed is not order.replaces.packed:
                self._watch.drop(order.change)
                return  # unloaded or replaced by another model meanwhile
        if not self._voices.place(order.slot, voice):
            self._engine.place(order.slot, voice, self._fade(order.slot))
            self._nudges.take_back(order.slot)
        self._watch.begin(order.change)
        about = _about(order.slot, order.change.ticket)
        self._link.send({"event": "loaded", **about, "id": order.id, "seed": voice.seed})

    def _fade(self, slot: int) -> float:
        """Seconds in which voices change over there: none at the start, or where the machine cannot play one more."""
        playing = int(self._engine.present.sum())
        margin = self._status[GeneratorStatus.MARGIN] * playing / (playing + 1)
        room = margin >= 1 or self._engine.occupant(slot) is None
        return self._config.fade if self._block and room else 0.0

    def _unload(self, slot: int, ticket: int | None) -> None:
        self._watch.begin(self._watch.order(slot, ticket))
        if self._voices.place(slot, None):
            self._governor.forget(self._voices.name_of(slot))
        else:
            self._engine.place(slot, None, self._config.fade)
            if self._governor.shed and not self._engine.present.any():
                self._governor.take_back()
        self._link.send({"event": "unloaded", **_about(slot, ticket)})

    def _notify(self, line: str) -> None:
        self._link.send({"event": "notice", "what": line})

    def _report_governor(self, step: str, state: str, shed: list[str]) -> None:
        event = {"event": "governor", "step": step, "state": state, "level": len(shed), "shed": shed}
        self._link.send(event | {"margin": round(self._status[GeneratorStatus.MARGIN], 3)})

    def _report_mashup(self, name: str, state: MashupState, reason: str) -> None:
        self._link.send({"event": "mashup", "name": name, "state": state, "reason": reason})

    def _report_failure(self, error: AmbientdError, slot: int | None = None, ticket: int | None = None) -> None:
        event = {"event": "failed", "what": error.what, "remedy": error.remedy, "exit_code": error.exit_code}
        self._link.send(event | _about(slot, ticket))


def _about(slot: int | None, ticket: int | None) -> dict[str, int]:
    """Which slot and whose order an event is about, as far as that is known."""
    return {key: value for key, value in {"slot": slot, "ticket": ticket}.items() if value is not None}


def _yield_to_others() -> None:
    """Let this thread run when nobody else wants to; only Linux knows niceness of threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICE)
