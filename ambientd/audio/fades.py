"""Gains that move without a click. Whoever renders or plays a block calls them, on its own thread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ambientd.audio.controls import PlayerControl
from ambientd.ipc.values import Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANIC_SECONDS = 0.05


class Glide:
    """A number that moves to its target in a straight line."""

    def __init__(self, value: float) -> None:
        self.value = value

    def move(self, target: float, step: float, frames: int) -> NDArray[np.float64]:
        """Values of the next `frames` frames [frames], each at most `step` from the one before."""
        distance = target - self.value
        path = np.minimum(step * np.arange(1, frames + 1), abs(distance))
        values: NDArray[np.float64] = self.value + math.copysign(1.0, distance) * path
        if path[-1] == abs(distance):
            values[path == path[-1]] = target  # exactly
        self.value = float(values[-1])
        return values


class PanicFade:
    """To silence within PANIC_SECONDS while the supervisor's cell says so, and back when it is released.

    There are two on the sound's way, each with one of its own: in the player's chain for all that is recorded and
    streamed, and behind the device's last block, where nothing that waits is in front of it.
    """

    def __init__(self, control: Values, sample_rate: int) -> None:
        """control: the PlayerControl cells. It begins where the cell stands."""
        self._control = control
        self._step = 1.0 / (PANIC_SECONDS * sample_rate)
        self._panic = Glide(self._wanted)

    @property
    def idle(self) -> bool:
        """The gain is 1 and stays so."""
        return self._panic.value == self._wanted == 0.0

    def gain(self, frames: int) -> NDArray[np.float64]:
        """Of the next frames, [frames]."""
        return raised_cosine(1.0 - self._panic.move(self._wanted, self._step, frames))

    @property
    def _wanted(self) -> float:
        return float(self._control[PlayerControl.PANIC] >= 0.5)


def raised_cosine(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain at 0..1 through a fade from silence; flat at both ends, exactly 0 and 1 there."""
    return 0.5 - 0.5 * np.cos(math.pi * position)
