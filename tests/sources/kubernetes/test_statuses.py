"""What is written back: conditions with their times, over nobody's newer state, and only what has
changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.config.source_model import KubernetesSource
from proxy.sources.kubernetes import make
from proxy.sources.source import About
from tests.peers.kubernetes_api import Cluster, Refused, Server, api_server
from tests.sources.kit import Heard, Watching
from tests.sources.kubernetes.objects import (
    CONTROLLER,
    Object,
    edge,
    gateway,
    gateway_class,
    listener,
    made,
    orders,
    route,
    to,
)

OTHERS = {
    "parentRef": {"name": "theirs", "group": "gateway.networking.k8s.io", "kind": "Gateway"},
    "controllerName": "example.com/other",
    "conditions": [
        {
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        }
    ],
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    with api_server() as running:
        yield running


class Hub(Heard):
    """Takes what is given, as the gateway would, unless `refuses` says why not."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._source = source
        self.refuses: Callable[[Any], list[str]] = lambda given: []

    def given(self, given: Any) -> None:
        super().given(given)
        self._source.settled(given, self.refuses(given))


class Taken(Watching):
    def __init__(self, server: Server, **more: Any) -> None:
        super().__init__(make(KubernetesSource(server=server.url, **more), About("/")))
        self.heard: Hub = Hub(self.source)

    async def __aenter__(self) -> Hub:
        await super().__aenter__()
        return self.heard


async def status(cluster: Cluster, kind: str, name: str, until: Callable[[Object], Any]) -> Object:
    """The status as soon as it is so."""
    namespace, _, short = name.rpartition("/")
    async with asyncio.timeout(20):
        while True:
            found = await asyncio.to_thread(cluster.get, kind, namespace, short)
            said: Object = found.get("status", {})
            if said and until(said):
                return said
            await asyncio.sleep(0.02)


def conditions(entry: Object) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in entry["conditions"]}


async def put(server: Server, *objects: Object) -> None:
    await asyncio.to_thread(server.cluster.apply, *objects)


async def test_everybody_is_told_what_became_of_theirs(server: Server) -> None:
    doors = [listener(80, "http", routes="All"), listener(81, "tcp", protocol="TCP")]
    lost = route("shop/lost", {"backendRefs": [to("gone")]})
    await put(server, *edge(*doors), *orders(), route(), lost)
    async with Taken(server, addresses=["192.0.2.7", "edge.example"]):
        said = await status(server.cluster, "GatewayClass", "spangate", bool)
        assert conditions(said) == {"Accepted": ("True", "Accepted")}
        said = await status(server.cluster, "Gateway", "infra/edge", bool)
        assert conditions(said) == {
            "Accepted": ("True", "ListenersNotValid"), "Programmed": ("True", "Programmed"),
        }  # fmt: skip
        assert said["addresses"] == [
            {"type": "IPAddress", "value": "192.0.2.7"},
            {"type": "Hostname", "value": "edge.example"},
        ]
        http, tcp = said["listeners"]
        assert (http["attachedRoutes"], tcp["attachedRoutes"]) == (2, 0)
        assert [one["kind"] for one in http["supportedKinds"]] == ["HTTPRoute", "GRPCRoute"]
        assert conditions(http) == {
            "Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs"),
            "Conflicted": ("False", "NoConflicts"), "Programmed": ("True", "Programmed"),
        }  # fmt: skip
        assert conditions(tcp)["Accepted"] == ("False", "UnsupportedProtocol")
        assert conditions(tcp)["Programmed"] == ("False", "Invalid")
        said = await status(server.cluster, "HTTPRoute", "shop/lost", bool)
        assert said["parents"][0]["controllerName"] == CONTROLLER
        assert conditions(said["parents"][0])["ResolvedRefs"] == ("False", "BackendNotFound")
        said = await status(server.cluster, "HTTPRoute", "shop/orders", bool)
        assert set(conditions(said["parents"][0]).values()) == {
            ("True", "Accepted"), ("True", "ResolvedRefs"),
        }  # fmt: skip


async def test_what_is_written_stays_and_is_not_written_again(server: Server) -> None:
    await put(server, *edge(), *orders(), route())
    async with Taken(server) as heard:
        await status(server.cluster, "HTTPRoute", "shop/orders", bool)
        await status(server.cluster, "Gateway", "infra/edge", bool)
    writes = len(server.cluster.writes)
    assert writes == 3
    async with Taken(server) as heard:
        await heard.until(lambda: heard.states)
        await put(server, route("shop/new"))
        await status(server.cluster, "HTTPRoute", "shop/new", bool)
        said = await status(
            server.cluster,
            "Gateway",
            "infra/edge",
            lambda s: s["listeners"][0]["attachedRoutes"] == 2,
        )
        assert said
    assert len(server.cluster.writes) == writes + 2, "the new route, and the Gateway's count"


async def test_times_are_those_of_changes_and_generations_those_of_the_object(
    server: Server,
) -> None:
    old = "2026-01-01T00:00:00Z"
    await put(server, *edge(), *orders(), route())
    async with Taken(server):
        said = await status(server.cluster, "HTTPRoute", "shop/orders", bool)
    for one in said["parents"][0]["conditions"]:
        one["lastTransitionTime"] = old
    await put(server, {**route(), "status": said})
    async with Taken(server):
        await put(server, {**route("shop/orders", {"backendRefs": [to("gone")]}), "status": said})
        said = await status(
            server.cluster, "HTTPRoute", "shop/orders",
            lambda s: s["parents"][0]["conditions"][1]["status"] == "False",
        )  # fmt: skip
    accepted, resolved = said["parents"][0]["conditions"]
    assert (accepted["lastTransitionTime"], accepted["observedGeneration"]) == (old, 2)
    assert resolved["lastTransitionTime"] > old


async def test_what_others_have_written_stays(server: Server) -> None:
    theirs = {"type": "example.com/Fine", "status": "True", "reason": "X", "message": "",
              "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}  # fmt: skip
    await put(server, gateway_class(), *orders())
    await put(server, {**route(), "status": {"parents": [OTHERS]}})
    await put(
        server,
        {**gateway("infra/edge", listener(routes="All")), "status": {"conditions": [theirs]}},
    )
    async with Taken(server):
        said = await status(
            server.cluster, "HTTPRoute", "shop/orders", lambda s: len(s["parents"]) == 2
        )
        assert said["parents"][0] == OTHERS
        said = await status(
            server.cluster, "Gateway", "infra/edge", lambda s: len(s["conditions"]) == 3
        )
        assert theirs in said["conditions"]
        await asyncio.to_thread(server.cluster.delete, "Gateway", "infra", "edge")
        said = await status(
            server.cluster, "HTTPRoute", "shop/orders", lambda s: len(s["parents"]) == 1
        )
        assert said["parents"] == [OTHERS], "ours goes with its parent"


async def test_a_conflict_is_solved_with_what_is_there_now(server: Server) -> None:
    await put(server, *edge(), *orders(), route())
    cluster = server.cluster
    before = cluster._patch
    raced = []

    async def patch(*arguments: Any) -> Any:
        if not raced and arguments[1] == "httproutes":
            raced.append(True)
            cluster._apply({**route(), "status": {"parents": [OTHERS]}})
        return await before(*arguments)

    cluster._patch = patch  # type: ignore[method-assign]
    async with Taken(server):
        said = await status(cluster, "HTTPRoute", "shop/orders", lambda s: len(s["parents"]) == 2)
        assert said["parents"][0] == OTHERS
    assert cluster.conflicts == 1


async def test_a_route_that_changes_while_its_status_is_written_is_judged_anew(
    server: Server,
) -> None:
    """By the conflict it is known before the watch tells of it."""
    await put(server, *edge(), *orders(), route())
    cluster = server.cluster
    before = cluster._patch
    held: list[asyncio.Event] = []

    async def patch(*arguments: Any) -> Any:
        if not held and arguments[1] == "httproutes":
            held.append(cluster._stirred)
            cluster._stirred = asyncio.Event()  # nobody who watches is told now
            cluster._apply(route("shop/orders", {"backendRefs": [to("gone")]}))
        return await before(*arguments)

    cluster._patch = patch  # type: ignore[method-assign]
    async with Taken(server) as heard:
        await heard.until(lambda: heard.states and heard.now.routes and not heard.now.upstreams)
        cluster._loop.call_soon_threadsafe(held[0].set)
        said = await status(
            cluster, "HTTPRoute", "shop/orders",
            lambda s: conditions(s["parents"][0])["ResolvedRefs"][0] == "False",
        )  # fmt: skip
        assert said["parents"][0]["conditions"][0]["observedGeneration"] == 2
    assert cluster.conflicts == 1
    written = [patch for path, patch in cluster.writes if "httproutes" in path]
    assert len(written) == 1, "nothing is said of what nobody has judged"


async def test_a_state_that_is_refused_is_not_programmed(server: Server) -> None:
    await put(server, *edge(), *orders(), route())
    async with Taken(server) as heard:
        heard.refuses = lambda given: ["file: the workers do not take it"]
        said = await status(
            server.cluster, "Gateway", "infra/edge",
            lambda s: conditions(s)["Programmed"][0] == "False",
        )  # fmt: skip
        message = next(c["message"] for c in said["conditions"] if c["type"] == "Programmed")
        assert "the workers do not take it" in message


async def test_an_object_that_is_to_blame_is_left_out_and_told(server: Server) -> None:
    await put(server, *edge(), *orders(), route(), route("shop/bad"))
    async with Taken(server) as heard:

        def refuses(given: Any) -> list[str]:
            names = [table["name"] for table in given.routes]
            bad = "kubernetes HTTPRoute shop/bad: route.path: it is odd"
            return [bad] if "shop/bad" in names else []

        heard.refuses = refuses
        said = await status(server.cluster, "HTTPRoute", "shop/bad", bool)
        assert conditions(said["parents"][0])["Accepted"] == ("False", "UnsupportedValue")
        assert "route.path: it is odd" in said["parents"][0]["conditions"][0]["message"]
        said = await status(server.cluster, "HTTPRoute", "shop/orders", bool)
        assert conditions(said["parents"][0])["Accepted"] == ("True", "Accepted")
        heard.refuses = lambda given: []
        await put(server, route("shop/bad", {"backendRefs": [to("orders", weight=2)]}))
        await status(
            server.cluster, "HTTPRoute", "shop/bad",
            lambda s: conditions(s["parents"][0])["Accepted"][0] == "True",
        )  # fmt: skip


async def test_a_port_that_was_taken_is_tried_again_by_itself(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.sources.kubernetes.source.RETRY", 0.01)
    await put(server, *edge(), *orders(), route())
    async with Taken(server) as heard:
        taken = "kubernetes listener 80: listen: cannot listen on :80: address already in use"
        tries: list[Any] = []

        def refuses(given: Any) -> list[str]:
            tries.extend(given.listeners)
            return [taken] if given.listeners else []

        def is_accepted(said: Object) -> str:
            return conditions(said["listeners"][0])["Accepted"][0]

        heard.refuses = refuses
        said = await status(
            server.cluster, "Gateway", "infra/edge", lambda s: is_accepted(s) == "False"
        )
        (why,) = [c for c in said["listeners"][0]["conditions"] if c["type"] == "Accepted"]
        assert why["reason"] == "PortUnavailable" and "address already in use" in why["message"]
        async with asyncio.timeout(20):
            while len(tries) < 3:
                await asyncio.sleep(0.01)
        heard.refuses = lambda given: []
        await status(server.cluster, "Gateway", "infra/edge", lambda s: is_accepted(s) == "True")


async def test_ingresses_are_told_the_addresses(server: Server) -> None:
    backend = {"service": {"name": "orders", "port": {"number": 80}}}
    web = made("Ingress", "shop/web", spec={
        "ingressClassName": "spangate", "defaultBackend": backend})  # fmt: skip
    await put(server, *orders(), web)
    async with Taken(server, addresses=["192.0.2.7", "edge.example"]):
        said = await status(server.cluster, "Ingress", "shop/web", bool)
        assert said["loadBalancer"]["ingress"] == [
            {"ip": "192.0.2.7"},
            {"hostname": "edge.example"},
        ]


async def test_policies_are_told_by_their_gateways(server: Server) -> None:
    spec = {"targetRefs": [{"group": "", "kind": "Service", "name": "orders"}],
            "validation": {"hostname": "o.shop", "wellKnownCACertificates": "System"}}  # fmt: skip
    await put(server, *edge(), *orders(), route(), made("BackendTLSPolicy", "shop/tls", spec=spec))
    async with Taken(server):
        said = await status(server.cluster, "BackendTLSPolicy", "shop/tls", bool)
        (entry,) = said["ancestors"]
        assert entry["ancestorRef"]["name"] == "edge"
        assert conditions(entry)["Accepted"] == ("True", "Accepted")


async def test_statuses_that_may_not_be_written_are_told_and_nothing_else_suffers(
    server: Server,
) -> None:
    server.cluster.forbidden = {("patch", "httproutes/status")}
    await put(server, *edge(), *orders(), route())
    async with Taken(server) as heard:
        await status(server.cluster, "Gateway", "infra/edge", bool)
        await heard.until(lambda: any("statuses of HTTPRoute" in one for one in heard.now.left_out))
        assert [table["name"] for table in heard.now.routes] == ["shop/orders"]


async def test_without_status_nothing_is_written(server: Server) -> None:
    await put(server, *edge(), *orders(), route())
    async with Taken(server, status=False) as heard:
        await heard.until(lambda: heard.states)
        await put(server, route("shop/more"))
        await heard.until(lambda: len(heard.now.routes) == 2)
    assert not server.cluster.writes


async def test_a_status_that_others_keep_changing_is_told_and_tried_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.sources.kubernetes.source.STATUS_AGAIN", 0.05)
    cluster = server.cluster
    before = cluster._patch

    async def patch(*arguments: Any) -> Any:
        if arguments[1] == "httproutes":
            raise Refused(409, "Conflict", "the object has been modified")
        return await before(*arguments)

    cluster._patch = patch  # type: ignore[method-assign]
    await put(server, *edge(), *orders(), route())
    async with Taken(server) as heard:
        why = "statuses of HTTPRoute: shop/orders: others change it all the time (409)"
        await heard.until(lambda: heard.states and why in heard.now.left_out)
        cluster._patch = before  # type: ignore[method-assign]
        await status(cluster, "HTTPRoute", "shop/orders", bool)
        await heard.until(lambda: not heard.now.left_out)


async def test_a_status_that_does_not_stay_is_written_again_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.sources.kubernetes.source.STATUS_AGAIN", 0.2)
    monkeypatch.setattr("proxy.sources.kubernetes.writer.AGAIN", 1.0)
    await put(server, *edge(), *orders(), route())
    async with Taken(server):
        await status(server.cluster, "HTTPRoute", "shop/orders", bool)
        await put(server, {**route(), "status": {"parents": [OTHERS]}})
        await status(server.cluster, "HTTPRoute", "shop/orders", lambda s: len(s["parents"]) == 2)


async def test_a_status_that_cannot_be_written_is_told_beside_one_that_can(server: Server) -> None:
    cluster = server.cluster
    before = cluster._patch

    async def patch(*arguments: Any) -> Any:
        if arguments[2] == ("shop", "a"):
            raise Refused(500, "InternalError", "no space is left")
        return await before(*arguments)

    cluster._patch = patch  # type: ignore[method-assign]
    await put(server, *edge(), *orders(), route("shop/a"), route("shop/b"))
    async with Taken(server) as heard:
        await status(cluster, "HTTPRoute", "shop/b", bool)
        await heard.until(lambda: any("no space is left" in one for one in heard.now.left_out))


async def test_a_gateway_whose_class_is_gone_is_not_programmed_any_more(server: Server) -> None:
    await put(server, *edge(), *orders(), route())

    def programmed(said: Object) -> str:
        return conditions(said)["Programmed"][0]

    async with Taken(server):
        await status(server.cluster, "Gateway", "infra/edge", lambda s: programmed(s) == "True")
        await asyncio.to_thread(server.cluster.delete, "GatewayClass", "", "spangate")
        said = await status(
            server.cluster, "Gateway", "infra/edge", lambda s: programmed(s) == "False"
        )
        assert conditions(said)["Accepted"] == ("False", "Pending")
        assert "there is no GatewayClass spangate" in said["conditions"][0]["message"]
        await put(server, gateway_class())
        await status(server.cluster, "Gateway", "infra/edge", lambda s: programmed(s) == "True")


async def test_conditions_of_ours_that_are_not_judged_any_more_go(server: Server) -> None:
    def policy(*references: Object) -> Object:
        target = {"group": "", "kind": "Service", "name": "orders"}
        validation = {"hostname": "o.shop", "caCertificateRefs": list(references)}
        spec = {"targetRefs": [target], "validation": validation}
        return made("BackendTLSPolicy", "shop/tls", spec=spec)

    server.cluster.is_lenient = True
    reference = {"group": "", "kind": "ConfigMap", "name": "none"}
    await put(server, *edge(), *orders(), route(), policy(reference))
    async with Taken(server):
        await status(
            server.cluster, "BackendTLSPolicy", "shop/tls",
            lambda s: "ResolvedRefs" in conditions(s["ancestors"][0]),
        )  # fmt: skip
        await put(server, policy())
        said = await status(
            server.cluster, "BackendTLSPolicy", "shop/tls",
            lambda s: s["ancestors"][0]["conditions"][0]["observedGeneration"] == 2,
        )  # fmt: skip
        assert conditions(said["ancestors"][0]) == {"Accepted": ("False", "Invalid")}
