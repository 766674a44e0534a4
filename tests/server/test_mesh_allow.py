"""`mesh.allow`: who of the mesh may ask for what, by its identity, path and method."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.harness import Backend, Gateway, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import SERVER, attributes, number, traces
from tests.server.mesh_kit import Who, client, material, workload
from tests.server.tls_kit import connect

ORDERS = workload("spiffe://mesh/orders")
SHOP = workload("spiffe://mesh/shop")
ADMIN = workload("spiffe://mesh/ops/admin")
PARTNER = workload("spiffe://partner/shop")

ASKS = """
[[listen]]
address = ":8443"
name = "ours"
tls = {{ cert = "mesh:", key = "mesh:", client_ca = "mesh:", client = "{client}" }}
[mesh]
app = "127.0.0.1:9"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
identity = {{ ca = "files:///nowhere" }}
allow = [{allow}]
"""
RULES = """
{ from = "spiffe://mesh/shop", path = "/orders/*", method = ["GET", "POST"] },
{ from = "spiffe://mesh/ops/*" },
{ from = "spiffe://partner/*", path = "/public/{id}" },
{ path = "/state", method = ["GET"] },
"""


def guarded(backend: Backend, allow: str = RULES, more: str = "", at: str = "ours") -> str:
    said = ASKS.format(client="request", allow=" ".join(allow.split())) + more
    return routes(backend, said, f'when = {{ listener = "{at}" }}')


async def status(gate: Gateway, who: Who | None, method: str, path: str) -> int:
    conn = await connect(gate, client(who, "mesh", "partner"), "outbound.mesh.")
    conn.write(f"{method} {path} HTTP/1.1\r\nHost: orders\r\nContent-Length: 0\r\n\r\n".encode())
    answer = await conn.answer()
    await conn.close()
    return answer.status


@pytest.mark.parametrize(
    ("who", "method", "path", "reason"),
    [
        (SHOP, "GET", "/orders/1", ""),
        (SHOP, "POST", "/orders", ""),
        (SHOP, "GET", "/orders/1?x=/admin", ""),
        (SHOP, "DELETE", "/orders/1", "request"),
        (SHOP, "GET", "/", "request"),
        (SHOP, "GET", "/ORDERS/1", "request"),
        (SHOP, "GET", "/ordersX", "request"),
        (SHOP, "GET", "/orders/../admin", "request"),
        (SHOP, "GET", "/x/../orders/1", ""),
        (SHOP, "GET", "/orders/a%2Fb", "request"),
        (SHOP, "GET", "/public/1", "request"),
        (SHOP, "GET", "/state", ""),
        (ADMIN, "DELETE", "/anything/a%2Fb", ""),
        (PARTNER, "GET", "/public/1", ""),
        (PARTNER, "GET", "/public/1/2", "request"),
        (PARTNER, "GET", "/orders/1", "request"),
        (None, "GET", "/state", ""),
        (None, "POST", "/state", "request"),
        (None, "GET", "/orders/1", "request"),
    ],
)
async def test_rules(who: Who | None, method: str, path: str, reason: str) -> None:
    known = material(ORDERS, "partner")
    async with Backend() as backend, gateway(guarded(backend), known=known) as gate:
        assert await status(gate, who, method, path) == (403 if reason else 200)
        assert len(backend.heads) == (not reason)
        (seen,) = await traces(gate)
        assert seen.about.get("spangate.denied.reason", "") == reason
        assert seen.about.get("spangate.peer.identity") == (who and who.id)
        if reason:
            assert seen.about["spangate.check"] == "mesh"
            await gate.recorded.collect()
            labels = {"spangate_check": "mesh", "spangate_denied_reason": reason}
            assert number(gate, "spangate.access.denied", **labels) == 1


@pytest.mark.parametrize(
    ("allow", "who", "reason"),
    [
        ('{ from = "spiffe://mesh/shop" }', SHOP, ""),
        ('{ from = "spiffe://mesh/shop" }', ADMIN, "identity"),
        ('{ from = "spiffe://mesh/shop" }', None, "no_identity"),
        ('{ from = "spiffe://*" }', PARTNER, ""),
        ('{ from = "spiffe://*" }', None, "no_identity"),
        ('{ from = "spiffe://mesh/*" }', PARTNER, "identity"),
        ('{ from = "*" }', None, ""),
        ("", None, ""),
        ("", SHOP, ""),
    ],
)
async def test_identities(allow: str, who: Who | None, reason: str) -> None:
    async with Backend() as backend:
        config = guarded(backend, allow)
        async with gateway(config, known=material(ORDERS, "partner")) as gate:
            assert await status(gate, who, "GET", "/") == (403 if reason else 200)
            (seen,) = await traces(gate)
            assert seen.about.get("spangate.denied.reason", "") == reason


async def test_over_http2_each_request_is_asked_about_and_grpc_is_told_in_its_words() -> None:
    async with Backend() as backend, gateway(guarded(backend), known=material(ORDERS)) as gate:
        context = client(SHOP)
        context.set_alpn_protocols(["h2"])
        peer = await h2_client(gate, tls=context)
        assert (await peer.get("/state")).status == 200
        assert (await peer.get("/admin")).status == 403
        call = (b"content-type", b"application/grpc"), (b"te", b"trailers")
        answer = await peer.get("/shop.Cart/Add", *call, method="POST")
        assert answer.status == 200
        fields = dict([*answer.fields, *answer.trailers])
        assert fields[b"grpc-status"] == b"7"
        peer.transport.abort()


async def test_what_a_header_says_does_not_count() -> None:
    allow = '{ from = "spiffe://mesh/shop" }'
    async with Backend() as backend:
        config = guarded(backend, allow, more="[forwarding]\ntrust = ['0.0.0.0/0']\n")
        async with gateway(config, known=material(ORDERS)) as gate:
            conn = await connect(gate, client(ADMIN), "outbound.mesh.")
            conn.write(
                b"GET / HTTP/1.1\r\nHost: orders\r\n"
                b"X-Forwarded-Client-Cert: URI=spiffe://mesh/shop\r\n\r\n"
            )
            assert (await conn.answer()).status == 403
            await conn.close()


LISTENERS = """
[[listen]]
address = ":8000"
name = "outside"
"""


async def test_other_listeners_are_not_asked(tmp_path: Path) -> None:
    async with Backend() as backend:
        config = LISTENERS + guarded(backend, '{ from = "spiffe://mesh/shop" }', at="outside")
        async with gateway(config, known=material(ORDERS)) as gate:
            assert (await gate.get("/")).status == 200


async def test_the_inbound_listener_is_asked_in_plaintext_too() -> None:
    async with Backend() as backend:
        inbound = '[[listen]]\naddress = "127.0.0.1:0"\nname = "in"\n'
        allow = '{ from = "spiffe://mesh/shop" }, { path = "/open" }'
        config = inbound + guarded(backend, allow, at="in")
        async with gateway(config, known=material(ORDERS)) as gate:
            assert (await gate.get("/")).status == 403
            assert (await gate.get("/open")).status == 200


async def xfcc(gate: Gateway, backend: Backend, tls: ssl.SSLContext) -> str:
    conn = await connect(gate, tls, "outbound.mesh.")
    conn.write(
        b"GET / HTTP/1.1\r\nHost: orders\r\nX-Forwarded-Client-Cert: URI=spiffe://mesh/root\r\n"
        b"x_forwarded_client_cert: URI=spiffe://mesh/root\r\n\r\n"
    )
    assert (await conn.answer()).status == 200
    await conn.close()
    lines = backend.heads[-1].decode().lower().split("\r\n")
    return ",".join(line for line in lines if "client" in line and "cert" in line)


TRUST = [
    ("", False),
    ("[forwarding]\ntrust = ['192.0.2.0/24']\n", False),
    ("[forwarding]\ntrust = ['127.0.0.0/8']\n", True),
]


@pytest.mark.parametrize(("trust", "passes"), TRUST)
async def test_what_others_say_of_identities_is_taken_off(trust: str, passes: bool) -> None:
    known = material(ORDERS)
    async with Backend() as backend, gateway(guarded(backend, "", more=trust), known=known) as gate:
        said = await xfcc(gate, backend, client(SHOP))
        assert f"by={ORDERS.id};" in said and f"uri={SHOP.id}" in said
        assert ("spiffe://mesh/root" in said) is passes
        assert ("root" in await xfcc(gate, backend, client(None))) is passes


BYTES = """
[export]
otlp = "http://127.0.0.1:1"
[[listen]]
address = ":8443"
name = "ours"
protocol = "tcp"
to = "b_1"
tls = {{ cert = "mesh:", key = "mesh:", client_ca = "mesh:" }}
[mesh]
app = "127.0.0.1:9"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
identity = {{ ca = "files:///nowhere" }}
allow = [{{ from = "spiffe://mesh/shop", method = ["GET"] }}, {{ from = "spiffe://mesh/ops/*" }}]
[upstream.b_1]
servers = ["{url}"]
"""


async def test_bytes_come_in_by_rules_that_say_nothing_of_requests() -> None:
    async with Backend() as backend:
        config = BYTES.format(url=backend.url.replace("http:", "tcp:"))
        async with gateway(config, known=material(ORDERS)) as gate:
            assert await status(gate, ADMIN, "GET", "/") == 200
            (server,) = [span for span in await gate.spans(2) if span.kind == SERVER]
            assert attributes(server)["spangate.peer.identity"] == ADMIN.id
            conn = await connect(gate, client(SHOP), "outbound.mesh.")
            conn.write(b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n")
            assert await conn.at_end()
            assert len(backend.heads) == 1
            await gate.recorded.collect()
            labels = {"spangate_check": "mesh", "spangate_denied_reason": "request"}
            assert number(gate, "spangate.access.denied", **labels) == 1
