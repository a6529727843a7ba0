"""The OSC server: datagrams in, parameters moved, queries answered. Supervisor, inside its selector loop.

Under `/ambientd`: ping, info, play [seconds], stop [seconds], panic 1|0, mashup/select name,
slot/<n>/reprime (its voice starts over from a piece of its album), slot/<n>/seed number (the same, repeatable),
slot/<n>/load id ["own" | "now"] (a model of the library comes in, primed from its album or from what sounds now),
slot/<n>/unload, preset/... (see `preset_addresses`), midi/learn address (the next MIDI control that is moved moves it
from then on), and every parameter by its id. A parameter takes a position 0..1 of its knob, `<address>/value` its own
unit. Without an argument an address answers (except play, stop, reprime and unload, which act). A message that is
wrong in any way changes nothing and is counted.

What comes of load and unload is told to whoever asked: slot/<n>/loaded id or slot/<n>/unloaded, then
slot/<n>/changed with the longest gap (ms), the level step (dB), the largest jump, and the difference of level before
and after (dB), which is no fault (see `engine.change_watch`); or else error with the address and the reason.

A bundle is handled at once, whatever its time tag: this instrument is played live.
"""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from ambientd.config import Osc
from ambientd.control.osc_check import Malformed, check
from ambientd.control.preset_addresses import Presets, preset_commands
from ambientd.errors import AmbientdError, DaemonError
from ambientd.parameters import ParameterTable, RejectedValue

ROOT = "/ambientd/"
DATAGRAMS_PER_WAKE_UP = 64
"""A flood of messages must leave the supervisor time for its other work."""
LONGEST_FADE = 600.0
_OF_SLOT = re.compile(r"slot/([1-9][0-9]{0,3})/(reprime|seed|load|unload)")
_TOLD = re.compile(r"/ambientd/slot/[^/]+/(load|unload)")
"""Who asks for these wants to know why not."""

log = logging.getLogger(__name__)

Reply = tuple[Any, ...] | None
Tell = Callable[[str, tuple[Any, ...]], None]
"""Answers later: an address below /ambientd/, and its values."""


class Instrument(Protocol):
    """What OSC plays: the daemon, seen from here. Its methods return at once and raise AmbientdError to refuse."""

    @property
    def parameters(self) -> ParameterTable: ...

    @property
    def presets(self) -> Presets: ...

    def info(self) -> Mapping[str, Any]:
        """What JSON can hold; among it `mashup`, the selected one's name, `panic`, whether it is on, and `slots`."""
        ...

    def play(self, fade: float | None) -> None: ...

    def stop(self, fade: float | None) -> None: ...

    def panic(self, on: bool) -> None: ...

    def select_mashup(self, name: str) -> None: ...

    def reprime(self, slot: int, seed: int | None) -> None:
        """slot: numbered from 1."""
        ...

    def load(self, slot: int, id: str, prime: str | None, tell: Tell) -> None:
        """prime: "own", "now", or None for the configured one. tell: how it comes out."""
        ...

    def unload(self, slot: int, tell: Tell) -> None: ...

    def learn_midi(self, address: str) -> None:
        """address: what the next MIDI control that is moved shall move."""
        ...


class OscServer:
    """A non-blocking UDP socket; register `fileno()` for reading and call `handle_ready()`.

    malformed, rejected: datagrams that were not sound OSC, and messages that were but could not be honoured.
    last_fault: the latest reason, for people.
    """

    def __init__(self, config: Osc, instrument: Instrument) -> None:
        """Raises DaemonError when the address cannot be had."""
        self.handled = self.malformed = self.rejected = 0
        self.last_fault = ""
        self._tree = AddressTree(instrument)
        self._reply_port = config.reply_port
        self._socket = _bind(config.host, config.port)

    @property
    def host(self) -> str:
        return str(self._socket.getsockname()[0])

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def info(self) -> dict[str, Any]:
        """Where it listens and what it has counted, for `ambientd status`."""
        counts = {"handled": self.handled, "malformed": self.malformed, "rejected": self.rejected}
        return {"host": self.host, "port": self.port, **counts, "last_fault": self.last_fault}

    def handle_ready(self) -> None:
        """Handle what has arrived, but no more than DATAGRAMS_PER_WAKE_UP."""
        for _ in range(DATAGRAMS_PER_WAKE_UP):
            try:
                datagram, sender = self._socket.recvfrom(65_536)
            except OSError:  # nothing more, or word of an answer that nobody took
                return
            self._handle(datagram, sender)

    def _handle(self, datagram: bytes, sender: tuple[Any, ...]) -> None:
        try:
            check(datagram)
            messages = [timed.message for timed in OscPacket(datagram).messages]
        except Malformed as fault:
            self.malformed += 1
            self._note(f"malformed datagram: {fault}")
            return
        except Exception as fault:  # a sound datagram that the parser still trips over must not end the daemon
            self.malformed += 1
            self._note(f"unreadable datagram: {fault!r}")
            return

        def tell(address: str, values: tuple[Any, ...]) -> None:
            self._answer(ROOT + address, values, sender)

        for message in messages:
            try:
                reply = self._tree.handle(message.address, message.params, tell)
            except AmbientdError as fault:
                self.rejected += 1
                self._note(f"{message.address}: {fault}")
                if _TOLD.fullmatch(message.address):
                    tell("error", (message.address, str(fault)))
                continue
            self.handled += 1
            if reply is not None:
                self._answer(message.address, reply, sender)

    def _answer(self, address: str, values: tuple[Any, ...], sender: tuple[Any, ...]) -> None:
        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        datagram = builder.build().dgram
        targets = [sender]
        if self._reply_port not in (None, sender[1]):
            targets.append((sender[0], self._reply_port, *sender[2:]))
        for target in targets:
            try:
                self._socket.sendto(datagram, target)
            except OSError as error:
                log.debug("OSC answer to %s: %s", target, error)

    def _note(self, fault: str) -> None:
        self.last_fault = fault
        log.debug("OSC: %s", fault)


class AddressTree:
    """The address tree. `handle` returns what to answer, None where nothing is to be said."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._commands = {
            "ping": self._ping,
            "info": self._info,
            "play": self._play,
            "stop": self._stop,
            "panic": self._panic,
            "mashup/select": self._select,
            **preset_commands(instrument),
            "midi/learn": self._learn,
        }

    def handle(self, address: str, arguments: list[Any], tell: Tell = lambda *_: None) -> Reply:
        """Raises AmbientdError, with nothing changed, when the message cannot be honoured. tell: for later answers."""
        if not address.startswith(ROOT):
            raise RejectedValue(f"addresses begin with {ROOT}")
        id = address.removeprefix(ROOT)
        if command := self._commands.get(id):
            return command(arguments)
        if found := _OF_SLOT.fullmatch(id):
            return self._slot(int(found[1]), found[2], arguments, tell)
        return self._parameter(id, arguments)

    def _parameter(self, id: str, arguments: list[Any]) -> Reply:
        table = self._instrument.parameters
        in_own_unit = id not in table and id.endswith("/value")
        id = id.removesuffix("/value") if in_own_unit else id
        if not arguments:
            return (table.get(id) if in_own_unit else table.get_normalised(id),)
        setter = table.set_value if in_own_unit else table.set_normalised
        setter(id, _number(arguments))
        return None

    def _ping(self, arguments: list[Any]) -> Reply:
        _none(arguments)
        return ("pong",)

    def _info(self, arguments: list[Any]) -> Reply:
        _none(arguments)
        return (json.dumps(self._instrument.info()),)

    def _play(self, arguments: list[Any]) -> Reply:
        self._instrument.play(_fade(arguments))
        return None

    def _stop(self, arguments: list[Any]) -> Reply:
        self._instrument.stop(_fade(arguments))
        return None

    def _panic(self, arguments: list[Any]) -> Reply:
        if not arguments:
            return (int(self._instrument.info()["panic"]),)
        self._instrument.panic(_number(arguments, truth=True) > 0)
        return None

    def _select(self, arguments: list[Any]) -> Reply:
        if not arguments:
            return (self._instrument.info()["mashup"],)
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise RejectedValue(f"one name is wanted, not {arguments!r}")
        self._instrument.select_mashup(arguments[0])
        return None

    def _slot(self, slot: int, command: str, arguments: list[Any], tell: Tell) -> Reply:
        match command:
            case "reprime":
                return self._reprime(slot, arguments)
            case "seed":
                return self._seed(slot, arguments)
            case "load":
                return self._load(slot, arguments, tell)
            case _:
                return self._unload(slot, arguments, tell)

    def _load(self, slot: int, arguments: list[Any], tell: Tell) -> Reply:
        if not arguments:
            return (next((s["id"] for s in self._instrument.info()["slots"] if s["slot"] == slot), ""),)
        if len(arguments) > 2 or not all(isinstance(argument, str) for argument in arguments):
            raise RejectedValue(f"a model's id is wanted, and perhaps own or now, not {arguments!r}")
        self._instrument.load(slot, arguments[0], arguments[1] if len(arguments) > 1 else None, tell)
        return None

    def _unload(self, slot: int, arguments: list[Any], tell: Tell) -> Reply:
        if not arguments or _number(arguments, truth=True) > 0:
            self._instrument.unload(slot, tell)
        return None

    def _learn(self, arguments: list[Any]) -> Reply:
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise RejectedValue(f"one address is wanted, not {arguments!r}")
        self._instrument.learn_midi(arguments[0])
        return None

    def _reprime(self, slot: int, arguments: list[Any]) -> Reply:
        # A button of a control surface sends 1 when it is pressed and 0 when it is let go.
        if not arguments or _number(arguments, truth=True) > 0:
            self._instrument.reprime(slot, None)
        return None

    def _seed(self, slot: int, arguments: list[Any]) -> Reply:
        if not arguments:
            seeds = [s["seed"] for s in self._instrument.info()["slots"] if s["slot"] == slot]
            if not seeds:
                raise RejectedValue(f"slot {slot} is empty")
            return (seeds[0],)
        number = _number(arguments)
        if not number.is_integer() or number < 0:
            raise RejectedValue(f"a seed is a whole number from 0 on, not {arguments[0]!r}")
        self._instrument.reprime(slot, int(arguments[0]))
        return None


def _none(arguments: list[Any]) -> None:
    if arguments:
        raise RejectedValue(f"no argument is wanted, not {arguments!r}")


def _number(arguments: list[Any], truth: bool = False) -> float:
    """The one number in `arguments`; truth: True and False will do, too."""
    if len(arguments) == 1 and isinstance(arguments[0], int | float) and (truth or not isinstance(arguments[0], bool)):
        return float(arguments[0])
    raise RejectedValue(f"one number is wanted, not {arguments!r}")


def _fade(arguments: list[Any]) -> float | None:
    if not arguments:
        return None
    seconds = _number(arguments)
    if not 0 <= seconds <= LONGEST_FADE:
        raise RejectedValue(f"a fade takes 0 to {LONGEST_FADE:g} s, not {seconds:g}")
    return seconds


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        server = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise DaemonError(f"osc.host {host!r} is no address ({error})", "Use 127.0.0.1") from None
    try:
        server.setblocking(False)
        server.bind(address)
    except OSError as error:
        server.close()
        what = f"OSC cannot listen on {host}:{port} ({error.strerror})"
        raise DaemonError(what, "Is another ambientd running? Else choose another osc.port") from None
    return server
