"""Small values that several rooms pass to each other. Any process; imports only the standard library.

NumPy is imported where an array is made, not at the top: `ambientd --help` passes through here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from ambientd.arrays import Floats, Ints

BLOCK = 256
"""The control quantum: parameters and the mix change once per this many samples."""

MOST_TIERS = 6
"""Frame tiers that a checkpoint may have, and T of a mix."""

Quantization = Literal["mu-law", "linear"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)


@dataclass(frozen=True)
class VoiceInfo:
    """What a mashup may know of the voice in a slot."""

    id: str
    title: str
    sample_rate: int
    dim: int
    frame_sizes: tuple[int, ...]
    q_levels: int
    quantization: Quantization
    pre_emphasis: float
    album_gain: float
    """The album was multiplied by this before quantization; dividing by it gives the album's own level."""
    temperature: float
    """The checkpoint's own safe temperature, from its card."""
    family: str | None
    trim: float = 1.0
    """What its slot's gain is multiplied by, so that loud and soft albums come out alike (`engine.level_voices`)."""


@dataclass(frozen=True)
class BlockClock:
    """When the block that a mashup is filling will be heard, in the generator's own time."""

    index: int
    sample_rate: int
    tempo: float | None = None
    """Quarter notes a minute of the MIDI clock that `midi.clock` names; None while there is none."""
    beat: float | None = None
    """Quarter notes since that clock's start, when this block is heard; None while there is no clock."""
    rolling: bool = False
    """Between that clock's start and stop; while it is not, the beat stands still."""

    @property
    def sample(self) -> int:
        """Position of the block's first sample since the generator started."""
        return self.index * BLOCK

    @property
    def seconds(self) -> float:
        return self.sample / self.sample_rate


@dataclass
class Mix:
    """How the voices blend for one block. Filled in place, never reallocated.

    V slots, T frame tiers (`MOST_TIERS`), C output channels.

    The kernel ramps from the previous block's mix to this one, so a step here is not a step in sound.
    Row i draws from softmax(z_i / temperature_i) with z_i = (1 - m_i) P_i + m_i A_i, where m is `mixture`,

        P_i = sum_j L_ij log softmax(l_j / tau_j)      the product of experts: what all find likely
        A_i = log sum_j L_ij softmax(l_j / tau_j)      the average of probabilities: what any of them finds likely

    L is `logits` with its rows normalised and tau_j the temperature in checkpoint j's card. Between the two
    log-probabilities are interpolated, not probabilities: a voice's veto then gives way gradually, while of
    interpolated probabilities a mixture of 0.01 would already draw every hundredth sample, that is 160 times a
    second, from the plain average.
    """

    logits: Floats
    """[V, V], non-negative: how much voice j's probabilities count when voice i draws; identity = solo."""
    mixture: Floats
    """[V], 0 to 1: from the product of experts to the average of probabilities."""
    conditioning: Floats
    """[T, V, V], non-negative: in row i of tier t, whose output of that tier conditions voice i below; normalised.

    Tier 0 is the lowest, which the sample tier hears; a voice ignores those that it does not have. Identity = solo,
    a permutation = tiers swapped. What is blended are the vectors that each voice's own tiers have made, so it costs
    no more steps. Voices that share must be of one family, and agree on dim and frame sizes.
    """
    morph: Floats
    """[V, V], non-negative: of whose weights voice i is made, a network of interpolated tensors; identity = its own.

    Normalised; followed in steps, at most ten times a second, which take some blocks to be made. Voices that share
    must be of one family, and of one shape. A row of zeros: the voice rests. It is not computed, and nobody hears it,
    whatever the rest of the mix says; it keeps its memory, and others may be made of its weights.
    """
    history: Ints
    """[V]: whose samples voice i hears next; arange = its own. L_ij may be non-zero only where j hears what i hears."""
    temperature: Floats
    """[V]: 1 is the checkpoint's own safe temperature."""
    stretch: Floats
    """[V], 1 and above: voice i's slow tiers evolve so many times slower. Each voice's own, whoever draws."""
    freeze: Floats
    """[V], 0 to 1: how much voice i's slow tiers hold on to where they were when freeze last left 0."""
    chaos: Floats
    """[V], 0 to 1: noise on the states of all of voice i's frame tiers, which live in -1..1."""
    gains: Floats
    """[V, C]: voice i's level in each output channel."""

    @classmethod
    def solo(cls, voices: int, channels: int) -> Mix:
        """Every voice on its own at temperature 1, its texture the plain model's, all of them silent."""
        import numpy as np

        return cls(
            logits=np.eye(voices, dtype=np.float32),
            mixture=np.zeros(voices, np.float32),
            conditioning=np.tile(np.eye(voices, dtype=np.float32), (MOST_TIERS, 1, 1)),
            morph=np.eye(voices, dtype=np.float32),
            history=np.arange(voices, dtype=np.int32),
            temperature=np.ones(voices, np.float32),
            stretch=np.ones(voices, np.float32),
            freeze=np.zeros(voices, np.float32),
            chaos=np.zeros(voices, np.float32),
            gains=np.zeros((voices, channels), np.float32),
        )

    def assign(self, other: Mix) -> None:
        """Copy the other mix's values into this one's arrays."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[:] = getattr(other, name)
