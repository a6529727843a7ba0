"""Tells the network by zeroconf that somebody listens here. Supervisor, a thread of its own; never in the way.

Clients browse for `_osc._udp`, `_osc._tcp` and `_oscjson._tcp`. What listens on loopback is told on loopback only.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from typing import Any

from ambientd.control.sources import is_everywhere, is_loopback

GOODBYE_SECONDS = 2.0

log = logging.getLogger(__name__)


def services(port: int, query_port: int | None) -> dict[str, int]:
    """Ports by service type."""
    found = {"_osc._udp": port, "_osc._tcp": port}
    return found if query_port is None else found | {"_oscjson._tcp": query_port}


class Advert:
    """state: "starting", "yes", or why not. The network need not be there; the music does not care."""

    def __init__(self, host: str, services: dict[str, int]) -> None:
        """host: what the sockets are bound to."""
        self.state = "starting"
        self._host, self._services = host, services
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zeroconf", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say goodbye, but do not wait long for it."""
        self._closing.set()
        self._thread.join(GOODBYE_SECONDS)

    def _run(self) -> None:
        try:
            self._advertise()
        except Exception as error:  # no network, no multicast, a name that clashes: all of them somebody else's
            self.state = f"no: {error}"[:200]
            log.debug("zeroconf", exc_info=True)

    def _advertise(self) -> None:
        from zeroconf import InterfaceChoice, Zeroconf

        everywhere = is_everywhere(self._host)
        network = Zeroconf(interfaces=InterfaceChoice.All if everywhere else [self._host])
        if is_loopback(self._host):
            _keep_to_loopback(network)
        try:
            for kind, port in self._services.items():
                if self._closing.is_set():
                    return
                network.register_service(self._service(kind, port), allow_name_change=True)
            self.state = "yes"
            self._closing.wait()
            network.unregister_all_services()
        finally:
            network.close()

    def _service(self, kind: str, port: int) -> Any:
        from zeroconf import ServiceInfo

        machine = socket.gethostname().partition(".")[0][:40]
        return ServiceInfo(
            f"{kind}.local.",
            f"ambientd ({machine}).{kind}.local.",
            port=port,
            parsed_addresses=_addresses() if is_everywhere(self._host) else [self._host],
            properties={"txtvers": "1"},
            server=f"ambientd-{machine}.local.",
        )


def _keep_to_loopback(network: Any) -> None:
    """The library asks one interface but listens at port 5353 of all, to whoever sends there. Linux can narrow that."""
    if sys.platform == "linux":
        for reader in network.engine.readers:
            with contextlib.suppress(OSError):  # a kernel before 5.7, where only root may
                found = reader.transport.get_extra_info("socket")
                found.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")


def _addresses() -> list[str]:
    """The machine's own that others can reach."""
    import ifaddr

    ips = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [ip for ip in ips if not is_loopback(ip)] or ["127.0.0.1"]
