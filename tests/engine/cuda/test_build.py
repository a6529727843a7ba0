"""The CUDA source, without a GPU: it compiles for every processor, and its precisions predict alike."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from ambientd.engine.kernels.cuda.build import machine_code
from ambientd.engine.kernels.cuda.choose import TOLERANCE, Gpu, divergence, first_right, graph
from ambientd.engine.kernels.cuda.graph import TorchMaker
from ambientd.engine.kernels.cuda.launch import geometry_for
from ambientd.engine.kernels.cuda.networks import Networks
from ambientd.engine.kernels.cuda.persistent import Geometry, PersistentMaker
from ambientd.errors import DeviceError

from .emulated import EmulatedLauncher

HAS_COMPILER = importlib.util.find_spec("cuda") and importlib.util.find_spec("cuda.core")
CPU = torch.device("cpu")


@pytest.mark.parametrize(("architecture", "cluster"), [("sm_80", 0), ("sm_89", 0), ("sm_90", 0), ("sm_90a", 16)])
def test_the_kernel_compiles(architecture, cluster, tmp_path, monkeypatch):
    if not HAS_COMPILER:
        pytest.skip("NVRTC is not installed here: pip install cuda-core cuda-bindings nvidia-cuda-nvrtc")
    geometry = Geometry(cluster or 4, 4, bool(cluster), 100_000)
    made = machine_code(architecture, geometry, tmp_path)
    assert made[:4] == b"\x7fELF"
    assert b"make_block" in made
    monkeypatch.setattr("ambientd.engine.kernels.cuda.build.compile_source", None)
    assert machine_code(architecture, geometry, tmp_path) == made


@pytest.mark.parametrize(("cluster", "sample_bits", "frame_bits"), [(True, 16, 8), (False, 16, 16)])
def test_fewer_bits_predict_almost_the_same(cluster, sample_bits, frame_bits, compiled):
    exact = divergence(PersistentMaker(EmulatedLauncher(compiled, cluster, sample_blocks=4)), CPU)
    less = divergence(PersistentMaker(EmulatedLauncher(compiled, cluster, sample_bits, frame_bits)), CPU)
    assert exact < 1e-9 < less < TOLERANCE


def test_weights_that_do_not_fit_are_read_from_where_they_are(compiled):
    launcher = EmulatedLauncher(compiled, False, shared=24_000)
    assert divergence(PersistentMaker(launcher), CPU) < 1e-9


def test_a_kernel_that_fails_or_errs_is_passed_over(compiled):
    def fails(device):
        raise RuntimeError("an illegal memory access was encountered")

    def errs(device):
        maker = graph(device)
        make = maker.make

        def wrong(features):
            make(features)
            maker._setting.logits[:, 7] = 0

        maker.make = wrong
        return maker

    gpu = first_right(CPU, "a processor", (fails, errs, graph))
    assert [line.split(" (")[0] for line in gpu.notices] == [
        "the fails kernel cannot be used on a processor",
        "the errs kernel cannot be used on a processor",
        "playing on a processor, with the graph kernel",
    ]
    with pytest.raises(DeviceError, match="off by"):
        first_right(CPU, "a processor", (errs,))


class H200:
    multi_processor_count = 132
    shared_memory_per_block_optin = 232_448


def test_all_blocks_find_a_multiprocessor():
    for cluster in (0, 8, 16):
        geometry = geometry_for(H200, cluster)
        assert geometry.sample_blocks + geometry.frame_blocks <= H200.multi_processor_count
        assert not cluster or geometry.frame_blocks % cluster == 0


def test_a_maker_that_predicts_well_and_draws_wrongly_is_found_out():
    class Careless(TorchMaker):
        def make(self, features):
            super().make(features)
            self._setting.tokens.fill_(128)

    assert divergence(TorchMaker(), CPU) < 1e-9
    assert divergence(Careless(), CPU) == float("inf")


def test_warming_up_asks_for_all_that_mixes_may():
    asked = []

    class Asked(TorchMaker):
        def make(self, features):
            asked.append(features)

    gpu = Gpu(CPU, "a processor", lambda device: Asked(), Networks(CPU), [])
    gpu.warm(3, 2)
    gpu.warm(1, 1)
    assert [tuple(features) for features in asked[:2]] == [(False,) * 4, (True, True, True, False)]
