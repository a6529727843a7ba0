"""Work for each core by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def count() -> int:
    """How many cores there are to work with: PyTorch's threads."""
    return torch.get_num_threads()


def on_cores(work: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
    """work(job) of all jobs, as many at a time as there are cores; PyTorch's operations in it use one core each."""
    return list(_pool(count()).map(work, jobs))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    pool, all_there = ThreadPoolExecutor(threads, "training"), Barrier(threads)

    def begin(_: int) -> None:
        # Of this thread, and of those that have not asked for theirs: so ask, before the others get their own back.
        torch.set_num_threads(1)
        torch.get_num_threads()
        all_there.wait()

    list(pool.map(begin, range(threads)))
    torch.set_num_threads(threads)
    return pool
