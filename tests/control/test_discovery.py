"""Zeroconf: a second process finds what is there, and that it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from ambientd.control.discovery import Advert

from .serving import Serving, wait_until

BROWSER = """
import json, sys
from zeroconf import ServiceBrowser, ServiceListener, Zeroconf

class Print(ServiceListener):
    def tell(self, event, zc, kind, name):
        info = zc.get_service_info(kind, name, 5000) if event == "add" else None
        facts = info and {"port": info.port, "addresses": info.parsed_addresses()}
        print(json.dumps([event, kind, name, facts]), flush=True)
    def add_service(self, *found): self.tell("add", *found)
    def remove_service(self, *found): self.tell("remove", *found)
    def update_service(self, *found): pass

network = Zeroconf(interfaces=["127.0.0.1"])
ServiceBrowser(network, ["_osc._udp.local.", "_osc._tcp.local.", "_oscjson._tcp.local."], Print())
sys.stdin.read()
network.close()
"""


def events(browser: subprocess.Popen[str], port: int) -> Iterator[tuple[str, str]]:
    """What it sees of the daemon at `port`; other daemons may run on this machine."""
    assert browser.stdout
    ours = set()
    for line in browser.stdout:
        event, kind, name, facts = json.loads(line)
        if event == "add" and facts and port in (facts["port"], 0) and name.startswith("ambientd ("):
            assert facts["addresses"] == ["127.0.0.1"]
            ours.add(name)
        if name in ours:
            yield event, kind


def test_a_second_process_finds_it_and_sees_it_go() -> None:
    command = [sys.executable, "-c", BROWSER]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as browser,
        Serving(advertise=True) as serving,
    ):
        seen = events(browser, serving.server.port)
        assert {next(seen) for _ in range(2)} == {("add", "_osc._udp.local."), ("add", "_osc._tcp.local.")}
        wait_until(lambda: serving.server.info()["advertised"] == "yes")
        serving.server._advert.close()
        assert {next(seen) for _ in range(2)} == {("remove", "_osc._udp.local."), ("remove", "_osc._tcp.local.")}
        assert browser.stdin
        browser.stdin.close()


def test_a_network_that_is_not_there_is_only_a_remark() -> None:
    advert = Advert("203.0.113.7", {"_osc._udp": 7770})
    wait_until(lambda: advert.state.startswith("no: "))
    advert.close()
