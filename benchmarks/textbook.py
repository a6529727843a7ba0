"""A textbook SampleRNN beside this project's training, at equal processor time and on identical tokens.

    python benchmarks/textbook.py --album FOLDER --who textbook --lr 1e-3 --seed 1 --cpu-minutes 20 --out results.jsonl
    python benchmarks/textbook.py --album FOLDER --who ours --seed 1 --cpu-minutes 20 --out results.jsonl

Each appends one JSON line with the test bits per sample: of the last tenth of every track, which neither of them has
seen, judged whole, with the state carried from its first sample. One thread, so that two can run side by side.
What each of them is: benchmarks/training.md.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.samplernn.quantize import network_scale
from ambientd_plugins.training import dataset
from ambientd_plugins.training.albums.chunks import read_dataset
from ambientd_plugins.training.asking import DROPOUT, LEARNING_RATE
from ambientd_plugins.training.augment import varying
from ambientd_plugins.training.dataset import Split, Tokens
from ambientd_plugins.training.judging.evaluate import mean_bits, track_bits
from ambientd_plugins.training.process import keep_freed_memory
from ambientd_plugins.training.trainer import BITS, Recipe, Trainer

SAMPLE_RATE = 16_000
CHUNK_SECONDS = 8.0
BATCH = {"textbook": 128, "ours": 16}
TOLD_EVERY = 30.0
"""Seconds."""

State = list[list[Tensor]]
Step = Callable[[], float]


class FrameTier(nn.Module):
    """A convolution over the frame, a GRU, and a transposed convolution down to the tier below."""

    def __init__(self, dim: int, frame_size: int, ratio: int, n_rnn: int) -> None:
        super().__init__()
        self.frame_size = frame_size
        self.input = weight_norm(_he(nn.Conv1d(frame_size, dim, 1)))
        self.gru = nn.GRU(dim, dim, n_rnn, batch_first=True)
        self.h0 = nn.Parameter(torch.zeros(n_rnn, dim))
        self.upsample = weight_norm(nn.ConvTranspose1d(dim, dim, ratio, ratio))
        for name, parameter in self.gru.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.data.chunk(3):
                    nn.init.orthogonal_(gate)
            elif name.startswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, frames: Tensor, above: Tensor | None, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """frames [B, F, frame_size], above [B, dim, F] -> ([B, dim, F * ratio], last states [B, dim] per layer)."""
        x = self.input(frames.transpose(1, 2))
        if above is not None:
            x = x + above
        x, last = self.gru(x.transpose(1, 2), torch.stack(state))
        return self.upsample(x.transpose(1, 2)), list(last)


class Textbook(nn.Module):
    """SampleRNN as it is published: Mehri et al., ICLR 2017, section 2, with the weight normalisation of its code.

    It takes and gives what `ambientd.samplernn.model.SampleRNN` does, so that both are judged by the same function.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        sizes = zip(a.frame_sizes, a.ratios, strict=True)
        self.stack = [FrameTier(a.dim, size, ratio, a.n_rnn) for size, ratio in sizes]
        self.tiers = nn.ModuleList(self.stack)
        self.embedding = nn.Embedding(a.q_levels, a.q_levels)
        self.heard = weight_norm(_he(nn.Conv1d(a.q_levels, a.dim, a.frame_sizes[0], bias=False)))
        self.hidden = weight_norm(_he(nn.Conv1d(a.dim, a.dim, 1)))
        self.output = weight_norm(nn.Conv1d(a.dim, a.q_levels, 1))
        self.context = a.frame_sizes[-1]
        self.offset, self.factor = network_scale(a.q_levels)

    def initial_state(self, batch: int) -> State:
        """[tier][layer] -> [batch, dim]"""
        return [[h.expand(batch, -1) for h in tier.h0] for tier in self.stack]

    def forward(self, tokens: Tensor, state: State, forecasts: None = None) -> tuple[Tensor, State]:
        """tokens uint8 [B, context + T] -> (logits [B, T, q] of the last T, next state). It hears no forecasts."""
        length = tokens.shape[1] - self.context
        scaled = (tokens[:, :-1].float() - self.offset) * self.factor
        above: Tensor | None = None
        after: State = []
        for tier, hidden in zip(reversed(self.stack), reversed(state), strict=True):
            first = self.context - tier.frame_size
            frames = scaled[:, first : first + length].reshape(len(tokens), -1, tier.frame_size)
            above, last = tier(frames, above, hidden)
            after.insert(0, last)
        assert above is not None
        recent = tokens[:, self.context - self.architecture.frame_sizes[0] : -1].long()
        x = F.relu(self.heard(self.embedding(recent).transpose(1, 2)) + above)
        logits: Tensor = self.output(F.relu(self.hidden(x))).transpose(1, 2)
        return logits, after


def _he(layer: nn.Conv1d) -> nn.Conv1d:
    nn.init.kaiming_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Chunks:
    """The published way through the data: a batch of chunks, each cut into sequences, the state reset per chunk.

    Chunks begin anywhere in the training part: of a fixed grid a ten-minute album has fewer than one batch.
    """

    def __init__(
        self, tracks: list[Tokens], batch: int, sequence: int, context: int, seconds: float, seed: int
    ) -> None:
        self.batch, self.sequence, self.context = batch, sequence, context
        self.sequences = max(1, round(seconds * SAMPLE_RATE) // sequence)
        self.length = context + self.sequences * sequence
        self.tracks = [t for t in tracks if len(t) >= self.length]
        if not self.tracks:
            sys.exit(f"no track is {self.length / SAMPLE_RATE:.1f} s long: lower --chunk-seconds")
        starts = np.array([len(t) - self.length + 1 for t in self.tracks], np.float64)
        self.share = starts / starts.sum()
        self.rng = np.random.default_rng(seed)
        self.at = self.sequences

    def next(self) -> tuple[Tensor, bool]:
        """(tokens [batch, context + sequence], whether new chunks begin here)."""
        begins = self.at == self.sequences
        if begins:
            self.at = 0
            chosen = self.rng.choice(len(self.tracks), self.batch, p=self.share)
            self.chunks = np.stack([self._chunk(self.tracks[index]) for index in chosen])
        first = self.at * self.sequence
        self.at += 1
        return torch.from_numpy(self.chunks[:, first : first + self.context + self.sequence]), begins

    def _chunk(self, track: Tokens) -> Tokens:
        start = self.rng.integers(0, len(track) - self.length + 1)
        return track[start : start + self.length]


def textbook(data: Split, architecture: Architecture, options: argparse.Namespace) -> tuple[Textbook, Step]:
    """The model, and what takes one step of Adam at a constant rate, gradients clipped as in the published code."""
    torch.manual_seed(options.seed)
    model = Textbook(architecture)
    optimiser = torch.optim.Adam(model.parameters(), options.lr)
    chunks = Chunks(data.train, options.batch, options.sequence, model.context, options.chunk_seconds, options.seed)
    state: State = []

    def step() -> float:
        nonlocal state
        tokens, begins = chunks.next()
        if begins:
            state = model.initial_state(len(tokens))
        logits, after = model(tokens, state)
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, model.context :].flatten().long())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_value_(model.parameters(), 1.0)
        optimiser.step()
        state = [[h.detach() for h in tier] for tier in after]
        return float(loss.item() * BITS)

    return model, step


def tokens_of(
    album: Path, architecture: Architecture, sequence: int, copies: int = 0, seed: int = 1
) -> tuple[Architecture, Split]:
    """(architecture with the album's gain, training and held-out parts): the end of every track, each in one piece.

    copies, seed: of the variations to train on as well.
    """
    _, tracks = read_dataset(album, SAMPLE_RATE)
    dc, gain = dataset.scale(tracks, architecture.pre_emphasis)
    architecture = architecture.model_copy(update={"album_gain": gain})
    vary = varying(tracks, dc, architecture, SAMPLE_RATE, copies, seed)
    tokens = [dataset.tokenise(track, dc, architecture) for track in tracks]
    cuts = [(index, round(len(t) * (1 - dataset.HELD_OUT))) for index, t in enumerate(tokens)]
    cuts = [(index, cut) for index, cut in cuts if cut > 2 * sequence]
    if not cuts:
        sys.exit(f"{album} is too short")
    before, after = [tokens[index][:cut] for index, cut in cuts], [tokens[index][cut:] for index, cut in cuts]
    return architecture, Split(before, after, variations=[vary(index, cut) for index, cut in cuts])


def train(step: Step, ended: Callable[[float], bool]) -> dict[str, Any]:
    """Step until `ended(processor seconds so far)`; what it took."""
    began, busy, told = time.perf_counter(), time.process_time(), time.perf_counter()
    losses: list[float] = []
    while not ended(time.process_time() - busy):
        losses.append(step())
        if time.perf_counter() - told > TOLD_EVERY:
            told = time.perf_counter()
            minutes = (time.process_time() - busy) / 60
            print(f"{minutes:6.1f} CPU minutes, {len(losses)} steps, {np.mean(losses[-50:]):.3f} bits", file=sys.stderr)
    return {
        "steps": len(losses),
        "seconds": time.perf_counter() - began,
        "cpu_minutes": (time.process_time() - busy) / 60,
        "train_bits": float(np.mean(losses[-max(1, len(losses) // 20) :])),
    }


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Train one of the two, judge it, and say all that the result depends on."""
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    architecture = Architecture(
        dim=options.dim,
        frame_sizes=(16, 64),
        n_rnn=options.n_rnn,
        pre_emphasis=options.pre_emphasis,
        forecast=Forecast() if options.who == "ours" else None,
    )
    architecture, data = tokens_of(options.album, architecture, options.sequence)
    if options.who == "ours":
        recipe = Recipe(
            batch=options.batch,
            sequence=options.sequence,
            learning_rate=options.lr,
            steps=None,
            minutes=None,
            seed=options.seed,
            cpu_minutes=options.cpu_minutes,
            dropout=DROPOUT,
        )
        trainer = Trainer(architecture, SAMPLE_RATE, data, recipe)
        took = train(trainer.train_step, lambda cpu: trainer.progress >= 1)
        model: Any = trainer.averaged()
    else:
        model, step = textbook(data, architecture, options)
        took = train(step, lambda cpu: cpu >= 60 * options.cpu_minutes)
    asked = {key: value for key, value in vars(options).items() if key not in ("album", "out", "cpu_minutes")}
    samples = took["steps"] * options.batch * options.sequence
    return {"album": options.album.name, **asked, **judged(model.eval(), data, took, samples)}


def judged(model: Any, data: Split, took: dict[str, Any], samples: int) -> dict[str, Any]:
    """What came of a training that `took` so much and heard so many samples."""
    held = data.validation
    return {
        "test_bits": round(mean_bits(track_bits(model, held), held), 4),
        "train_bits": round(took["train_bits"], 4),
        "samples_per_second": round(samples / took["seconds"]),
        "steps": took["steps"],
        "samples": samples,
        "cpu_minutes": round(took["cpu_minutes"], 3),
        "train_samples": data.train_samples,
        "held_out_samples": sum(map(len, held)),
        "torch": torch.__version__,
    }


def learning_rate(dim: int) -> float:
    """What `ambientd train` takes."""
    return LEARNING_RATE * min(1.0, 192 / dim)


def append(out: Path | None, row: dict[str, Any]) -> None:
    """Print a result, and add it as a line to a file that others may be adding to."""
    line = json.dumps(row)
    print(line)
    if out:
        with out.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(line + "\n")


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--album", type=Path, required=True)
    parser.add_argument("--who", choices=("ours", "textbook"), required=True)
    parser.add_argument("--lr", type=float, help="default: 1e-3, and what `ambientd train` takes at this dim")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cpu-minutes", type=float, default=20.0)
    parser.add_argument("--out", type=Path, help="append the result here as well as printing it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--n_rnn", type=int, default=2)
    parser.add_argument("--batch", type=int, help="default: 128 for the textbook, 16 for ours")
    parser.add_argument("--sequence", type=int, default=1024)
    parser.add_argument("--chunk-seconds", type=float, default=CHUNK_SECONDS, help="the textbook's state lives so long")
    parser.add_argument("--pre_emphasis", type=float, default=0.85)
    options = parser.parse_args(words)
    options.batch = options.batch or BATCH[options.who]
    options.lr = options.lr or (1e-3 if options.who == "textbook" else learning_rate(options.dim))
    return options


if __name__ == "__main__":
    options = arguments()
    append(options.out, compare(options))
