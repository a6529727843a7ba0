"""The truth for every kernel: readable NumPy, one sample at a time. Tests and `ambientd check`; any thread.

float32 like the fast kernel, but in the plain order of the formulas; only the last sums over
probabilities are taken in float64, so that the inverse CDF has no rounding of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ambientd.arrays import Floats, Tokens
from ambientd.engine.kernels.streams import noise_key, stream_key, uniform
from ambientd.engine.mix import MixRamp
from ambientd.engine.network import Cell, Forecast, Network
from ambientd.samplernn.forecast import Forecaster
from ambientd.samplernn.quantize import decode_table, network_scale, silence
from ambientd.types import BLOCK


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


class Texture(NamedTuple):
    """What bends one voice's frame tiers away from the plain model.

    rate: the share of a plain step that the slow tiers' states take, 1 / stretch. For a GRU that is its update
    gate 1 - z times the rate, and the gate is the inverse of a unit's time constant: the same network, living
    slower (Tallec and Ollivier, "Can recurrent neural networks warp time?", 2018). It may be any fraction,
    every frame is heard, and the conditioning is made anew for each: nothing repeats, nothing waits to jump.
    freeze: how much the tier below hears the slow tiers' held states instead of the present ones. The states
    themselves go on listening, so that letting go leads back into the music as it is by then.
    held: whether the held states stay; otherwise they follow the present ones, and freeze does nothing yet.
    chaos: the states of all frame tiers get uniform noise of up to this size, and stay in -1..1, where they live.

    The slow tiers are all but the lowest; where there is but one frame tier, that one.
    """

    rate: float = 1.0
    freeze: float = 0.0
    held: bool = False
    chaos: float = 0.0


PLAIN = Texture()


def gru(cell: Cell, x: Floats, h: Floats, rate: float = 1.0) -> Floats:
    """One step of one layer: x [D], h [D] -> h [D] gone `rate` of the way to the next one."""
    ir, iz, inn = np.split(cell.weight_ih @ x + cell.bias_ih, 3)
    hr, hz, hn = np.split(cell.weight_hh @ h + cell.bias_hh, 3)
    r, z = sigmoid(ir + hr), sigmoid(iz + hz)
    n = np.tanh(inn + r * hn)
    return np.asarray(h + np.float32(rate) * (1 - z) * (n - h), np.float32)


def with_forecast(logits: Floats, forecast: Forecast, forecaster: Forecaster) -> Floats:
    """Logits [q] with the forecast's prior upon them."""
    _, fast, slow = forecaster.tokens()
    levels = decode_table(forecast.architecture.q_levels, forecast.architecture.quantization)
    away = (levels - forecaster.centre) * np.exp(-(forecast.width[0, fast] + forecast.width[1, slow]))
    prior = np.asarray(-np.float32(forecast.slope) * np.sqrt(1 + away * away), np.float32)
    return np.asarray(logits + prior, np.float32)


class ReferenceVoice:
    """A network and its running state."""

    def __init__(self, network: Network, seed: int = 0, tau: float = 1.0) -> None:
        self.network, self.key, self.tau = network, stream_key(seed), tau
        self.states = [[cell.h0 for cell in tier.cells] for tier in network.tiers]
        self.held = [tier.cells[-1].h0 for tier in network.tiers]
        self.conditioning: list[Floats] = [np.empty(0, np.float32)] * len(network.tiers)  # [ratio, D] per tier
        self.forecaster = Forecaster(network.forecast.architecture) if network.forecast else None
        self.position = 0
        self.tokens = [silence(network.q_levels)] * network.context

    def logits(self, heard: Sequence[int], texture: Texture = PLAIN) -> Floats:
        """Logits [q] of the sample that follows `heard` (the whole past, newest last); advances the state."""
        for k in reversed(range(len(self.network.tiers))):
            if self.begins(k):
                self.frame(k, heard, texture, self.vector(k + 1))
        return self.sample(heard, self.vector(0))

    def begins(self, k: int) -> bool:
        """Whether it has a tier k, and a frame of it begins with the next sample."""
        return k < len(self.network.tiers) and self.position % self.network.tiers[k].frame_size == 0

    def vector(self, k: int) -> Floats:
        """[D]: what tier k hands down at this sample; above the highest tier there is nothing."""
        if k == len(self.network.tiers):
            return np.zeros(self.network.dim, np.float32)
        tier = self.network.tiers[k]
        vector: Floats = self.conditioning[k][self.position // (tier.frame_size // tier.ratio) % tier.ratio]
        return vector

    def sample(self, heard: Sequence[int], conditioning: Floats) -> Floats:
        """The sample level: logits [q]. conditioning [D]: whatever is handed down from tier 0."""
        net, t = self.network, self.position
        k0 = net.table.shape[0]
        x = conditioning + net.table[np.arange(k0), np.asarray(heard[-k0:])].sum(axis=0)
        if self.forecaster and net.forecast:
            if t:
                self.forecaster.hear(heard[-1])
            x = x + net.forecast.table[np.arange(3), np.asarray(self.forecaster.tokens())].sum(axis=0)
        hidden = np.maximum(net.hidden_weight @ np.maximum(x, 0) + net.hidden_bias, 0)
        self.position += 1
        result: Floats = net.output_weight @ hidden + net.output_bias
        if self.forecaster and net.forecast:
            result = with_forecast(result, net.forecast, self.forecaster)
        return result

    def frame(self, k: int, heard: Sequence[int], texture: Texture, conditioning: Floats) -> None:
        """One frame of tier k. conditioning [D]: whatever is handed down from the tier above."""
        net = self.network
        tier = net.tiers[k]
        offset, factor = network_scale(net.q_levels)
        frame = (np.asarray(heard[-tier.frame_size :], np.float32) - np.float32(offset)) * np.float32(factor)
        x = tier.input_weight @ frame + tier.input_bias + conditioning
        slow = k > 0 or len(net.tiers) == 1
        for layer, cell in enumerate(tier.cells):
            x = gru(cell, x, self.states[k][layer], texture.rate if slow else 1)
            if texture.chaos:
                x = np.clip(x + np.float32(texture.chaos) * self._noise(k, layer), -1, 1)
            self.states[k][layer] = x
        if slow and texture.held:
            x = self.held[k] + np.float32(1 - texture.freeze) * (x - self.held[k])
        else:
            self.held[k] = x
        self.conditioning[k] = (tier.upsample_weight @ x + tier.upsample_bias).reshape(tier.ratio, -1)

    def _noise(self, k: int, layer: int) -> Floats:
        """[D] in -1..1, numbered by sample, tier, layer and unit: what was or was not drawn before is no matter."""
        key, first = noise_key(self.key), (self.position << 18) + (k << 15) + (layer << 12)
        return np.array([2 * uniform(key, first + i) - 1 for i in range(self.network.dim)], np.float32)


def teacher_forced(network: Network, tokens: Tokens, texture: Texture = PLAIN, seed: int = 0) -> Floats:
    """Logits [n, q] of each of `tokens` [n] given those before it; before the first there is silence."""
    voice = ReferenceVoice(network, seed)
    rows = []
    for token in tokens:
        rows.append(voice.logits(voice.tokens, texture))
        voice.tokens.append(int(token))
    return np.array(rows)


def log_softmax(x: Floats) -> NDArray[np.float64]:
    shifted = x.astype(np.float64) - float(x.max())
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def draw(z: NDArray[np.float64], u: float) -> int:
    """The token at quantile u of softmax(z)."""
    cumulative = np.cumsum(np.exp(z - z.max()))
    return int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))


def step(
    voices: Mapping[int, ReferenceVoice],
    heard: Mapping[int, Sequence[int]],
    textures: Mapping[int, Texture],
    conditioning: Floats,
) -> dict[int, Floats]:
    """Logits of the next sample of all voices, by slot. conditioning [T, V, V]: a mix's, of these voices alone.

    A tier's frames wait for those of everybody's tier above it: they may hear any of them.
    """

    def handed_down(i: int, k: int) -> Floats:
        if k == len(voices[i].network.tiers):
            return voices[i].vector(k)
        shares = conditioning[k, i] / conditioning[k, i].sum()
        return np.asarray(sum(shares[j] * voices[j].vector(k) for j in voices if shares[j]))

    for k in reversed(range(len(conditioning))):
        for i, voice in voices.items():
            if voice.begins(k):
                voice.frame(k, heard[i], textures[i], handed_down(i, k + 1))
    below = {i: handed_down(i, 0) for i in voices}
    return {i: voice.sample(heard[i], below[i]) for i, voice in voices.items()}


def blend(shares: Floats, mixture: float, votes: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """z [q] of a voice that draws, as `Mix` says. shares [V] sum to 1; votes: log-probabilities of who has a share."""
    product = np.sum([shares[j] * vote for j, vote in votes.items()], axis=0)
    average = np.logaddexp.reduce([np.log(shares[j]) + vote for j, vote in votes.items()])
    return np.asarray((1 - mixture) * product + mixture * average)


def draws(ramp: MixRamp, present: Sequence[bool]) -> list[bool]:
    """Which voices draw tokens of their own: those that somebody hears, through a gain or as a history."""
    history = ramp.end.history
    listened = [any(p and history[j] == i for j, p in enumerate(present)) for i in range(len(present))]
    heard = [bool(ramp.start.gains[i].any() or ramp.end.gains[i].any()) for i in range(len(present))]
    return [p and (a or b) for p, a, b in zip(present, listened, heard, strict=True)]


def texture_of(ramp: MixRamp, i: int, a: float) -> Texture:
    """Voice i's, `a` of the way through the block. A block that begins at freeze 0 ends before anything is held."""
    stretch, freeze, chaos = (
        float((1 - a) * getattr(ramp.start, name)[i] + a * getattr(ramp.end, name)[i])
        for name in ("stretch", "freeze", "chaos")
    )
    return Texture(1 / stretch, freeze, bool(ramp.start.freeze[i]), chaos)


def render_block(voices: Sequence[ReferenceVoice | None], ramp: MixRamp) -> None:
    """Append one block of tokens to every voice's `tokens`, mixing them as `ramp` says."""
    drawn = draws(ramp, [voice is not None for voice in voices])
    loaded = {i: voice for i, voice in enumerate(voices) if voice}
    history = ramp.end.history
    for s in range(BLOCK):
        a = (s + 1) / BLOCK
        weights, mixture, conditioning, temperature = (
            (1 - a) * getattr(ramp.start, name) + a * getattr(ramp.end, name)
            for name in ("logits", "mixture", "conditioning", "temperature")
        )
        heard = {i: loaded[int(history[i])].tokens for i in loaded}
        logits = step(loaded, heard, {i: texture_of(ramp, i, a) for i in loaded}, conditioning)
        tokens = {}
        for i, voice in loaded.items():
            if drawn[i]:
                votes = {j: log_softmax(logits[j] / loaded[j].tau) for j in np.flatnonzero(weights[i]).tolist()}
                z = blend(weights[i] / weights[i].sum(), mixture[i], votes)
                tokens[i] = draw(z / temperature[i], uniform(voice.key, voice.position - 1))
        for i, voice in loaded.items():
            voice.tokens.append(tokens[i] if drawn[i] else tokens[int(history[i])])
