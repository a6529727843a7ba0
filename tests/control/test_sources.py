"""Token buckets and allow-lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.config import PRIVATE_NETWORKS
from ambientd.control.sources import AllowList, Buckets


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 30)), max_size=60))
def test_nobody_gets_more_than_a_burst_and_what_time_brings(requests: list[tuple[float, int]]) -> None:
    buckets, now, got = Buckets(per_second=10, burst=20), 0.0, 0
    for wait, tokens in requests:
        now += wait
        got += tokens * buckets.take("one", tokens, now)
        assert got <= 20 + 10 * now + 1e-6


def test_sources_do_not_share_and_are_not_remembered_for_ever() -> None:
    buckets = Buckets(per_second=1, burst=2, sources=10)
    assert buckets.take("one", 2, 0)
    assert not buckets.take("one", 1, 0)
    assert buckets.take("two", 2, 0)
    buckets.fine("three", 5, 0)
    assert not buckets.take("three", 1, 0)
    assert buckets.take("three", 1, 1)
    for source in range(100):
        buckets.take(source, 1, 2)
    assert len(buckets) == 10


@pytest.mark.parametrize(
    ("networks", "host", "admitted"),
    [
        (["192.168.1.0/24"], "192.168.1.77", True),
        (["192.168.1.0/24"], "192.168.2.77", False),
        (["192.168.1.0/24"], "::ffff:192.168.1.77", True),
        (["10.1.2.3"], "10.1.2.3", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["fe80::/10"], "2001:db8::1", False),
        ([], "127.0.0.1", False),
        (PRIVATE_NETWORKS, "127.0.0.1", True),
        (PRIVATE_NETWORKS, "::1", True),
        (PRIVATE_NETWORKS, "172.31.0.1", True),
        (PRIVATE_NETWORKS, "8.8.8.8", False),
        (PRIVATE_NETWORKS, "2001:4860::1", False),
    ],
)
def test_networks(networks: list[str], host: str, admitted: bool) -> None:
    assert AllowList(networks).admits(host) is admitted
