import numpy as np
import pytest

from ambientd.audio.bed import Bed
from ambientd.audio.source import Source, SourceState
from ambientd.config import Config
from ambientd.supervisor.children import generator_awaited
from ambientd.supervisor.shared_state import SharedState
from ambientd.types import BLOCK


@pytest.mark.parametrize("latency", ["normal", "live"])
def test_a_generator_that_hangs_at_any_filling_of_the_ring_is_awaited(latency):
    shared = SharedState(Config(latency=latency), 16_000, 1, print)
    bed = Bed(shared.bed_segment, shared.bed_frames, shared.channels, 16_000)
    fades = {"leave": int(shared.latency.fade_to_bed * 16_000), "enter": 1000}
    source = Source(shared.ring, bed, **fades, resume=shared.resume_frames)
    block = np.full((BLOCK, shared.channels), 0.1, np.float32)
    while source.state is SourceState.BED:
        assert generator_awaited(shared), shared.ring.free
        shared.ring.write(block)
        source.read(1)
    # The player has taken to the ring, so it goes on until it waits again.
    while source.state is not SourceState.BED:
        source.read(64)
    assert generator_awaited(shared)
    # A full ring is not waited for, or a daemon whose player is away would lose its generator again and again.
    while shared.ring.free >= BLOCK:
        shared.ring.write(block)
    assert not generator_awaited(shared)
