"""What the supervisor's loop is woken up for. Supervisor; standard library only."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator
from typing import Any


def what_is_ready(selector: selectors.BaseSelector, seconds: float) -> Iterator[Callable[[], Any]]:
    """Wait for so long; then the `data` of all that is ready, but of what the one before has closed (a reload may)."""
    for key, _ in selector.select(seconds):
        if selector.get_map().get(key.fd) == key:
            yield key.data
