"""A gateway whose servers Consul knows: they come and go without a reload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hub.gateway import MINIMAL, Gateway, fetch, gateway, until
from tests.hub.test_health import Backend
from tests.sources.test_consul import Agent, agent, instance

CONFIG = """
[source.consul]
server = "{url}"
[[route]]
path = "/shop"
to = "shop"
"""


def port(backend: Backend) -> int:
    return int(backend.url.rpartition(":")[2])


async def test_instances_come_and_go_without_a_reload(tmp_path: Path) -> None:
    first, second = Backend(), Backend()
    try:
        async with agent() as (known, url):
            known.put("shop", instance(port(first), "127.0.0.1"))
            loop = asyncio.get_running_loop()

            def put(*instances: dict[str, Any]) -> None:
                loop.call_soon_threadsafe(known.put, "shop", *instances)

            await asyncio.to_thread(follow, tmp_path, url, known, put, (first, second))
    finally:
        first.close()
        second.close()


def follow(
    folder: Path,
    url: str,
    known: Agent,
    put: Callable[..., None],
    backends: tuple[Backend, Backend],
) -> None:
    first, second = backends
    with gateway(folder, MINIMAL.format(more=CONFIG.format(url=url)), workers=2) as hub:
        until(lambda: source(hub)["upstreams"] == 1)  # all workers go by it
        until(lambda: fetch(hub.port, "/shop")[0] == 200)
        assert servers(hub) == {first.url}
        number = generation(hub)
        put(instance(port(second), "127.0.0.1"))
        until(lambda: servers(hub) == {second.url})
        hub.stats()  # who answers has read what it was told before
        first.close()
        assert fetch(hub.port, "/shop")[0] == 200
        known.failing = True
        put(instance(9, "127.0.0.1"))
        until(lambda: source(hub)["error"])
        assert servers(hub) == {second.url}
        assert fetch(hub.port, "/shop")[0] == 200
        known.failing = False
        put()
        until(lambda: fetch(hub.port, "/shop")[0] == 503)
        assert generation(hub) == number


ODD = """
[[route]]
path = "/odd"
to = "odd"
"""


async def test_a_service_that_cannot_be_asked_as_it_says_holds_up_no_other(tmp_path: Path) -> None:
    backend = Backend()
    try:
        async with agent() as (known, url):
            known.put("shop", instance(port(backend), "127.0.0.1"))
            known.put("odd", instance(port(backend), "127.0.0.1"))
            loop = asyncio.get_running_loop()

            def put(name: str, *instances: dict[str, Any]) -> None:
                loop.call_soon_threadsafe(known.put, name, *instances)

            await asyncio.to_thread(go_on, tmp_path, url, put, backend)
    finally:
        backend.close()


def go_on(folder: Path, url: str, put: Callable[..., None], backend: Backend) -> None:
    more = CONFIG.format(url=url) + ODD
    with gateway(folder, MINIMAL.format(more=more), workers=1) as hub:
        until(lambda: source(hub)["upstreams"] == 2)
        until(lambda: fetch(hub.port, "/odd")[0] == 200)
        put("odd", instance(port(backend), "127.0.0.1", Meta={"scheme": "tcp"}))
        until(lambda: source(hub)["left_out"])
        assert source(hub)["left_out"][0].endswith("; what it said before is in force")
        assert fetch(hub.port, "/odd")[0] == 200, "it has its servers"
        put("another", instance(port(backend), "127.0.0.1"))
        until(lambda: source(hub)["upstreams"] == 3)
        put("odd", instance(port(backend), "127.0.0.1"))
        until(lambda: not source(hub)["left_out"])
        assert fetch(hub.port, "/odd")[0] == 200


def servers(hub: Gateway) -> set[str]:
    return set(hub.stats()["upstreams"]["shop"]["discover"]["servers"])


def source(hub: Gateway) -> Any:
    return json.loads(hub.ask("/config")[2])["sources"]["consul"]


def generation(hub: Gateway) -> int:
    return int(json.loads(hub.ask("/config")[2])["generation"])
