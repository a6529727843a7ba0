"""Who takes the player's blocks: the device's process where there is a device, else the clock. Player, main thread.

The clock hands over only to a process whose device already takes sound, and takes over at once when it stops doing
so: generation, recordings and streams never notice. A device that has gone is looked for without end, and no other
takes its place: once one has been opened it is held to by its name, whatever number or part of a name was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ambientd.audio.device import DEFAULT, NULL, Clock
from ambientd.audio.device_process import MODULE, DeviceConfig
from ambientd.audio.handover import Handover
from ambientd.ipc.child import Child, Message

if TYPE_CHECKING:
    from ambientd.audio.player import PlayerConfig

STALL_SECONDS = 0.8
"""Patience with a device that takes nothing. Less than the supervisor has with the player, or it would end that."""
LOOK_SECONDS = 6.0
"""Patience with a process that neither opens the device nor says that it is not there, as on a hung sound server.
Once the server goes on, such a process does too, so this is not on the way of a return."""
FIRST_BACK_OFF, MOST_BACK_OFF = 0.25, 1.0
HEALTHY_SECONDS = 3.0
"""A device that played so long did not fail at its start: the next look for it is quick again."""
RETURN_FADE = 2.0
"""Seconds in which the sound comes back to a device that was away: nobody in the room expects it."""

_ENDED = "The sound system ends whoever opens it. Does it run?"
_HANGS = "The audio device does not answer. Is the sound server hanging?"
_STALLS = "The audio device takes no sound any more. Is it still connected?"


class Pacing:
    """Call `turn` often. tell: the event "output" whenever who paces changes."""

    def __init__(self, config: PlayerConfig, handover: Handover, tell: Callable[[Message], None]) -> None:
        self._device, self._handover, self._tell = config.device, handover, tell
        self._rate = config.device_rate
        self._clock = Clock(config.device_rate, config.block, config.channels)
        self._settings = DeviceConfig(
            config.device,
            handover.fds,
            config.device_rate,
            config.block,
            config.channels,
            config.latency,
            config.control_fd,
            config.held,
        )
        self._child: Child | None = None
        self._playing = False
        self._notice = ""
        self._due = self._heard = self._born = 0.0
        self._frames = -1
        self._back_off = FIRST_BACK_OFF
        self._first = True
        if self._device == NULL:
            self._to_clock(None)

    def turn(self) -> None:
        """Notice what has happened, and do what is due."""
        now = time.monotonic()
        if self._device == NULL:
            return
        if self._child is None and now >= self._due:
            self._child = Child.spawn(MODULE, vars(self._settings), self._settings.fds)
            self._born = self._heard = now
        if self._child is None:
            return
        for event in self._child.poll():
            self._heard = now
            self._heed(event)
        if self._child.returncode == 0 and not self._playing:  # it has looked long enough: the next one goes on
            self._child.close()
            self._child = None
            return
        fault = self._fault(now)
        if fault:
            self._lose(fault, now)

    def close(self) -> None:
        """End the device's process."""
        if self._child:
            self._child.close()

    def _heed(self, event: Message) -> None:
        assert self._child is not None
        if event["event"] == "open":
            self._clock.stop()
            self._child.send({"command": "go", "fade": 0.0 if self._first else RETURN_FADE})
            self._playing, self._first, self._notice = True, False, ""
            self._born = self._heard = time.monotonic()
            if self._device != DEFAULT:
                self._settings = replace(self._settings, held=event["output"])
            self._say({k: v for k, v in event.items() if k != "event"} | {"waiting_for": None, "notice": None})
        elif not self._playing:
            self._to_clock(f"{event['what']}. {event['remedy']}")
        else:
            self._notice = f"{event['what']}. {event['remedy']}"

    def _fault(self, now: float) -> str:
        assert self._child is not None
        if not self._child.alive:
            return self._notice or _ENDED
        if not self._playing:
            return _HANGS if now - self._heard > LOOK_SECONDS else ""
        if self._handover.frames != self._frames:
            self._frames, self._heard = self._handover.frames, now
        if now - self._born > HEALTHY_SECONDS:
            self._back_off = FIRST_BACK_OFF
        return _STALLS if now - self._heard > STALL_SECONDS else ""

    def _lose(self, fault: str, now: float) -> None:
        assert self._child is not None
        self._child.close()  # it is gone before the clock takes a block: there is one taker at a time
        self._child = None
        self._due = now + self._back_off
        self._back_off = min(2 * self._back_off, MOST_BACK_OFF)
        was_playing, self._playing = self._playing, False
        self._to_clock(fault, again=was_playing)

    def _to_clock(self, notice: str | None, again: bool = False) -> None:
        """again: it was the device's turn before."""
        self._clock.start(self._handover)
        waiting_for = None if self._device == NULL else self._settings.held or self._device
        if self._first or again:
            self._first = False
            self._say({"output": NULL, "device_rate": 0, "latency": 0.0, "waiting_for": waiting_for, "notice": notice})

    def _say(self, where: Message) -> None:
        self._tell(where | {"held": self._settings.held})
