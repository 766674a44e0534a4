"""Edits of request headers: what they can touch, and that nothing leaves twice."""

from __future__ import annotations

import pytest

from tests.harness import Backend, gateway, routes

OWN = [
    "traceparent",
    "tracestate",
    "baggage",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "via",
]
CAME = [
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate: a=1",
    "baggage: k=v",
    "x-request-id: abc",
    "x-forwarded-for: 10.1.1.1",
    "x-forwarded-proto: https",
    "x-forwarded-host: outer.test",
    "via: 1.1 other",
]


@pytest.mark.parametrize("kind", ['set."%s" = "mine"', 'add."%s" = "mine"', 'remove = ["%s"]'])
@pytest.mark.parametrize("name", OWN)
async def test_what_the_gateway_writes_an_edit_neither_takes_away_nor_doubles(
    name: str, kind: str
) -> None:
    edit = f"headers.request.{kind % name}"
    async with Backend() as backend, gateway(routes(backend, route=edit)) as gate:
        await gate.get("/x", *CAME)
    names = [line.partition(b":")[0].decode().lower() for line in backend.heads[0].splitlines()]
    assert names.count(name) == 1
    assert "mine" not in (backend.field(name) or "")


# fields that are only passed on, from a trusted peer too -> what else the file says
PASSED_ON = {
    "x-forwarded-port": "",
    "x-forwarded-prefix": "",
    "x-real-ip": "",
    "forwarded": "",
    "user-agent": "",
    "max-forwards": "",
    "x-request-id": "[forwarding]\nrequest_id = false",
    "x-forwarded-for": "[forwarding]\nx_forwarded = false",
    "x-forwarded-proto": "[forwarding]\nx_forwarded = false",
    "via": '[forwarding]\nvia = ""',
}


@pytest.mark.parametrize("name", PASSED_ON)
async def test_an_edit_touches_what_is_only_passed_on(name: str) -> None:
    for edit, said in (('set."%s" = "mine"', "mine"), ('remove = ["%s"]', None)):
        text = f"headers.request.{edit % name}"
        async with Backend() as backend:
            async with gateway(routes(backend, PASSED_ON[name], text)) as gate:
                await gate.get("/x", f"{name}: 5")
            assert backend.field(name) == said
