"""Session and streams against the strict server, by a process of its own, until a state is given.

Each test runs in both variants of the protocol; whatever the protocol does not allow is written
down by the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.sources.source import Given
from proxy.sources.xds.frames import Settings
from proxy.sources.xds.source import Xds
from proxy.tasks import cancel, spawn
from tests.peers import xds_made as made
from tests.peers.xds_server import Server

DEADLINE = 60.0


class Ear:
    """Hears a source; by default every state is in force at once."""

    def __init__(self) -> None:
        self.states: list[Given] = []
        self.told: dict[str, Mapping[str, int]] = {}
        self.updates = 0
        self.failures: list[str] = []
        self.source: Xds
        self.refuse: Callable[[Given], list[str]] = lambda given: []
        self._changed = asyncio.Event()

    def given(self, given: Given) -> None:
        self.states.append(given)
        self.source.settled(given, self.refuse(given))
        self._changed.set()

    def servers(self, upstream: str, servers: Mapping[str, int], note: str = "") -> None:
        self.told[upstream] = servers
        self.updates += 1
        self._changed.set()

    def heard(self, versions: Mapping[str, str] | None = None) -> None:
        self._changed.set()

    def failed(self, reason: str, in_part: bool = False) -> None:
        self.failures.append(reason)
        self._changed.set()

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def paths(self) -> list[tuple[str, Any]]:
        """(path, upstreams) of the newest state's routes."""
        if not self.states:
            return []
        return [(route["path"], list(route.get("to", ()))) for route in self.states[-1].routes]


@pytest.fixture(params=["delta", "sotw"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.asynccontextmanager
async def listening(server: Server, mode: str, **more: Any) -> AsyncIterator[Ear]:
    ear = Ear()
    settings = Settings(
        server=f"grpc://127.0.0.1:{server.port}",
        mode=mode,
        node="n1",
        cluster="shop",
        agent="spangate 0",
        **more,
    )
    ear.source = Xds(settings)
    task = spawn(ear.source.watch(ear), "xds of a test")
    try:
        yield ear
    finally:
        await cancel(task)


def simple(server: Server) -> str:
    return server.put(
        made.cluster("c1"),
        made.endpoints("c1", 9001, 9002),
        made.listener("l1", 8080, "r1"),
        made.routes("r1", made.host("v", ["*"], made.route({"prefix": "/"}, "c1"))),
    )


async def test_all_kinds_come_and_are_acknowledged(server: Server, mode: str) -> None:
    version = simple(server)
    async with listening(server, mode, metadata={"zone": "a"}) as ear:
        await ear.until(lambda: ear.states)
        kinds = ("Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration")
        for kind in kinds:
            assert (await server.answered(kind, version)).reason == ""
    state = ear.states[-1]
    assert [(one["address"], one["name"]) for one in state.listeners] == [("127.0.0.1:8080", "l1")]
    assert ear.paths() == [("/*", ["c1"])]
    assert state.routes[0]["when"] == {"listener": "l1"}
    assert dict(state.upstreams) == {"c1": {"connect_timeout": "5s", "discover": "source"}}
    assert ear.told == {"c1": {"http://127.0.0.1:9001": 1, "http://127.0.0.1:9002": 1}}
    assert set(state.versions) == {"cds", "eds", "lds", "rds"}
    assert state.places["upstream", "c1"] == "xDS cluster 'c1'"
    assert [(n.id, n.cluster, n.metadata["zone"]) for n in server.nodes] == [("n1", "shop", "a")]
    assert server.violations == []


async def test_endpoints_go_without_a_state(server: Server, mode: str) -> None:
    simple(server)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        version = server.put(made.endpoints("c1", 9003))
        await ear.until(lambda: list(ear.told["c1"]) == ["http://127.0.0.1:9003"])
        await server.answered("ClusterLoadAssignment", version)
        assert len(ear.states) == 1
    assert server.violations == []


async def test_a_route_waits_for_its_cluster_and_the_old_one_serves(
    server: Server, mode: str
) -> None:
    simple(server)
    server.tells_absent = False
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        server.put(made.cluster("c2"))
        version = server.put(
            made.routes("r1", made.host("v", ["*"], made.route({"prefix": "/"}, "c2")))
        )
        # it is acknowledged, for the endpoints may wait for that
        assert (await server.answered("RouteConfiguration", version)).reason == ""
        assert ear.paths() == [("/*", ["c1"])]
        server.put(made.endpoints("c2", 9004))
        await ear.until(lambda: ear.paths() == [("/*", ["c2"])])
        assert ear.told["c2"] == {"http://127.0.0.1:9004": 1}
    assert server.violations == []


async def test_what_cannot_be_used_is_refused_and_the_rest_is_used(
    server: Server, mode: str
) -> None:
    simple(server)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        version = server.put(
            made.cluster("bad", lb_policy="CLUSTER_PROVIDED"),
            made.cluster("c1", connect_timeout="1s"),
        )
        reason = (await server.answered("Cluster", version)).reason
        assert reason == "cluster 'bad': Cluster.lb_policy 6 is not supported"
        await ear.until(lambda: ear.states[-1].upstreams["c1"]["connect_timeout"] == "1s")
        version = server.put(made.cluster("bad"))
        assert (await server.answered("Cluster", version)).reason == ""
    assert server.violations == []


async def test_a_resource_that_is_refused_stays_as_it_was(server: Server, mode: str) -> None:
    simple(server)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        version = server.put(
            made.routes("r1", made.host("v", [], made.route({"prefix": "/"}, "c1")))
        )
        assert "no domain" in (await server.answered("RouteConfiguration", version)).reason
        server.put(made.listener("l2", 8081, "r1"))
        await ear.until(lambda: len(ear.states[-1].listeners) == 2)
        assert ear.paths() == [("/*", ["c1"]), ("/*", ["c1"])]
    assert server.violations == []


async def test_the_hub_refuses_and_the_server_hears_why(server: Server, mode: str) -> None:
    simple(server)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        await server.answered("Listener", "1")
        ear.refuse = lambda given: ["xDS listener 'l2': port 1 is taken"]
        version = server.put(made.listener("l2", 1, "r1"))
        assert "port 1 is taken" in (await server.answered("Listener", version)).reason
        ear.refuse = lambda given: []
        version = server.put(made.listener("l2", 8082, "r1"))
        assert (await server.answered("Listener", version)).reason == ""
    assert server.violations == []


async def test_what_is_removed_is_gone(server: Server, mode: str) -> None:
    simple(server)
    server.put(made.listener("l2", 8081, "r1"))
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states and len(ear.states[-1].listeners) == 2)
        server.remove("Listener", "l1")
        await ear.until(lambda: [one["name"] for one in ear.states[-1].listeners] == ["l2"])
        server.remove("Cluster", "c1")  # and its requests get 503
        await ear.until(lambda: ear.states[-1].upstreams["c1"] == {"discover": "source"})
        await ear.until(lambda: ear.told["c1"] == {})
    assert server.violations == []


async def test_the_state_outlives_the_server(server: Server, mode: str) -> None:
    simple(server)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        await server.answered("RouteConfiguration", "1")
        port = server.port
        await server.stop()
        await ear.until(lambda: ear.failures)
        again = Server()
        for kind, held in server.resources.items():
            again.resources[kind] = dict(held)
        for _ in range(10):
            next(again._versions)
        again.put(made.endpoints("c1", 9009))
        await again.start(port)
        await ear.until(lambda: list(ear.told["c1"]) == ["http://127.0.0.1:9009"])
        assert len(ear.states) == 1
        again.put(made.listener("l3", 8083, "r1"))
        await ear.until(lambda: len(ear.states) == 2)
        await again.stop()
    assert server.violations == again.violations == []


async def test_secrets_come_before_their_listener(server: Server, mode: str) -> None:
    server.tells_absent = False
    simple(server)
    context = {
        "@type": f"{made.EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": "shop", "sds_config": made.ADS}]
        },
    }
    socket = {"name": "tls", "typed_config": context}
    secured = made.listening("l2", 8443, made.manager("r1"), transport_socket=socket)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        server.put(secured)
        await server.until(
            lambda: any(request.type_url.endswith("Secret") for request in server.requests)
        )
        assert len(ear.states) == 1
        server.put(
            made.secret(
                "shop",
                tls_certificate={
                    "certificate_chain": {"inline_string": "CERT"},
                    "private_key": {"inline_string": "KEY"},
                },
            )
        )
        await ear.until(lambda: len(ear.states[-1].listeners) == 2)
    state = ear.states[-1]
    assert state.listeners[1]["tls"] == {"cert": "source:shop", "key": "source:shop"}
    assert dict(state.certificates) == {"shop": (b"CERT", b"KEY")}
    assert server.violations == []


async def test_many_changes_are_few_states(server: Server, mode: str) -> None:
    simple(server)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        for number in range(200):
            match = {"prefix": f"/{number}"}
            server.put(made.routes("r1", made.host("v", ["*"], made.route(match, "c1"))))
        await ear.until(lambda: ear.paths() == [("^/199", ["c1"])])
        assert len(ear.states) < 100
    assert server.violations == []


async def test_a_named_listener_is_asked_for_alone(server: Server, mode: str) -> None:
    simple(server)
    server.put(made.api_listener("of-grpc", "r1"), made.listener("l2", 8081, "r1"))
    async with listening(server, mode, listeners=["l2"]) as ear:
        await ear.until(lambda: ear.states)
        assert [one["name"] for one in ear.states[-1].listeners] == ["l2"]
    assert server.violations == []
    asked = next(r for r in server.requests if r.type_url.endswith("Listener"))
    assert list(getattr(asked, "resource_names", [])) == ["l2"] or list(
        asked.resource_names_subscribe
    ) == ["l2"]


async def test_no_server_is_told(mode: str) -> None:
    async with listening(Server(), mode) as ear:
        await ear.until(lambda: ear.failures)
        assert "127.0.0.1:0" in ear.failures[0]
