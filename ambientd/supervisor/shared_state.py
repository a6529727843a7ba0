"""What must outlive generator and player: ring, bed, tap, and the cells they are steered by. The supervisor's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ambientd.audio.bed import Bed
from ambientd.audio.controls import PlayerControl
from ambientd.audio.player import PlayerStatus
from ambientd.config import Config
from ambientd.engine.generator_config import GeneratorStatus
from ambientd.ipc.memory import Segment
from ambientd.ipc.ring import Ring
from ambientd.ipc.tap import Tap, TapReader
from ambientd.ipc.transport import Transport
from ambientd.ipc.values import Values
from ambientd.samplernn import library

TAP_SECONDS = 4.0
BED_SECONDS = 180.0
COUNTERS = (PlayerStatus.RING_UNDERRUNS, PlayerStatus.UNDERFLOWS, PlayerStatus.LATE, PlayerStatus.BED_SECONDS)


@dataclass(frozen=True)
class Latency:
    """Seconds. ahead: how full the generator keeps the ring. device: asked of the audio device.

    block: frames the player renders at a time, and the output takes; three of them are always under way.

    What the generator may be late by before the bed is heard is `ahead` without `fade_to_bed`, a block of its own
    and one of the player's: live's is 59 ms. Each of them is on a slot's way to the sound (benchmarks/latency.md).
    """

    ahead: float
    device: float
    fade_to_bed: float
    block: int


LATENCIES = {"normal": Latency(0.5, 0.25, 0.15, 960), "live": Latency(0.12, 0.06, 0.04, 256)}


class SharedState:
    """The segments, and views of them.

    Lengths in frames: of ring and bed at the models' rate, of the tap at the device's.
    """

    def __init__(self, config: Config, sample_rate: int, parameters: int, say: Callable[[str], None]) -> None:
        """parameters: how many cells they need. say: told when there is no bed to begin with."""
        self.channels = channels = config.audio.channels
        self._sample_rate = sample_rate
        self.latency = LATENCIES[config.latency]
        self.block = config.audio.block or self.latency.block
        self._make_ring(int(self.latency.ahead * sample_rate))
        self.bed_frames = int(BED_SECONDS * sample_rate)
        self.bed_segment = Segment.create(Bed.nbytes(self.bed_frames, channels))
        load_first_bed(Bed(self.bed_segment, self.bed_frames, channels, sample_rate), say)
        self.tap_frames = int(TAP_SECONDS * config.audio.sample_rate)
        self.tap_segment = Segment.create(Tap.nbytes(self.tap_frames, channels))
        self.parameter_segment, self.parameters = _cells(parameters)
        self.control_segment, self.control = _cells(len(PlayerControl))
        self.player_segment, self.player = _cells(len(PlayerStatus))
        self.generator_segment, self.generator = _cells(len(GeneratorStatus))
        self.transport_segment = Segment.create(Transport.nbytes())
        self._earlier_players = dict.fromkeys(COUNTERS, 0.0)

    def follow(self, config: Config) -> bool:
        """Take over latency and block, for whoever starts from now on; whether there is another ring."""
        self.latency = LATENCIES[config.latency]
        self.block = config.audio.block or self.latency.block
        frames = int(self.latency.ahead * self._sample_rate)
        if frames == self.ring_frames:
            return False
        self.ring_segment.close()
        self._make_ring(frames)
        return True

    def _make_ring(self, frames: int) -> None:
        self.ring_frames = frames
        self.ring_segment = Segment.create(Ring.nbytes(frames, self.channels))
        self.ring = Ring(self.ring_segment, frames, self.channels)

    @property
    def resume_frames(self) -> int:
        """The player leaves the bed when the ring holds so many."""
        return int(0.7 * self.ring_frames)

    def tap_reader(self) -> TapReader:
        return TapReader(self.tap_segment, self.tap_frames, self.channels)

    def counted(self, counter: PlayerStatus) -> float:
        """One of COUNTERS over all players since the start: each of them begins at zero."""
        return self._earlier_players[counter] + self.player[counter]

    def next_player(self) -> None:
        """Put the last player's counters aside, for a new one is about to start."""
        for counter in COUNTERS:
            self._earlier_players[counter] = self.counted(counter)
            self.player[counter] = 0


def _cells(count: int) -> tuple[Segment, Values]:
    segment = Segment.create(Values.nbytes(count))
    return segment, Values(segment, count)


def load_first_bed(bed: Bed, say: Callable[[str], None]) -> None:
    """Fill the bed with what was rendered beforehand, until the generator has made minutes of its own."""
    import soundfile
    import soxr

    path = library.bundled_folder() / "bed.ogg"
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        say(f"no bed to begin with ({path}: {error}); the first seconds are silent")
        return
    if rate != bed.sample_rate:
        audio = soxr.resample(audio, rate, bed.sample_rate)
    bed.load(np.ascontiguousarray(np.broadcast_to(audio[:, :1], (len(audio), bed.channels))))
