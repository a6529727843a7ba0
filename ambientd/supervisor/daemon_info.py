"""What a running daemon says of itself, to OSC and to `ambientd status`. Supervisor."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ambientd import __version__
from ambientd.audio.controls import PlayerControl
from ambientd.audio.player import PlayerStatus
from ambientd.engine.generator_config import GeneratorStatus
from ambientd.supervisor import loudness_desk
from ambientd.supervisor.slots import LoadedSlot
from ambientd.supervisor.supervised import Supervised

if TYPE_CHECKING:
    from ambientd.daemon import Daemon


def info(daemon: Daemon) -> dict[str, Any]:
    """Everything about the running daemon, JSON-serialisable; also what most of `ambientd status` shows."""
    status, made = daemon.shared.player, daemon.shared.generator
    return {
        "version": __version__,
        "uptime_seconds": round(time.monotonic() - daemon.started, 1),
        "processes": [
            {"role": "supervisor", "pid": os.getpid(), "state": "running", "restarts": 0, "faults": []},
            *(_process(role) for role in daemon.roles),
        ],
        "slots": [_slot(slot) | {"health": daemon.medic.info(slot.number)} for slot in daemon.slots],
        "loading": daemon.slots.loading,
        "refused": list(daemon.slots.refused),
        "mashup": daemon.mashups.selected,
        "plugins": daemon.mashups.rows(),
        "preset": daemon.presets.info(),
        "day_parts": daemon.day_parts.info() if daemon.day_parts else None,
        "playing": daemon.shared.control[PlayerControl.PLAYING] > 0,
        "panic": daemon.shared.control[PlayerControl.PANIC] > 0,
        "volume": round(daemon.shared.control[PlayerControl.VOLUME], 4),
        "output": daemon.output,
        "sample_rate": daemon.sample_rate,
        "device": daemon.gpu.playing or "cpu",
        "margin": round(made[GeneratorStatus.MARGIN], 3),
        "governor": {"level": len(daemon.shed), "shed": daemon.shed},
        "memory_bytes": int(made[GeneratorStatus.MEMORY_BYTES]),
        "ring_seconds": round((daemon.shared.ring.written - daemon.shared.ring.read) / daemon.sample_rate, 3),
        "restarts": sum(role.restarts for role in daemon.roles),
        "faults": list(daemon.log.faults),
        "log": daemon.log.info(),
        "underruns": int(daemon.shared.counted(PlayerStatus.RING_UNDERRUNS)),
        "device_underflows": int(daemon.shared.counted(PlayerStatus.UNDERFLOWS)),
        "late_blocks": int(daemon.shared.counted(PlayerStatus.LATE)),
        "bed_seconds": round(daemon.shared.counted(PlayerStatus.BED_SECONDS), 2),
        "rms": round(status[PlayerStatus.RMS], 5),
        "loudness": loudness_desk.info(daemon.shared.control, status),
        "osc": osc.info() if (osc := daemon.osc_room.server) else None,
        "midi": daemon.midi.info(),
        "sinks": [{"name": s.name, "state": s.state, "lost_frames": s.lost} for s in daemon.sinks],
    }


def _process(supervised: Supervised) -> dict[str, Any]:
    return {
        "role": supervised.role,
        "pid": supervised.pid,
        "state": supervised.state.value,
        "restarts": supervised.restarts,
        "faults": list(supervised.faults),
    }


def _slot(slot: LoadedSlot) -> dict[str, Any]:
    return {
        "slot": slot.number,
        "id": slot.id,
        "title": slot.card.album.title,
        "seed": slot.seed,
        "state": slot.state,
        "temperature_range": list(slot.card.temperature_range or (slot.card.temperature,) * 2),
        **slot.change,
    }
