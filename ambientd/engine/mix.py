"""What a mix may be, and how one becomes the next. The generator's render thread, once per block; NumPy only.

A mashup is a plugin: whatever it fills in is checked here before a kernel sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats
from ambientd.ensemble import SHARED_FIELDS, SIBLING_FIELDS
from ambientd.errors import AmbientdError, IncompatibleVoices
from ambientd.types import MOST_TIERS, Mix, VoiceInfo

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 10.0
MAX_STRETCH = 64.0
MAX_GAIN = 16.0
INNER = ("temperature", "stretch", "freeze", "chaos")
"""What of a mix is each voice's own business, [V]."""
SIBLINGS = "fine-tuned from one base"


class InvalidMix(AmbientdError):
    """A mashup filled in a mix that cannot be rendered."""


def slot_mix(infos: Sequence[VoiceInfo | None], values: Sequence[Sequence[float]], channels: int) -> Mix:
    """Every loaded voice on its own, as its slot's parameters and its own trim say.

    values: each slot's `SLOT_PARAMETERS`.
    """
    mix = Mix.solo(len(infos), channels)
    for i, (info, (gain, pan, *inner)) in enumerate(zip(infos, values, strict=True)):
        if info:
            mix.gains[i] = pan_gains(gain * info.trim, pan, channels)
            mix.temperature[i], mix.stretch[i], mix.freeze[i], mix.chaos[i] = inner
    return mix


def pan_gains(gain: float, pan: float, channels: int) -> Floats:
    """[channels] of equal power; even channels are left, odd ones right, and mono knows no place."""
    if channels == 1:
        return np.full(1, gain, np.float32)
    angle = (min(max(pan, -1.0), 1.0) + 1) * np.pi / 4
    return np.resize(np.array([np.cos(angle), np.sin(angle)], np.float32) * np.float32(gain), channels)


def equal_gain(infos: Sequence[VoiceInfo | None], own: Mix) -> Mix:
    """What plays when no mashup can be trusted: `own`, the slots' own parameters, at the power of one voice."""
    mix = Mix.solo(*own.gains.shape)
    for field in INNER:
        getattr(mix, field)[:] = getattr(own, field)
    mix.gains[:] = own.gains / np.float32(np.sqrt(max(1, sum(info is not None for info in infos))))
    return mix


def validate(mix: Mix, infos: Sequence[VoiceInfo | None], channels: int) -> None:
    """Raise InvalidMix or IncompatibleVoices, naming what is wrong. Empty slots' rows may hold anything finite."""
    voices = len(infos)
    shapes = {
        "logits": (voices, voices),
        "conditioning": (MOST_TIERS, voices, voices),
        "morph": (voices, voices),
        "gains": (voices, channels),
        **dict.fromkeys(("mixture", "history", *INNER), (voices,)),
    }
    for field, shape in shapes.items():
        array: NDArray[Any] = getattr(mix, field)
        if array.shape != shape:
            raise InvalidMix(f"mix.{field} has shape {array.shape}, not {shape}", "Fill it in place")
        if not np.isfinite(array).all():
            raise InvalidMix(f"mix.{field} holds NaN or infinity")
    _check_range("logits", mix.logits, 0, np.inf)
    _check_range("conditioning", mix.conditioning, 0, np.inf)
    _check_range("morph", mix.morph, 0, np.inf)
    _check_range("history", mix.history, 0, voices - 1)
    _check_range("gains", np.abs(mix.gains), 0, MAX_GAIN)
    loaded = [i for i, info in enumerate(infos) if info]
    _check_range("mixture", mix.mixture[loaded], 0, 1)
    _check_range("temperature", mix.temperature[loaded], MIN_TEMPERATURE, MAX_TEMPERATURE)
    _check_range("stretch", mix.stretch[loaded], 1, MAX_STRETCH)
    _check_range("freeze", mix.freeze[loaded], 0, 1)
    _check_range("chaos", mix.chaos[loaded], 0, 1)
    for i, j in sharing(mix, loaded):
        _check_compatible(infos[i], infos[j], SHARED_FIELDS, "trained with the same settings")
        if mix.logits[i, j] and mix.history[i] != mix.history[j]:
            raise InvalidMix(
                f"mix.logits[{i}, {j}] is not zero, but voice {i} hears {mix.history[i]} and {j} {mix.history[j]}",
                "Voices that share logits must share their history",
            )
    for i, j in conditioned(mix, infos):
        _check_siblings(infos[i], infos[j], SIBLING_FIELDS)
    for i, j in _others(mix.morph):
        _check_siblings(infos[i], infos[j], SHARED_FIELDS + SIBLING_FIELDS)


def sharing(mix: Mix, loaded: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs (i, j) of loaded voices where i uses j's logits or history."""
    for i in loaded:
        for j in loaded:
            if i != j and (mix.logits[i, j] or mix.history[i] == j):
                yield i, j


def conditioned(mix: Mix, infos: Sequence[VoiceInfo | None]) -> Iterator[tuple[int, int]]:
    """Pairs (i, j) of loaded voices where j's tiers condition i, at one of those that i has."""
    for i, j in _others(mix.conditioning.sum(axis=0)):
        ours = infos[i]
        if ours and infos[j] and mix.conditioning[: len(ours.frame_sizes), i, j].any():
            yield i, j


def _others(matrix: NDArray[Any]) -> list[tuple[int, int]]:
    """Where [V, V] is not 0, but on its diagonal. All at once, for mostly there is nothing."""
    return [(i, j) for i, j in np.argwhere(matrix) if i != j]


def _check_range(field: str, array: NDArray[Any], low: float, high: float) -> None:
    if array.size and not (low <= array.min() and array.max() <= high):
        raise InvalidMix(f"mix.{field} holds values outside {low}..{high}")


def _check_compatible(a: VoiceInfo | None, b: VoiceInfo | None, fields: Sequence[str], wanted: str) -> None:
    if a is None or b is None:
        return
    for field in fields:
        ours, theirs = getattr(a, field), getattr(b, field)
        if ours != theirs:
            raise IncompatibleVoices(
                f"{a.id!r} and {b.id!r} differ in {field} ({ours} and {theirs})",
                f"Blend checkpoints that were {wanted}",
            )


def _check_siblings(a: VoiceInfo | None, b: VoiceInfo | None, fields: Sequence[str]) -> None:
    """Of no family are strangers, to each other as well."""
    _check_compatible(a, b, fields, SIBLINGS)
    if a and b and a.family is None:
        raise IncompatibleVoices(f"{a.id!r} and {b.id!r} have no family", f"Blend checkpoints that were {SIBLINGS}")


def effective(mix: Mix, present: NDArray[np.bool_], out: Mix) -> None:
    """Fill `out` with what `mix` means for the voices that are there. present: [V].

    A mashup may run a block behind a change of voices, so a slot that is empty (or about to be) is nobody:
    whoever would hear it hears itself, and whoever counts on it alone draws, conditions or makes up itself.
    Likewise a voice that rests, except that others may be made of its weights.
    """
    own = np.arange(present.size, dtype=np.int32)
    out.assign(mix)
    out.morph *= present & present[:, None]
    lost = ~present | (mix.morph.any(axis=1) & ~out.morph.any(axis=1))
    out.morph[lost, own[lost]] = 1
    playing = present & out.morph.any(axis=1)
    out.gains[~playing] = 0
    out.history[:] = np.where(playing & playing[mix.history], mix.history, own)
    out.logits *= playing & (out.history[:, None] == out.history)
    alone = ~out.logits.any(axis=1)
    out.logits[alone, own[alone]] = 1
    # Rows of empty slots too: whatever comes there next begins with nothing of anybody's.
    out.conditioning *= playing & playing[:, None]
    tiers, rows = np.nonzero(out.conditioning.sum(axis=2) == 0)
    out.conditioning[tiers, rows, rows] = 1


def resting(mix: Mix) -> NDArray[np.bool_]:
    """[V]: who is not to be computed. mix: an `effective` one."""
    return np.asarray(~mix.morph.any(axis=1))


def is_used(mix: Mix, slot: int, weights: bool = False) -> bool:
    """Whether the voice in `slot` is heard, or another one votes with it, hears it or is conditioned by it.

    weights: or is made of its weights.
    """
    others = np.arange(len(mix.history)) != slot
    pairs = (mix.logits, mix.conditioning, mix.morph) if weights else (mix.logits, mix.conditioning)
    named = any(pair[..., others, slot].any() for pair in pairs)
    return bool(mix.gains[slot].any() or (mix.history[others] == slot).any() or named)


def least_missed(mix: Mix, present: NDArray[np.bool_]) -> int | None:
    """The slot of the voice whose absence is heard least; of equals the highest. None where only one plays.

    mix: an `effective` one. A voice that others listen to, as to a blend's leader, is the last to go.
    """
    loaded = np.flatnonzero(present)
    if loaded.size < 2:
        return None
    weights = np.concatenate((mix.logits[None], mix.conditioning))
    weights /= weights.sum(axis=2, keepdims=True)
    share = np.abs(mix.gains).max(axis=1) @ weights.sum(axis=0)
    leads = [any(mix.history[j] == i for j in loaded if j != i) for i in range(present.size)]
    return int(min(loaded, key=lambda i: (leads[i], share[i], -i)))


class MixRamp:
    """The mix at a block's start and end; between them every value moves in a straight line.

    A voice that is told to hear another one jumps in what it plays next, which no ramp of weights hides. So a
    change of history takes two blocks: the voices concerned fade out on the old history and in on the new.
    """

    def __init__(self, voices: int, channels: int) -> None:
        self.start = Mix.solo(voices, channels)
        self.end = Mix.solo(voices, channels)

    def advance(self, target: Mix) -> None:
        """Make the last block's end this block's start, and head for `target`."""
        self.start.assign(self.end)
        changed = target.history != self.end.history
        audible = changed & self.end.gains.any(axis=1)
        if audible.any():
            self.end.gains[audible] = 0
            # Does not wait: it knows no history, and a voice that leaves after this block must be out of it.
            self.end.conditioning[:] = target.conditioning
            return
        self.end.assign(target)
        if changed.any():
            # Old weights mean nothing on a new history: they may name voices that no longer hear the same.
            self.start.logits[:] = target.logits
            self.start.history[:] = target.history

    def forget(self, slot: int) -> None:
        """The voice in `slot` is gone: whatever follows it there fades in."""
        for mix in (self.start, self.end):
            mix.gains[slot] = 0
