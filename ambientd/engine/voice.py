"""A voice: a checkpoint's weights, shared, and a running state of its own.

Voices are made and primed on a loading thread and then belong to the render thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats, Tokens
from ambientd.engine.kernels import plan
from ambientd.engine.kernels.emit import aligned
from ambientd.engine.kernels.loudness import power
from ambientd.engine.kernels.matrices import Format, activation_floats, padded
from ambientd.engine.kernels.packing import PackedForecast, PackedNetwork
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.kernels.streams import noise_key, splitmix64, stream_key
from ambientd.engine.network import Network
from ambientd.errors import CheckpointError
from ambientd.samplernn.checkpoint import Checkpoint, load
from ambientd.samplernn.forecast import LEAST_FAST
from ambientd.samplernn.quantize import decode_table, network_scale, silence
from ambientd.types import BLOCK, VoiceInfo

DC_CORNER = 5.0
"""Hz. Below hearing, above what a quantiser's rounding adds up to."""
MAX_PRIME = 65_536
"""Samples. A second sets the states, a forecast's long filter needs four; more would only put off the first sound."""
Source = tuple[str, int, int]
"""A checkpoint's file, when that was changed last in ns, and its size."""


Recipe = tuple[tuple["Voice", float], ...]
"""Of whose weights something is made, and how much of each: the shares sum to 1."""

_WEIGHTS = [plan.TABLE, plan.TABLE_SCALE, plan.HIDDEN_MATRIX, plan.OUTPUT_MATRIX]
_TIER_WEIGHTS = [plan.INPUT_MATRIX, plan.UPSAMPLE_MATRIX, plan.FOLDED_BIAS]
_LAYER_WEIGHTS = [plan.MATRIX_IH, plan.MATRIX_HH]
_FORECAST_WEIGHTS = [plan.FORECAST_TABLE, plan.FORECAST_SCALE, plan.WIDTHS, plan.SLOPE]
"""What of the rows is, or depends on, a checkpoint's weights; the rest is a voice's own, or the same for siblings."""


class Voice:
    """One checkpoint playing. `row`, `tiers`, `layers`: its part of the kernel's plan."""

    def __init__(self, info: VoiceInfo, packed: PackedNetwork, seed: int) -> None:
        self.info = info
        self.packed = packed
        self.seed = seed
        self.source: Source = "", 0, 0
        self.reread: Callable[[], Checkpoint] | None = None
        """Reads its checkpoint again."""
        self.weights, self.recipe = packed, Recipe()
        """What it plays with, and of whose weights those are interpolated; empty: its own, `packed`."""
        self.primes: Tokens = np.zeros((0, 0), np.uint8)
        """[places, n]: what the checkpoint has to prime with."""
        self.guide: Floats | None = None
        """[frames, order + 1]: see `samplernn.guide`."""
        self.place = 0.0
        """In the guide, in frames."""
        self.guided = False
        """Whether its forecast is by a filter that `follow` gave it."""
        self.followed = 0
        """How many filters it was given."""
        self.album_scores: Mapping[str, float] = {}
        """Of its checkpoint's card."""
        self._longest = 0
        self._kept: list[Floats] = []
        self.stream = np.full(plan.WINDOW + BLOCK, silence(info.q_levels), np.uint8)
        self.row: NDArray[np.int64] = packed.voice.copy()
        self.tiers: NDArray[np.int64] = packed.tiers.copy()
        self.layers: NDArray[np.int64] = packed.layers.copy()
        key = stream_key(seed)
        self.row[plan.KEY] = np.uint64(key).astype(np.int64)
        self.row[plan.NOISE_KEY] = np.uint64(noise_key(key)).astype(np.int64)
        self.row[plan.STREAM] = self.stream.ctypes.data
        self._place_buffers()
        self._place_signal()
        self._place_states()
        if packed.forecast:
            self._forecaster = self._place_forecaster(packed.forecast)

    def weigh(self, weights: PackedNetwork, recipe: Recipe) -> None:
        """Play with these from now on, which are of its own shape. Between two frames of the highest tier, or a frame
        would be made of both; its bank has to be told."""
        self.weights, self.recipe = weights, recipe
        self.row[_WEIGHTS] = weights.voice[_WEIGHTS]
        self.tiers[:, _TIER_WEIGHTS] = weights.tiers[:, _TIER_WEIGHTS]
        self.layers[:, :, _LAYER_WEIGHTS] = weights.layers[:, :, _LAYER_WEIGHTS]
        if weights.forecast:
            self._forecaster[_FORECAST_WEIGHTS] = weights.forecast.row[_FORECAST_WEIGHTS]

    def _buffer(self, size: int) -> Floats:
        self._kept.append(aligned(size))
        return self._kept[-1]

    def buffer_at(self, address: int) -> Floats:
        """The one that begins there."""
        return next(buffer for buffer in self._kept if buffer.ctypes.data == address)

    @property
    def forecaster(self) -> NDArray[np.int64]:
        """Its row and its stages' (see `plan`); for a voice with a forecast only."""
        return self._forecaster

    @property
    def hidden(self) -> Floats:
        """[dim]: what its hidden units gave for the newest sample."""
        return self._hidden[: self.packed.dim]

    def _place_buffers(self) -> None:
        dim = self.packed.dim
        sizes = {
            plan.FRAME: padded(self.packed.context),
            plan.X: activation_floats(dim),
            plan.HIDDEN: activation_floats(dim),
            plan.LOGITS: self.packed.levels,
            plan.GATES_INPUT: 2 * 3 * dim,
            plan.GATES_STATE: 3 * dim,
        }
        for field, size in sizes.items():
            self.row[field] = self._buffer(size).ctypes.data
            if field == plan.HIDDEN:
                self._hidden = self._kept[-1]
        for tier in self.tiers:
            tier[plan.CONDITIONING] = self._buffer(2 * int(tier[plan.RATIO]) * dim).ctypes.data
            tier[plan.HEARD] = self._buffer(activation_floats(dim)).ctypes.data
        for layer in self.layers.reshape(-1, plan.LAYER_FIELDS):
            layer[plan.GATES_AHEAD] = self._buffer(3 * dim).ctypes.data

    def _place_signal(self) -> None:
        info = self.info
        decode = self._buffer(info.q_levels)
        self._levels = decode_table(info.q_levels, info.quantization)
        # The filters are linear, so the album gain may be undone in the table, for nothing.
        decode[:] = self._levels / np.float32(info.album_gain)
        self._decode = decode
        self.row[plan.DECODE] = decode.ctypes.data
        signal = self._buffer(plan.SIGNALS)
        signal[plan.INVERSE_TAU] = 1 / info.temperature
        signal[plan.SCALE_OFFSET], signal[plan.SCALE_FACTOR] = network_scale(info.q_levels)
        signal[plan.PRE_EMPHASIS] = info.pre_emphasis
        signal[plan.DC_POLE] = math.exp(-2 * math.pi * DC_CORNER / info.sample_rate)
        self.row[plan.SIGNAL] = signal.ctypes.data

    def _place_states(self) -> None:
        for place, rows, states in zip(self.tiers, self.layers, self.packed.h0, strict=True):
            for row, h0 in zip(rows, states, strict=True):
                row[plan.STATE] = self._initial_state(h0)
            place[plan.HELD] = self._initial_state(states[-1])

    def _place_forecaster(self, packed: PackedForecast) -> NDArray[np.int64]:
        """Its rows, which have all that it knows; weights and inputs are buffers."""
        rows = np.concatenate((packed.row, packed.stages.ravel()))
        for k, stage in enumerate(rows[plan.FORECASTER_FIELDS :].reshape(-1, plan.STAGE_FIELDS)):
            taps, inputs = self._buffer(int(stage[plan.ORDER])), self._buffer(int(stage[plan.ORDER]) + plan.SLACK)
            stage[plan.TAPS], stage[plan.INPUTS] = taps.ctypes.data, inputs.ctypes.data
            if k == 0:
                self._taps, self._inputs, self._longest = taps, inputs, int(stage[plan.ORDER])
        self.row[plan.FORECASTER] = rows.ctypes.data
        return rows

    @property
    def follows(self) -> int:
        """The longest filter that it can be given, in taps; 0 if it has no forecast."""
        return self._longest

    @property
    def heard(self) -> Floats:
        """[WINDOW]: the samples before the next block, as forecasts know them: with the album's gain, unfiltered."""
        return self._levels[self.stream[: plan.WINDOW]]

    @property
    def power(self) -> float:
        """Mean square of its last WINDOW samples as they are before its gain."""
        return float(power(self.stream[: plan.WINDOW], self._decode, np.float32(self.info.pre_emphasis)))

    @property
    def filter_heard(self) -> Floats:
        """[order]: what its first filter has heard, newest last; a view. For a voice with a forecast only."""
        stage = self._forecaster[plan.FORECASTER_FIELDS :]
        oldest = int(stage[plan.OLDEST])
        return self._inputs[oldest : oldest + int(stage[plan.ORDER])]

    @property
    def filter_taps(self) -> Floats:
        """[order]: the first filter, the oldest sample's tap first; a view. For a voice with a forecast only."""
        return self._taps[: int(self._forecaster[plan.FORECASTER_FIELDS + plan.ORDER])]

    def follow(self, taps: Floats, error: float) -> None:
        """Expect what this filter does, and errors of that size. taps [order <= follows]; see `guide.levinson`."""
        row, stage = self._forecaster, self._forecaster[plan.FORECASTER_FIELDS :]
        self.followed += 1
        if stage[plan.ORDER] != taps.size or not self.guided:
            self._shorten(stage, taps.size)
            row[plan.STAGES], row[plan.GUIDED], self.guided = 1, 1, True
        self._taps[: taps.size] = taps
        numbers = row.view(np.float64)
        numbers[plan.SLOW_ERROR], numbers[plan.LEAST_FAST] = np.float32(error), np.float32(error * LEAST_FAST)

    def _shorten(self, stage: NDArray[np.int64], order: int) -> None:
        """Make the first stage one of `order` taps that learn nothing; it has heard what it has."""
        heard = np.zeros(order, np.float32)
        known = self.filter_heard[-order:]
        heard[order - known.size :] = known
        self._inputs[:order] = heard
        stage[plan.ORDER], stage[plan.OLDEST] = order, 0
        stage.view(np.float64)[plan.RATE] = 0.0

    def _initial_state(self, h0: Floats) -> int:
        """Address of an activation of its own."""
        state = self._buffer(activation_floats(self.packed.dim))
        state[: h0.size] = h0
        return state.ctypes.data


def open_voice(
    checkpoint: Checkpoint, seed: int, packed: PackedNetwork | None = None, heard: Tokens | None = None
) -> Voice:
    """A voice that has heard a piece of its album, or `heard` [n], and goes on from there.

    packed: another voice's, to be shared. heard: whole frames.
    """
    voice = Voice(checkpoint.info, packed or pack(checkpoint), seed)
    voice.reread, voice.album_scores = lambda: checkpoint, checkpoint.card.album_scores
    return _primed(voice, checkpoint.prime, checkpoint.guide, heard)


def reopen(voice: Voice, seed: int) -> Voice:
    """Another voice of the same checkpoint and weights, primed anew. Loading thread, while `voice` may be playing."""
    again = Voice(voice.info, voice.packed, seed)
    again.source, again.reread, again.album_scores = voice.source, voice.reread, voice.album_scores
    return _primed(again, voice.primes, voice.guide)


def next_seed(seed: int) -> int:
    """For a voice that starts over: other than before, and the same again when the performance is repeated.

    31 bits, so that a surface that knows nothing but OSC's `i` can ask for it again.
    """
    return stream_key(seed) >> 33


def _primed(voice: Voice, primes: Tokens, guide: Floats | None, heard: Tokens | None = None) -> Voice:
    voice.primes = primes
    if voice.follows and guide is not None:
        voice.guide = guide
        voice.place = float(splitmix64(stream_key(voice.seed) + 1) % len(guide))
    prime(voice, choose_prime(primes, voice.seed, voice.packed.context) if heard is None else heard)
    return voice


def pack(checkpoint: Checkpoint, format: Format | None = None) -> PackedNetwork:
    """The checkpoint's weights in the kernel's layout; by default in what "auto" chooses."""
    return PackedNetwork(network_of(checkpoint), format or choose())


def network_of(checkpoint: Checkpoint) -> Network:
    return Network.from_tensors(checkpoint.card.architecture, checkpoint.tensors)


class VoiceLoader:
    """Opens checkpoint files; voices of one file share its weights while any of them lives. One thread at a time."""

    def __init__(self, precision: str = "auto", levelled: bool = True) -> None:
        """levelled: whether its voices have trims."""
        self._format, self._levelled = choose(precision), levelled
        self._shared: WeakValueDictionary[Source, PackedNetwork] = WeakValueDictionary()

    def load(self, path: Path, seed: int) -> Voice:
        """A primed voice. Raises CheckpointError."""
        checkpoint, packed, source = self.read(path)
        voice = open_voice(checkpoint, seed, packed)
        voice.source, voice.reread = source, partial(load, path)
        return voice

    def unprimed(self, path: Path, seed: int) -> Voice:
        """One that has heard nothing, to be given another's memory. Raises CheckpointError."""
        checkpoint, packed, _ = self.read(path)
        voice = Voice(checkpoint.info, packed, seed)
        voice.reread = partial(load, path)
        voice.guide = checkpoint.guide if voice.follows else None
        return voice

    def read(
        self, path: Path, check: Callable[[Checkpoint, PackedNetwork], None] = lambda *_: None
    ) -> tuple[Checkpoint, PackedNetwork, Source]:
        """A checkpoint, its weights as the kernel wants them, and where they are from. Raises CheckpointError.

        check: called with those that no voice has yet.
        """
        source = _source(path)
        checkpoint = replace(load(path), levelled=self._levelled)
        if source is None or _source(path) != source:
            raise CheckpointError(f"{path} was replaced while it was read", "Load it again")
        packed = self._shared.get(source)
        if packed is None:
            packed = pack(checkpoint, self._format)
            check(checkpoint, packed)
            self._shared[source] = packed
        return checkpoint, packed, source


def _source(path: Path) -> Source | None:
    """Which file this is now; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path.resolve()), found.st_mtime_ns, found.st_size


def choose_prime(primes: Tokens, seed: int, context: int) -> Tokens:
    """One of the checkpoint's prime places [n], cut to whole frames so that all voices' frames stay in phase."""
    if not primes.size:
        return primes.reshape(-1)
    place: Tokens = primes[splitmix64(stream_key(seed)) % len(primes)]
    length = min(len(place), MAX_PRIME) // context * context
    return place[len(place) - length :]


def prime(voice: Voice, tokens: Tokens) -> None:
    """Let the voice hear `tokens` [n] as if they were its own. It runs the kernel, without the GIL."""
    from ambientd.engine.bank import Bank

    bank = Bank(1, 1)
    bank.attach(0, voice)
    tokens = np.ascontiguousarray(tokens)
    for start in range(0, len(tokens), BLOCK):
        bank.force(0, tokens[start : start + BLOCK])
    bank.detach(0)
    voice.row[plan.COUNTER] = 0
