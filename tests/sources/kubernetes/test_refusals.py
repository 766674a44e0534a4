"""What becomes of objects that the gateway has refused, when several states are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.sources.kubernetes.translate import translate
from proxy.sources.kubernetes.world import World
from tests.peers.kubernetes_api import Server, api_server
from tests.sources.kit import DEADLINE, Heard
from tests.sources.kubernetes.kit import watching
from tests.sources.kubernetes.objects import (
    Object,
    edge,
    gateway,
    gateway_class,
    listener,
    made,
    orders,
    route,
)

PORT_BAD = ["kubernetes listener 80: listen: cannot listen on :80: permission denied"]
BAD = ["kubernetes HTTPRoute shop/bad: route.path: it is odd"]


@pytest.fixture
def server() -> Iterator[Server]:
    with api_server() as running:
        yield running


async def put(server: Server, *objects: Object) -> None:
    await asyncio.to_thread(server.cluster.apply, *objects)


def names(heard: Heard) -> list[str]:
    return sorted(heard.routes)


async def test_only_what_is_to_blame_in_the_newest_state_is_left_out(server: Server) -> None:
    await put(server, *edge(), *orders(), route("shop/bad"))
    running = watching(server)
    async with running as heard:
        await heard.until(lambda: "shop/bad" in names(heard))
        old = heard.now
        await put(server, route("shop/new"))
        await heard.until(lambda: "shop/new" in names(heard))
        new = heard.now
        assert not running.source.settled(old, BAD), "another one has come, and it has the route"
        assert running.source.settled(new, BAD)
        await heard.until(lambda: names(heard) == ["shop/new"])


async def test_what_is_refused_while_the_next_state_is_made_is_left_out_after_that(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, loop = watching(server), asyncio.get_running_loop()
    left_out: list[bool] = []

    async def refuse(given: Any) -> None:
        left_out.append(running.source.settled(given, BAD))

    def slow(world: World, *arguments: Any) -> Any:
        if not left_out and ("shop", "new") in dict(world.all("HTTPRoute")):
            asyncio.run_coroutine_threadsafe(refuse(running.heard.now), loop).result(DEADLINE)
        return translate(world, *arguments)

    monkeypatch.setattr("proxy.sources.kubernetes.source.translate", slow)
    await put(server, *edge(), *orders(), route("shop/bad"))
    async with running as heard:
        await heard.until(lambda: "shop/bad" in names(heard))
        await put(server, route("shop/new"))
        await heard.until(lambda: "shop/new" in names(heard))
        assert names(heard) == ["shop/bad", "shop/new"], "it was under way already"
        await refuse(heard.now)
        await heard.until(lambda: names(heard) == ["shop/new"])
    assert left_out == [True, True]


async def test_what_is_mended_while_its_old_form_is_being_refused_comes_into_force(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, loop = watching(server), asyncio.get_running_loop()
    refused: list[bool] = []

    async def refuse(given: Any) -> None:
        refused.append(running.source.settled(given, BAD))

    def slow(world: World, *arguments: Any) -> Any:
        route = world.get("HTTPRoute", "shop", "bad")
        if not refused and route is not None and route.spec.hostnames:
            asyncio.run_coroutine_threadsafe(refuse(running.heard.now), loop).result(DEADLINE)
        return translate(world, *arguments)

    monkeypatch.setattr("proxy.sources.kubernetes.source.translate", slow)
    await put(server, *edge(), *orders(), route("shop/bad"))
    async with running as heard:
        await heard.until(lambda: "shop/bad" in names(heard))
        await put(server, route("shop/bad", hostnames=["mended.example"]))
        await heard.until(lambda: len(heard.states) > 2)
        assert heard.routes["shop/bad"]["host"] == ["mended.example"]
        assert refused == [True]


async def test_a_port_is_not_blocked_for_what_its_gateway_said_before(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, loop = watching(server), asyncio.get_running_loop()
    refused: list[bool] = []

    async def refuse(given: Any) -> None:
        refused.append(running.source.settled(given, PORT_BAD))

    def slow(world: World, *arguments: Any) -> Any:
        edge = world.get("Gateway", "infra", "edge")
        if not refused and edge is not None and len(edge.spec.listeners) == 2:
            asyncio.run_coroutine_threadsafe(refuse(running.heard.now), loop).result(DEADLINE)
        return translate(world, *arguments)

    monkeypatch.setattr("proxy.sources.kubernetes.source.translate", slow)
    await put(server, *edge(), *orders(), route("shop/bad"))
    async with running as heard:
        await heard.until(lambda: heard.states and heard.now.listeners)
        both = [listener(80, routes="All"), listener(81, routes="All")]
        await put(server, gateway_class(), gateway("infra/edge", *both))
        await heard.until(lambda: len(heard.states) > 2)
        assert [one["address"] for one in heard.now.listeners] == [":80", ":81"]
        assert refused == [True]


async def test_a_service_is_tried_again_when_its_policy_is_mended(server: Server) -> None:
    """What is refused of an upstream may be what the policy says."""

    def policy(hostname: str) -> Object:
        spec = {
            "targetRefs": [{"group": "", "kind": "Service", "name": "orders"}],
            "validation": {"hostname": hostname, "wellKnownCACertificates": "System"},
        }
        return made("BackendTLSPolicy", "shop/tls", spec=spec)

    await put(server, *edge(), *orders(), route("shop/a"), policy("odd.example"))
    running = watching(server)
    async with running as heard:
        await heard.until(lambda: heard.states and "shop.orders.80" in heard.now.upstreams)
        why = "kubernetes Service shop/orders: upstream.shop.orders.80.tls.server_name: odd"
        assert running.source.settled(heard.now, [why])
        await heard.until(lambda: "shop.orders.80" not in heard.now.upstreams)
        assert not running.source.settled(heard.now, [])
        await put(server, policy("orders.example"))
        await heard.until(lambda: "shop.orders.80" in heard.now.upstreams)


async def test_what_is_refused_of_a_state_that_others_have_followed_is_left_out_too(
    server: Server,
) -> None:
    """Where changes come faster than the gateway judges, none would be judged as the newest."""
    await put(server, *edge(), *orders(), route("shop/bad"), route("shop/mended"))
    running = watching(server)
    async with running as heard:
        await heard.until(lambda: "shop/bad" in names(heard))
        old = heard.now
        await put(server, route("shop/new"), route("shop/mended", hostnames=["a.example"]))
        await heard.until(
            lambda: "shop/new" in names(heard) and heard.routes["shop/mended"].get("host")
        )
        both = [*BAD, "kubernetes HTTPRoute shop/mended: route.path: it is odd"]
        assert not running.source.settled(old, both), "there is a newer one already"
        await heard.until(lambda: names(heard) == ["shop/mended", "shop/new"])
