"""One training: truncated back-propagation through time with the state carried along the tracks.

Recipe: Adam with beta2 0.99, a smaller rate for the frame tiers, gradient clip 1, a short
warm-up and a cosine to 3 %, an exponential moving average of the weights, which is what is kept and judged.
A step whose loss or gradient is not finite changes no weight: it is skipped, and the learning rate is halved for a
while.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ambientd.samplernn.checkpoint import Architecture
from ambientd.samplernn.forecast import Forecasts
from ambientd.samplernn.model import SampleRNN, State
from ambientd_plugins.training.dataset import RESET_SECONDS, Split, Streams, Tokens, forecast_tracks
from ambientd_plugins.training.distributed import ALONE, Team
from ambientd_plugins.training.fast.model import FastSampleRNN

if TYPE_CHECKING:
    from ambientd.plugin import Floats

FRAME_TIER_RATE = 0.3
"""Of the learning rate, for the frame tiers. At the full rate their GRUs saturate within minutes (97 % of the units
beyond 0.95 after 46), no gradient leads back, and the model plays on without any memory."""
WARM_UP_STEPS = 100
FINAL_LEARNING_RATE = 0.03
EMA_DECAY = 0.999
CLIP = 1.0
CAUTION, RECOVERY = 0.5, 1.005
"""A skipped step multiplies the learning rate by the first; each good one undoes it a little, in 139 steps all."""
BITS = 1 / math.log(2)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Recipe:
    """How long and how fast.

    One of `steps`, `minutes` and `cpu_minutes` (of all threads) ends the training and shapes its schedule.
    batch: of all processes together. ema: the decay of the averaged weights; at 0 they are the last step's.
    resets: after how many seconds a stream jumps elsewhere and begins a new state, drawn in this range.
    dropout: the share of the sample tier that is left out of each step.
    """

    batch: int
    sequence: int
    learning_rate: float
    steps: int | None
    minutes: float | None
    seed: int
    cpu_minutes: float | None = None
    ema: float = EMA_DECAY
    resets: tuple[float, float] = RESET_SECONDS
    dropout: float = 0.0


class _WayToLoss(nn.Module):
    """One forward, because that is what DistributedDataParallel watches: state put in place, then the loss."""

    def __init__(self, model: SampleRNN) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: Tensor, fresh: Tensor, hidden: State, forecasts: Forecasts | None
    ) -> tuple[Tensor, State]:
        """tokens uint8 [B, context + T]; fresh bool [B, 1]: these rows start from the learned first state."""
        first = self.model.initial_state(len(tokens))
        state = [
            [torch.where(fresh, new, old) for new, old in zip(*tier, strict=True)]
            for tier in zip(first, hidden, strict=True)
        ]
        return self.model.loss(tokens, state, forecasts)


class Trainer:
    """Owns the model, its averaged weights, the optimiser and the place in the data.

    `state()`/`restore()` hold everything: with a schedule in steps, a resumed training computes what an
    uninterrupted one would have.
    fast_type: the model that is trained on a processor: its own operations are made for one. kept_type: the one that
    is trained elsewhere, where PyTorch's are the fast ones, and that the averaged weights are put into.
    """

    fast_type: ClassVar[type[SampleRNN]] = FastSampleRNN
    kept_type: ClassVar[type[SampleRNN]] = SampleRNN

    def __init__(
        self,
        architecture: Architecture,
        sample_rate: int,
        data: Split,
        recipe: Recipe,
        team: Team = ALONE,
        device: torch.device = CPU,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.architecture, self.sample_rate, self.data, self.recipe = architecture, sample_rate, data, recipe
        self.team, self.device = team, device
        self.model = (self.fast_type if device.type == "cpu" else self.kept_type)(architecture).to(device)
        self.model.sample.dropout = recipe.dropout
        self.way_to_loss = team.wrap(_WayToLoss(self.model))
        self.weights = list(self.model.parameters())
        self.average = [w.detach().clone() for w in self.weights]
        self.optimiser = self._make_optimiser()
        rows = team.rows(recipe.batch)
        tracks, albums = data.heard
        self.streams = Streams(
            tracks,
            recipe.batch,
            recipe.sequence,
            architecture,
            sample_rate,
            recipe.seed,
            rows,
            albums,
            recipe.resets,
        )
        self.hidden: State = detach(self.model.initial_state(len(rows)))
        self.half = bfloat16_is_fast(device)
        self.step = 0
        self.samples = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        # What the last update took, in seconds and processor seconds; it counts with the step after it.
        self._updating = (0.0, 0.0)
        self.caution = self.ceiling = 1.0
        self.rate = recipe.learning_rate
        self.failed_in_a_row = 0

    def _make_optimiser(self) -> torch.optim.Optimizer:
        slow = list(self.model.tiers.parameters())
        fast = [*self.model.sample.parameters(), *(self.model.forecast.parameters() if self.model.forecast else ())]
        groups = [{"params": fast, "share": 1.0}, {"params": slow, "share": FRAME_TIER_RATE}]
        return torch.optim.Adam(groups, self.recipe.learning_rate, betas=(0.9, 0.99), fused=True)

    @property
    def progress(self) -> float:
        """0..1 of the whole training."""
        if self.recipe.steps:
            return min(1.0, self.step / self.recipe.steps)
        if self.recipe.cpu_minutes:
            return min(1.0, self.cpu_seconds / (60 * self.recipe.cpu_minutes))
        assert self.recipe.minutes
        return min(1.0, self.seconds / (60 * self.recipe.minutes))

    def start_from(self, tensors: Mapping[str, Floats]) -> None:
        """Begin with a checkpoint's weights in place of random ones."""
        self.model.restore(tensors)
        self.average = [w.detach().clone() for w in self.weights]
        self.hidden = detach(self.model.initial_state(len(self.streams.rows)))

    def train_step(self) -> float:
        """One update; returns its loss in bits per sample (NaN: the update was skipped)."""
        torch.manual_seed(dropout_seed(self.recipe.seed, self.team.rank, self.step))
        started, cpu = time.perf_counter(), time.process_time()
        read, jumps, known = self.streams.next()
        tokens, jumped = (torch.from_numpy(a).to(self.device) for a in (read, jumps))
        forecasts = as_tensors(known, self.device)
        self._schedule()
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss, after = self.way_to_loss(tokens, jumped[:, None], self.hidden, forecasts)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, CLIP, foreach=True)
        seconds = time.perf_counter() - started + self._updating[0] if self.team.leads else 0.0
        cpu = time.process_time() - cpu + self._updating[1]
        # The clock of one process counts, so that all end, and lower the rate, at the same step.
        bits, seconds, cpu = self.team.total([loss.item() * BITS / self.team.size, seconds, cpu])
        started, busy = time.perf_counter(), time.process_time()
        self.step += 1
        self.samples += self.recipe.batch * self.recipe.sequence
        fine = math.isfinite(bits) and math.isfinite(norm.item())
        if fine:
            self._update(after)
        else:
            self._skip()
        self._updating = (time.perf_counter() - started, time.process_time() - busy)
        self.seconds += seconds
        self.cpu_seconds += cpu
        return bits if fine else math.nan

    def _update(self, after: State) -> None:
        self.optimiser.step()
        rate = 1 - min(self.recipe.ema, self.step / (self.step + 10))
        torch._foreach_lerp_(self.average, [w.detach() for w in self.weights], rate)
        self.hidden = detach(after)
        self.caution = min(self.ceiling, self.caution * RECOVERY)
        self.failed_in_a_row = 0

    def _skip(self) -> None:
        # The states may be what is not finite: begin them anew.
        self.hidden = detach(self.model.initial_state(len(self.streams.rows)))
        self.caution *= CAUTION
        self.failed_in_a_row += 1

    def lower_rate(self) -> None:
        """Halve the learning rate for good."""
        self.ceiling *= CAUTION
        self.caution = self.ceiling

    def _schedule(self) -> None:
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
        share = warm * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)
        self.rate = self.recipe.learning_rate * self.caution * share
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * group["share"]

    def averaged(self) -> SampleRNN:
        """A copy of the model with the averaged weights."""
        model = self.kept_type(self.architecture).eval().to(self.device)
        with torch.no_grad():
            for target, source in zip(model.parameters(), self.average, strict=True):
                target.copy_(source)
        return model

    def state(self) -> dict[str, Any]:
        """Tensors and plain values only, so that it loads with weights_only. All processes ask for it together."""
        return {
            "weights": [w.detach() for w in self.weights],
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "hidden": [[self.team.gather(h) for h in tier] for tier in self.hidden],
            "streams": self.streams.state(),
            "counts": [self.step, self.samples, self.seconds, self.cpu_seconds, self.caution, self.ceiling],
        }

    def restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            for target, source in zip(self.weights + self.average, state["weights"] + state["average"], strict=True):
                target.copy_(source)
        self.optimiser.load_state_dict(state["optimiser"])
        rows = slice(self.streams.rows.start, self.streams.rows.stop)
        self.hidden = [[h[rows].to(self.device) for h in tier] for tier in state["hidden"]]
        self.streams.restore(state["streams"])
        self.step, self.samples, self.seconds, self.cpu_seconds, self.caution, self.ceiling = state["counts"]
        self.failed_in_a_row = 0


def dropout_seed(seed: int, rank: int, step: int) -> int:
    """Where a process begins to draw what it leaves out of a step.

    By rank, because rows with the same numbers left out would be heard by fewer networks. By step, so that a training
    that goes on leaves out what it would have, on any device, in as many processes.
    """
    return int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0])


def detach(state: State) -> State:
    """The state without its history: where back-propagation is truncated."""
    return [[h.detach().float() for h in tier] for tier in state]


def bfloat16_is_fast(device: torch.device = CPU) -> bool:
    """Whether bfloat16 matrices are multiplied in hardware; elsewhere emulation is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@torch.no_grad()
def validation_bits(model: SampleRNN, tracks: list[Tokens], sequence: int, most: int, batch: int = 16) -> float:
    """Bits per sample over at most `most` samples of `tracks`, state carried along `batch` parallel stretches."""
    total, count = 0.0, 0
    state = model.initial_state(batch)
    whole, device = np.concatenate(tracks), state[0][0].device
    known = (forecast_tracks([whole], model.architecture) or [None])[0]
    for tokens, forecasts in _stretches(whole, known, model.context, sequence, most, batch):
        loss, state = model.loss(torch.from_numpy(tokens).to(device), state, as_tensors(forecasts, device))
        total, count = total + loss.item(), count + 1
    return total / max(1, count) * BITS


def _stretches(
    whole: Tokens, known: Forecasts | None, context: int, sequence: int, most: int, batch: int
) -> Iterator[tuple[Tokens, Forecasts | None]]:
    per_row = (len(whole) - context) // batch
    for start in range(0, max(1, min(per_row, most // batch) - sequence + 1), sequence):
        places = [
            range(r * per_row + start, min(r * per_row + start + context + sequence, len(whole))) for r in range(batch)
        ]
        # Where the music is shorter than that, its first sample goes on before it.
        padded = np.stack([np.pad(np.array(p), (context + sequence - len(p), 0), mode="edge") for p in places])
        yield whole[padded], known[padded[:, context:]] if known else None


def as_tensors(forecasts: Forecasts | None, device: torch.device) -> Forecasts | None:
    """Arrays as tensors on `device`."""
    if forecasts is None:
        return None
    return Forecasts(*(torch.from_numpy(a).to(device) for a in (forecasts.centre, forecasts.scales)))
