"""The supervisor's side of loudness: tells the player what is wanted, and people what is heard."""

from __future__ import annotations

import math
from typing import Any

from ambientd.audio.controls import PlayerControl
from ambientd.audio.player import PlayerStatus
from ambientd.config import Loudness
from ambientd.ipc.values import Values


def apply(wanted: Loudness, control: Values) -> None:
    """From the next block on; also while music plays."""
    control[PlayerControl.LOUDNESS_TARGET] = wanted.target or 0.0
    control[PlayerControl.LOUDNESS_CEILING] = wanted.ceiling or 0.0


def info(control: Values, status: Values) -> dict[str, Any]:
    """For `ambientd status`: LUFS, dBTP and dB; None where nothing is heard, or nothing wanted."""
    peak = status[PlayerStatus.TRUE_PEAK]
    return {
        "momentary": _shown(status[PlayerStatus.MOMENTARY]),
        "short_term": _shown(status[PlayerStatus.SHORT_TERM]),
        "integrated": _shown(status[PlayerStatus.INTEGRATED]),
        "true_peak": round(20 * math.log10(peak), 2) if peak > 0 else None,
        "gain_db": round(status[PlayerStatus.LOUDNESS_GAIN], 2),
        "target": control[PlayerControl.LOUDNESS_TARGET] or None,
        "ceiling": control[PlayerControl.LOUDNESS_CEILING] or None,
    }


def _shown(loudness: float) -> float | None:
    return round(loudness, 1) if math.isfinite(loudness) and loudness < 0 else None
