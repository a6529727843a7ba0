"""Voices whose weights are interpolated between siblings: `Mix.morph`. The render thread, and a builder's beside it.

Fine-tuned from one base, siblings lie in one basin of the loss, and what lies between their weights is a model as
well (Wortsman et al., "Model soups", 2022). It costs no more than one voice; interpolating and packing take longer than
a block, so a builder does that, at most ten times a second, and the kernel goes on with the old weights until then.
An integer row's scale is its own largest weight, one pass over it: there is nothing to search for, or to share.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ambientd.arrays import Floats
from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.network import Network
from ambientd.engine.voice import Recipe, Voice
from ambientd.errors import AmbientdError, CheckpointError, IncompatibleVoices
from ambientd.samplernn.checkpoint import Checkpoint
from ambientd.types import BLOCK, Mix

RATE = 10.0
"""Times a second that weights change, at the most."""

Builder = Literal["waited for", "behind", "told"]
"""Whether a block waits for its weights, as in a render to a file; never, as when it is heard at once; or somebody else
knows when they changed, as in a replay."""


@dataclass(frozen=True)
class Order:
    """What a voice is to be made of. kept: whose tensors will be wanted again soon."""

    voice: Voice
    recipe: Recipe
    kept: frozenset[Voice]


@dataclass(frozen=True)
class Weights:
    """An order that is done; packed None: it failed, and why."""

    order: Order
    packed: PackedNetwork | None
    fault: AmbientdError | None = None


def recipe_of(mix: Mix, voices: Sequence[Voice | None], slot: int) -> Recipe:
    """What `mix` wants the voice in `slot` made of; empty: of itself alone."""
    row = mix.morph[slot]
    total = float(row.sum())
    parts = [(voice, float(row[i]) / total) for i, voice in enumerate(voices) if voice and row[i]]
    return () if [voice for voice, _ in parts] in ([], [voices[slot]]) else tuple(parts)


class Kitchen:
    """Makes packed weights of recipes. One thread at a time."""

    def __init__(self) -> None:
        self._read: dict[Voice, Checkpoint] = {}

    def make(self, order: Order) -> PackedNetwork:
        """Raises CheckpointError for a file that is gone or another one now, and IncompatibleVoices."""
        wanted = order.kept | {voice for voice, _ in order.recipe}
        self._read = {voice: checkpoint for voice, checkpoint in self._read.items() if voice in wanted}
        if not order.recipe:
            return order.voice.packed
        for voice, _ in order.recipe:
            if voice not in self._read:
                self._read[voice] = _checkpoint_of(voice)
        parts = [(self._read[voice], share) for voice, share in order.recipe]
        network = Network.from_tensors(parts[0][0].card.architecture, _interpolated(parts))
        return PackedNetwork(network, order.voice.packed.format)


def _checkpoint_of(voice: Voice) -> Checkpoint:
    checkpoint = voice.reread() if voice.reread else None
    if checkpoint is None or checkpoint.info != voice.info:
        raise CheckpointError(f"the file of {voice.info.id!r} is not any more what it was", "Load it again")
    return checkpoint


def _interpolated(parts: Sequence[tuple[Checkpoint, float]]) -> Mapping[str, Floats]:
    """The tensors' weighted sums, by name."""
    (first, weight), *others = parts
    for checkpoint, _ in others:
        if _shapes(checkpoint) != _shapes(first):
            raise IncompatibleVoices(
                f"{first.info.id!r} and {checkpoint.info.id!r} are built differently",
                "Morph checkpoints that were fine-tuned from one base",
            )
    sums = {name: tensor * np.float32(weight) for name, tensor in first.tensors.items()}
    for checkpoint, share in others:
        for name, tensor in sums.items():
            tensor += checkpoint.tensors[name] * np.float32(share)
    return sums


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in checkpoint.tensors.items()}


class Morphing:
    """Decides when new weights are made and when they may play. The render thread's, one per engine."""

    def __init__(self, builder: Builder, sample_rate: int) -> None:
        self._builder, self._kitchen = builder, Kitchen()
        self._pause = math.ceil(sample_rate / (RATE * BLOCK))
        """Blocks from one order to the next."""
        self._since = self._pause
        self._asked: dict[Voice, Recipe] = {}
        """What was ordered last for each voice."""
        self._settled: tuple[list[Voice | None], Floats] = [], np.empty((0, 0), np.float32)
        """Voices and a `Mix.morph` for which nothing is missing."""
        self._failed: set[Voice] = set()
        self._open: Order | None = None
        self._ready: Weights | None = None
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Weights] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def turn(self, voices: Sequence[Voice | None], mix: Mix) -> tuple[Weights | None, AmbientdError | None]:
        """Once a block, `mix` an effective one: what is ready to be played, and why something never will be.

        The same weights are offered until `taken`: they may have to wait for the end of a frame.
        """
        self._since += 1
        if self._builder != "told" and not (self._open or self._ready) and self._since >= self._pause:
            self._order(list(voices), mix)
        fault = None
        if self._open and not self._done.empty():
            self._open, self._ready = None, self._done.get_nowait()
            fault = self._ready.fault
        if self._ready and not self._is_playable(self._ready, voices, mix):
            self._asked.pop(self._ready.order.voice, None)
            self._ready = None
        return self._ready, fault

    @staticmethod
    def _is_playable(weights: Weights, voices: Sequence[Voice | None], mix: Mix) -> bool:
        """Whether they are there, and whom they are for has neither left nor gone to rest."""
        voice = weights.order.voice
        return weights.packed is not None and voice in voices and bool(mix.morph[voices.index(voice)].any())

    def taken(self) -> None:
        """What `turn` offered plays now."""
        self._ready = None

    def close(self) -> None:
        """Let the thread end."""
        self._orders.put(None)

    def _order(self, voices: list[Voice | None], mix: Mix) -> None:
        if voices == self._settled[0] and np.array_equal(mix.morph, self._settled[1]):
            return
        wanted = {v: recipe_of(mix, voices, slot) for slot, v in enumerate(voices) if v and mix.morph[slot].any()}
        self._asked = {voice: recipe for voice, recipe in self._asked.items() if voice in voices}
        kept = frozenset(part for recipe in wanted.values() for part, _ in recipe)
        for voice, recipe in wanted.items():
            made_of = {part for part, _ in recipe}
            if recipe != self._asked.get(voice, voice.recipe) and not (made_of and made_of == self._failed):
                self._asked[voice] = recipe
                self._since, self._open, self._settled = 0, Order(voice, recipe, kept), ([], mix.morph)
                self._hand_over(self._open)
                return
        self._settled = voices, mix.morph.copy()

    def _hand_over(self, order: Order) -> None:
        if self._builder == "waited for":
            self._done.put(self._build(order))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="morphing", daemon=True)
            self._thread.start()
        self._orders.put(order)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            self._done.put(self._build(order))

    def _build(self, order: Order) -> Weights:
        try:
            return Weights(order, self._kitchen.make(order))
        except AmbientdError as error:
            fault = error
        except MemoryError:
            fault = CheckpointError(f"there is no memory left to morph {order.voice.info.id!r}")
        self._failed = {voice for voice, _ in order.recipe}
        return Weights(order, None, fault)
