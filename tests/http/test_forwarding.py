"""Who the client is, and what upstreams are told: only trusted peers may speak for others."""

from __future__ import annotations

import pytest

from proxy.errors import LoopDetected
from proxy.http.edits import Edits
from proxy.http.forwarding import Forwarding
from proxy.http.head import RequestHead
from proxy.tracing.trust import Networks

TRUSTED = Networks(["10.0.0.0/8", "fd00::/8"]).holds
PEER = "10.0.0.9"


def rules(*, x: bool = True, forwarded: bool = False, via: str = "gate") -> Forwarding:
    return Forwarding(TRUSTED, x, forwarded, via)


def told(
    rule: Forwarding,
    fields: dict[str, str],
    trusted: bool,
    peer: str = PEER,
    version: str = "1.1",
    scheme: str = "http",
) -> dict[str, str]:
    """The fields that are added for the next hop; each comes once."""
    head = RequestHead()
    head.authority, head.version = "shop.example:8080", version
    head.fields = {n.encode(): v.encode() for n, v in fields.items()}
    edits = Edits()
    rule.add(edits, head, peer.encode(), scheme, trusted)
    added = {n.decode(): v.decode() for n, v in edits.added}
    assert len(added) == len(edits.added)
    return added


@pytest.mark.parametrize(
    ("fields", "client"),
    [
        ({}, PEER),
        ({"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
        ({"x-forwarded-for": "6.6.6.6, 1.2.3.4"}, "1.2.3.4"),
        ({"x-forwarded-for": "6.6.6.6, 1.2.3.4, 10.1.1.1,10.2.2.2"}, "1.2.3.4"),
        ({"x-forwarded-for": "10.1.1.1, 10.2.2.2"}, "10.1.1.1"),
        ({"x-forwarded-for": "1.2.3.4:5678, 10.1.1.1:80"}, "1.2.3.4"),
        ({"x-forwarded-for": "2001:db8::1, fd00::5"}, "2001:db8::1"),
        ({"x-forwarded-for": "[2001:db8::1]:443"}, "2001:db8::1"),
        ({"x-forwarded-for": "1.2.3.4, garbage, 10.1.1.1"}, "10.1.1.1"),
        ({"x-forwarded-for": "1.2.3.4, , 10.1.1.1"}, "10.1.1.1"),
        ({"x-forwarded-for": "unknown"}, PEER),
        ({"x-forwarded-for": ""}, PEER),
        ({"forwarded": "for=1.2.3.4"}, "1.2.3.4"),
        (
            {"forwarded": 'for=6.6.6.6, For="[2001:db8::1]:4711";proto=http, for=10.1.1.1'},
            "2001:db8::1",
        ),
        ({"forwarded": "proto=https;for=1.2.3.4;by=x"}, "1.2.3.4"),
        ({"forwarded": "for=_hidden"}, PEER),
        ({"forwarded": "for=1.2.3.4, for=unknown, for=10.1.1.1"}, "10.1.1.1"),
        ({"forwarded": "by=1.2.3.4"}, PEER),
        ({"forwarded": "for=6.6.6.6", "x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_not_trusted(
    fields: dict[str, str], client: str
) -> None:
    found = rules().client({n.encode(): v.encode() for n, v in fields.items()}, PEER)
    assert found == client


ALL = {
    "x-forwarded-for": "6.6.6.6",
    "x-forwarded-host": "evil",
    "x-forwarded-proto": "https",
    "x-forwarded-port": "443",
    "x-forwarded-prefix": "/evil",
    "x-forwarded-ssl": "on",
    "x-real-ip": "6.6.6.6",
    "forwarded": "for=6.6.6.6",
}


def test_nothing_that_a_stranger_says_goes_on() -> None:
    assert told(rules(), ALL, False) == {
        "x-forwarded-for": PEER,
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.example:8080",
        "via": "1.1 gate",
    }
    assert told(rules(x=False, via=""), ALL, False) == {}
    assert told(rules(x=False, via="", forwarded=True), ALL, False) == {
        "forwarded": f'for={PEER};host="shop.example:8080";proto=http'
    }


def test_what_a_trusted_peer_says_is_kept_and_added_to() -> None:
    assert told(rules(forwarded=True), ALL, True) == {
        **ALL,
        "x-forwarded-for": f"6.6.6.6, {PEER}",
        "forwarded": f'for=6.6.6.6, for={PEER};host="shop.example:8080";proto=http',
        "via": "1.1 gate",
    }


def test_what_is_not_ours_to_write_is_passed_on_from_trusted_peers() -> None:
    assert told(rules(x=False, via=""), {**ALL, "via": "1.1 other"}, True) == {
        **ALL,
        "via": "1.1 other",
    }


def test_an_ipv6_peer_is_quoted_in_forwarded() -> None:
    added = told(rules(forwarded=True), {}, False, "2001:db8::1")
    assert added["forwarded"].startswith('for="[2001:db8::1]";')
    assert added["x-forwarded-for"] == "2001:db8::1"


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        (None, "1.1", "1.1 gate"),
        (None, "1.0", "1.0 gate"),
        ("1.1 other (comment), 1.0 fred", "1.1", "1.1 other (comment), 1.0 fred, 1.1 gate"),
        ("1.1 gate", "1.0", "1.1 gate, 1.0 gate"),
    ],
)
def test_via(before: str | None, version: str, after: str) -> None:
    fields = {} if before is None else {"via": before}
    assert told(rules(), fields, False, version=version)["via"] == after


@pytest.mark.parametrize("trusted", [True, False])
def test_ten_times_through_this_gateway_is_a_loop(trusted: bool) -> None:
    once = told(rules(), {"via": ", ".join(["1.1 gate"] * 9)}, trusted)
    with pytest.raises(LoopDetected) as caught:
        told(rules(), {"via": once["via"].upper()}, trusted)
    assert caught.value.status == 508
    told(rules(), {"via": ", ".join(["1.1 gates"] * 50)}, trusted)
    told(rules(via=""), {"via": once["via"]}, trusted)


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        (None, "http"),
        ("https", "https"),
        (" HTTPS", "https"),
        ("javascript", "http"),
    ],
)
def test_the_scheme(said: str | None, scheme: str) -> None:
    fields = {} if said is None else {b"x-forwarded-proto": said.encode()}
    assert rules().scheme(fields, "http") == scheme
