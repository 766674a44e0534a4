"""Lists of addresses: who is in, who is out, and that ten thousand networks are no burden."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.addresses import Addresses, Ranges


@pytest.mark.parametrize(
    ("allow", "deny", "client", "refused"),
    [
        (["10.0.0.0/8"], [], "10.255.255.255", False),
        (["10.0.0.0/8"], [], "11.0.0.0", True),
        (["10.0.0.0/8"], [], "9.255.255.255", True),
        (["10.0.0.1"], [], "10.0.0.1", False),
        (["10.0.0.1"], [], "10.0.0.2", True),
        ([], ["10.0.0.0/8"], "10.0.0.1", True),
        ([], ["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], ["10.1.0.0/16"], "10.1.2.3", True),
        (["10.1.2.3"], ["10.0.0.0/8"], "10.1.2.3", True),  # deny wins, however narrow allow is
        (["10.0.0.0/8"], [], "::ffff:10.0.0.1", False),
        ([], ["10.0.0.0/8"], "::ffff:10.0.0.1", True),
        ([], ["10.0.0.0/8"], "::ffff:a00:1", True),
        ([], ["::ffff:10.0.0.0/104"], "10.0.0.1", True),
        ([], ["::ffff:10.0.0.1"], "10.0.0.1", True),
        (["fe80::/10"], [], "fe80::1%eth0", False),
        ([], ["fe80::/10"], "fe80::1%25eth0", True),
        (["2001:db8::/32"], [], "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", False),
        (["2001:db8::/32"], [], "2001:db9::", True),
        (["::/0"], [], "10.0.0.1", True),
        (["0.0.0.0/0"], [], "2001:db8::1", True),
        (["0.0.0.0/0"], [], "255.255.255.255", False),
        (["10.0.0.0/8"], [], "", True),
        (["unix"], [], "", False),
        (["unix"], [], "10.0.0.1", True),
        ([], ["unix"], "", True),
        ([], ["10.0.0.0/8"], "", False),
        ([], ["10.0.0.0/8"], "unknown", True),  # nobody knows who that is
        (["0.0.0.0/0", "::/0", "unix"], [], "_hidden", True),
        ([], ["10.0.0.0/8"], "010.0.0.1", True),
        ([], ["10.0.0.0/8"], "10.0.1", True),
        ([], ["10.0.0.0/8"], "167772161", True),
        ([], ["10.0.0.0/8"], "unix", True),
    ],
)
def test_who_is_refused(allow: list[str], deny: list[str], client: str, refused: bool) -> None:
    made = Addresses(allow, deny)
    assert made.refuses(client) is refused
    assert made.refuses(client) is refused  # as it is remembered


networks = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)),
).map(lambda made: str(ip_network(f"{made[0]}/{made[1]}", strict=False)))


@given(st.lists(networks, max_size=30), st.ip_addresses())
def test_bisection_finds_what_a_walk_finds(cidrs: list[str], address: object) -> None:
    plain = [ip_network(cidr) for cidr in cidrs if not cidr.startswith("::ffff:")]
    found = ip_address(str(address))
    expected = any(found in n for n in plain if n.version == found.version)
    made = Ranges([str(n) for n in plain])
    if found.version == 6 and found.ipv4_mapped is not None:
        return
    assert made.holds(str(found)) is expected
    for network in plain:
        first, last = network.network_address, network.broadcast_address
        assert made.holds(str(first)) or (first.version == 6 and first.ipv4_mapped is not None)
        assert made.holds(str(last)) or (last.version == 6 and last.ipv4_mapped is not None)


def test_ten_thousand_networks_take_few_steps() -> None:
    made = Ranges([f"{a}.{b}.0.0/24" for a in range(1, 51) for b in range(200)])
    assert made.holds("50.199.0.255")
    assert not made.holds("50.199.1.0")
    starts, ends = made._four
    assert len(starts) == len(ends) == 10_000
    assert len(Ranges([f"10.0.{i}.0/24" for i in range(256)])._four[0]) == 1
