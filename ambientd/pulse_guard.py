"""Keeps a stream where the configuration put it. A device's process, a thread of its own; light.

PulseAudio (16, and PipeWire in its name) moves a stream that asked for one sink to another when the default changes
or the sink vanishes, and ALSA's way to it has no flag against that. A stream that prefers a sink stays with it when the
default changes, and module-stream-restore, which every desktop has loaded, can be told what a stream prefers; it knows
a stream by its name. Where it is moved all the same it is brought back at once, and where there is no back, or the
server refuses, it falls silent and is given up.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

_NAME = "module-stream-restore.id"
LOOK_SECONDS = 1.0
"""Events tell at once; this is for one that came while the last was being looked at."""


def name_stream(name: str) -> None:
    """Before this process opens its stream: what PulseAudio knows it by, or it shares what is preferred, its volume
    too, with every other Python program that plays through ALSA. name: without spaces."""
    words = os.environ.get("PULSE_PROP", "")
    os.environ["PULSE_PROP"] = f"{words} {_NAME}='ambientd.{name}' application.name='ambientd'".strip()


def guard_against_moves(lost: Callable[[], None]) -> None:
    """Watch this process's own stream, which must be playing. lost: called by the thread that watches, when the
    stream cannot be brought back; it is muted then.

    Where the device is not PulseAudio's there is nothing to watch: nobody else moves streams.
    """
    try:
        import pulsectl

        pulse = pulsectl.Pulse("ambientd", connect=False)
        pulse.connect(autospawn=False)
        home = _place(pulse)
        if home is not None:
            _prefer(pulse, home)
    except Exception:  # no libpulse, no server, or one that goes: the stream's own end tells
        return
    if home is not None:
        threading.Thread(target=_guard, args=(pulse, home, lost), name="pulse-guard", daemon=True).start()


def _guard(pulse: Any, home: str, lost: Callable[[], None]) -> None:
    # A server that goes, or refuses a move, has many words in pulsectl; the stream may be muted, and is of no more use.
    with contextlib.suppress(Exception):
        _keep_at(home, pulse)
    lost()


def _keep_at(home: str, pulse: Any) -> None:
    """Bring the stream back each time; ends when its home is gone. Raises what pulsectl does."""
    import pulsectl

    pulse.event_mask_set("sink_input")

    def stop(event: Any) -> None:
        raise pulsectl.PulseLoopStop

    pulse.event_callback_set(stop)
    streams, sink = [stream.index for stream in _own(pulse)], _sink(pulse, home)
    while True:
        if any(pulse.sink_input_info(stream).sink != sink for stream in streams):
            _mute(pulse, streams, True)  # also what the server already holds of it
            sink = _sink(pulse, home)
            if sink is None:
                return
            for stream in streams:
                pulse.sink_input_move(stream, sink)
            _mute(pulse, streams, False)
        pulse.event_listen(timeout=LOOK_SECONDS)


def _place(pulse: Any) -> str | None:
    """The name of the sink that this process plays to; None where it plays to none."""
    names = {sink.index: sink.name for sink in pulse.sink_list()}
    for stream in _own(pulse):
        return str(names.get(stream.sink, ""))
    return None


def _prefer(pulse: Any, home: str) -> None:
    """Let the server know where the stream belongs, and forget that it was muted the last time it was moved."""
    import pulsectl

    names = {stream.proplist.get(_NAME) for stream in _own(pulse)}
    with contextlib.suppress(pulsectl.PulseError):  # the module is not loaded
        for name in names:
            if name and name.startswith("ambientd."):
                known = [entry for entry in pulse.stream_restore_list() if entry.name == name]
                entry = known[0] if known else pulsectl.PulseExtStreamRestoreInfo(name, volume=1.0)
                entry.device, entry.mute = home, 0
                pulse.stream_restore_write(entry, mode="replace", apply_immediately=True)


def _sink(pulse: Any, name: str) -> int | None:
    """Its number; None where it is gone."""
    return next((sink.index for sink in pulse.sink_list() if sink.name == name), None)


def _mute(pulse: Any, streams: list[int], muted: bool) -> None:
    for stream in streams:
        pulse.sink_input_mute(stream, muted)


def _own(pulse: Any) -> list[Any]:
    pid = str(os.getpid())
    return [stream for stream in pulse.sink_input_list() if stream.proplist.get("application.process.id") == pid]
