"""A controller for the tests, as a process of its own: `python controller.py NAME GAP`.

A JACK client with a port each way; GAP: seconds between the two, when it is plugged in.

Commands, JSON lines in: [176, 19, 64] is sent; "unplug" and "plug". Lines out: "ready", and every message it is sent.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

import rtmidi

POLL_SECONDS = 0.005


class Device:
    """Polled: a callback would wait for Python's lock while `delete` holds it and waits for the callback's thread."""

    def __init__(self, name: str, gap: float) -> None:
        self._name, self._gap = name, gap
        self.plug()

    def plug(self) -> None:
        self._out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name=self._name)
        self._out.open_virtual_port("midi")
        time.sleep(self._gap)
        self._in = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name=self._name)
        self._in.open_virtual_port("midi")
        self.there = True

    def unplug(self) -> None:
        self.there = False
        self._out.delete()
        self._in.delete()

    def send(self, message: list[int]) -> None:
        self._out.send_message(message)

    def heard(self) -> list[list[int]]:
        found = []
        while self.there and (event := self._in.get_message()):
            found.append(event[0])
        return found


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    device, pending = Device(sys.argv[1], float(sys.argv[2])), b""
    say("ready")
    while True:
        for message in device.heard():
            say(message)
        if not select.select([0], [], [], POLL_SECONDS)[0]:
            continue
        chunk = os.read(0, 65_536)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\n")
        for command in map(json.loads, lines):
            if command in ("plug", "unplug"):
                getattr(device, command)()
                say(command)
            else:
                device.send(command)


if __name__ == "__main__":
    main()
