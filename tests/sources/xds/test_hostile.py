"""Servers that send what nobody should: it is refused by its name or passed over, nothing ends, and
what comes well afterwards is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

import grpc

xds_protos.use()
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: E402
from envoy.service.discovery.v3 import discovery_pb2  # noqa: E402

from proxy.sources.xds.kinds import CDS, EDS, LDS, RDS  # noqa: E402
from tests.peers import xds_made as made  # noqa: E402
from tests.peers.xds_server import Server  # noqa: E402
from tests.sources.xds.test_conversation import Ear, listening, simple  # noqa: E402
from tests.sources.xds.test_session import opened, response  # noqa: E402

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"


def chosen(**said: Any) -> Any:
    """A cluster with these options of its protocol."""
    made_options = http_protocol_options_pb2.HttpProtocolOptions()
    made_options.explicit_http_config.SetInParent()
    cluster = made.cluster("c1")
    cluster.typed_extension_protocol_options[OPTIONS].Pack(made_options)
    return cluster


def chained(*matches: dict[str, Any]) -> Any:
    """Chains that differ in nothing but what they are for."""
    listener = made.listener("l1", 8080, "r1")
    for _ in matches[1:]:
        listener.filter_chains.add().CopyFrom(listener.filter_chains[0])
    for chain, match in zip(listener.filter_chains, matches, strict=True):
        chain.filter_chain_match.server_names.extend(match.get("server_names", ()))
    return listener


def checked(statuses: dict[str, int]) -> Any:
    http = {"path": "/", "expected_statuses": [statuses]}
    times = {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 1, "healthy_threshold": 1}
    return made.cluster("c1", health_checks=[{**times, "http_health_check": http}])


def served(*endpoints: dict[str, Any], **locality: Any) -> Any:
    found = made.assignment("c1", list(endpoints))
    for key, value in locality.items():
        setattr(found.endpoints[0], key, value)
    return found


def routed(match: dict[str, Any], **more: Any) -> Any:
    return made.routes("r1", made.host("v", ["*"], made.route(match, **more)))


def forwarded(**said: Any) -> Any:
    return routed({"prefix": "/"}, route=said)


PANIC = {"healthy_panic_threshold": {"value": "NaN"}}
SERVED = {"cluster_name": "c1"}
CLOSED = {"thresholds": [{"max_requests": 0}]}
ODD = {"default_value": {"numerator": 100, "denominator": 9}}
PONG = {"direct_response": {"status": 200}}
ROWS: list[tuple[Callable[[], Any], str]] = [
    (chosen, "explicit_http_config says no protocol"),
    (lambda: made.cluster("c1", type="ORIGINAL_DST"), "Cluster.type ORIGINAL_DST"),
    (lambda: made.cluster("c1", eds_cluster_config={}), "EdsClusterConfig.eds_config"),
    (lambda: made.cluster("c1", lb_policy="CLUSTER_PROVIDED"), "Cluster.lb_policy"),
    (lambda: made.cluster("c1", connect_timeout="0s"), "Cluster.connect_timeout is 0"),
    (lambda: made.cluster("c1", common_lb_config=PANIC), "nan is no percentage"),
    (lambda: made.cluster("c1", load_assignment=SERVED), "load_assignment is not supported with"),
    (lambda: made.cluster("c1", circuit_breakers=CLOSED), "Thresholds.max_requests 0 is not"),
    (lambda: checked({"start": 0, "end": 2**63 - 1}), "expected_statuses are from 100 to 599"),
    (lambda: checked({"start": 300, "end": 200}), "expected_statuses are from 100 to 599"),
    (lambda: served(made.endpoint(0)), "'127.0.0.1:0' is no place of a server"),
    (lambda: served(made.endpoint(70000)), "port 70000 is none"),
    (lambda: served(made.endpoint(80, 1, "fe80::1%eth0")), "is no place of a server"),
    (lambda: served(made.endpoint(80, 1, "a b")), "is no place of a server"),
    (lambda: served(made.endpoint(80, 1, "10.0.0.1/x")), "is no place of a server"),
    (lambda: served(made.endpoint(80, 1, "999.0.0.1")), "is no place of a server"),
    (lambda: served(made.endpoint(80, 1, "")), "port 80 is none"),
    (lambda: served(made.endpoint(80, 0)), "load_balancing_weight is at least 1"),
    (lambda: served(made.endpoint(80), priority=2), "priority above 1"),
    (lambda: served({}), "Address.address is not supported"),
    (lambda: made.listening("l1", 8080, made.manager("")), "needs rds or route_config"),
    (lambda: made.listening("l1", 70000, made.manager("r1")), "port 70000 is none"),
    (lambda: chained({}, {}), "two of them are for the same"),
    (lambda: chained({"server_names": ["a", "b"]}, {"server_names": ["c", "A"]}), "for the same"),
    (lambda: made.api_listener("l1", "r1"), "Listener.api_listener is not supported"),
    (lambda: routed({"safe_regex": {"regex": "("}}, **PONG), "RegexMatcher: '('"),
    (lambda: routed({}, **PONG), "RouteMatch"),
    (lambda: routed({"prefix": "/"}, redirect={"response_code": 9}), "response_code 9 is not"),
    (lambda: routed({"prefix": "/"}, redirect={"port_redirect": 70000}), "port_redirect 70000"),
    (lambda: routed({"prefix": "/", "runtime_fraction": ODD}, **PONG), "denominator 9 is not"),
    (lambda: forwarded(cluster=""), "RouteAction.cluster is empty"),
    (lambda: forwarded(cluster="c1", timeout="-1s"), "Duration of -1 s is less than none"),
    (lambda: forwarded(cluster="c1", hash_policy=[{"header": {}}]), "header_name is empty"),
    (lambda: made.listener("l1", 8080, "r1", codec_type=7), "codec_type 7 is not supported"),
    (lambda: made.routes("r1", made.host("v", ["a"]), made.host("v", ["b"])), "has that name"),
    (lambda: made.routes("r1", made.host("v", [], made.route({"prefix": "/"}))), "no domain"),
]  # fmt: skip


@pytest.fixture(params=["delta", "sotw"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_cannot_be_used_is_refused_by_its_name(mode: str) -> None:
    server = Server()
    await server.start()
    simple(server)
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        before = ear.paths(), dict(ear.told)
        for bad, reason in ROWS:
            resource = bad()
            kind = resource.DESCRIPTOR.name
            version = server.put(resource)
            said = (await server.answered(kind, version)).reason
            assert reason in said, (str(resource), said)
        assert (ear.paths(), ear.told) == before
        server.put(made.endpoints("c1", 9009))
        await ear.until(lambda: list(ear.told["c1"]) == ["http://127.0.0.1:9009"])
    await server.stop()
    assert server.violations == []


def test_a_name_that_is_there_twice() -> None:
    session = opened()
    session.received(response(CDS, "1", made.cluster("a"), made.cluster("c")), 0.0)
    session.flush(0.0)
    twice = [made.cluster("a", connect_timeout=f"{n}s") for n in (1, 2)]
    changed = [made.cluster("b"), *twice, made.cluster("c", connect_timeout="7s")]
    request, *_ = session.received(response(CDS, "2", *changed), 0.0).requests
    assert request.error_detail.message == "cluster 'a': it is there twice"
    assert request.version_info == "1"
    to_all = [made.route({"prefix": f"/{name}"}, name) for name in "abc"]
    config = {"name": "r", "virtual_hosts": [made.host("v", ["*"], *to_all)]}
    listener = made.listening("l", 1, made.manager(route_config=config))
    session.received(response(LDS, "1", listener), 0.0)
    session.received(response(EDS, "1", *map(made.endpoints, "abc")), 0.0)
    tables = session.flush(0.0).tables
    assert tables is not None
    assert [tables.upstreams[name]["connect_timeout"] for name in "abc"] == ["5s", "5s", "7s"]
    assert tables.left_out == ["xDS cluster 'a': it is there twice"]


@pytest.mark.parametrize("kind", ["type.googleapis.com/x.Y", "", EDS, RDS])
def test_what_nobody_asked_for_is_passed_over(kind: Any) -> None:
    """An answer without names would ask for all that there are (xds_protocol.rst, wildcards)."""
    session = opened()
    out = session.received(response(kind, "1", made.endpoints("c1", 80)), 0.0)
    assert out.requests == []
    assert "which nobody asked for" in out.refused[0]


def test_names_that_nobody_asked_for_are_passed_over() -> None:
    """As the protocol has it; who sends millions of them fills no memory."""
    session = opened(["l"])
    session.received(response(CDS, "1", made.cluster("c")), 0.0)
    config = {"name": "r", "virtual_hosts": []}
    listeners = [
        made.listening(name, port, made.manager(route_config=config))
        for name, port in (("l", 1), ("m", 2))
    ]
    session.received(response(LDS, "1", *listeners), 0.0)
    session.received(response(EDS, "1", made.endpoints("c", 1), made.endpoints("x", 2)), 0.0)
    tables = session.flush(0.0).tables
    assert tables is not None
    assert [one["name"] for one in tables.listeners] == ["l"]
    assert session.versions["eds"] == "1"


def test_a_resource_of_another_type() -> None:
    session = opened()
    out = session.received(response(CDS, "1", made.endpoints("c1", 80), made.cluster("c1")), 0.0)
    (refusal, asked) = out.requests
    assert "ClusterLoadAssignment" in refusal.error_detail.message
    assert list(asked.resource_names) == ["c1"], "the rest is used"


def test_nonces_that_repeat() -> None:
    session = opened()
    listener = made.listening("l", 1, made.manager(route_config={"name": "r"}))
    session.received(response(CDS, "1", nonce="n"), 0.0)
    session.received(response(LDS, "1", listener, nonce="n"), 0.0)
    answers = session.received(response(LDS, "2", listener, nonce="n"), 0.0).requests
    out = session.flush(0.0)
    answers += session.settled(out.number, [], 0.0).requests
    of_listeners = [one for one in answers if one.type_url == LDS.url]
    assert of_listeners[-1].version_info == "2"
    assert not any(one.HasField("error_detail") for one in of_listeners)


class Rude:
    """The strict server behind one that does something else on its first streams."""

    def __init__(self, server: Server, streams: int, first: bytes) -> None:
        self._server = server
        self._left = streams
        self._first = first  # sent as it is; b"" = one good response, and the stream ends

    async def serve(self) -> Any:
        rude = grpc.aio.server()
        handlers = {
            name: grpc.stream_stream_rpc_method_handler(self._handler(name, request))
            for name, request in (
                ("StreamAggregatedResources", discovery_pb2.DiscoveryRequest),
                ("DeltaAggregatedResources", discovery_pb2.DeltaDiscoveryRequest),
            )
        }
        rude.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._server.port = rude.add_insecure_port("127.0.0.1:0")
        await rude.start()
        return rude

    def _handler(self, name: str, request: Any) -> Any:
        async def handle(requests: Any, context: Any) -> AsyncIterator[bytes]:
            async def parsed() -> AsyncIterator[Any]:
                async for one in requests:
                    yield request.FromString(one)

            is_rude = self._left > 0
            self._left -= is_rude
            if is_rude and self._first:
                yield self._first
                await asyncio.Event().wait()
            async for good in getattr(self._server, name)(parsed(), context):
                yield good.SerializeToString()
                if is_rude:
                    return

        return handle


@pytest.mark.parametrize(
    ("streams", "first"), [(1, b"\xff\xff\xff"), (3, b"")], ids=["no message", "ends each time"]
)
async def test_streams_that_go_wrong_are_opened_again(
    mode: str, streams: int, first: bytes
) -> None:
    server = Server()
    simple(server)
    rude = await Rude(server, streams, first).serve()
    ear: Ear
    async with listening(server, mode) as ear:
        await ear.until(lambda: ear.states)
        assert ear.paths() == [("/*", ["c1"])]
        assert len(ear.failures) == streams
        assert ("cannot be decoded" in ear.failures[0]) is bool(first)
    await rude.stop(0.1)
