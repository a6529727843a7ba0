"""The stretch of `step.py`, what lies between its matrix products fused: seven launches a sample, not sixty."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ambientd.engine.kernels.cuda import fusions
from ambientd.engine.kernels.cuda.step import Group, Moment, Stretch, tensor
from ambientd.engine.network import Cell


class FusedStretch(Stretch):
    """The same numbers, but for the order of sums. What frames hear and texture stay in torch: they are rarer."""

    name = "fused"

    def _cell(self, cell: Cell, x: Tensor, before: Tensor) -> Tensor:
        weight_ih, weight_hh = tensor(cell.weight_ih), tensor(cell.weight_hh)
        after = torch.empty_like(x)
        fusions.gates[_programs(x)](
            F.linear(x.to(weight_ih.dtype), weight_ih),
            F.linear(before.to(weight_hh.dtype), weight_hh),
            cell.bias_ih,
            cell.bias_hh,
            before,
            after,
            stride=before.stride(0),
            dim=x.shape[1],
        )
        return after

    def _sample(self, group: Group, moment: Moment) -> None:
        network = group.network
        hidden_weight, output_weight = tensor(network.hidden_weight), tensor(network.output_weight)
        words, centres = self._forecast(group, moment)
        x = self._heard_by(group, moment, words, hidden_weight.dtype)
        raw = F.linear(x, hidden_weight)
        hidden = torch.empty_like(x, dtype=output_weight.dtype)
        fusions.activate[_programs(raw)](raw, network.hidden_bias, hidden, dim=group.dim)
        fusions.predict[(len(group.members),)](
            self.start,
            moment.step,
            group.indices,
            raw=F.linear(hidden, output_weight),
            bias=network.output_bias,
            words=words,
            centres=centres,
            widths=group.forecasts and group.forecasts.width,
            levels=group.forecasts and group.forecasts.levels,
            slope=group.forecasts and group.forecasts.slope,
            logits=self._logits,
            kept=self.setting.logits if self.features.logits else None,
            count=group.levels,
        )

    def _forecast(self, group: Group, moment: Moment) -> tuple[Tensor | None, Tensor | None]:
        """As words int32 [n, 3] of its table and the middle [n] of its prior; or nothing."""
        forecasts, memory, inputs = group.forecasts, self.setting.memory, self.setting.inputs.device
        if forecasts is None:
            return None, None
        voices, order = len(group.members), memory.taps.shape[1]
        words = torch.empty(voices, 3, dtype=torch.int32, device=memory.taps.device)
        centres = torch.empty(voices, device=memory.taps.device)
        fusions.follow[(voices,)](
            self.start,
            moment.step,
            group.indices,
            history=inputs["history"],
            phases=inputs["phases"],
            tokens=memory.tokens,
            numbers=memory.forecasts,
            inputs=memory.inputs,
            taps=memory.taps,
            levels=forecasts.levels,
            midpoints=forecasts.midpoints,
            words=words,
            centres=centres,
            count=group.levels,
            order=order,
            TAPS=max(_power_above(order), fusions.UNITS),
        )
        return words, centres

    def _heard_by(self, group: Group, moment: Moment, words: Tensor | None, kind: torch.dtype) -> Tensor:
        """[n, D]: the sample tier's first activation."""
        memory, inputs, sharing = self.setting.memory, self.setting.inputs.device, self.features.sharing
        vectors = memory.vectors[:, 0, moment.step % group.network.tiers[0].ratio]
        x = torch.empty(len(group.members), group.dim, dtype=kind, device=vectors.device)
        fusions.hear[_programs(x)](
            self.start,
            moment.step,
            group.indices,
            history=inputs["history"],
            tokens=memory.tokens,
            table=group.table,
            vectors=vectors,
            weights_start=inputs["start_conditioning"] if sharing else None,
            weights_end=inputs["end_conditioning"] if sharing else None,
            words=words,
            word_table=group.forecasts and group.forecasts.table,
            out=x,
            dim=group.dim,
            count=group.levels,
            reach=len(group.rows),
            voices=len(vectors),
            stride=vectors.stride(0),
        )
        return x

    def _draw(self, moment: Moment) -> None:
        setting, inputs, features = self.setting, self.setting.inputs.device, self.features
        fusions.draw[(len(setting.voices),)](
            self.start,
            moment.step,
            logits=self._logits,
            inverse_tau=self._inverse_tau,
            last=self._last,
            blended=inputs["blended"],
            weights_start=inputs["start_logits"],
            weights_end=inputs["end_logits"],
            votes_start=inputs["start_mixture"] if features.mixture else None,
            votes_end=inputs["end_mixture"] if features.mixture else None,
            temperature_start=inputs["start_temperature"],
            temperature_end=inputs["end_temperature"],
            drawing=inputs["drawing"],
            history=inputs["history"],
            keys=inputs["keys"],
            counters=inputs["counters"],
            forced=inputs["forced"],
            drawn=setting.tokens,
            tokens=setting.memory.tokens,
            voices=len(setting.voices),
        )


def _programs(x: Tensor) -> tuple[int, int]:
    """A grid for x [n, D]."""
    voices, units = x.shape
    return voices, -(-units // fusions.UNITS)


def _power_above(size: int) -> int:
    """The least power of two from `size` on: Triton's ranges are such."""
    return 1 << (size - 1).bit_length()
