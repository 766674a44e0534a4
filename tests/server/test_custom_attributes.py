"""[attributes]: what users want to see of each request on the gateway's own span."""

from __future__ import annotations

from tests.harness import Backend, gateway, routes
from tests.server.kit import attributes, trace

ASKED = """
[attributes]
"business.tenant_id" = "header:x-tenant"
"business.kind" = "cookie:kind"
"business.unit" = "label:team"
"enduser.id" = "jwt:sub"
"""
TOKEN = "Authorization: Bearer e30.eyJzdWIiOiJqYW5lIn0.c2ln"


async def test_attributes_of_the_server_span() -> None:
    async with Backend() as backend:
        config = routes(backend, route='labels = { team = "shop" }') + ASKED
        async with gateway(config) as gate:
            lines = ("X-Tenant: acme", "Cookie: a=1; kind=gold", TOKEN)
            assert (await gate.get("/x", *lines)).status == 200
            seen = await trace(gate)
    server = attributes(seen.server)
    assert server["business.tenant_id"] == "acme"
    assert server["business.kind"] == "gold"
    assert server["business.unit"] == "shop"
    assert server["enduser.id"] == "jane"
    assert "business.tenant_id" not in seen.tried[0]
    assert b"x-tenant: acme" in backend.heads[0].lower()


async def test_a_request_that_carries_nothing() -> None:
    async with Backend() as backend, gateway(routes(backend) + ASKED) as gate:
        assert (await gate.get("/x")).status == 200
        server = attributes((await trace(gate)).server)
    assert not {"business.tenant_id", "business.kind", "business.unit", "enduser.id"} & {*server}
