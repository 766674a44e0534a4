"""What /config and /metrics say of a control plane: which versions are in force, and whether it
answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import Gateway
from tests.peers import xds_protos
from tests.ports import free_port

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from tests.peers import xds_made as made
from tests.peers.xds_server import Server
from tests.sources.xds.test_listeners import gateway, said
from tests.sources.xds.test_routes_refused import answering

pytestmark = pytest.mark.timeout(300)


async def ready(hub: Gateway) -> None:
    line = await asyncio.to_thread(hub.wait_for_line, r"admin on (?:http://)?([0-9.]+:[0-9]+)")
    hub.admin = int(line[1].rpartition(":")[2])


async def source(hub: Gateway) -> Any:
    config = await asyncio.to_thread(hub.ask, "/config")
    return json.loads(config[2])["sources"]["xds"]


async def until(hub: Gateway, holds: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(60):
        while not holds(seen := await source(hub)):
            await asyncio.sleep(0.02)
    return seen


async def metric(hub: Gateway, name: str) -> dict[str, float]:
    values = await asyncio.to_thread(hub.values)
    return {
        dict(labels).get("type", "") + " " + dict(labels).get("version", ""): value
        for (sample, labels), value in values.items()
        if sample == name
    }


async def test_versions_are_those_in_force(server: Server, tmp_path: Path) -> None:
    port = free_port()
    to_c = made.route({"prefix": "/c"}, "c")
    server.put(made.cluster("c"), made.endpoints("c", 1))
    server.put(made.listener("l", port, "r"), made.routes("r", made.host("v", ["*"], to_c)))
    async with gateway(tmp_path, server) as hub:
        await ready(hub)
        await said(hub, "is in force: 1 routes")
        moved = server.put(made.endpoints("c", 2))
        await until(hub, lambda seen: bool(seen["versions"]["eds"] == moved))
        same = server.put(made.cluster("c"))  # it says nothing new
        await until(hub, lambda seen: bool(seen["versions"]["cds"] == same))
        seen = await source(hub)
        before = seen["versions"]["rds"]
        refused = server.put(answering("r", 999))
        assert (await server.answered("RouteConfiguration", refused)).reason
        seen = await until(hub, lambda seen: bool(seen["left_out"]))
        assert seen["versions"]["rds"] == before
        shown = await metric(hub, "spangate_source_version")
        assert {f"eds {moved}", f"cds {same}", f"rds {before}"} <= shown.keys()
        assert f"rds {refused}" not in shown
        mended = server.put(answering("r", 200))
        await until(hub, lambda seen: bool(seen["versions"]["rds"] == mended))
    assert server.violations == []


async def test_a_server_that_is_back_with_nothing_new_answers(
    server: Server, tmp_path: Path
) -> None:
    server.put(answering("r", 200), made.listener("l", free_port(), "r"), made.cluster("c"))
    async with gateway(tmp_path, server) as hub:
        await ready(hub)
        await said(hub, "is in force: 1 routes")
        await server.answered("RouteConfiguration", "1")
        port = server.port
        await server.stop()
        await until(hub, lambda seen: bool(seen["error"]))
        assert set((await metric(hub, "spangate_source_up")).values()) == {0.0}
        again = Server()
        for kind, held in server.resources.items():
            again.resources[kind] = dict(held)
        await again.start(port)
        try:
            await until(hub, lambda seen: not seen["error"])
            assert set((await metric(hub, "spangate_source_up")).values()) == {1.0}
        finally:
            await again.stop()
