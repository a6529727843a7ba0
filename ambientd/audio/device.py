"""Where the sound goes: a PortAudio device (the device's process), or a clock that only keeps the time (player).

Both take blocks from a `Handover`, which the processing thread keeps one block ahead, and call
nothing else: the device's callback copies and counts. PortAudio is imported on first use.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ambientd.audio.handover import Blocks
from ambientd.errors import DeviceError

if TYPE_CHECKING:
    from ambientd.arrays import Floats

NULL = "null"
DEFAULT = "default"
CLOCK_SPEED = "AMBIENTD_SOAK_CLOCK_SPEED"
"""Of the environment: how many times as fast as music the clock runs. Only `ambientd soak` sets it, for whom days of
music would else take days; the configuration has no such key."""


class Clock:
    """Takes blocks at the rate a device would, and drops them. Player: its own thread, between `start` and `stop`."""

    def __init__(self, sample_rate: int, block: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._out: Floats = np.zeros((block, channels), np.float32)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, blocks: Blocks) -> None:
        """Begin to take blocks; nothing where it runs already."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._tick, args=(blocks,), name="clock", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Not one block more is taken after this."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _tick(self, blocks: Blocks) -> None:
        period = len(self._out) / self._sample_rate / float(os.environ.get(CLOCK_SPEED, 1))
        due = time.monotonic()
        while not self._stopping.is_set():
            blocks.take_into(self._out, patience=period)
            due += period
            wait = due - time.monotonic()
            if wait > 0:
                self._stopping.wait(wait)
            elif wait < -1.0:  # after a suspended machine: no hurry to make up for it
                due = time.monotonic()


class DeviceOutput:
    """A PortAudio output stream.

    device, held: see `find_device`. sample_rate: asked for; where the device refuses, its own default rate is taken
    (see the attribute). Raises DeviceError.
    """

    def __init__(
        self, device: str, sample_rate: int, block: int, channels: int, latency: float, held: str = ""
    ) -> None:
        sd = _sounddevice()
        info = find_device(device, held)
        if info.channels < channels:
            raise DeviceError(
                f"The audio device '{info.name}' has {info.channels} output channel(s), {channels} are asked for",
                "Set audio.channels to what it has, or choose another one from `ambientd devices`.",
            )
        self.name = info.name
        self.sample_rate = _accepted_rate(info, sample_rate, channels)
        self.underflows = 0
        """Reported by the device."""
        self._blocks: Blocks | None = None
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
        """Seconds between the callback and the loudspeaker."""
        # The device's buffer allows a wait of this long; PortAudio's own margin is left untouched.
        self._patience = max(self.latency / 2, block / self.sample_rate)

    def start(self, blocks: Blocks) -> None:
        """Begin to take blocks. Raises DeviceError. Whoever closes a dead device may hang."""
        self._blocks = blocks
        try:
            self._stream.start()
        except _sounddevice().PortAudioError as error:
            raise DeviceError(
                f"The audio device '{self.name}' does not start: {error}", "Is it still connected?"
            ) from error

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def close(self) -> None:
        """Give a device back that works."""
        self._stream.close()

    def _callback(self, out: Floats, frames: int, when: object, status: Any) -> None:
        if status.output_underflow:
            self.underflows += 1
        assert self._blocks is not None
        self._blocks.take_into(out, self._patience)


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


def find_device(device: str, held: str = "") -> DeviceInfo:
    """The one that `device` means: "default", an index, a name, or a part of one. Raises DeviceError.

    held: the name of the one that it meant before; then no other will do, for devices that come and go move the numbers
    and leave parts of names to others.
    """
    devices = list_devices()
    if not devices:
        raise DeviceError(
            "There is no audio device on this machine", 'Connect one, or set audio.output = "null" to run without.'
        )
    if device == DEFAULT:
        return next((info for info in devices if info.default), devices[0])
    matches = _called(held, devices) if held else _meant(device, devices)
    if matches and all(info.name == matches[0].name for info in matches):
        return next((info for info in matches if str(info.index) == device), matches[0])
    names = ", ".join(f"'{info.name}'" for info in matches or devices)
    if matches:
        raise DeviceError(f"More than one audio device matches '{held or device}'", f"Say which: {names}.")
    raise DeviceError(f"There is no audio device '{held or device}'", f"Set audio.device to one of: {names}.")


def _meant(device: str, devices: list[DeviceInfo]) -> list[DeviceInfo]:
    """By index, by name, else by a part of the name."""
    matches = [info for info in devices if str(info.index) == device] or _called(device, devices)
    return matches or [info for info in devices if device.lower() in info.name.lower()]


def _called(name: str, devices: list[DeviceInfo]) -> list[DeviceInfo]:
    """By the whole name; else by the name but for ALSA's number of the card, "(hw:1,0)", which plugging in changes."""
    exactly = [info for info in devices if info.name == name]
    return exactly or [info for info in devices if _without_card(info.name) == _without_card(name)]


def _without_card(name: str) -> str:
    return re.sub(r"\(hw:\d+,", "(hw:", name)


def look_again() -> None:
    """Let PortAudio see the devices that have come and gone since it first looked; all streams must be closed.

    Its list is made when it starts, and sounddevice offers no other way to start it anew. Raises DeviceError.
    """
    sd = _sounddevice()
    sd._terminate()
    try:
        with _quiet_stderr():
            sd._initialize()
    except sd.PortAudioError as error:
        raise DeviceError(f"PortAudio does not start: {error}", "Is the sound system running?") from error


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
