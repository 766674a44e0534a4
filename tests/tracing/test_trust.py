"""Whose context is believed: networks, and what becomes of a stranger's context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing.trust import MEMO, Networks, judge

from . import cases

NETWORKS = Networks(["10.0.0.0/8", "192.168.7.9", "fc00::/7", "::1/128", "172.16.5.5/12"])


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("192.168.7.9", True),
        ("192.168.7.8", False),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("::1", True),
        ("::2", False),
        ("fd12:3456::1", True),
        ("fd12:3456::1%eth0", True),
        ("2001:db8::1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:0a01:0203", True),
        ("::ffff:8.8.8.8", False),
        ("::10.1.2.3", False),
        ("", False),  # a Unix socket
        ("localhost", False),
        ("10.1.2.3:80", False),
        ("10.1.2", False),
        ("010.0.0.1", False),
    ],
)
def test_holds(address: str, inside: bool) -> None:
    assert NETWORKS.holds(address) is inside
    assert NETWORKS.holds(address) is inside  # remembered


def test_unix_sockets_are_held_by_their_name() -> None:
    assert Networks(["unix"]).holds("") is True
    assert Networks(["unix", "10.0.0.0/8"]).holds("10.1.2.3") is True
    assert Networks(["unix"]).holds("unix") is False
    assert Networks(["0.0.0.0/0", "::/0"]).holds("") is False


def test_mapped_networks_are_meant_literally_too() -> None:
    assert Networks(["::ffff:10.0.0.0/104"]).holds("::ffff:10.1.2.3") is True


@pytest.mark.parametrize("cidr", ["", "10.0.0.0/33", "example.com", "10.0.0.0/8/8"])
def test_not_a_network(cidr: str) -> None:
    with pytest.raises(ValueError, match="not appear to be"):
        Networks([cidr])


def test_memory_is_bounded_and_answers_stay_right() -> None:
    networks = Networks(["10.0.0.0/8"])
    for n in range(MEMO + 10):
        assert networks.holds(f"10.0.{n // 256}.{n % 256}") is True
        assert len(networks._memo) <= MEMO
    assert networks.holds("11.0.0.1") is False


@given(st.text())
def test_any_text_is_answered(address: str) -> None:
    assert isinstance(NETWORKS.holds(address), bool)


FULL = cases.context(True, debug=True, state=b"a=1")
BARE = cases.context(True, trace_id=b"", debug=True)


def test_trusted_is_the_parent() -> None:
    for mode in ("link", "drop"):
        assert judge(FULL, True, mode) == (FULL, None)
        assert judge(BARE, True, mode) == (BARE, None)
        assert judge(None, True, mode) == (None, None)


def test_a_stranger_is_linked_or_dropped() -> None:
    assert judge(FULL, False, "link") == (None, FULL)
    assert judge(FULL, False, "drop") == (None, None)
    assert judge(None, False, "link") == (None, None)


def test_a_strangers_bare_decision_is_ignored() -> None:
    assert judge(BARE, False, "link") == (None, None)
