"""A stretch of samples of all voices in torch: what a CUDA graph is captured of, and what tests run on the CPU.

Nothing in it depends on a value on the host, so that a captured graph can be replayed: where in the block it is, is a
number on the device. Voices of one network are one batch; `Group` has what they share. V slots, n voices of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ambientd.engine.kernels import plan
from ambientd.engine.kernels.cuda.bank import Setting
from ambientd.engine.kernels.cuda.elementary import uniform
from ambientd.engine.kernels.cuda.forecasts import Forecasts
from ambientd.engine.kernels.cuda.inputs import Features
from ambientd.engine.kernels.cuda.networks import DeviceNetwork
from ambientd.engine.kernels.operands import MAX_LEVELS
from ambientd.engine.network import Cell
from ambientd.samplernn.quantize import network_scale
from ambientd.types import BLOCK

NEVER = -1e32
"""The logit of a token that a voice does not have. Finite: others' weights of it are 0, and 0 times infinity is NaN."""
LEAST_SHARE = 1e-30


def product(x: Any, weight: Any, bias: Any) -> Tensor:
    """x [n, C] times weight [R, C] and bias [R], in the weights' own precision; float32."""
    if weight.dtype == torch.float32:
        exact: Tensor = F.linear(x, weight, bias)
        return exact
    rounded: Tensor = F.linear(x.to(weight.dtype), weight).to(torch.float32) + bias
    return rounded


class Group:
    """The voices of one network. `slots`: a slice where they are side by side, for a view is free; else int64 [n]."""

    def __init__(self, setting: Setting, members: Sequence[int]) -> None:
        device = setting.tokens.device
        network = setting.networks[members[0]]
        assert network
        self.members = list(members)
        self.indices = torch.tensor(members, device=device)
        adjacent = self.members == list(range(members[0], members[0] + len(members)))
        self.slots: Any = slice(members[0], members[-1] + 1) if adjacent else self.indices
        self.network, self.architecture = network.network, network.architecture
        self.dim, self.levels = self.architecture.dim, self.architecture.q_levels
        table: Any = self.network.table
        self.table: Tensor = table.reshape(-1, self.dim)
        self.rows = torch.arange(len(table), device=device) * self.levels
        self.offset, self.factor = network_scale(self.levels)
        self.forecasts = Forecasts(setting, network, self.slots, self.indices) if self.network.forecast else None


class Moment:
    """A sample: how far into the stretch it is, and where in the block, on the device."""

    def __init__(self, start: Tensor, step: int) -> None:
        self._start, self.step = start, step

    @cached_property
    def at(self) -> Tensor:
        """int64 [1]"""
        return self._start + self.step

    @cached_property
    def share(self) -> Tensor:
        """float32 [1]: how far the ramp has come."""
        return (self.at + 1).to(torch.float32) / BLOCK


class Stretch:
    """`run` makes `length` samples, from the one numbered `self.start` of the block on."""

    name = "graph"

    def __init__(self, setting: Setting, features: Features, length: int) -> None:
        device = setting.tokens.device
        self.setting, self.features, self.length = setting, features, length
        self.start = torch.zeros(1, dtype=torch.int64, device=device)
        by_network: dict[DeviceNetwork, list[int]] = {}
        for slot, network in enumerate(setting.networks):
            if network:
                by_network.setdefault(network, []).append(slot)
        self._groups = [Group(setting, members) for members in by_network.values()]
        self._most_tiers = max((len(group.network.tiers) for group in self._groups), default=0)
        self._logits = torch.full((len(setting.voices), MAX_LEVELS), NEVER, device=device)
        taus = [voice.info.temperature if voice else 1.0 for voice in setting.voices]
        self._inverse_tau = torch.tensor([1 / tau for tau in taus], device=device)
        self._last = torch.tensor([v.info.q_levels - 1 if v else 0 for v in setting.voices], device=device)
        self._units = torch.arange(max((group.dim for group in self._groups), default=1), device=device)

    def run(self) -> None:
        for step in range(self.length):
            moment = Moment(self.start, step)
            for k in reversed(range(self._most_tiers)):
                for group in self._groups:
                    if k < len(group.network.tiers) and step % group.network.tiers[k].frame_size == 0:
                        self._frame(group, k, moment)
            for group in self._groups:
                self._sample(group, moment)
            self._draw(moment)
        self.start += self.length

    def _ramped(self, name: str, moment: Moment) -> Tensor:
        inputs = self.setting.inputs.device
        start = inputs[f"start_{name}"]
        return start + moment.share * (inputs[f"end_{name}"] - start)

    def _heard(self, group: Group, size: int, moment: Moment) -> Tensor:
        """[n, size]: the newest tokens that the group's voices hear, the newest last."""
        columns = moment.at + torch.arange(plan.WINDOW - size, plan.WINDOW, device=moment.at.device)
        history = self.setting.inputs.device["history"][group.slots].long()
        return self.setting.memory.tokens[history[:, None], columns]

    def _handed_down(self, group: Group, k: int, period: int, moment: Moment) -> Tensor:
        """[n, D]: what tier k says now, for `period` samples."""
        vectors = self.setting.memory.vectors
        at = moment.step // period % group.network.tiers[k].ratio
        own = vectors[group.slots, k, at, : group.dim]
        if not self.features.sharing:
            return own
        # Who shares is of one shape and in phase; all others' vectors have the weight 0.
        weights = self._ramped("conditioning", moment)[k][group.slots]
        return (weights / weights.sum(1, keepdim=True)) @ vectors[:, k, at, : group.dim]

    def _frame(self, group: Group, k: int, moment: Moment) -> None:
        memory, tier, dim = self.setting.memory, group.network.tiers[k], group.dim
        frame = (self._heard(group, tier.frame_size, moment).to(torch.float32) - group.offset) * group.factor
        x = F.linear(frame, tensor(tier.input_weight), tensor(tier.input_bias))
        if k + 1 < len(group.network.tiers):
            x = x + self._handed_down(group, k + 1, tier.frame_size, moment)
        slow = k > 0 or len(group.network.tiers) == 1
        for n, cell in enumerate(tier.cells):
            before = memory.states[group.slots, k, n, :dim]
            x = self._cell(cell, x, before)
            if self.features.texture:
                x = self._bent(group, x, before, k, n, slow, moment)
            memory.states[group.slots, k, n, :dim] = x
        if self.features.texture and slow:
            x = self._held(group, x, k, moment)
        else:
            memory.held[group.slots, k, :dim] = x
        vectors = product(x, tier.upsample_weight, tier.upsample_bias).view(-1, tier.ratio, dim)
        memory.vectors[group.slots, k, : tier.ratio, :dim] = vectors

    def _cell(self, cell: Cell, x: Tensor, before: Tensor) -> Tensor:
        """One step of one layer: x [n, D], its state before [n, D] -> [n, D]. As in `reference.gru` at rate 1."""
        ir, iz, inn = product(x, cell.weight_ih, cell.bias_ih).chunk(3, 1)
        hr, hz, hn = product(before, cell.weight_hh, cell.bias_hh).chunk(3, 1)
        r, z = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
        n = torch.tanh(inn + r * hn)
        return n + z * (before - n)

    def _bent(self, group: Group, x: Tensor, before: Tensor, k: int, n: int, slow: bool, moment: Moment) -> Tensor:
        """The state x [n, D] slower, and disturbed; see `reference.Texture`."""
        if slow:
            rate = (1 / self._ramped("stretch", moment)[group.slots])[:, None]
            x = torch.where(rate == 1, x, before + rate * (x - before))
        inputs = self.setting.inputs.device
        frame = (inputs["counters"][group.slots] + moment.at) << plan.NOISE_FRAME
        first = (frame + (k << plan.NOISE_TIER) + (n << plan.NOISE_LAYER))[:, None]
        noise = 2 * uniform(inputs["noise_keys"][group.slots][:, None], first + self._units[: group.dim]) - 1
        chaos = self._ramped("chaos", moment)[group.slots][:, None]
        return torch.where(chaos == 0, x, (x + chaos * noise).clamp(-1, 1))

    def _held(self, group: Group, x: Tensor, k: int, moment: Moment) -> Tensor:
        """What the tier below hears of the state x [n, D]; it is held, or what was held stays."""
        held = self.setting.memory.held[group.slots, k, : group.dim]
        frozen = (self.setting.inputs.device["start_freeze"][group.slots] != 0)[:, None]
        freeze = self._ramped("freeze", moment)[group.slots][:, None]
        heard = torch.where(frozen, held + (1 - freeze) * (x - held), x)
        self.setting.memory.held[group.slots, k, : group.dim] = torch.where(frozen, held, x)
        return heard

    def _sample(self, group: Group, moment: Moment) -> None:
        """Logits of the group's voices, from the newest samples and the lowest tier."""
        network = group.network
        heard = self._heard(group, len(group.rows), moment).long()
        x = F.embedding_bag(heard + group.rows, group.table, mode="sum")
        x = x + self._handed_down(group, 0, 1, moment)
        if group.forecasts:
            x = x + group.forecasts.hear(heard[:, -1], moment.at)
        hidden = torch.relu(product(torch.relu(x), network.hidden_weight, network.hidden_bias))
        logits = product(hidden, network.output_weight, network.output_bias)
        if group.forecasts:
            logits = logits + group.forecasts.prior()
        self._logits[group.slots, : group.levels] = logits
        if self.features.logits:
            self.setting.logits[group.indices[:, None], moment.at, : group.levels] = logits[:, None]

    def _mixed(self, moment: Moment) -> Tensor:
        """[V, 256]: what each voice draws from, up to a constant, as `Mix` says."""
        weights = self._ramped("logits", moment)
        shares = weights / weights.sum(1, keepdim=True)
        temperature = self._ramped("temperature", moment)[:, None]
        scaled = self._logits * self._inverse_tau[:, None]
        z = (shares @ scaled) / temperature
        if not self.features.mixture:
            return z
        votes = torch.log_softmax(scaled, 1)
        logs = torch.where(shares > 0, shares.clamp(min=LEAST_SHARE).log(), NEVER)
        average = torch.logsumexp(logs[:, :, None] + votes, 1) / temperature
        mixture = self._ramped("mixture", moment)[:, None]
        several = ((shares > 0).sum(1) > 1)[:, None]
        normal = torch.log_softmax(scaled, 1)
        z = (shares @ normal) / temperature
        return torch.where(several & (mixture != 0), z + mixture * (average - z), z)

    def _draw(self, moment: Moment) -> None:
        """A token for every voice, into its stream."""
        inputs, memory = self.setting.inputs.device, self.setting.memory
        z = self._mixed(moment)
        sums = torch.softmax(z, 1).to(torch.float64).cumsum(1)
        target = uniform(inputs["keys"], inputs["counters"] + moment.at)[:, None] * sums[:, -1:]
        drawn = torch.minimum((sums <= target).sum(1), self._last)
        drawn = torch.where(inputs["drawing"] != 0, drawn, drawn[inputs["history"].long()])
        forced = inputs["forced"].index_select(1, moment.at)[:, 0].long()
        taken = torch.where(forced >= 0, forced, drawn)
        self.setting.tokens.index_copy_(1, moment.at, drawn.to(torch.uint8)[:, None])
        memory.tokens.index_copy_(1, moment.at + plan.WINDOW, taken.to(torch.uint8)[:, None])


def tensor(value: Any) -> Tensor:
    """A network's weights, which are tensors here."""
    assert isinstance(value, Tensor)
    return value
