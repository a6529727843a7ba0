"""Compiles whatever a fused stretch launches, for a processor that is not here: `compile_fusions.py 90` for sm_90.

Prints how many variants of each kernel there were. A program of its own: Triton in NumPy compiles nothing.
"""

from __future__ import annotations

import sys
from collections import Counter

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from ambientd.engine.kernels.cuda.bank import DeviceBank
from ambientd.engine.kernels.cuda.choose import batched, fused
from ambientd.engine.kernels.cuda.inputs import Features
from ambientd.engine.kernels.cuda.networks import Networks
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.voice import Voice, pack
from ambientd.engine.warm import random_checkpoint
from ambientd.samplernn.checkpoint import Architecture, Forecast

FORECASTS = Architecture(dim=64, frame_sizes=(16, 64), n_rnn=1, forecast=Forecast(orders=(48,), rates=(0.01,)))
PLAIN = Architecture(dim=20, frame_sizes=(4,), n_rnn=1, q_levels=100)


class Absent:
    """A driver that knows a processor without having it."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def main(capability: int) -> None:
    driver.set_active(Absent(capability))
    variants: dict[str, str] = {}
    run = JITFunction.run

    def compiled(self, *args, grid, warmup, **named):
        kernel = run(self, *args, grid=grid, warmup=True, **named)
        assert kernel.asm["cubin"][:4] == b"\x7fELF"
        variants[kernel.hash] = self.__name__

    JITFunction.run = compiled
    cpu = torch.device("cpu")
    for make in (fused, batched):
        for architecture in (FORECASTS, PLAIN):
            checkpoint = random_checkpoint(architecture)
            packed = pack(checkpoint, choose("fp32"))
            # Of one voice the compiler knows more than of several.
            for slots, everything in ((1, False), (3, False), (3, True)):
                maker = make(cpu)
                bank = DeviceBank(slots, 1, maker, Networks(cpu), cpu)
                for slot in range(slots):
                    voice = Voice(checkpoint.info, packed, slot)
                    voice.reread, voice.guide = lambda found=checkpoint: found, checkpoint.guide
                    bank.attach(slot, voice)
                bank._set()
                maker.make(Features(*[everything] * len(Features._fields)))
    print(Counter(variants.values()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
