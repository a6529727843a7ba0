"""Launches the persistent kernel on a GPU through `cuda.core`. The render thread; made on a loading thread."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ambientd.engine.kernels.cuda.build import KERNEL, THREADS, machine_code
from ambientd.engine.kernels.cuda.persistent import Geometry
from ambientd.errors import DeviceError

LARGEST_CLUSTER, PORTABLE_CLUSTER = 16, 8
RESERVED = 1024
"""Bytes of a block's shared memory that are the system's."""


def geometry_for(properties: Any, clusters: int, sample_bits: Any = 16, frame_bits: Any = 8) -> Geometry:
    """How the kernel is cut to a GPU. properties: torch's. clusters: blocks of one, 0: it has none.

    Every block has a multiprocessor of its own, all run at once: they wait for each other. With clusters the grid is
    whole ones, and a few multiprocessors stay idle.
    """
    whole = int(properties.multi_processor_count)
    shared = int(properties.shared_memory_per_block_optin) - RESERVED
    if clusters:
        frames = max(1, whole // clusters - 2) * clusters
        return Geometry(clusters, frames, True, shared, sample_bits, frame_bits)
    samples = max(1, min(16, whole // 4))
    return Geometry(samples, whole - samples, False, shared, sample_bits, frame_bits)


class GpuLauncher:
    """Holds the compiled kernel, in torch's own context and on its current stream."""

    def __init__(self, device: torch.device, cluster: int | None = None, sample_bits: int = 16, frame_bits: int = 8):
        """cluster: blocks of one; by default the largest that the GPU has, 0 for none."""
        from cuda.core import Device, ObjectCode

        torch.zeros(1, device=device)  # makes the context
        self._device = Device(device.index or 0)
        self._device.set_current()
        properties = torch.cuda.get_device_properties(device)
        major, minor = properties.major, properties.minor
        if major < 8:
            raise DeviceError(f"{properties.name} is too old for the GPU kernel", 'Set engine.device to "cpu"')
        # Beyond Hopper clusters of 8 are what every chip has; sm_90a code runs on Hopper alone.
        blocks = (
            (LARGEST_CLUSTER if major == 9 else PORTABLE_CLUSTER if major > 9 else 0) if cluster is None else cluster
        )
        self.geometry = geometry_for(properties, blocks, sample_bits, frame_bits)
        architecture = f"sm_{major}{minor}" + ("a" if (major, minor) == (9, 0) else "")
        code = ObjectCode.from_cubin(machine_code(architecture, self.geometry))
        self._kernel = code.get_kernel(KERNEL)
        self._set_attributes()

    def _set_attributes(self) -> None:
        """Allow for all of the shared memory, and for clusters that only some chips have."""
        from cuda.bindings import driver

        attribute = driver.CUfunction_attribute
        wanted = [(attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, self.geometry.shared_bytes)]
        if self.geometry.sample_blocks > PORTABLE_CLUSTER and self.geometry.cluster:
            wanted.append((attribute.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1))
        for name, value in wanted:
            (result,) = driver.cuKernelSetAttribute(name, value, self._kernel.handle, self._device.device_id)
            if result != driver.CUresult.CUDA_SUCCESS:
                raise DeviceError(f"the GPU refuses {name.name} = {value} ({result.name})")

    def launch(self, plan: Tensor, shared_bytes: int) -> None:
        from cuda.core import LaunchConfig, Stream, launch

        geometry = self.geometry
        blocks = geometry.sample_blocks + geometry.frame_blocks
        stream = Stream.from_handle(torch.cuda.current_stream().cuda_stream)
        if geometry.cluster:
            config = LaunchConfig(
                grid=blocks // geometry.sample_blocks,
                cluster=geometry.sample_blocks,
                block=THREADS,
                shmem_size=shared_bytes,
            )
        else:
            config = LaunchConfig(grid=blocks, block=THREADS, shmem_size=shared_bytes, is_cooperative=True)
        launch(stream, config, self._kernel, plan.data_ptr())
