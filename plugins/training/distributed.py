"""Several processes that train one model together, as `torchrun` starts them. The training process.

Every process holds the whole model and its own rows of the batch; DistributedDataParallel averages the gradients,
so that all take the same step and their weights stay the same bit for bit. Process 0 alone judges, prints and
writes files. https://docs.pytorch.org/docs/stable/notes/ddp.html
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch

# DistributedDataParallel imports it, and with it functions whose defaults would keep the process group of the moment
# for ever; imported before there is one, they keep none.
import torch.distributed.nn
from torch import Tensor, nn
from torch import distributed as dist

from ambientd_plugins.training.errors import TrainingError

PATIENCE = timedelta(hours=2)
"""The others wait this long while process 0 judges and listens."""


@dataclass(frozen=True)
class Team:
    """This process's place among those that train together. Of one process every method is the identity."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def rows(self, batch: int) -> range:
        """This process's rows of the whole batch. Raises TrainingError where they cannot be dealt out evenly."""
        if batch % self.size:
            raise TrainingError(f"a batch of {batch} cannot be dealt out to {self.size} processes")
        own = batch // self.size
        return range(self.rank * own, (self.rank + 1) * own)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The same module, its gradients averaged over all processes whenever they are computed."""
        return nn.parallel.DistributedDataParallel(module) if self.size > 1 else module

    def total(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def gather(self, own: Tensor) -> Tensor:
        """own [rows, ...] of every process, below each other: [rows * size, ...]."""
        if self.size == 1:
            return own
        parts = [torch.empty_like(own, device="cpu") for _ in range(self.size)]
        dist.all_gather(parts, own.cpu().contiguous())
        return torch.cat(parts)

    def from_leader(self, data: bytes | None) -> bytes | None:
        """What process 0 has; only its own `data` counts."""
        if self.size == 1:
            return data
        box = [data]
        dist.broadcast_object_list(box, src=0)
        return box[0]


ALONE = Team()


def processes() -> int:
    """How many `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """This process's team, joined while inside. Where one process fails the others end with a TrainingError.

    Left in peace, with nothing wrapped still in use, it takes its threads along: one that lets go of a tensor while
    Python ends would abort the process.
    """
    if processes() == 1:
        yield ALONE
        return
    # Small facts travel between processors, gradients between whatever trains.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=PATIENCE)
        yield Team(dist.get_rank(), dist.get_world_size())
        dist.destroy_process_group()
        gc.collect()  # what is wrapped is in cycles, and holds the group
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        where = f"process {os.environ.get('RANK')} of {processes()}"
        raise TrainingError(f"{where} cannot go on ({reason})", "See what the other processes say") from error
