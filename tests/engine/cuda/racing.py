"""Run by `test_race.py` under the thread sanitizer: two voices that share what they can. A library's path."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import torch

from ambientd.engine.kernels.cuda.bank import DeviceBank
from ambientd.engine.kernels.cuda.networks import Networks
from ambientd.engine.kernels.cuda.persistent import Geometry, PersistentMaker
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Forecast
from ambientd.types import BLOCK, Mix
from tests.engine.cuda.conftest import voice_of

LIBRARY = ctypes.CDLL(sys.argv[1])
SHAPE = Architecture(dim=20, frame_sizes=(4, 8), n_rnn=2, forecast=Forecast(orders=(48,), rates=(0.01,)))


class Launcher:
    geometry = Geometry(2, 2, False, 1 << 20, 32, 32)

    def launch(self, plan, shared_bytes):
        LIBRARY.make_block(ctypes.c_void_p(plan.data_ptr()), 2, shared_bytes)


CPU = torch.device("cpu")
bank = DeviceBank(2, 1, PersistentMaker(Launcher()), Networks(CPU), CPU)
for slot in (0, 1):
    bank.attach(slot, voice_of(random_checkpoint(SHAPE, slot), slot))
    bank.slots[slot].follow(np.full(48, 0.01, np.float32), 0.05)
mix = Mix.solo(2, 1)
mix.gains[:], mix.history[:], mix.logits[0], mix.chaos[:] = 1, 0, (1, 2), 0.1
mix.freeze[:], mix.conditioning[0] = 0.5, 0.5
for _ in range(2):
    bank.ramp.advance(mix)
    bank.render(np.zeros((BLOCK, 1), np.float32))
print(f"played {len(set(bank.drawn[0].tolist()))} levels")
