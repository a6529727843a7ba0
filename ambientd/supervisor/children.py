"""The processes that the daemon starts, watches and starts again, and all that each is told. Supervisor."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ambientd.audio.device import DEFAULT, NULL
from ambientd.audio.player import MODULE as PLAYER
from ambientd.audio.player import PlayerConfig, PlayerStatus
from ambientd.engine.generator_config import MODULE as GENERATOR
from ambientd.engine.generator_config import GeneratorConfig, SlotConfig
from ambientd.engine.journal_files import new_log
from ambientd.ipc.child import Child
from ambientd.lifecycle.reconfigure import SEED_STRIDE
from ambientd.supervisor.child_events import generator_lost, process_changed
from ambientd.supervisor.supervised import Supervised

if TYPE_CHECKING:
    from ambientd.daemon import Daemon
    from ambientd.supervisor.shared_state import SharedState


def make_player(daemon: Daemon) -> Supervised:
    """It hangs when no frame reaches the output."""
    status = daemon.shared.player
    return Supervised(
        "player",
        partial(_spawn_player, daemon),
        progress=lambda: status[PlayerStatus.FRAMES],
        busy=lambda: True,
        grace=15.0,
        patience=1.2,
        report=daemon.print,
        changed=partial(process_changed, daemon),
    )


def make_generator(daemon: Daemon) -> Supervised:
    """It hangs when it is waited for and nothing comes."""
    return Supervised(
        "generator",
        partial(_spawn_generator, daemon),
        progress=lambda: daemon.shared.ring.written,
        busy=lambda: generator_awaited(daemon.shared),
        grace=180.0,  # the very first start compiles the kernels
        patience=3.0,
        report=daemon.print,
        changed=partial(process_changed, daemon),
        lost=partial(generator_lost, daemon),
    )


def generator_awaited(shared: SharedState) -> bool:
    """Whether the ring holds too little for the player to leave the bed; with more, it is drained."""
    return shared.ring.written - shared.ring.read < shared.resume_frames


def _spawn_player(daemon: Daemon) -> Child:
    daemon.shared.next_player()
    audio = daemon.config.audio
    device = NULL if audio.output == "null" else str(audio.device if audio.device is not None else DEFAULT)
    config = PlayerConfig(
        ring_fd=daemon.shared.ring_segment.fd,
        ring_frames=daemon.shared.ring_frames,
        resume_frames=daemon.shared.resume_frames,
        bed_fd=daemon.shared.bed_segment.fd,
        bed_frames=daemon.shared.bed_frames,
        tap_fd=daemon.shared.tap_segment.fd,
        tap_frames=daemon.shared.tap_frames,
        control_fd=daemon.shared.control_segment.fd,
        status_fd=daemon.shared.player_segment.fd,
        source_rate=daemon.sample_rate,
        channels=audio.channels,
        device=device,
        held=daemon.output.get("held", ""),
        device_rate=audio.sample_rate,
        block=daemon.shared.block,
        latency=daemon.shared.latency.device,
        fade_to_bed=daemon.shared.latency.fade_to_bed,
    )
    return Child.spawn(PLAYER, config.to_json(), config.fds)


def _spawn_generator(daemon: Daemon) -> Child:
    daemon.slots.restarted()
    daemon.medic.restarted()
    mashup = daemon.mashups.for_new_generator(daemon.shared.generator)
    config = GeneratorConfig(
        # Another seed each time, or a restart would play the same minutes again.
        slots=[
            SlotConfig(slot.number - 1, slot.id, str(slot.path), slot.seed + SEED_STRIDE * daemon.generator.restarts)
            for slot in daemon.slots
        ],
        max_slots=daemon.config.max_slots,
        sample_rate=daemon.sample_rate,
        channels=daemon.config.audio.channels,
        mashup=mashup,
        mashup_options=daemon.mashups.options_of(mashup),
        ring_fd=daemon.shared.ring_segment.fd,
        ring_frames=daemon.shared.ring_frames,
        values_fd=daemon.shared.parameter_segment.fd,
        cells={p.id: daemon.parameters.index(p.id) for p in daemon.parameters},
        status_fd=daemon.shared.generator_segment.fd,
        precision=daemon.config.engine.precision,
        device=daemon.gpu.device,
        fallback=daemon.config.engine.fallback,
        memory_limit_mb=daemon.gpu.memory_limit_mb,
        level_voices=daemon.config.engine.level_voices,
        fade=daemon.config.loading.fade,
        listen=daemon.config.health.enabled,
        plugin_files=daemon.plugins.files,
        log_folder=str(new_log()) if daemon.config.replay.enabled else "",
        log_limit_mb=daemon.config.replay.limit_mb,
        transport_fd=daemon.shared.transport_segment.fd,
    )
    return Child.spawn(GENERATOR, config.to_json(), config.fds)
