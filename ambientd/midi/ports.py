"""Real MIDI ports: found by name, opened when they come, closed when they go. The MIDI process's main thread.

rtmidi never says that a port vanished, and a handle stays dead when its port returns; so names are looked at many
times a second and each return gets a fresh handle. A server that died goes on listing its ports: only a message
sent to ourselves through it tells whether it lives.

Messages are fetched rather than received in a callback: JACK's callback is its real-time thread, where waiting
for Python's lock would cost everybody's audio.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ambientd.errors import AmbientdError
from ambientd.midi.mapping import port_matcher

CLIENT = "ambientd"
HEARTBEAT = "heartbeat"
BEAT_SECONDS = 0.25
LOST_SECONDS = 1.0
"""Without a heartbeat for so long, the server is dead."""

Key = tuple[str, int]
"""A port's name, and which of those with the same name it is."""


class ServerLost(AmbientdError):
    """The MIDI server died. Handles to it may crash whoever closes them, so the process ends as it is."""

    exit_code = 21


class Ports:
    """Every input and output whose name fits one of `patterns`. Raises ServerLost from `look`."""

    def __init__(self, api: int, timing: bool = True) -> None:
        """api: one of rtmidi's. timing: hear MIDI clocks, too. Raises rtmidi.SystemError where there is no server."""
        import rtmidi

        self._api, self._timing = api, timing
        self.patterns: list[str] = []
        self.inputs: dict[Key, Any] = {}
        self.outputs: dict[Key, Any] = {}
        self._finder_in = rtmidi.MidiIn(api, name=f"{CLIENT}-in")
        self._finder_out = rtmidi.MidiOut(api, name=f"{CLIENT}-out")
        self._heart = Heart(api)

    def look(self, now: float) -> bool:
        """Open what has come and close what has gone; True when anything changed."""
        self._heart.beat(now)
        changed = self._follow(self.inputs, self.names("in"), self._open_input)
        return self._follow(self.outputs, self.names("out"), self._open_output) or changed

    @property
    def beats(self) -> int:
        """How often a message went round through the server."""
        return self._heart.beats

    def names(self, direction: str) -> list[str]:
        """The ports there are, whether they fit or not, without our own. direction: "in" or "out"."""
        finder = self._finder_in if direction == "in" else self._finder_out
        return [name for name in finder.get_ports() if not _is_ours(name)]

    def hear(self) -> Iterator[tuple[str, float, list[int]]]:
        """What has arrived: (port's name, how long before the latest of the port, in seconds, the message's bytes).

        Messages may have waited together, and those of a clock are worth nothing without their distances.
        """
        for (name, _), port in self.inputs.items():
            waited = []
            while heard := port.get_message():
                waited.append(heard)
            age = sum(since for _, since in waited[1:])
            for number, (data, since) in enumerate(waited):
                age -= since if number else 0.0
                yield name, age, data

    def send(self, pattern: str, messages: Iterable[list[int]]) -> None:
        """To every open output that fits the pattern."""
        fits = port_matcher(pattern)
        for message in messages:
            for (name, _), port in self.outputs.items():
                if fits(name):
                    port.send_message(message)

    def _follow(self, open_ports: dict[Key, Any], names: list[str], opener: Any) -> bool:
        there: dict[Key, int] = {}
        seen: Counter[str] = Counter()
        matchers = [port_matcher(pattern) for pattern in self.patterns]
        for index, name in enumerate(names):
            key = name, seen[name]
            seen[name] += 1
            if any(fits(name) for fits in matchers):
                there[key] = index
        gone, come = open_ports.keys() - there.keys(), there.keys() - open_ports.keys()
        for key in gone:
            open_ports.pop(key).delete()
        for key in come:
            if port := opener(key[0], key[1]):
                open_ports[key] = port
        return bool(gone or come)

    def _open_input(self, name: str, which: int) -> Any:
        import rtmidi

        port = rtmidi.MidiIn(self._api, name=CLIENT)
        port.ignore_types(sysex=True, timing=not self._timing, active_sense=True)
        return _connect(port, name, which)

    def _open_output(self, name: str, which: int) -> Any:
        import rtmidi

        return _connect(rtmidi.MidiOut(self._api, name=CLIENT), name, which)


class Heart:
    """Sends itself a message through the server, over and over."""

    def __init__(self, api: int) -> None:
        import rtmidi

        self.beats = 0
        self._sent = self._returned = 0.0
        client = f"{CLIENT}-{HEARTBEAT}-{os.getpid()}"
        self._out = rtmidi.MidiOut(api, name=client)
        self._out.open_virtual_port(client)
        self._in = rtmidi.MidiIn(api, name=f"{client}-back")
        index = next((i for i, name in enumerate(self._in.get_ports()) if client in name), None)
        if index is None:
            raise ServerLost("the MIDI server does not list a port that was just made")
        self._in.open_port(index, HEARTBEAT)

    def beat(self, now: float) -> None:
        while self._in.get_message():
            self.beats += 1
            self._returned = now
        self._returned = self._returned or now
        if now - self._returned > LOST_SECONDS:
            raise ServerLost("the MIDI server has died", "It is looked for again")
        if now - self._sent >= BEAT_SECONDS:
            self._sent = now
            self._out.send_message([0xB0, 0, 0])


def available_apis(wanted: str) -> list[int]:
    """rtmidi's numbers of the servers to try, in order. wanted: auto, alsa, jack or core."""
    import rtmidi

    known = {"alsa": rtmidi.API_LINUX_ALSA, "core": rtmidi.API_MACOSX_CORE, "jack": rtmidi.API_UNIX_JACK}
    order = [wanted] if wanted != "auto" else ["core"] if sys.platform == "darwin" else ["alsa", "jack"]
    if sys.platform.startswith("linux") and not Path("/dev/snd/seq").exists():
        order = [name for name in order if name != "alsa"]
    return [known[name] for name in order if known[name] in rtmidi.get_compiled_api()]


def open_ports(wanted: str, timing: bool = True) -> Ports | None:
    """The first MIDI server that answers; None where none does."""
    import rtmidi

    for api in available_apis(wanted):
        with _quiet(), contextlib.suppress(rtmidi.SystemError):
            return Ports(api, timing)
    return None


def _connect(port: Any, name: str, which: int) -> Any:
    """Open `port` on the which-th port of that name; None when it has gone meanwhile."""
    import rtmidi

    indices = [index for index, other in enumerate(port.get_ports()) if other == name]
    try:
        port.open_port(indices[which], "port")
    except (IndexError, rtmidi.RtMidiError, ValueError):
        port.delete()
        return None
    return port


def _is_ours(name: str) -> bool:
    # What we open to hear a device is itself a port that others may send to.
    return name.startswith((f"{CLIENT}:", f"{CLIENT}-"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The servers' libraries print a line at every try to reach a server that is not there."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
