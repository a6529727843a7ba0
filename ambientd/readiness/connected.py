"""Probes of what is connected: plays silence to the audio device, and looks for the MIDI ports. A probe's process."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ambientd.readiness.finding import Report

PLAY_SECONDS = 0.5
GIVE_UP_SECONDS = 5.0
"""A sound server that has just been started may swallow a buffer and take nothing more for over a second."""


def probe_device(settings: dict[str, Any], report: Report) -> None:
    """settings: device, sample_rate, block, channels, latency."""
    from ambientd.audio.device import DeviceOutput
    from ambientd.audio.handover import Handover

    with report.row("audio device"):
        block, channels = settings["block"], settings["channels"]
        output = DeviceOutput(settings["device"], settings["sample_rate"], block, channels, settings["latency"])
        handover = Handover(block, channels)
        output.start(handover)
        silence = np.zeros((block, channels), np.float32)
        wanted = PLAY_SECONDS * output.sample_rate
        give_up = time.monotonic() + GIVE_UP_SECONDS
        # The parent's patience ends this where the device takes nothing at all.
        while handover.frames < wanted and time.monotonic() < give_up:
            handover.put(silence)
        what = f"{output.name}, {output.sample_rate} Hz, {1000 * output.latency:.0f} ms"
        if handover.frames < wanted:
            report.fail("audio device", f"{what}: it takes sound too slowly", "Is the sound server hanging?")
        elif output.sample_rate != settings["sample_rate"]:
            remedy = f"Set audio.sample_rate = {output.sample_rate}, or leave it: the sound is resampled"
            report.warn("audio device", f"{what}: it refuses {settings['sample_rate']} Hz", remedy)
        else:
            report.ok("audio device", what)
        warn_of_number(settings["device"], f'Set audio.device = "{output.name}"', report)


def warn_of_number(device: str, remedy: str, report: Report) -> None:
    """The daemon holds to what it has opened, but with its next start a number may be another device's."""
    if device.isdecimal():
        report.warn("audio device", f"{device} is a number: devices that come and go change it", remedy)


def probe_midi(settings: dict[str, Any], report: Report) -> None:
    """settings: api, patterns (of ports)."""
    from ambientd.midi.mapping import port_matcher
    from ambientd.midi.ports import open_ports

    with report.row("midi"):
        ports = open_ports(settings["api"])
        if ports is None:
            report.warn(
                "midi", "there is no MIDI server here", "Start JACK, or load the module snd-seq: it is waited for"
            )
            return
        names = ports.names("in")
        missing = [pattern for pattern in settings["patterns"] if not any(map(port_matcher(pattern), names))]
        if missing:
            there = f"There are: {', '.join(names)}. " if names else "There is none. "
            report.warn("midi", f"no port is called {', '.join(missing)}", f"{there}It may be plugged in at any time")
        else:
            report.ok("midi", f"{', '.join(settings['patterns'])}: connected")
