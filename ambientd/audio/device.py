"""Where the sound goes: a PortAudio device, or a clock that only keeps the time. Player process.

Both take blocks from a `Handover`, which the processing thread keeps one block ahead, and call
nothing else: the device's callback copies and counts. PortAudio is imported on first use.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ambientd.errors import DeviceError

if TYPE_CHECKING:
    from ambientd.arrays import Floats

NULL = "null"
DEFAULT = "default"
DEPTH = 2
"""Blocks between processing and callback: one being played, one ahead."""


class Handover:
    """Preallocated blocks on their way from the processing thread to the output."""

    def __init__(self, block: int, channels: int) -> None:
        self._free: queue.SimpleQueue[Floats] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Floats] = queue.SimpleQueue()
        for _ in range(DEPTH):
            self._free.put(np.zeros((block, channels), np.float32))
        self.frames = 0
        """Frames delivered."""
        self.late = 0
        """Blocks that were not ready in time: silence was delivered instead."""

    def put(self, audio: Floats) -> None:
        """Processing thread: hand over `audio` [block, channels], copied; waits until there is room."""
        block = self._free.get()
        block[:] = audio
        self._ready.put(block)

    def take_into(self, out: Floats, patience: float) -> None:
        """Output thread: the next block into `out` [block, channels]; waits up to `patience` seconds for it.

        Waiting is right here: PortAudio asks for several blocks in a burst when it fills the device's
        buffer, and that buffer is what there is to wait on.
        """
        try:
            block = self._ready.get(timeout=patience)
        except queue.Empty:
            out[:] = 0.0
            self.late += 1
        else:
            out[:] = block
            self._free.put(block)
        self.frames += len(out)


class Output(Protocol):
    """A running output."""

    name: str
    sample_rate: int
    latency: float
    """Seconds between the callback and the loudspeaker."""
    underflows: int
    """Reported by the device."""

    def start(self, handover: Handover) -> None:
        """Begin to take blocks. The process ends it by ending itself: closing a dead device can hang."""

    @property
    def active(self) -> bool: ...


class NullOutput:
    """A clock: takes blocks at the rate a device would, and drops them."""

    def __init__(self, sample_rate: int, block: int, channels: int) -> None:
        self.name = NULL
        self.sample_rate = sample_rate
        self.latency = 0.0
        self.underflows = 0
        self._out: Floats = np.zeros((block, channels), np.float32)
        self._thread: threading.Thread | None = None

    def start(self, handover: Handover) -> None:
        self._thread = threading.Thread(target=self._tick, args=(handover,), name="null-output", daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _tick(self, handover: Handover) -> None:
        period = len(self._out) / self.sample_rate
        due = time.monotonic()
        while True:
            handover.take_into(self._out, patience=period)
            due += period
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -1.0:  # after a suspended machine: no hurry to make up for it
                due = time.monotonic()


class DeviceOutput:
    """A PortAudio output stream.

    device: a name or a unique part of one, an index, or "default". sample_rate: asked for; where the
    device refuses, its own default rate is taken (see the attribute). Raises DeviceError.
    """

    def __init__(self, device: str, sample_rate: int, block: int, channels: int, latency: float) -> None:
        sd = _sounddevice()
        info = find_device(device)
        if info.channels < channels:
            raise DeviceError(
                f"The audio device '{info.name}' has {info.channels} output channel(s), {channels} are asked for",
                "Set audio.channels to what it has, or choose another one from `ambientd devices`.",
            )
        self.name = info.name
        self.sample_rate = _accepted_rate(info, sample_rate, channels)
        self.underflows = 0
        self._handover: Handover | None = None
        try:
            self._stream: Any = sd.OutputStream(
                samplerate=self.sample_rate,
                blocksize=block,
                device=info.index,
                channels=channels,
                dtype="float32",
                latency=latency,
                callback=self._callback,
            )
        except sd.PortAudioError as error:
            raise DeviceError(
                f"The audio device '{info.name}' cannot be opened: {error}",
                "Is another program holding it? `ambientd devices` lists the others.",
            ) from error
        self.latency = float(self._stream.latency)
        # The device's buffer allows a wait of this long; PortAudio's own margin is left untouched.
        self._patience = max(self.latency / 2, block / self.sample_rate)

    def start(self, handover: Handover) -> None:
        self._handover = handover
        self._stream.start()

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def _callback(self, out: Floats, frames: int, when: object, status: Any) -> None:
        if status.output_underflow:
            self.underflows += 1
        assert self._handover is not None
        self._handover.take_into(out, self._patience)


@dataclass(frozen=True)
class DeviceInfo:
    """An output device as PortAudio lists it."""

    index: int
    name: str
    host: str
    channels: int
    sample_rate: int
    default: bool


def list_devices() -> list[DeviceInfo]:
    """The devices that can play; empty on a machine without any. DeviceError without PortAudio."""
    sd = _sounddevice()
    hosts = sd.query_hostapis()
    default = sd.default.device[1]
    return [
        DeviceInfo(
            index=index,
            name=device["name"],
            host=hosts[device["hostapi"]]["name"],
            channels=device["max_output_channels"],
            sample_rate=int(device["default_samplerate"]),
            default=index == default,
        )
        for index, device in enumerate(sd.query_devices())
        if device["max_output_channels"] > 0
    ]


def find_device(device: str) -> DeviceInfo:
    """The one that `device` means: "default", an index, a name, or a part of one. Raises DeviceError."""
    devices = list_devices()
    if not devices:
        raise DeviceError(
            "There is no audio device on this machine", 'Connect one, or set audio.output = "null" to run without.'
        )
    if device == DEFAULT:
        return next((info for info in devices if info.default), devices[0])
    matches = [info for info in devices if device in (info.name, str(info.index))]
    matches = matches or [info for info in devices if device.lower() in info.name.lower()]
    if len(matches) == 1 or (matches and all(info.name == matches[0].name for info in matches)):
        return matches[0]
    names = ", ".join(f"'{info.name}'" for info in matches or devices)
    if matches:
        raise DeviceError(f"More than one audio device matches '{device}'", f"Say which: {names}.")
    raise DeviceError(f"There is no audio device '{device}'", f"Set audio.device to one of: {names}.")


def _accepted_rate(info: DeviceInfo, wanted: int, channels: int) -> int:
    sd = _sounddevice()
    try:
        sd.check_output_settings(device=info.index, channels=channels, dtype="float32", samplerate=wanted)
    except sd.PortAudioError:
        return info.sample_rate
    return wanted


def _sounddevice() -> Any:
    try:
        with _quiet_stderr():
            import sounddevice
    except OSError as error:
        raise DeviceError(
            "The PortAudio library is not installed",
            "Install it (Debian, Ubuntu: apt install libportaudio2; macOS: brew install portaudio).",
        ) from error
    except Exception as error:  # PortAudio starts on import; its own error class is not there before
        raise DeviceError(f"PortAudio does not start: {error}", "Is the sound system running?") from error
    return sounddevice


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """ALSA prints a page about every device that is not there, from C, when PortAudio looks around."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
