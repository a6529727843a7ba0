"""Keeps a stream where the configuration put it. A device's process, a thread of its own; light.

PulseAudio (16, and PipeWire in its name) moves a stream that asked for one sink to another when the default changes
or the sink vanishes, and ALSA's way to it has no flag against that. So the stream is brought back at once, and where
there is no back, it falls silent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

LOOK_SECONDS = 1.0
"""Events tell at once; this is for one that came while the last was being looked at."""


def guard_against_moves(lost: Callable[[], None]) -> None:
    """Watch this process's own stream, which must be playing. lost: called when it cannot be brought back.

    Where the device is not PulseAudio's there is nothing to watch: nobody else moves streams.
    """
    try:
        import pulsectl

        pulse = pulsectl.Pulse("ambientd", connect=False)
        pulse.connect(autospawn=False)
        home = _place(pulse)
    except Exception:  # no libpulse, no server, or one that goes: the stream's own end tells
        return
    if home is not None:
        threading.Thread(target=_guard, args=(pulse, home, lost), name="pulse-guard", daemon=True).start()


def _guard(pulse: Any, home: str, lost: Callable[[], None]) -> None:
    import pulsectl

    pulse.event_mask_set("sink_input")

    def stop(event: Any) -> None:
        raise pulsectl.PulseLoopStop

    pulse.event_callback_set(stop)
    try:
        while True:
            if _place(pulse) != home:
                _mute(pulse, True)  # also what the server already holds of it
                if not _bring_back(pulse, home):
                    lost()
                    return
                _mute(pulse, False)
            pulse.event_listen(timeout=LOOK_SECONDS)
    except Exception:  # the server goes, and the stream with it; pulsectl has many words for that
        return


def _place(pulse: Any) -> str | None:
    """The name of the sink that this process plays to; None where it plays to none."""
    names = {sink.index: sink.name for sink in pulse.sink_list()}
    for stream in _own(pulse):
        return str(names.get(stream.sink, ""))
    return None


def _bring_back(pulse: Any, home: str) -> bool:
    for sink in pulse.sink_list():
        if sink.name == home:
            for stream in _own(pulse):
                pulse.sink_input_move(stream.index, sink.index)
            return True
    return False


def _mute(pulse: Any, muted: bool) -> None:
    for stream in _own(pulse):
        pulse.sink_input_mute(stream.index, muted)


def _own(pulse: Any) -> list[Any]:
    pid = str(os.getpid())
    return [stream for stream in pulse.sink_input_list() if stream.proplist.get("application.process.id") == pid]
