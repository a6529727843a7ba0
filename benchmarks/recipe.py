"""The recipe by measurement: one thing of the training changed at a time, at equal processor time on the same tokens.

    python benchmarks/recipe.py --album FOLDER --what no-ema --seed 1 --cpu-minutes 5 --out results.jsonl
    python benchmarks/recipe.py --all --album FOLDER FOLDER --out results.jsonl     whatever is not in there yet
    python benchmarks/recipe.py --table results.jsonl race.jsonl                    as Markdown

Data, held-out part, clock and judge are those of textbook.py: the test bits per sample of the last tenth of every
track, the state carried from its first sample; one thread. What a variant is: VARIANTS. Parts of a model that are
only tried stay in this file until they win.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from missing import read, run_missing
from textbook import SAMPLE_RATE, append, judged, learning_rate, tokens_of, train

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.model import Cell, SampleMLP, SampleRNN, State
from ambientd_plugins.training.asking import DROPOUT
from ambientd_plugins.training.dataset import RESET_SECONDS
from ambientd_plugins.training.fast.model import FastCell, FastSampleRNN
from ambientd_plugins.training.process import keep_freed_memory
from ambientd_plugins.training.trainer import EMA_DECAY, Recipe, Trainer

DECAY = 0.1
NOISE = 1.0
"""Standard deviation, in levels."""


class ResidualMLP(SampleMLP):
    """What goes into the hidden layer also goes past it."""

    def forward(self, tokens: Tensor, conditioning: Tensor) -> Tensor:
        x = F.dropout(F.relu(conditioning + self.heard(tokens)), self.dropout, self.training)
        logits: Tensor = self.output(F.dropout(x + F.relu(self.hidden(x)), self.dropout, self.training))
        return logits


class Scan(Function):
    """h[t] = h[t-1] + z[t] (v[t] - h[t-1]) over time. z, v [B, T, D], first [B, D], float32 -> [B, T, D]."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, v: Tensor, first: Tensor) -> Tensor:
        by_step = [t.transpose(0, 1).contiguous() for t in (z, v)]
        states = first.new_empty(z.shape[1] + 1, *first.shape)
        states[0] = first
        for t in range(z.shape[1]):
            torch.lerp(states[t], by_step[1][t], by_step[0][t], out=states[t + 1])
        ctx.save_for_backward(*by_step, states)
        return states[1:].transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        z, v, states = ctx.saved_tensors
        carried = grads[0].float().transpose(0, 1).contiguous()
        keep = 1 - z
        for t in reversed(range(1, len(z))):
            carried[t - 1].addcmul_(carried[t], keep[t])
        to_z = carried * (v - states[:-1])
        return to_z.transpose(0, 1), (carried * z).transpose(0, 1), carried[0] * keep[0]


class LinearCell(Cell):
    """minGRU (Feng et al., "Were RNNs All We Needed?", 2024, section 3.1): neither gate nor candidate sees the state.

    Such layers are linear in time, so each stands in the block that it is published with: normalised before, a gate
    and a product after it, and a way past it all.
    """

    def __init__(self, dim: int) -> None:
        nn.Module.__init__(self)
        self.heard, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.h0 = nn.Parameter(torch.zeros(dim))
        with torch.no_grad():
            # Memories from one to a hundred and fifty frames.
            self.heard.bias[:dim] = torch.linspace(-5, 0, dim)
            self.out.weight *= 0.5

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        z, v, gate = self.heard(F.rms_norm(x, x.shape[-1:])).float().chunk(3, -1)
        states: Tensor = Scan.apply(z.sigmoid(), v, state.float())  # type: ignore[no-untyped-call]
        return x + self.out(states * F.silu(gate)), states[:, -1]


class Residual(SampleRNN):
    """With a residual sample MLP; PyTorch's operations make it slower than the others."""

    cell_type = FastCell
    sample_type = ResidualMLP


class MinGRU(FastSampleRNN):
    """With gated linear recurrences in the frame tiers."""

    cell_type = LinearCell


class Noisy(FastSampleRNN):
    """While it learns, what it hears is off by a level or so; what it is to say is not."""

    def hear(self, tokens: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        if self.training:
            off = (NOISE * torch.randn(tokens.shape)).round()
            tokens = (tokens + off).clamp(0, self.architecture.q_levels - 1).to(torch.uint8)
        return super().hear(tokens, state)


class ResidualTrainer(Trainer):
    """Of `Residual`."""

    fast_type = kept_type = Residual


class MinGRUTrainer(Trainer):
    """Of `MinGRU`."""

    fast_type = kept_type = MinGRU


class NoisyTrainer(Trainer):
    """Of `Noisy`, which is a plain SampleRNN once it has learnt."""

    fast_type = Noisy


class DecayingTrainer(Trainer):
    """Weights shrink by DECAY times the learning rate a step (Loshchilov and Hutter 2019)."""

    def _make_optimiser(self) -> torch.optim.Optimizer:
        groups = [
            {name: group[name] for name in ("params", "share")} for group in super()._make_optimiser().param_groups
        ]
        rate, betas = self.recipe.learning_rate, (0.9, 0.99)
        return torch.optim.AdamW(groups, rate, betas, weight_decay=DECAY, foreach=True)


@dataclass(frozen=True)
class Variant:
    """One change to the default. rate: of the learning rate. copies: see `augment`. The rest is the recipe's own."""

    about: str
    rate: float = 1.0
    batch: int = 16
    n_rnn: int = 2
    frame_sizes: tuple[int, ...] = (16, 64)
    ema: float = EMA_DECAY
    resets: tuple[float, float] = RESET_SECONDS
    dropout: float = DROPOUT
    copies: int = 0
    trainer: type[Trainer] = Trainer


VARIANTS = {
    "default": Variant("the default"),
    "lr-double": Variant("twice the learning rate", rate=2.0),
    "mingru": Variant("minGRU in the frame tiers", trainer=MinGRUTrainer),
    "lr-half": Variant("half the learning rate", rate=0.5),
    "augment": Variant("four copies at other pitches and gains", copies=4),
    "third-tier": Variant("a third tier: 16, 64, 256", frame_sizes=(16, 64, 256)),
    "residual": Variant("residual sample MLP", trainer=ResidualTrainer),
    "batch-8": Variant("batch 8", batch=8),
    "batch-32": Variant("batch 32", batch=32),
    "n_rnn-1": Variant("one GRU layer a tier", n_rnn=1),
    "no-carry": Variant("state begun anew every sequence", resets=(0.0, 0.0)),
    "soon-anew": Variant("state begun anew after 0.25 to 1 s", resets=(0.25, 1.0)),
    "no-ema": Variant("the last weights, not averaged", ema=0.0),
    "no-dropout": Variant("without dropout", dropout=0.0),
    "dropout-half": Variant("half the sample tier left out of each step", dropout=0.5),
    "decay": Variant("weights that decay", trainer=DecayingTrainer),
    "noise": Variant("what it hears off by a level", trainer=NoisyTrainer),
    "n_rnn-3": Variant("three GRU layers a tier", n_rnn=3),
}
"""In the order in which `--all` tries them."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train and judge one variant, and say all that the result depends on."""
    torch.set_num_threads(1)
    keep_freed_memory()
    variant = VARIANTS[options.what]
    a = Architecture(
        dim=options.dim, frame_sizes=variant.frame_sizes, n_rnn=variant.n_rnn, pre_emphasis=0.85, forecast=Forecast()
    )
    a, data = tokens_of(options.album[0], a, options.sequence, variant.copies, options.seed)
    recipe = Recipe(
        batch=variant.batch,
        sequence=options.sequence,
        learning_rate=variant.rate * learning_rate(options.dim),
        steps=None,
        minutes=None,
        seed=options.seed,
        cpu_minutes=options.cpu_minutes,
        ema=variant.ema,
        resets=variant.resets,
        dropout=variant.dropout,
    )
    trainer = variant.trainer(a, SAMPLE_RATE, data, recipe)
    took = train(trainer.train_step, lambda cpu: trainer.progress >= 1)
    named = {"album": options.album[0].name, "what": options.what, "seed": options.seed, "dim": options.dim}
    shown = {key: value for key, value in asdict(variant).items() if key not in ("about", "trainer")}
    asked = {**named, "asked_cpu_minutes": options.cpu_minutes, **shown, "sequence": options.sequence}
    return {**asked, **judged(trainer.averaged(), data, took, trainer.samples)}


def key_of(row: dict[str, Any]) -> tuple[object, ...]:
    """What makes one measurement another."""
    return tuple(row[name] for name in ("what", "album", "seed", "dim", "asked_cpu_minutes"))


def run_all(options: argparse.Namespace) -> None:
    """Every variant, on every album with every seed, each in a process of its own."""
    wanted: dict[Hashable, list[object]] = {}
    for seed in options.seeds:
        for what in options.whats:
            for album in options.album:
                words = ["--album", album, "--what", what, "--seed", seed, "--cpu-minutes", options.cpu_minutes]
                key = (what, album.name, seed, options.dim, options.cpu_minutes)
                wanted[key] = [*words, "--dim", options.dim, "--sequence", options.sequence]
    run_missing(Path(__file__), wanted, key_of, options.out, options.workers)


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Markdown: a line a variant; means over the seeds, differences from the default with the same seed and budget."""
    found: dict[tuple[float, str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if row.get("who") == "ours":  # of race.py: the default
            row = row | {"what": "default", "asked_cpu_minutes": float(round(row["cpu_minutes"]))}
        elif "who" in row:
            continue
        # A default that was run beside the others, on their machine, comes before the race's own.
        found[row["asked_cpu_minutes"], row["what"], row["album"]].setdefault(row["seed"], row)
    budgets, albums = (sorted({key[place] for key in found}) for place in (0, 2))
    lines = []
    for minutes in budgets:
        head = [
            f"what, {minutes:g} CPU-minutes",
            *(f"{name}: test bits | against the default | steps" for name in albums),
        ]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * (1 + 3 * len(albums))]
        for what, variant in VARIANTS.items():
            if any((minutes, what, album) in found for album in albums):
                cells = [_cells(found, minutes, what, album) for album in albums]
                lines.append("| " + " | ".join([variant.about, *cells]) + " |")
        lines.append("")
    return "\n".join(lines)


def _cells(
    found: dict[tuple[float, str, str], dict[int, dict[str, Any]]], minutes: float, what: str, album: str
) -> str:
    mine, default = found[minutes, what, album], found[minutes, "default", album]
    if not mine:
        return "| |"
    bits = statistics.fmean(row["test_bits"] for row in mine.values())
    apart = [row["test_bits"] - default[seed]["test_bits"] for seed, row in mine.items() if seed in default]
    spread = f" ({min(apart):+.3f} to {max(apart):+.3f})" if len(apart) > 1 else ""
    difference = f"{statistics.fmean(apart):+.3f}{spread}" if apart and what != "default" else ""
    steps = statistics.fmean(row["steps"] for row in mine.values())
    return f"{bits:.3f} | {difference} | {steps:.0f}"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--what", choices=VARIANTS)
    kind.add_argument("--all", action="store_true", help="with every --album and each of --seeds")
    kind.add_argument("--table", type=Path, nargs="+", metavar="RESULTS", help="print results as a table")
    parser.add_argument("--album", type=Path, nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--whats", choices=VARIANTS, nargs="+", default=list(VARIANTS), metavar="WHAT")
    parser.add_argument("--cpu-minutes", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=1, help="with --all: runs side by side, a thread each")
    parser.add_argument("--out", type=Path, help="append the result here as well as printing it")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--sequence", type=int, default=1024)
    options = parser.parse_args(words)
    if options.what and len(options.album) != 1:
        parser.error("--what takes one --album")
    if options.all and not (options.album and options.out):
        parser.error("--all takes --album and --out")
    return options


if __name__ == "__main__":
    options = arguments()
    if options.table:
        print(table(row for results in options.table for row in read(results)))
    elif options.all:
        run_all(options)
    else:
        append(options.out, measure(options))
