"""Fixtures of the control room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .wire import Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()
