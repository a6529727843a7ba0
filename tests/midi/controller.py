"""A controller for the tests, as a process of its own: `python controller.py NAME`, a JACK client with a port each way.

Commands, JSON lines in: [176, 19, 64] is sent; "unplug" and "plug". Lines out: "ready", and every message it is sent.
"""

from __future__ import annotations

import json
import sys
import threading

import rtmidi


class Device:
    def __init__(self, name: str) -> None:
        self._name = name
        self.plug()

    def plug(self) -> None:
        self._out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name=self._name)
        self._out.open_virtual_port("midi")
        self._in = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name=self._name)
        self._in.set_callback(lambda event, _: say(event[0]))
        self._in.open_virtual_port("midi")

    def unplug(self) -> None:
        self._out.delete()
        self._in.delete()

    def send(self, message: list[int]) -> None:
        self._out.send_message(message)


lock = threading.Lock()


def say(what: object) -> None:
    with lock:
        print(json.dumps(what), flush=True)


if __name__ == "__main__":
    device = Device(sys.argv[1])
    say("ready")
    for line in sys.stdin:
        command = json.loads(line)
        if command in ("plug", "unplug"):
            getattr(device, command)()
            say(command)
        else:
            device.send(command)
