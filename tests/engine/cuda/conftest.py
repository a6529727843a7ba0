"""Banks on this machine's CPU, whoever makes their tokens."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from ambientd.engine.kernels.cuda.bank import DeviceBank
from ambientd.engine.kernels.cuda.graph import TorchMaker
from ambientd.engine.kernels.cuda.networks import Networks
from ambientd.engine.kernels.cuda.persistent import PersistentMaker
from ambientd.engine.kernels.selftest import choose
from ambientd.engine.voice import Voice, pack

from .emulated import EmulatedLauncher

HAS_TRITON = importlib.util.find_spec("triton") is not None
if HAS_TRITON:
    # Whether its own functions run in NumPy is settled where Triton is first imported; children are not to inherit it.
    os.environ["TRITON_INTERPRET"] = "1"
    from triton import knobs

    from ambientd.engine.kernels.cuda.fused import FusedStretch

    del os.environ["TRITON_INTERPRET"]
    knobs.propagate_env = False
    knobs.runtime.interpret = True


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Where what was compiled for this session is."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def one_thread():
    """Waking others takes longer than what there is to do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["torch", "fused", "persistent", "persistent in a cluster"])
def maker(request, compiled):
    if request.param == "torch":
        return TorchMaker()
    if request.param == "fused":
        if not HAS_TRITON:
            pytest.skip("Triton is not installed here: pip install triton")
        return TorchMaker(FusedStretch)
    return PersistentMaker(EmulatedLauncher(compiled, "cluster" in request.param))


@pytest.fixture
def shortened(maker):
    """shortened(blocks): half of them where an interpreter makes them, each of which takes seconds."""
    return lambda blocks: -(-blocks // 2) if maker.name == "fused" else blocks


@pytest.fixture
def make_bank(maker):
    """make_bank(*checkpoints, channels=1): each checkpoint's voice, unprimed, with its slot's number as its seed."""

    def make(*checkpoints, channels=1, room=0):
        cpu = torch.device("cpu")
        bank = DeviceBank(len(checkpoints) + room, channels, maker, Networks(cpu), cpu)
        for slot, checkpoint in enumerate(checkpoints):
            bank.attach(slot, voice_of(checkpoint, slot))
        return bank

    return make


def voice_of(checkpoint, seed):
    voice = Voice(checkpoint.info, pack(checkpoint, choose("fp32")), seed)
    voice.reread = lambda: checkpoint
    if checkpoint.guide is not None:
        voice.guide = checkpoint.guide
    return voice
