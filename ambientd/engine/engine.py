"""The engine: slots of voices and one call that renders a block. The render thread.

engine = Engine(slots=8, channels=2, sample_rate=16_000)
engine.place(0, open_voice(load(path), seed=7))
engine.render(mix, out)                             # out: float32 [BLOCK, channels]
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats
from ambientd.engine.bank import Bank
from ambientd.engine.guidance import Guidance
from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.mix import effective, is_used, resting, validate
from ambientd.engine.morphing import Builder, Morphing
from ambientd.engine.second_core import Cores
from ambientd.engine.voice import Recipe, Voice
from ambientd.errors import AmbientdError, IncompatibleVoices
from ambientd.types import Mix, VoiceInfo


class Witness(Protocol):
    """Who is told what the engine is told; enough to have another one play the same. See `journal`."""

    def placed(self, slot: int, voice: Voice | None) -> None: ...

    def weighed(self, slot: int, recipe: Recipe) -> None: ...

    def rendered(self, mix: Mix) -> None: ...


class Engine:
    """Renders whatever mix it is given, without clicks when voices come and go."""

    def __init__(
        self, slots: int, channels: int, sample_rate: int, cores: Cores = "one", builder: Builder = "waited for"
    ) -> None:
        self.channels = channels
        self.sample_rate = sample_rate
        self._bank = Bank(slots, channels, cores)
        self._guidance = Guidance(slots)
        self._morphing = Morphing(builder, sample_rate)
        self._wanted: dict[int, Voice | None] = {}
        self._resting: dict[int, Voice] = {}
        self.mix = Mix.solo(slots, channels)
        """What the last block came to, after empty slots were taken out."""
        self.witness: Witness | None = None
        self.fault: AmbientdError | None = None
        """Why a voice does not get the weights that the mix asks for. For whoever tells it, and then takes it away."""

    @property
    def infos(self) -> tuple[VoiceInfo | None, ...]:
        """Who is in each slot. A voice that is about to leave is still there."""
        return tuple(voice.info if voice else None for voice in self.voices)

    def close(self) -> None:
        """Let its threads end."""
        self._bank.close()
        self._morphing.close()

    @property
    def present(self) -> NDArray[np.bool_]:
        """[V]: which slots hold a voice that is not about to leave."""
        slots = enumerate(self.voices)
        return np.array([voice is not None and slot not in self._wanted for slot, voice in slots])

    @property
    def playing(self) -> NDArray[np.bool_]:
        """[V]: which of them are computed."""
        resting = np.array([slot in self._resting for slot in range(len(self._bank.slots))])
        return np.asarray(self.present & ~resting)

    def occupant(self, slot: int) -> Voice | None:
        """Who plays or rests in the slot, or is about to."""
        return self._wanted[slot] if slot in self._wanted else self.voices[slot]

    def place(self, slot: int, voice: Voice | None) -> None:
        """Put `voice` into `slot`, or empty it. One that plays there fades out over the next block first."""
        if voice and voice.info.sample_rate != self.sample_rate:
            raise IncompatibleVoices(
                f"{voice.info.id!r} has {voice.info.sample_rate} Hz and the engine runs at {self.sample_rate} Hz",
                "Use models of one sample rate",
            )
        if self.witness:
            self.witness.placed(slot, voice)
        self._wanted[slot] = voice
        self._resting.pop(slot, None)
        if self._bank.slots[slot] is None:
            self._exchange()

    def render(self, mix: Mix, out: Floats) -> None:
        """One block towards `mix` -> out [BLOCK, C]. Raises InvalidMix or IncompatibleVoices, nothing done."""
        validate(mix, self.infos, self.channels)
        effective(mix, self.present, self.mix)
        self._morph()
        if self.witness:
            self.witness.rendered(mix)
        self._let_rest()
        self._guidance.lead(self.voices, self.mix)
        self._bank.ramp.advance(self.mix)
        self._bank.render(out)
        self._exchange()

    def weigh(self, slot: int, weights: PackedNetwork, recipe: Recipe) -> bool:
        """Between two blocks: have the voice in `slot` play with `weights`. False: not before a frame's end."""
        if not self._bank.weigh(slot, weights, recipe):
            return False
        if self.witness:
            self.witness.weighed(slot, recipe)
        return True

    def _morph(self) -> None:
        """Let voices be made of what the mix wants, as soon as that is ready."""
        ready, fault = self._morphing.turn(self.voices, self.mix)
        self.fault = fault or self.fault
        if ready and ready.packed:
            slot = self.voices.index(ready.order.voice)
            if self.weigh(slot, ready.packed, ready.order.recipe):
                self._morphing.taken()

    def _let_rest(self) -> None:
        """Stop computing those that the mix lets rest, once nothing sounds of them, and go on with those it wakes."""
        rest = resting(self.mix)
        for slot in np.flatnonzero(rest).tolist():
            if slot not in self._resting and not is_used(self._bank.ramp.end, slot):
                voice = self._bank.detach(slot)
                assert voice
                self._resting[slot] = voice
        for slot in [slot for slot in self._resting if not rest[slot]]:
            self._bank.attach(slot, self._resting.pop(slot))

    # What it remembers from block to block, beside its voices' own memories; for snapshots.

    @property
    def settled(self) -> bool:
        """Whether no voice is about to come or go."""
        return not self._wanted

    @property
    def voices(self) -> tuple[Voice | None, ...]:
        """Who plays or rests in each slot."""
        return tuple(voice or self._resting.get(slot) for slot, voice in enumerate(self._bank.slots))

    @property
    def mixes(self) -> tuple[Mix, ...]:
        """The ramp's two ends; to be read between two blocks, or filled in before the first."""
        return self._bank.ramp.start, self._bank.ramp.end

    @property
    def guidance_blocks(self) -> int:
        """How far the guides' turns have gone."""
        return self._guidance.blocks

    @guidance_blocks.setter
    def guidance_blocks(self, blocks: int) -> None:
        self._guidance.blocks = blocks

    def fetch_rows(self) -> None:
        """Let all voices know where they are; the bank counts for them."""
        self._bank.fetch_rows()

    def _exchange(self) -> None:
        """Between two blocks: whoever was to leave has faded out by now."""
        for slot, voice in self._wanted.items():
            self._bank.detach(slot)
            if voice:
                self._bank.attach(slot, voice)
        self._wanted.clear()
