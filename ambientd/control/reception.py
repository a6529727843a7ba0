"""What happens to an OSC packet, whichever way it came: weighed, checked, dated, handled. Supervisor, one thread."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from pythonosc.osc_message import OscMessage
from pythonosc.osc_packet import OscPacket

from ambientd.control.feedback import Feedback
from ambientd.control.osc_check import Malformed, check
from ambientd.control.osc_commands import Instrument, commands
from ambientd.control.osc_methods import AddressSpace, Method
from ambientd.control.peer import Peer
from ambientd.control.schedule import Schedule
from ambientd.control.sources import Buckets
from ambientd.errors import AmbientdError

PRICE_OF_GARBAGE = 10.0
"""Tokens for a packet that is not sound: a source of nothing else is soon not listened to."""
LONGEST_FAULT = 200
_OF_A_SLOT = re.compile(r"/ambientd/slot/[^/]{1,20}/(load|unload)")
"""Who asks for these wants to know why not, also of a slot that there is not."""

log = logging.getLogger(__name__)


class Reception:
    """Takes packets from all transports.

    handled, rejected: messages that were honoured, and that could not be. malformed: packets that are not sound OSC.
    dropped: packets of a source that sends too many. last_fault: the latest reason, for people.
    """

    def __init__(self, instrument: Instrument, clock: Callable[[], float]) -> None:
        """clock: seconds, monotonic."""
        self.handled = self.malformed = self.rejected = self.dropped = 0
        self.last_fault = ""
        self.clock = clock
        self.buckets = Buckets()
        self._schedule: Schedule[tuple[list[OscMessage], Peer]] = Schedule()
        subscribe = Method(
            "subscribe",
            "1: be told of changes for 10 s, perhaps only of those that a pattern names; 0: no longer",
            "i",
            lambda arguments, peer: self.feedback.subscribe(arguments, peer),
            range=(0.0, 1.0),
        )
        self.space = AddressSpace(instrument.parameters, [*commands(instrument), subscribe])
        self.feedback = Feedback(self.space, instrument.info, clock)
        self._parameters = instrument.parameters
        self._parameters.listen(self.feedback.changed)

    def close(self) -> None:
        """Hear no more of the parameters."""
        self._parameters.forget(self.feedback.changed)

    @property
    def waiting(self) -> int:
        """Bundles whose time has not come."""
        return len(self._schedule)

    def patience(self) -> float:
        """Seconds until `turn` has something to do; infinite when only a packet could give it that."""
        now = self.clock()
        return min(self._schedule.patience(now), self.feedback.patience(now))

    def turn(self) -> None:
        """Handle the bundles whose time has come, and tell the surfaces what has changed."""
        now = self.clock()
        for messages, peer in self._schedule.due(now):
            self._handle_all(messages, peer)
        self.feedback.turn(now)

    def receive(self, packet: bytes, peer: Peer) -> bool:
        """Handle a packet, or put it aside until its time; False when it is not sound, or one too many."""
        now = self.clock()
        if not self._pays(peer, 1, now):
            return False
        try:
            weight = check(packet)
            if weight > 1 and not self._pays(peer, weight - 1, now):
                return False
            timed = OscPacket(packet).messages
        except Exception as fault:  # Malformed, or what the parser still trips over: it must not end the daemon
            self.buckets.fine(peer.source, PRICE_OF_GARBAGE, now)
            self.count_malformed(str(fault) if isinstance(fault, Malformed) else repr(fault))
            return False
        wall = time.time()
        for date, group in groupby(timed, key=lambda each: each.time):
            messages = [each.message for each in group]
            if date <= wall:
                self._handle_all(messages, peer)
            else:
                self._put_aside(messages, peer, now + date - wall, now)
        return True

    def count_malformed(self, fault: str) -> None:
        self.malformed += 1
        self._note(f"malformed: {fault}")

    def _pays(self, peer: Peer, tokens: float, now: float) -> bool:
        paid = self.buckets.take(peer.source, tokens, now)
        self.dropped += not paid
        return paid

    def _put_aside(self, messages: list[OscMessage], peer: Peer, due: float, now: float) -> None:
        try:
            self._schedule.add(due, now, (messages, peer))
        except AmbientdError as fault:
            self.rejected += len(messages)
            self._note(f"a bundle: {fault}")

    def _handle_all(self, messages: list[OscMessage], peer: Peer) -> None:
        self.feedback.origin = peer
        try:
            for message in messages:
                self._handle(message.address, message.params, peer)
        finally:
            self.feedback.origin = None

    def _handle(self, address: str, arguments: list[Any], peer: Peer) -> None:
        faults: list[AmbientdError] = []
        methods: list[Method] = []
        try:
            methods = self.space.find(address, arguments)
        except AmbientdError as fault:
            faults.append(fault)
            if _OF_A_SLOT.fullmatch(address):
                peer.tell("error", (address, str(fault)))
        for method in methods:
            try:
                self._act(method, arguments, peer)
            except AmbientdError as fault:
                faults.append(fault)
                if method.says_why_not:
                    peer.tell("error", (method.address, str(fault)))
        if faults and len(faults) >= len(methods):
            self.rejected += 1
            self._note(f"{address}: {faults[0]}")
            return
        self.handled += 1
        if peer.also:
            self.feedback.attach(peer.also)

    def _act(self, method: Method, arguments: list[Any], peer: Peer) -> None:
        answer = method.handle(arguments, peer)
        if answer is not None:
            peer.tell(method.id, answer)
            return
        self.feedback.acted(method, peer)
        knob = method.parameter
        if knob and method.query and not math.isclose(method.query()[0], arguments[0], rel_tol=1e-6, abs_tol=1e-6):
            self.feedback.correct(knob)  # turned too far: let the surface know where it stands now

    def _note(self, fault: str) -> None:
        self.last_fault = fault[:LONGEST_FAULT]
        log.debug("OSC: %s", self.last_fault)
