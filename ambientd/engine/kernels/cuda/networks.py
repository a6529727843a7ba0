"""Checkpoints' tensors on a device. Made on a loading thread, or at a block's edge where voices are interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ambientd.engine.kernels.packing import PackedNetwork
from ambientd.engine.network import Network
from ambientd.engine.voice import Recipe, Voice
from ambientd.errors import DeviceError
from ambientd.samplernn.checkpoint import Architecture


@dataclass(frozen=True, eq=False)
class DeviceNetwork:
    """A network's float32 tensors by the checkpoint's names."""

    architecture: Architecture
    tensors: dict[str, Tensor]

    @property
    def network(self) -> Network:
        """The same by role: tensors where it says arrays."""
        tensors: dict[str, Any] = self.tensors
        return Network.from_tensors(self.architecture, tensors)

    @classmethod
    def interpolated(cls, parts: Sequence[tuple[DeviceNetwork, float]]) -> DeviceNetwork:
        """What lies between networks of one shape. parts: with shares that sum to 1."""
        first = parts[0][0]
        sums = {name: sum(part.tensors[name] * share for part, share in parts) for name in first.tensors}
        return cls(first.architecture, {name: tensor for name, tensor in sums.items() if isinstance(tensor, Tensor)})


class Networks:
    """Those of all voices that there are, shared as the voices share theirs. Any thread, one at a time a voice."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: WeakKeyDictionary[PackedNetwork, DeviceNetwork] = WeakKeyDictionary()

    def of(self, voice: Voice) -> DeviceNetwork:
        """What `voice` plays with. Raises DeviceError where it cannot be read again."""
        return self.made_of(voice, voice.recipe)

    def made_of(self, voice: Voice, recipe: Recipe) -> DeviceNetwork:
        """The voice's own network, or one of a recipe's."""
        if recipe:
            return DeviceNetwork.interpolated([(self._own(part), share) for part, share in recipe])
        return self._own(voice)

    def _own(self, voice: Voice) -> DeviceNetwork:
        found = self._known.get(voice.packed)
        if found is None:
            if voice.reread is None:
                raise DeviceError(f"{voice.info.id!r} cannot be read again for the GPU", "Load it from its file")
            checkpoint = voice.reread()
            tensors = {name: torch.from_numpy(array).to(self._device) for name, array in checkpoint.tensors.items()}
            found = DeviceNetwork(checkpoint.card.architecture, tensors)
            self._known[voice.packed] = found
        return found
