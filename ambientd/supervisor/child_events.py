"""What the daemon does about what its children say, and about their end. Supervisor."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from ambientd.engine.generator_config import MashupState
from ambientd.ipc.child import Message
from ambientd.supervisor.mashup_record import LiveState
from ambientd.supervisor.supervised import Supervised

if TYPE_CHECKING:
    from ambientd.daemon import Daemon


def process_changed(daemon: Daemon, process: Supervised, fault: str) -> None:
    """Of one of the processes: its state, and why if something was wrong."""
    level = logging.WARNING if fault else logging.INFO
    daemon.log.event(process.role, process.state.value, level, why=fault, restarts=process.restarts, pid=process.pid)


def _write_event(daemon: Daemon, who: str, event: Message) -> None:
    """What a child said, as it said it; a `state` of its own names the event best."""
    kind, failed = event["event"], event["event"] == "failed" or event.get("state") in ("shed", "exhausted")
    facts = {key: value for key, value in event.items() if key not in ("event", "state")}
    state = f"{kind}-{event['state']}" if "state" in event else kind
    daemon.log.event(who, state, logging.WARNING if failed else logging.INFO, **facts)


def player_said(daemon: Daemon, event: Message) -> None:
    """Where the sound goes, and that it began to."""
    _write_event(daemon, "player", event)
    if event["event"] == "failed":
        daemon.print(f"player: {event['what']}. {event['remedy']}")
        return
    if event["event"] == "started":
        daemon.player.ready()
    daemon.output = {k: v for k, v in event.items() if k != "event"}
    if event["notice"]:
        daemon.say(f"{event['notice']} Playing to a clock until the device is there; sinks and OSC work.")
    else:
        daemon.say(f"  output   {event['output']}, {event['device_rate'] or event['sample_rate']} Hz")
    if event["sample_rate"] != daemon.sink_rate:
        daemon.start_sinks(event["sample_rate"])


def generator_said(daemon: Daemon, event: Message) -> None:
    """An event of `engine.generator_config`."""
    kind = event["event"]
    _write_event(daemon, "generator", event)
    daemon.slots.said(event)
    if kind == "ready":
        daemon.generator.ready()
        daemon.shed = []
    elif kind == "failed":
        daemon.print(f"generator: {event['what']}. {event['remedy']}".rstrip(". ") + ".")
    elif kind == "governor":
        daemon.shed = event["shed"]
        if event["state"] == "shed":
            daemon.print(f"too slow for everything, so {event['step']} rests for now")
        elif event["state"] == "restored":
            daemon.print(f"{event['step']} is back")
        elif event["state"] == "exhausted":
            daemon.print("this machine is too slow even for the rest; the bed helps out. Play smaller models")
    elif kind == "device":
        daemon.gpu.said(event)
    elif kind == "health":
        daemon.medic.heard(event)
    elif kind == "notice":
        daemon.print(f"generator: {event['what']}")
    elif kind == "mashup":
        daemon.mashups.heard(event["name"], LiveState(MashupState(event["state"]), event["reason"]))


def generator_lost(daemon: Daemon, returncode: int | None) -> None:
    """It has ended, or had to be; what it said last is still to be read."""
    for event in daemon.generator.events():
        daemon.guard("generator", partial(generator_said, daemon, event))
    daemon.gpu.lost()
    daemon.mashups.generator_lost(returncode, daemon.shared.generator)
