"""mTLS in a mesh: who is let in and who is believed, in real handshakes with plain OpenSSL."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from tests.harness import Backend, Gateway, gateway, routes
from tests.server.kit import (
    CLIENT,
    attributes,
    eventually,
    eventually_collected,
    number,
    trace,
    traces,
)
from tests.server.mesh_kit import (
    IN,
    INBOUND,
    MESH_TABLE,
    Who,
    authority,
    client,
    material,
    server,
    signed,
    uris,
    workload,
)
from tests.server.sidecar_kit import EXPORT, Sidecar
from tests.server.tls_kit import connect, serving

ORDERS = workload("spiffe://mesh/orders")
SHOP = workload("spiffe://mesh/shop")
GET = b"GET /x HTTP/1.1\r\nHost: orders\r\n\r\n"


def odd(*ids: str, is_ca: bool = False) -> Who:
    """Signed by the mesh's own authority, and no SVID."""
    root = authority("mesh").signer(time.time())
    return Who(ids[0], *signed(root, uris(*ids), end=time.time() + 600, is_ca=is_ca))


def old(id: str) -> Who:
    root = authority("mesh").signer(time.time())
    now = time.time()
    return Who(id, *signed(root, uris(id), end=now - 60, start=now - 3600))


async def status(gate: Gateway, who: Who | None) -> int:
    """Of an answer; 0 = it was not let in."""
    try:
        conn = await connect(gate, client(who), "outbound.mesh.")
        conn.write(GET)
        answer = await conn.answer()
        await conn.close()
    except (OSError, AssertionError, EOFError):
        return 0
    return answer.status


async def test_a_peer_of_the_mesh_is_known_by_its_identity() -> None:
    async with Backend() as backend:
        config = routes(backend, INBOUND + MESH_TABLE, IN)
        async with gateway(config, known=material(ORDERS)) as gate:
            assert await status(gate, SHOP) == 200
            seen = await trace(gate)
            assert seen.about["spangate.peer.identity"] == SHOP.id
            head = backend.heads[0].decode().lower()
            assert f"by={ORDERS.id};" in head and f"uri={SHOP.id}" in head
            await gate.recorded.collect()
            labels = {"spangate_direction": "inbound", "spangate_peer_identity": SHOP.id}
            assert number(gate, "spangate.mesh.handshakes", **labels) == 1


STRANGERS: dict[str, tuple[Callable[[], Who | None], str, str]] = {
    "nobody": (lambda: None, "no_certificate", "has shown no certificate"),
    "an authority that nobody knows": (
        lambda: workload("spiffe://else/shop"),
        "unknown_ca",
        "certificate of an unknown authority",
    ),
    "a trust domain that is known, by another one": (
        lambda: workload("spiffe://mesh/shop", by="partner"),
        "wrong_trust_domain",
        "says that it is spiffe://mesh/shop, by an authority of another trust domain",
    ),
    "the same the other way round": (
        lambda: workload("spiffe://partner/shop", by="mesh"),
        "wrong_trust_domain",
        "says that it is spiffe://partner/shop, by an authority of another trust domain",
    ),
    "a trust domain that is not known, by a known one": (
        lambda: workload("spiffe://nowhere/shop", by="partner"),
        "unknown_trust_domain",
        "is spiffe://nowhere/shop, of a trust domain that is not known here",
    ),
    "two identities": (
        lambda: odd("spiffe://mesh/shop", "spiffe://mesh/admin"),
        "bad_svid",
        "has a certificate that has 2 URI names",
    ),
    "an authority itself": (
        lambda: odd("spiffe://mesh/shop", is_ca=True),
        "bad_svid",
        "is one of an authority",
    ),
    "no workload": (lambda: odd("spiffe://mesh"), "bad_svid", "names a trust domain"),
    "no SPIFFE ID": (lambda: odd("https://mesh/x"), "bad_svid", "no SPIFFE ID"),
    "an expired one": (
        lambda: old("spiffe://mesh/shop"),
        "certificate_expired",
        "has a certificate that has expired",
    ),
}


@pytest.mark.parametrize(("make", "kind", "words"), STRANGERS.values(), ids=STRANGERS.keys())
async def test_strangers_are_refused_and_the_log_says_why(
    make: Callable[[], Who | None], kind: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Backend() as backend:
        config = routes(backend, INBOUND + MESH_TABLE, IN)
        async with gateway(config, known=material(ORDERS, "partner")) as gate:
            with caplog.at_level(logging.WARNING, "spangate"):
                assert await status(gate, make()) == 0
                await eventually(lambda: words in caplog.text)
            reason = {"spangate_reason": kind}
            name = "spangate.downstream.tls.failures"
            await eventually_collected(gate, lambda: number(gate, name, **reason) == 1)
            assert backend.heads == []
            assert await status(gate, SHOP) == 200
            assert await status(gate, workload("spiffe://partner/shop")) == 200


TO = 'tls = { ca = "mesh:", cert = "mesh:", key = "mesh:"%s }'


def outbound(url: str, identities: str = "") -> str:
    more = f", identities = [{identities}]" if identities else ""
    return f"""
[export]
otlp = "http://127.0.0.1:1"
{MESH_TABLE}
[[listen]]
name = "in"
address = ":8000"
[[route]]
path = "/*"
{IN}
to = "b"
[upstream.b]
servers = ["{url}"]
{TO % more}
"""


@pytest.mark.parametrize(
    "identities",
    [
        "",
        '"spiffe://mesh/orders"',
        '"spiffe://mesh/*"',
        '"spiffe://mesh/x", "spiffe://mesh/orders"',
        '"spiffe://*"',
    ],
)
async def test_a_server_of_the_mesh_is_believed(identities: str) -> None:
    async with (
        Backend() as backend,
        serving(backend, server(ORDERS)) as url,
        gateway(outbound(url, identities), known=material(SHOP)) as gate,
    ):
        for _ in range(3):
            assert (await gate.get("/")).body == b"ok"
        assert len(backend.peers) == 1
        said = (await traces(gate, 3))[0].tried[0]
        assert said["spangate.peer.identity"] == ORDERS.id
        await gate.recorded.collect()
        labels = {"spangate_direction": "outbound", "spangate_peer_identity": ORDERS.id}
        assert number(gate, "spangate.mesh.handshakes", **labels) == 1


@pytest.mark.parametrize(
    ("id", "host", "service"),
    [
        ("spiffe://mesh/orders", "127.0.0.1", "orders"),
        ("spiffe://mesh/ns/prod/sa/orders", "127.0.0.1", "orders"),
        ("spiffe://mesh/orders", "localhost", "localhost"),
    ],
)
async def test_a_peer_that_is_called_by_an_address_is_the_service_that_it_has_proved_to_be(
    id: str, host: str, service: str
) -> None:
    async with (
        Backend() as backend,
        serving(backend, server(workload(id))) as url,
        gateway(
            f'{EXPORT}{MESH_TABLE}peers = ["127.0.0.0/8", "localhost"]\n', known=material(SHOP)
        ) as gate,
    ):
        side, port = Sidecar(gate), url.rpartition(":")[2]
        for _ in range(2):
            assert (await side.ask("outbound", "/", f"{host}:{port}")).status == 200
        spans = await side.spans(2)
        assert [span.kind for span in spans] == [CLIENT, CLIENT]
        for said in map(attributes, spans):
            assert said["peer.service"] == service and said["spangate.peer.identity"] == id


IMPOSTORS: dict[str, tuple[Callable[[], Who], str, str]] = {
    "somebody else": (lambda: workload("spiffe://mesh/else"), '"spiffe://mesh/orders"', "wrong_id"),
    "a partner, who must be named": (
        lambda: workload("spiffe://partner/orders"),
        "",
        "wrong_identity",
    ),
    "another domain's authority": (
        lambda: workload("spiffe://mesh/orders", by="partner"),
        '"spiffe://mesh/orders"',
        "wrong_trust_domain",
    ),
    "two names": (
        lambda: odd("spiffe://mesh/orders", "spiffe://mesh/x"),
        '"spiffe://mesh/orders"',
        "bad_svid",
    ),
    "an expired one": (lambda: old("spiffe://mesh/orders"), "", "certificate_expired"),
}


@pytest.mark.parametrize(("make", "identities", "kind"), IMPOSTORS.values(), ids=IMPOSTORS.keys())
async def test_impostors_are_not_asked(make: Callable[[], Who], identities: str, kind: str) -> None:
    async with (
        Backend() as backend,
        serving(backend, server(make())) as url,
        gateway(outbound(url, identities), known=material(SHOP, "partner")) as gate,
    ):
        assert (await gate.get("/")).status == 502
        assert backend.heads == []
        await gate.recorded.collect()
        name = "spangate.upstream.tls.failures"
        kinds = [k for k in (kind, "wrong_identity") if k.startswith(kind)]
        assert number(gate, name, spangate_reason=kinds[-1]) >= 1


async def test_a_partner_who_is_named_is_believed() -> None:
    partner = workload("spiffe://partner/orders")
    async with (
        Backend() as backend,
        serving(backend, server(partner, "mesh")) as url,
        gateway(
            outbound(url, '"spiffe://partner/orders"'), known=material(SHOP, "partner")
        ) as gate,
    ):
        assert (await gate.get("/")).body == b"ok"


async def test_without_an_identity_nobody_gets_in_and_the_rest_works() -> None:
    async with Backend() as backend:
        config = routes(backend, INBOUND + MESH_TABLE, IN)
        async with gateway(config) as gate:
            assert await status(gate, SHOP) == 0
            assert backend.heads == []
    async with Backend() as backend, serving(backend, server(ORDERS)) as url:
        more = f'[[route]]\npath = "/plain"\n{IN}\nto = "c"\n'
        more += f'[upstream.c]\nservers = ["{backend.url}"]\n'
        async with gateway(outbound(url) + more) as gate:
            assert (await gate.get("/")).status == 502
            assert (await gate.get("/plain")).body == b"ok"
