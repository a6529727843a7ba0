"""`ambientd midi`: list, controllers, monitor, learn. Command line; here, too, the ports are a process of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ambientd.midi.learn import Learner
    from ambientd.midi.mapping import Addresses, Mapping

as_json = click.option("--json", "as_json", is_flag=True, help="Print for machines.")
use_api = click.option("--api", type=click.Choice(["auto", "alsa", "jack", "core"]), default="auto")
POLL_SECONDS = 0.02
START_SECONDS = 20.0


@click.group()
def midi() -> None:
    """See MIDI ports and messages, and learn which knob moves what."""


@midi.command("list")
@use_api
@as_json
def list_ports(api: str, as_json: bool) -> None:
    """List the MIDI ports, and the controller files that fit them."""
    with _Ports(api, []) as ports:
        event = ports.wait_for("ports")
    rows = [
        {"direction": direction, "port": name, "controllers": _fitting(name)}
        for direction in ("input", "output")
        for name in event[f"{direction}s"]
    ]
    if as_json:
        click.echo(json.dumps(rows))
    for row in rows if not as_json else []:
        click.echo(f"{row['direction']:8}{row['port']}{'   --controller ' if row['controllers'] else ''}"
                   f"{' or '.join(row['controllers'])}")  # fmt: skip
    if not rows and not as_json:
        click.echo("No MIDI port here. Whatever a running `ambientd` waits for may be plugged in at any time.")


@midi.command("controllers")
@as_json
def list_controllers(as_json: bool) -> None:
    """List the controllers that `ambientd run --controller` knows; your own files replace bundled ones."""
    from ambientd.config import read
    from ambientd.midi.mapping import controllers

    rows = []
    for name, path in controllers().items():
        values = read(path)
        rows.append({"name": name, "title": values.get("name", ""), "controls": len(values.get("map", ())),
                     "path": str(path)})  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows))
    for row in rows if not as_json else []:
        click.echo(f"{row['name']:20}{row['title']:34}{row['controls']:4} controls   {row['path']}")


@midi.command()
@click.argument("port", default="*")
@click.option("--count", type=click.IntRange(min=1), help="End after so many messages.")
@use_api
@as_json
def monitor(port: str, count: int | None, api: str, as_json: bool) -> None:
    """Print what arrives, until Ctrl-C. PORT is part of a port's name; by default all are heard."""
    from mido import Message

    heard = 0
    with _Ports(api, [port]) as ports:
        for event in ports.events():
            if event["event"] == "ports":
                click.echo(f"listening to {', '.join(event['open']) or f'nothing; waiting for {port!r}'}", err=True)
            if event["event"] != "heard":
                continue
            text = str(Message.from_bytes(event["data"], event["at"]))
            click.echo(json.dumps(event) if as_json else f"{event['port']}: {text}")
            heard += 1
            if heard == count:
                return


@midi.command()
@click.argument("address")
@click.option("--out", type=click.Path(), help="The file to save to; by default the one that ambientd always reads.")
@click.option("--seconds", default=60.0, show_default=True, help="How long to wait for the control.")
@use_api
@as_json
def learn(address: str, out: str | None, seconds: float, api: str, as_json: bool) -> None:
    """Move a knob, and it moves ADDRESS from then on.

    Turn it there and back a few times: that tells knobs with and without ends apart. A running ambientd takes the
    new mapping over within a second.
    """
    from pathlib import Path

    from ambientd.errors import ConfigError
    from ambientd.midi.learn import Learner
    from ambientd.midi.mapping import describe, learned_path, save_learned

    address, addresses = address.removeprefix("/ambientd/"), _addresses()
    if address not in addresses:
        raise ConfigError(f"nothing answers to {address!r}", addresses.nearest(address))
    path = Path(out) if out else learned_path()
    click.echo(f"Move the control for {address}, there and back ...", err=True)
    mapping = _learn(Learner(address, addresses), api, seconds)
    save_learned(path, mapping, addresses)
    if as_json:
        click.echo(json.dumps({"path": str(path), "mapping": mapping.model_dump(exclude_defaults=True, mode="json")}))
    else:
        click.echo(f"{describe(mapping)} moves {address}. Saved in {path}")


def _learn(learner: Learner, api: str, seconds: float) -> Mapping:
    from mido import Message

    from ambientd.errors import UsageError

    until = time.monotonic() + seconds
    with _Ports(api, ["*"]) as ports:
        for event in ports.events(idle=True):
            if event["event"] == "heard":
                learner.hear(event["port"], Message.from_bytes(event["data"]), event["at"])
            if mapping := learner.result(time.monotonic()):
                return mapping
            if time.monotonic() > until:
                break
    raise UsageError(f"nothing was moved for {seconds:g} s", "See whether `ambientd midi monitor` hears it")


class _Ports:
    """The MIDI process, asked from the command line."""

    def __init__(self, api: str, patterns: list[str]) -> None:
        from ambientd.ipc.child import Child
        from ambientd.midi.process import MODULE

        self._child = Child.spawn(MODULE, {"api": api})
        self._child.send({"cmd": "open", "patterns": patterns})

    def __enter__(self) -> _Ports:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()

    def events(self, idle: bool = False) -> Iterator[dict[str, Any]]:
        """Everything that the process says; idle: now and then an event of no kind, while nothing is said."""
        from ambientd.errors import DeviceError

        while True:
            alive = self._child.alive
            for event in self._child.poll():
                if event == {"event": "started", "server": False}:
                    raise DeviceError("no MIDI server answers", "Plug a controller in, or start JACK")
                if event["event"] == "failed":
                    raise DeviceError(event["what"], event["remedy"])
                yield event
            if not alive:
                raise DeviceError(f"the MIDI process ended ({self._child.returncode})", "Try again")
            if idle:
                yield {"event": ""}
            time.sleep(POLL_SECONDS)

    def wait_for(self, kind: str) -> dict[str, Any]:
        return next(event for event in self.events() if event["event"] == kind)


def _fitting(port: str) -> list[str]:
    """The controllers whose files name this port."""
    from ambientd.config import read
    from ambientd.midi.mapping import controllers, port_matcher

    patterns = {name: read(path).get("port", "*") for name, path in controllers().items()}
    return [name for name, pattern in patterns.items() if pattern != "*" and port_matcher(pattern)(port)]


def _addresses() -> Addresses:
    """What there is to move, as a daemon with the default configuration has it."""
    from ambientd.config import Config
    from ambientd.midi.mapping import Addresses
    from ambientd.parameters import builtin_parameters, mashup_parameters
    from ambientd.plugin_manager import Plugins

    knobs = list(builtin_parameters(Config().max_slots))
    for name, mashup in Plugins.discover().mashups.items():
        knobs += mashup_parameters(name, mashup.parameters)
    return Addresses(knob.id for knob in knobs)
