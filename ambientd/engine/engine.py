"""The engine: slots of voices and one call that renders a block. The render thread.

engine = Engine(slots=8, channels=2, sample_rate=16_000)
engine.place(0, open_voice(load(path), seed=7))
engine.render(mix, out)                             # out: float32 [BLOCK, channels]
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Doubles, Floats, Tokens
from ambientd.engine.bank import Bank
from ambientd.engine.crossfade import Crossfade, exchange
from ambientd.engine.guidance import Guidance
from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.mix import MixRamp, effective, is_used, resting, validate
from ambientd.engine.morphing import Builder, Morphing
from ambientd.engine.second_core import Cores
from ambientd.engine.voice import Recipe, Voice
from ambientd.errors import AmbientdError, IncompatibleVoices
from ambientd.types import Mix, VoiceInfo


class Witness(Protocol):
    """Who is told what the engine is told; enough to have another one play the same. See `journal`."""

    def placed(self, slot: int, voice: Voice | None, fade: float) -> None: ...

    def weighed(self, slot: int, recipe: Recipe) -> None: ...

    def rendered(self, mix: Mix | None) -> None:
        """None: all goes on as it was."""
        ...


class Players(Protocol):
    """What plays the voices: `bank.Bank` on the CPU, or one of the same calls on a GPU."""

    slots: list[Voice | None]
    ramp: MixRamp
    drawn: NDArray[np.uint8]
    """Tokens of the last block [slots, BLOCK]."""

    def attach(self, slot: int, voice: Voice) -> None: ...

    def detach(self, slot: int) -> Voice | None: ...

    def weigh(self, slot: int, weights: PackedNetwork, recipe: Recipe) -> bool: ...

    def fetch_rows(self) -> None: ...

    def render(self, out: Floats) -> None: ...

    def close(self) -> None: ...


class Engine:
    """Renders whatever mix it is given, without clicks when voices come and go."""

    def __init__(
        self, slots: int, channels: int, sample_rate: int, cores: Cores = "one", builder: Builder = "waited for"
    ) -> None:
        self.channels = channels
        self.sample_rate = sample_rate
        self._slots = slots
        self._bank: Players = Bank(slots + 1, channels, cores)
        self._crossfade = Crossfade(slots, channels, sample_rate)
        self._guidance = Guidance(slots + 1)
        self._morphing = Morphing(builder, sample_rate)
        self._own_powers = np.zeros(slots + 1)
        self._wanted: dict[int, Voice | None] = {}
        self._resting: dict[int, Voice] = {}
        self._waiting: dict[int, tuple[Voice | None, int]] = {}
        """Who is to come into a slot, and in how many samples, as soon as the spare place is free."""
        self.changes = 0
        """How often voices changed over, always between two blocks."""
        self.edges = 0
        """The same, and how often one that had moved to the spare place went."""
        self.witness: Witness | None = None
        self.fault: AmbientdError | None = None
        """Why a voice does not get the weights that the mix asks for. For whoever tells it, and then takes it away."""

    @property
    def infos(self) -> tuple[VoiceInfo | None, ...]:
        """Who is in each slot. A voice that is about to leave is still there."""
        return tuple(voice.info if voice else None for voice in self.voices)

    def hand_over(self, bank: Players) -> None:
        """Between two blocks: let all voices go on in another bank, an empty one of as many places."""
        old = self._bank
        start, end = copy.deepcopy(old.ramp.start), copy.deepcopy(old.ramp.end)
        for place, voice in enumerate(old.slots):
            if voice:
                old.detach(place)
                bank.attach(place, voice)
        bank.ramp.start.assign(start)
        bank.ramp.end.assign(end)
        self._bank = bank
        old.close()

    @property
    def places(self) -> int:
        """For voices, the spare one among them."""
        return self._slots + 1

    @property
    def mix(self) -> Mix:
        """What the last block came to, after empty slots were taken out; behind the slots the spare place."""
        return self._crossfade.mix

    @property
    def drawn(self) -> Tokens:
        """[V + 1, BLOCK] uint8: what each voice drew in the last block. Overwritten by the next one."""
        return self._bank.drawn

    def close(self) -> None:
        """Let its threads end."""
        self._bank.close()
        self._morphing.close()

    @property
    def present(self) -> NDArray[np.bool_]:
        """[V]: which slots hold a voice that is not about to leave."""
        return self._present[: self._slots]

    @property
    def _present(self) -> NDArray[np.bool_]:
        """[V + 1]: the same of all places."""
        places = enumerate(self._places)
        return np.array([voice is not None and place not in self._wanted for place, voice in places])

    @property
    def changing(self) -> bool:
        """Whether a change of voices is not over yet."""
        spare = self._bank.slots[self._crossfade.spare]
        return bool(self._wanted or self._waiting or spare) or not self._crossfade.over

    @property
    def made(self) -> float:
        """dB: what a change of voices made of the last block's level; see `Crossfade`."""
        return self._crossfade.made

    @property
    def playing(self) -> NDArray[np.bool_]:
        """[V]: which of them are computed."""
        resting = np.array([slot in self._resting for slot in range(self._slots)])
        return np.asarray(self.present & ~resting)

    def occupant(self, slot: int) -> Voice | None:
        """Who plays or rests in the slot, or is about to."""
        if slot in self._waiting:
            return self._waiting[slot][0]
        return self._wanted[slot] if slot in self._wanted else self._places[slot]

    def place(self, slot: int, voice: Voice | None, fade: float = 0.0) -> None:
        """Put `voice` into `slot`, or empty it. One that plays there fades out over the next block first.

        fade: seconds in which the two change over instead, both playing; while another such change is not over,
        this one waits.
        """
        if voice and voice.info.sample_rate != self.sample_rate:
            raise IncompatibleVoices(
                f"{voice.info.id!r} has {voice.info.sample_rate} Hz and the engine runs at {self.sample_rate} Hz",
                "Use models of one sample rate",
            )
        if self.witness:
            self.witness.placed(slot, voice, fade)
        self._waiting.pop(slot, None)
        self._wanted.pop(slot, None)
        self._resting.pop(slot, None)
        if fade:
            self._waiting[slot] = voice, round(fade * self.sample_rate)
        else:
            self._wanted[slot] = voice
        if fade or self._bank.slots[slot] is None:
            self._exchange()

    def render(self, mix: Mix, out: Floats, known: Sequence[VoiceInfo | None] | None = None) -> None:
        """One block towards `mix` -> out [BLOCK, C]. Raises InvalidMix or IncompatibleVoices, nothing done.

        known: the voices that the mix was made for; by default those that are there. While they are others, it
        means nothing, and all goes on as it was.
        """
        infos = self.infos
        meant = known is None or tuple(known) == infos
        if meant:
            validate(mix, infos, self.channels)
            self._crossfade.towards(mix, self._powers())
        if self._wanted:
            self._crossfade.cut(~self._present, self._powers())
        effective(self.mix, self._present, self.mix)
        self._morph()
        if self.witness:
            self.witness.rendered(mix if meant else None)
        self._let_rest()
        self._guidance.lead(self._places, self.mix)
        self._bank.ramp.advance(self.mix)
        self._bank.render(out)
        self._exchange()

    def _powers(self) -> Doubles:
        """[V + 1]: how loud everybody is by itself, where that matters."""
        if self._wanted or not self._crossfade.over:
            for place, voice in enumerate(self._places):
                self._own_powers[place] = voice.power if voice else 0.0
        return self._own_powers

    def weigh(self, slot: int, weights: PackedNetwork, recipe: Recipe) -> bool:
        """Between two blocks: have the voice in `slot` play with `weights`. False: not before a frame's end."""
        if not self._bank.weigh(slot, weights, recipe):
            return False
        if self.witness:
            self.witness.weighed(slot, recipe)
        return True

    def _morph(self) -> None:
        """Let voices be made of what the mix wants, as soon as that is ready."""
        ready, fault = self._morphing.turn(self._places, self.mix)
        self.fault = fault or self.fault
        if ready and ready.packed:
            slot = self._places.index(ready.order.voice)
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
    def voices(self) -> tuple[Voice | None, ...]:
        """Who plays or rests in each slot; while nothing is `changing`, that is all there are."""
        return self._places[: self._slots]

    @property
    def _places(self) -> tuple[Voice | None, ...]:
        """[V + 1]: the same, and behind them who is in the spare place."""
        return tuple(voice or self._resting.get(place) for place, voice in enumerate(self._bank.slots))

    @property
    def mixes(self) -> tuple[Mix, ...]:
        """The ramp's two ends and what was played last, over all places, the spare one behind the slots.

        To be read between two blocks while nothing is `changing`, or filled in before the first one.
        """
        return self._bank.ramp.start, self._bank.ramp.end, self._crossfade.mix

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
        """Between two blocks: whoever was to leave goes once it is not heard, and whoever is to come comes."""
        for slot in [slot for slot in self._wanted if self._dispensable(slot)]:
            self._settle(slot, self._wanted.pop(slot), 0)
        spare = self._crossfade.spare
        if self._bank.slots[spare] and self._dispensable(spare):
            self._bank.detach(spare)
            self._crossfade.empty(spare)
            self.edges += 1
        for slot in [slot for slot in self._waiting if not (self._bank.slots[slot] and self._bank.slots[spare])]:
            if self._bank.slots[slot]:
                self._move(slot, spare)
                self._crossfade.move_out(slot)
            self._settle(slot, *self._waiting.pop(slot))

    def _dispensable(self, place: int) -> bool:
        """Whether nobody would miss its voice in the next block, neither an ear nor another voice."""
        return self._bank.slots[place] is None or not is_used(self._bank.ramp.end, place, weights=True)

    def _move(self, slot: int, place: int) -> None:
        """Let a voice go on in an empty place, as loud as it is."""
        exchange(self._bank.ramp.start, slot, place)
        exchange(self._bank.ramp.end, slot, place)
        if voice := self._bank.detach(slot):
            self._bank.attach(place, voice)

    def _settle(self, slot: int, voice: Voice | None, frames: int) -> None:
        self._bank.detach(slot)
        if voice:
            self._bank.attach(slot, voice)
        self._crossfade.empty(slot)
        self._crossfade.begin(frames)
        self.changes += 1
        self.edges += 1
