"""OSC in the supervisor: the server that there is, or another attempt at one. In its selector loop."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from ambientd.config import Osc
from ambientd.control.osc import OscServer
from ambientd.control.osc_commands import Instrument
from ambientd.errors import DaemonError

RETRY_SECONDS = 5.0


class OscRoom:
    """Call `turn` often, and at the latest after `patience()` seconds. server: None where there is none."""

    def __init__(
        self, config: Osc, instrument: Instrument, selector: selectors.BaseSelector, say: Callable[[str], None],
        lenient: bool,
    ) -> None:  # fmt: skip
        """lenient: an address that cannot be had is tried for again, in place of a DaemonError: it may come with the
        network, or be given back.
        """
        self._config, self._instrument, self._selector, self._say = config, instrument, selector, say
        self.server: OscServer | None = None
        self._started = False
        self._retry_at = 0.0
        try:
            self._make(config)
        except DaemonError as error:
            if not lenient:
                raise
            say(f"osc: {error}; until then it plays without, and tries again every {RETRY_SECONDS:g} s")

    def start(self) -> None:
        """Be heard, and tell the network."""
        self._started = True
        if self.server:
            self._selector.register(self.server, selectors.EVENT_READ, self.server.handle_ready)
            self.server.advertise()

    def turn(self) -> None:
        """What is due."""
        if self.server:
            self.server.turn()
        elif self._config.enabled and time.monotonic() >= self._retry_at:
            self._try_again()

    def patience(self) -> float:
        """Seconds."""
        return self.server.patience() if self.server else RETRY_SECONDS

    def change(self, config: Osc) -> None:
        """Another server in place of the present one. Raises DaemonError, with none left, for a port that is taken."""
        self.close()
        self._config = config
        self._make(config)

    def close(self) -> None:
        """No server any more."""
        if self.server:
            if self._started:
                self._selector.unregister(self.server)
            self.server.close()
        self.server = None

    def _make(self, config: Osc) -> None:
        self.server = OscServer(config, self._instrument) if config.enabled else None
        if self._started:
            self.start()

    def _try_again(self) -> None:
        try:
            self._make(self._config)
        except DaemonError:
            self._retry_at = time.monotonic() + RETRY_SECONDS
        if self.server:
            self._say(f"osc: {self.server.host}:{self.server.port}")
