"""Who may be heard, and how much of each: an allow-list of networks, a token bucket per source. Supervisor.

Standard library only. What a source sends beyond its tokens is thrown away unread, so that a flood from one
costs no other its turn, nor the supervisor its time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

TOKENS_PER_SECOND = 2_000.0
"""Messages a source may send: some thirty faders moved at once on a surface that sends 60 times a second."""
BURST = 2_000.0
SOURCES = 512
"""Remembered at a time; one that comes back after so many others begins with a full bucket again."""


class AllowList:
    """Networks in CIDR notation. An IPv4 address that arrives in IPv6's clothes counts as itself."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network, strict=False) for network in networks]
        self._admits = lru_cache(maxsize=SOURCES)(self._look_up)

    def admits(self, host: str) -> bool:
        """host: an address as a socket gives it."""
        return self._admits(host)

    def _look_up(self, host: str) -> bool:
        address = _plain(ip_address(host.partition("%")[0]))
        return any(address in network for network in self._networks)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_loopback(host: str) -> bool:
    """host: an address as a socket gives it."""
    return ip_address(host.partition("%")[0]).is_loopback


def is_everywhere(host: str) -> bool:
    """True for 0.0.0.0 and ::, which stand for all of a machine's addresses."""
    return ip_address(host.partition("%")[0]).is_unspecified


@dataclass
class _Bucket:
    tokens: float
    filled: float


class Buckets:
    """Tokens by source; they come back evenly with time."""

    def __init__(self, per_second: float = TOKENS_PER_SECOND, burst: float = BURST, sources: int = SOURCES) -> None:
        self._per_second, self._burst, self._sources = per_second, burst, sources
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def take(self, source: Hashable, tokens: float, now: float) -> bool:
        """Pay `tokens` at `now` (seconds, monotonic); False, and nothing paid, when there are not so many."""
        bucket = self._bucket(source, now)
        if bucket.tokens < tokens:
            return False
        bucket.tokens -= tokens
        return True

    def fine(self, source: Hashable, tokens: float, now: float) -> None:
        """Take `tokens`, or what there is."""
        bucket = self._bucket(source, now)
        bucket.tokens = max(0.0, bucket.tokens - tokens)

    def __len__(self) -> int:
        return len(self._buckets)

    def _bucket(self, source: Hashable, now: float) -> _Bucket:
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = _Bucket(self._burst, now)
            if len(self._buckets) > self._sources:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(source)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled) * self._per_second)
        bucket.filled = now
        return bucket
