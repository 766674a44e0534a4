"""Route configurations of a control plane that read well, and that the gateway refuses all the
same, and secrets: each by its name, the rest is in force, and what was good of it before stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.config import local_ca
from tests.hub.gateway import fetch
from tests.peers import xds_protos
from tests.ports import free_port

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from tests.peers import xds_made as made
from tests.peers.xds_server import Server
from tests.sources.xds.test_clusters import WRONG
from tests.sources.xds.test_listeners import FILE, TLS, asked, connected, gateway, said, secret

pytestmark = pytest.mark.timeout(300)


def answering(name: str, status: int, path: str = "/", **more: Any) -> Any:
    """A route configuration that answers by itself."""
    route = made.route({"prefix": path}, direct_response={"status": status})
    return made.routes(name, made.host("v", ["*"], route, **more))


async def status(port: int, path: str = "/") -> int:
    return (await asyncio.to_thread(fetch, port, path))[0]


async def refusal(server: Server, kind: str) -> str:
    """The first one of that kind."""

    def found() -> list[str]:
        return [one.reason for one in server.answers if one.kind == kind and one.reason]

    await server.until(found)
    return found()[0]


async def test_a_route_that_is_refused_holds_up_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    one, two = free_port(), free_port()
    server.put(answering("r1", 201), made.listener("l1", one, "r1"))
    server.put(answering("r2", 202), made.listener("l2", two, "r2"), made.cluster("c"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 2 routes")
        server.put(answering("r1", 999), answering("r2", 203, "/x"))
        reason = await refusal(server, "RouteConfiguration")
        assert reason.startswith("xDS route configuration 'r1' of 'l1', v/0: route.respond.status:")
        assert "r2" not in reason
        async with asyncio.timeout(60):
            while await status(two, "/x") != 203:
                await asyncio.sleep(0.02)
        assert await status(one) == 201
        await said(
            hub, "stays as it was: xDS route configuration 'r1' of 'l1', v/0: route.respond.status"
        )
        version = server.put(answering("r1", 204))
        assert (await server.answered("RouteConfiguration", version)).reason == ""
        assert await status(one) == 204
    assert server.violations == []


async def test_routes_that_hash_differently_hold_up_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    def hashed(name: str, header: str, path: str) -> Any:
        policy = [{"header": {"header_name": header}}]
        to_c = made.route({"prefix": "/c"}, route={"cluster": "c", "hash_policy": policy})
        pong = made.route({"prefix": path}, direct_response={"status": 200})
        return made.routes(name, made.host("v", ["*"], to_c, pong))

    one, two = free_port(), free_port()
    server.put(made.cluster("c", lb_policy="RING_HASH"), made.endpoints("c"))
    server.put(hashed("r1", "x-a", "/1"), made.listener("l1", one, "r1"))
    server.put(hashed("r2", "x-a", "/2"), made.listener("l2", two, "r2"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 4 routes")
        server.put(hashed("r2", "x-b", "/new"), hashed("r1", "x-a", "/new"))
        reason = await refusal(server, "RouteConfiguration")
        assert reason.startswith("xDS route configuration 'r2' of 'l2', v/0: ")
        assert "'c'" in reason and "header:x-a" in reason and "header:x-b" in reason
        async with asyncio.timeout(60):
            while await status(one, "/new") != 200:
                await asyncio.sleep(0.02)
        assert [await status(two, path) for path in ("/2", "/new")] == [200, 404]
    assert server.violations == []


async def test_a_secret_that_is_refused_stays_as_it_was(server: Server, tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    first, second = (
        local_ca.make(str(tmp_path / name), ("127.0.0.1",)) for name in ("first", "second")
    )
    server.put(answering("r", 200), made.cluster("c"), secret(first))
    server.put(made.listening("l", port, made.manager("r"), transport_socket=TLS))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 1 routes")
        mixed = secret(first)
        mixed.tls_certificate.private_key.inline_string = second.key.read_text()
        server.put(mixed)
        reason = await refusal(server, "Secret")
        assert "xDS secret 'shop'" in reason and "does not belong to" in reason
        server.put(made.listener("l2", other, "r"))
        await said(hub, "is in force: 2 routes")
        connection = await connected(port, first.ca)
        assert await asyncio.to_thread(asked, connection) == ""
        connection.close()
        assert not [one for one in server.answers if one.kind == "Listener" and one.reason]
        server.put(secret(second))
        (await connected(port, second.ca)).close()
    assert server.violations == []


@pytest.mark.parametrize("mode", ["delta", "sotw"])
async def test_what_was_acknowledged_is_refused_when_it_is_found_wrong(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A cluster that nothing used, and routes that waited for it; and the conversation goes on."""
    monkeypatch.setattr("tests.sources.xds.test_listeners.FILE", FILE + f'mode = "{mode}"\n')
    server.tells_absent = False
    port, other = free_port(), free_port()
    wrong = made.cluster("c", health_checks=WRONG["health_checks"])
    clusters = server.put(wrong, made.cluster("d"), made.endpoints("d"))
    server.put(answering("r", 200), made.listener("l", port, "r"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 1 routes")
        assert (await server.answered("Cluster", clusters)).reason == ""
        bad = made.route({"prefix": "/bad"}, direct_response={"status": 999})
        to_c = made.route({"prefix": "/c"}, "c")
        routes = server.put(made.routes("r", made.host("v", ["*"], to_c, bad)))
        assert (await server.answered("RouteConfiguration", routes)).reason == ""  # it waits
        server.put(made.endpoints("c", 1))
        assert "route.respond.status" in await refusal(server, "RouteConfiguration")
        assert "upstream.c.health.path" in await refusal(server, "Cluster")
        server.put(answering("r2", 202), made.listener("l2", other, "r2"))
        await said(hub, "is in force: 2 routes")
        assert [await status(one) for one in (port, other)] == [200, 202]
    assert server.violations == []
