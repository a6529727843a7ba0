"""The MIDI process: `python -m ambientd.midi.process`, spawned by the supervisor and by `ambientd midi`.

Only rtmidi lives here, because a MIDI server that dies can take down who talks to it. JSON lines:
down, first {"api": "auto"}, then
    {"cmd": "open", "patterns": ["MIDI Mix"]}               which ports to keep open, from now on
    {"cmd": "send", "port": "MIDI Mix", "messages": [[176, 19, 64]]}
up
    {"event": "started", "server": true}                    with false: no MIDI server here, it is waited for
    {"event": "ports", "inputs": [...], "outputs": [...], "open": [...], "lit": [...]}
                                                            there, and of these the inputs and outputs that are open
    {"event": "heard", "port": "MIDI Mix", "at": 12.34, "data": [176, 19, 64]}     at: seconds, monotonic
    {"event": "alive", "count": 7}                          the server passes messages on
"""

from __future__ import annotations

import time

from ambientd.ipc.child import Message, ParentLink, child_main
from ambientd.midi.ports import Ports, open_ports

MODULE = "ambientd.midi.process"
FETCH_SECONDS = 0.004
LOOK_SECONDS = 0.1
"""A device that comes back takes longer than that to be there again, so no return goes unnoticed."""
ALIVE_SECONDS = 0.5
TRIES_QUICKLY = 60
WAIT_SECONDS, WAIT_LONGER_SECONDS = 1.0, 5.0
"""Between tries to find a server. Each costs JACK's library some memory, so not for ever every second."""


class Process:
    """The main loop: obey, fetch, look."""

    def __init__(self, link: ParentLink) -> None:
        self._link = link
        self._ports: Ports | None = None
        self._patterns: list[str] = []
        self._count = 0
        self._look_at = self._alive_at = 0.0

    def run(self) -> int:
        self._ports = open_ports(self._link.config["api"])
        self._link.send({"event": "started", "server": self._ports is not None})
        if self._ports is None:
            self._wait_for_a_server()
        self._tell_ports()
        while True:
            for command in self._link.poll(FETCH_SECONDS if self._ports and self._ports.inputs else LOOK_SECONDS):
                self._obey(command)
            self._turn(time.monotonic())

    def _turn(self, now: float) -> None:
        assert self._ports
        for name, age, data in self._ports.hear():
            self._link.send({"event": "heard", "port": name, "at": now - age, "data": data})
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            if self._ports.look(now):
                self._tell_ports()
        self._alive(now, self._ports.beats)

    def _wait_for_a_server(self) -> None:
        tries = 0
        while self._ports is None:
            pause = WAIT_SECONDS if tries < TRIES_QUICKLY else WAIT_LONGER_SECONDS
            until = time.monotonic() + pause
            while (now := time.monotonic()) < until:
                for command in self._link.poll(min(ALIVE_SECONDS, until - now)):
                    self._obey(command)
                self._alive(time.monotonic(), self._count + 1)
            tries += 1
            self._ports = open_ports(self._link.config["api"])
        self._ports.patterns = self._patterns
        self._link.send({"event": "started", "server": True})

    def _obey(self, command: Message) -> None:
        if command["cmd"] == "open":
            self._patterns = command["patterns"]
            self._look_at = 0.0
            if self._ports:
                self._ports.patterns = self._patterns
        elif command["cmd"] == "send" and self._ports:
            self._ports.send(command["port"], command["messages"])

    def _tell_ports(self) -> None:
        assert self._ports
        names = {"inputs": self._ports.names("in"), "outputs": self._ports.names("out")}
        opened = {"open": [name for name, _ in self._ports.inputs], "lit": [name for name, _ in self._ports.outputs]}
        self._link.send({"event": "ports", **names, **opened})

    def _alive(self, now: float, count: int) -> None:
        if now >= self._alive_at:
            self._alive_at = now + ALIVE_SECONDS
            self._count = count
            self._link.send({"event": "alive", "count": count})


def run(link: ParentLink) -> int:
    return Process(link).run()


if __name__ == "__main__":
    child_main(run)
