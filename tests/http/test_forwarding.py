"""Who the client is, and what upstreams are told: only trusted peers may speak for others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import LoopDetected
from proxy.http import hops
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
    head.hold({n.encode(): v.encode() for n, v in fields.items()})
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
        ({"x-forwarded-for": "1.2.3.4, , 10.1.1.1"}, "1.2.3.4"),
        ({"x-forwarded-for": "203.0.113.7, "}, "203.0.113.7"),
        ({"x-forwarded-for": ",,203.0.113.7,\t, ,"}, "203.0.113.7"),
        ({"x-forwarded-for": " , "}, PEER),
        ({"x-forwarded-for": "999.1.1.1"}, PEER),
        ({"x-forwarded-for": "1.2.3.4, 999.1.1.1, 10.1.1.1"}, "10.1.1.1"),
        ({"x-forwarded-for": "1.2.3"}, PEER),
        ({"x-forwarded-for": "01.2.3.4"}, PEER),
        ({"x-forwarded-for": "1.2.3.4:http"}, PEER),
        ({"x-forwarded-for": "[1.2.3.4]"}, PEER),
        ({"x-forwarded-for": "[2001:db8::1"}, PEER),
        ({"x-forwarded-for": "2001:db8::1::2"}, PEER),
        ({"x-forwarded-for": "fe80::1%eth0"}, PEER),
        ({"x-forwarded-for": "abc:def"}, PEER),
        ({"x-forwarded-for": '"[2001:DB8:0::1]:1"'}, "2001:db8::1"),
        ({"x-forwarded-for": '"203.0.113.7"'}, "203.0.113.7"),
        ({"x-forwarded-for": "::ffff:203.0.113.7"}, "203.0.113.7"),
        ({"x-forwarded-for": "203.0.113.7, ::ffff:10.1.1.1"}, "203.0.113.7"),
        ({"x-real-ip": "203.0.113.7"}, "203.0.113.7"),
        ({"x-real-ip": "6.6.6.6", "x-forwarded-for": "203.0.113.7"}, "203.0.113.7"),
        # RFC 7239 §4
        ({"forwarded": 'host="a;for=1.1.1.1";for=203.0.113.7'}, "203.0.113.7"),
        ({"forwarded": 'host="a, for=1.1.1.1";FOR=203.0.113.7'}, "203.0.113.7"),
        ({"forwarded": 'for=203.0.113.7;ext="\\", for=1.1.1.1"'}, "203.0.113.7"),
        ({"forwarded": 'for="203.0.113.7:_port"'}, "203.0.113.7"),
        ({"forwarded": "for=203.0.113.7:80"}, "203.0.113.7"),
        ({"forwarded": "for=[2001:db8::1]:80"}, "2001:db8::1"),
        ({"forwarded": "for=203.0.113.7, , for=10.1.1.1,"}, "203.0.113.7"),
        ({"forwarded": ";for=203.0.113.7;;"}, "203.0.113.7"),
        ({"forwarded": "for=1.1.1.1;for=203.0.113.7"}, PEER),
        ({"forwarded": "for=203.0.113.7 by=x"}, PEER),
        ({"forwarded": "before=1.1.1.1"}, PEER),
        # what stands before a proxy's own element cannot swallow it
        ({"forwarded": 'for=", for=203.0.113.7'}, "203.0.113.7"),
        ({"forwarded": 'for="1.1.1.1, for="[2001:db8::1]:80"'}, "2001:db8::1"),
        ({"forwarded": 'for="\\, for="[2001:db8::1]"'}, "2001:db8::1"),
        # both families
        ({"forwarded": "for=203.0.113.7", "x-forwarded-for": "unknown"}, "203.0.113.7"),
        ({"forwarded": "for=unknown", "x-forwarded-for": "203.0.113.7"}, "203.0.113.7"),
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
    found = rules().said({n.encode(): v.encode() for n, v in fields.items()}).client
    assert (found or PEER) == client


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


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("x", [True, False])
@pytest.mark.parametrize("via", ["gate", ""])
def test_what_is_switched_off_is_not_told(x: bool, via: str, trusted: bool) -> None:
    names = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"} if x else set()
    for version in ("1.1", "1.0"):
        added = told(rules(x=x, via=via), {}, trusted, version=version)
        assert added.keys() == names | ({"via"} if via else set())


def test_what_a_trusted_peer_says_is_kept_and_added_to() -> None:
    assert told(rules(forwarded=True), ALL, True) == {
        **ALL,
        "x-forwarded-for": f"6.6.6.6, {PEER}",
        "forwarded": 'for=6.6.6.6;host="evil";proto=https, '
        f'for={PEER};host="shop.example:8080";proto=http',
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


def test_a_host_that_nobody_named_is_not_told() -> None:
    """HTTP/1.0 has requests without one."""
    head = RequestHead()
    head.version = "1.0"
    edits = Edits()
    rules(forwarded=True).add(edits, head, b"10.0.0.9", "http", False)
    assert dict(edits.added) == {
        b"x-forwarded-for": b"10.0.0.9",
        b"x-forwarded-proto": b"http",
        b"forwarded": b"for=10.0.0.9;proto=http",
        b"via": b"1.0 gate",
    }


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


AUTHORITY = "shop.example:8080"  # of the request itself

# what a trusted peer says -> scheme, authority and port that follow, "" and 0 = nothing
ORIGINS = [
    ({}, "", "", 0),
    ({"x-forwarded-proto": "https"}, "https", "", 0),
    ({"x-forwarded-proto": " HTTPS"}, "https", "", 0),
    ({"x-forwarded-proto": '"https"'}, "https", "", 0),
    ({"x-forwarded-proto": "wss"}, "https", "", 0),
    ({"x-forwarded-proto": "javascript"}, "", "", 0),
    ({"x-forwarded-proto": ""}, "", "", 0),
    ({"x-forwarded-proto": "https, https"}, "https", "", 0),
    ({"x-forwarded-proto": "https, http"}, "https", "", 0),
    ({"x-forwarded-proto": ", https,"}, "https", "", 0),
    ({"x-forwarded-scheme": "https"}, "https", "", 0),
    ({"x-forwarded-ssl": "on"}, "https", "", 0),
    # as long as X-Forwarded-For: the place of the client's hop
    ({"x-forwarded-for": "1.1.1.1, 10.1.1.1", "x-forwarded-proto": "https, http"}, "https", "", 0),
    ({"x-forwarded-for": "6.6.6.6, 1.1.1.1", "x-forwarded-proto": "https, http"}, "http", "", 0),
    ({"x-forwarded-for": "6.6.6.6, 1.1.1.1", "x-forwarded-proto": "https"}, "https", "", 0),
    ({"x-forwarded-host": "a.example"}, "", "a.example", 0),
    ({"x-forwarded-host": "A.Example:8443, b"}, "", "a.example:8443", 0),
    ({"x-forwarded-host": "a b"}, "", "", 0),
    ({"x-forwarded-host": "[2001:DB8::1]:1"}, "", "[2001:db8::1]:1", 0),
    ({"x-forwarded-host": "a", "x-forwarded-port": "8443"}, "", "a", 8443),
    ({"x-forwarded-port": "99999"}, "", "", 0),
    ({"x-forwarded-port": "443, 80"}, "", "", 443),
    ({"forwarded": "proto=https"}, "https", "", 0),
    ({"forwarded": "for=1.1.1.1;proto=HTTPS;host=a.example"}, "https", "a.example", 0),
    ({"forwarded": 'host="a.example:8443"'}, "", "a.example:8443", 0),
    ({"forwarded": "host=a.example:8443"}, "", "a.example:8443", 0),
    ({"forwarded": "for=1.1.1.1, for=10.1.1.1;proto=https"}, "https", "", 0),
    ({"forwarded": "for=1.1.1.1;proto=https, for=10.1.1.1;proto=http"}, "https", "", 0),
    ({"forwarded": "for=6.6.6.6;proto=https, for=1.1.1.1;proto=http"}, "http", "", 0),
    # RFC 7239 before the others, each for what it says
    (
        {"forwarded": "host=a;proto=https", "x-forwarded-host": "b", "x-forwarded-proto": "http"},
        "https",
        "a",
        0,
    ),
    ({"forwarded": "proto=https", "x-forwarded-host": "b"}, "https", "b", 0),
    ({"forwarded": "for=1.1.1.1", "x-forwarded-proto": "https"}, "https", "", 0),
    # but not where it tells of another client
    (
        {
            "forwarded": "for=6.6.6.6;host=evil;proto=https",
            "x-forwarded-for": "1.1.1.1",
            "x-forwarded-proto": "http",
        },
        "http",
        "",
        0,
    ),
]


@pytest.mark.parametrize(("fields", "scheme", "authority", "port"), ORIGINS)
def test_what_the_client_asked_of_the_first_proxy(
    fields: dict[str, str], scheme: str, authority: str, port: int
) -> None:
    said = rules().said({n.encode(): v.encode() for n, v in fields.items()})
    assert (said.scheme, said.authority, said.port) == (scheme, authority, port)


ADDRESSES = st.sampled_from(["1.1.1.1", "6.6.6.6", "10.1.1.1", "unknown", "[2001:db8::1]:1", "x"])
LISTS = st.lists(ADDRESSES, max_size=3).map(", ".join)
SCHEMES = st.sampled_from(["http", "https", "https, http", "x", ""])
HOSTS = st.sampled_from(["a.example", "b.example:81", "a b", "a, c"])
ELEMENTS = st.lists(
    st.tuples(ADDRESSES, st.sampled_from(["", ";proto=https", ";proto=http;host=f.example"])).map(
        lambda parts: f'for="{parts[0]}"{parts[1]}'
    ),
    min_size=1,
    max_size=3,
).map(", ".join)
FAMILY = st.fixed_dictionaries(
    {},
    optional={
        "x-forwarded-for": LISTS,
        "x-forwarded-proto": SCHEMES,
        "x-forwarded-scheme": SCHEMES,
        "x-forwarded-ssl": st.sampled_from(["on", "off"]),
        "x-forwarded-host": HOSTS,
        "x-forwarded-port": st.sampled_from(["443", "80", "8443", "x"]),
        "x-real-ip": ADDRESSES,
        "forwarded": ELEMENTS,
    },
)


@given(FAMILY, st.booleans(), st.booleans())
def test_what_is_sent_on_says_one_thing(fields: dict[str, str], x: bool, forwarded: bool) -> None:
    """Whichever of the fields the upstream goes by, it learns what spans and logs say."""
    rule = rules(x=x, forwarded=forwarded)
    first = rule.said({n.encode(): v.encode() for n, v in fields.items()})
    sent = told(rule, fields, True)
    for written, half in ((forwarded, {"forwarded"}), (x, sent.keys() - {"forwarded"})):
        again = rule.said({n.encode(): v.encode() for n, v in sent.items() if n in half})
        if written:
            assert again.client == (first.client or PEER)
            assert again.scheme == (first.scheme or "http")
            assert again.authority == (first.authority or AUTHORITY)
        else:
            assert again.client in (first.client, PEER, "")
            assert again.scheme in (first.scheme, "http", "")
            assert again.authority in (first.authority, AUTHORITY, "")
    ssl = "on" if (first.scheme or "http") == "https" else "off"
    assert sent.get("x-forwarded-ssl", ssl) == ssl


@given(st.text('for=",;\\ 1.:[]', max_size=20), st.sampled_from(["[2001:db8::1]:1", "1.1.1.1"]))
def test_nothing_before_it_takes_a_proxys_own_word_away(before: str, node: str) -> None:
    fields = {b"forwarded": f'{before}, for="{node}";proto=https'.encode()}
    said = rules().said(fields)
    assert (said.client, said.scheme) == (hops.address(node), "https")
