"""What upstreams are told about the client, over the wire; the rules are in tests/http."""

from __future__ import annotations

import re

import pytest

from tests.harness import Backend, Peer, gateway, routes
from tests.server.kit import trace

_TRUST = "[forwarding]\ntrust = ['127.0.0.0/8', '10.0.0.0/8']\n"
_STRANGER = "[forwarding]\ntrust = []\n"
_SAID = (
    "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.example",
    "X-Forwarded-Prefix: /shop",
    "X-Real-IP: 1.2.3.4",
    "Forwarded: for=1.2.3.4",
    "X-Request-Id: given",
)


async def test_a_trusted_peer_is_believed_and_added_to() -> None:
    async with Backend() as backend, gateway(routes(backend, _TRUST)) as gate:
        answer = await gate.get("/x", *_SAID)
        assert backend.field("x-forwarded-for") == "6.6.6.6, 1.2.3.4, 10.1.1.1, 127.0.0.1"
        assert backend.field("x-forwarded-proto") == "https"
        assert backend.field("x-forwarded-host") == "shop.example"
        assert backend.field("x-forwarded-prefix") == "/shop"
        assert backend.field("x-real-ip") == "1.2.3.4"
        assert backend.field("forwarded") == "for=1.2.3.4"
        assert backend.field("x-request-id") == "given"
        assert answer["x-request-id"] == "given"
        about = (await trace(gate)).about
        assert about["client.address"] == "1.2.3.4"
        assert about["url.scheme"] == "https"
        assert about["network.peer.address"] == "127.0.0.1"


HERE, OWN = "127.0.0.1", "gateway.test"

# what a trusted proxy says -> client.address, url.scheme, server.address, server.port
BEHIND = [
    (["X-Forwarded-Proto: https, https"], HERE, "https", OWN, None),
    (["X-Forwarded-Proto: https"] * 2, HERE, "https", OWN, None),
    (["X-Forwarded-Host: a.example:8443"], HERE, "http", "a.example", 8443),
    (["X-Forwarded-Host: A.example", "X-Forwarded-Port: 443"], HERE, "http", "a.example", 443),
    (["Forwarded: for=1.2.3.4;proto=https"], "1.2.3.4", "https", OWN, None),
    (["Forwarded: host=a", "Forwarded: for=10.1.1.1"], "10.1.1.1", "http", "a", None),
    (['Forwarded: host="a;b=1.1.1.1";for=203.0.113.7'], "203.0.113.7", "http", "a;b=1.1.1.1", None),
    (["X-Forwarded-For: 203.0.113.7, "], "203.0.113.7", "http", OWN, None),
    (["X-Forwarded-For: 203.0.113.7", "X-Forwarded-For:"], "203.0.113.7", "http", OWN, None),
    (["X-Forwarded-For: 999.1.1.1"], HERE, "http", OWN, None),
    (['X-Forwarded-For: "[2001:db8::1]:1"'], "2001:db8::1", "http", OWN, None),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "client", "scheme", "host", "port"), BEHIND)
async def test_spans_and_upstreams_are_told_the_same(
    lines: list[str], client: str, scheme: str, host: str, port: int | None
) -> None:
    async with Backend() as backend, gateway(routes(backend, _TRUST)) as gate:
        assert (await gate.get("/x", *lines)).status == 200
        assert backend.field("x-forwarded-proto") == scheme
        assert backend.field("x-forwarded-host") == (f"{host}:{port}" if port == 8443 else host)
        assert backend.field("host") == "gateway.test"
        about = (await trace(gate)).about
        assert (about["client.address"], about["url.scheme"]) == (client, scheme)
        assert (about["server.address"], about.get("server.port")) == (host, port)


async def test_what_a_proxy_says_of_a_host_decides_no_route() -> None:
    route = 'host = "gateway.test"'
    async with Backend() as backend, gateway(routes(backend, _TRUST, route)) as gate:
        assert (await gate.get("/x", "X-Forwarded-Host: a.example")).status == 200
        assert (await gate.get("/x", "Forwarded: host=a.example")).status == 200


async def test_a_stranger_is_not() -> None:
    async with Backend() as backend, gateway(routes(backend, _STRANGER)) as gate:
        answer = await gate.get("/x", *_SAID)
        assert backend.field("x-forwarded-for") == "127.0.0.1"
        assert backend.field("x-forwarded-proto") == "http"
        assert backend.field("x-forwarded-host") == "gateway.test"
        for name in ("x-forwarded-prefix", "x-real-ip", "forwarded"):
            assert backend.field(name) is None
        made = backend.field("x-request-id") or ""
        assert re.fullmatch("[0-9a-f]{32}", made)
        assert answer["x-request-id"] == made
        about = (await trace(gate)).about
        assert about["client.address"] == "127.0.0.1"
        assert about["url.scheme"] == "http"


@pytest.mark.parametrize("given", ["x" * 129, "caf\xe9", ""])
async def test_a_request_id_that_is_no_good_is_replaced(given: str) -> None:
    async with Backend() as backend, gateway(routes(backend, _TRUST)) as gate:
        client = await gate.connect()
        client.write(
            f"GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: {given}\r\n\r\n".encode("latin-1")
        )
        answer = await client.answer()
        assert re.fullmatch("[0-9a-f]{32}", answer["x-request-id"])
        assert backend.field("x-request-id") == answer["x-request-id"]


async def test_request_ids_can_be_left_to_others() -> None:
    more = _TRUST + "request_id = false\n"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        assert (await gate.get("/x", "X-Request-Id: given"))["x-request-id"] == ""
        assert backend.field("x-request-id") == "given"
        await gate.get("/x")
        assert backend.field("x-request-id") is None


async def test_nominating_trace_context_takes_away_the_clients_not_ours() -> None:
    theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x", "Connection: traceparent", f"traceparent: {theirs}")
        seen = await trace(gate)
        ours = f"00-{seen.server.trace_id.hex()}-{seen.clients[0].span_id.hex()}-01"
        assert backend.field("traceparent") == ours
        assert "0af7651916cd43dd8448eb211c80319c" not in ours


@pytest.mark.parametrize(
    ("policy", "status", "seen"),
    [("drop", 200, None), ("pass", 200, "6.6.6.6"), ("reject", 400, None)],
)
async def test_names_with_underscores(policy: str, status: int, seen: str | None) -> None:
    more = f"[forwarding]\nunderscores = '{policy}'\n"
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        assert (await gate.get("/x", "X_Forwarded_For: 6.6.6.6", "X-A: b")).status == status
        if status == 200:
            assert backend.field("x_forwarded_for") == seen
            assert backend.field("x-a") == "b"
        else:
            assert not backend.peers


async def test_a_loop_ends_after_ten_rounds() -> None:
    """A gateway that is its own upstream: RFC 9110 §7.6.3."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        backend.port, real = gate.port, backend.port
        try:
            await gate.reload(routes(backend))
            answer = await gate.get("/x")
        finally:
            backend.port = real
        assert answer.status == 508
        assert answer["proxy-status"] == "spangate; error=proxy_loop_detected"
        assert not backend.peers


async def test_hop_by_hop_fields_of_an_answer_stay_on_their_hop() -> None:
    lines = (
        "Connection: keep-alive, X-Secret",
        "X-Secret: a",
        "Keep-Alive: timeout=9",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "Trailer: X-Sum",
        "X-Plain: b",
    )
    answer_head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 0", *lines, "", ""]).encode()

    async def handler(peer: Peer) -> None:
        await peer.head()
        peer.write(answer_head)

    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        answer = await gate.get("/x")
        names = {name for name, _ in answer.fields}
        assert names == {"content-length", "x-plain", "x-request-id", "date"}
