"""The conversation with times that the tests say, and no socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.sources.xds.kinds import CDS, EDS, LDS, RDS
from proxy.sources.xds.protos import V3, message
from proxy.sources.xds.reading import Reader
from proxy.sources.xds.session import Out, Session
from proxy.sources.xds.state import RETRY, State
from proxy.sources.xds.stream_sotw import Sotw
from tests.peers import xds_made as made

PONG = made.route({"prefix": "/"}, direct_response={"status": 200})
TAKEN = "xDS listener 'a': listen: cannot listen on 127.0.0.1:1: address already in use"


WRONG = "xDS cluster 'c': upstream.tls.ca: it has no certificate"
SERVED = made.routes(
    "r",
    made.host("v", ["*"], made.route({"prefix": "/c"}, "c"), made.route({"prefix": "/d"}, "d")),
)


def listener(name: str, port: int) -> Any:
    routes = {"name": f"of {name}", "virtual_hosts": [made.host("v", ["*"], PONG)]}
    return made.listening(name, port, made.manager(route_config=routes))


def response(kind: Any, version: str, *resources: Any, nonce: str = "") -> Any:
    url = kind if isinstance(kind, str) else kind.url
    one = message(f"{V3}.DiscoveryResponse")(
        type_url=url, version_info=version, nonce=nonce or f"{url}{version}"
    )
    for resource in resources:
        one.resources.add().Pack(resource)
    return one


def opened(listeners: Sequence[str] = ()) -> Session:
    """With these asked for by name, else all."""
    node = message("envoy.config.core.v3.Node")(id="n")
    session = Session(Sotw(node), State(Reader(), listeners))
    session.connected(0.0)
    return session


def bound(out: Out) -> list[str]:
    assert out.tables is not None
    return [table["address"] for table in out.tables.listeners]


def begun(*listeners: Any) -> Session:
    session = opened()
    session.received(response(CDS, "1"), 0.0)
    session.received(response(LDS, "1", *listeners), 0.0)
    return session


def test_a_listener_that_cannot_be_bound_is_tried_again() -> None:
    session = begun(listener("a", 1), listener("b", 2))
    out = session.flush(0.0)
    assert bound(out) == ["127.0.0.1:1", "127.0.0.1:2"]
    refusals = [
        one.error_detail.message
        for one in session.settled(out.number, [TAKEN], 0.0).requests
        if one.HasField("error_detail")
    ]
    assert refusals == [TAKEN]
    now, pause = 0.0, RETRY
    for _ in range(3):
        out = session.flush(now)
        assert bound(out) == ["127.0.0.1:2"]
        assert out.tables is not None
        assert out.tables.left_out == [TAKEN]
        session.settled(out.number, [], now)
        assert session.due(now) == now + pause
        assert session.flush(now + pause - 1).tables is None
        now, pause = now + pause, pause * 2
        out = session.flush(now)
        assert bound(out) == ["127.0.0.1:1", "127.0.0.1:2"]
        session.settled(out.number, [TAKEN], now)
    out = session.flush(now)
    session.settled(out.number, [], now)
    out = session.flush(now + pause)
    assert bound(out) == ["127.0.0.1:1", "127.0.0.1:2"]
    session.settled(out.number, [], now + pause)
    assert session.due(now + pause) is None


def test_what_stands_in_for_a_listener_may_be_refused_as_well() -> None:
    session = begun(listener("a", 1))
    out = session.flush(0.0)
    session.settled(out.number, [], 0.0)
    session.received(response(LDS, "2", listener("a", 3), listener("b", 1)), 1.0)
    out = session.flush(1.0)
    assert bound(out) == ["127.0.0.1:3", "127.0.0.1:1"]
    session.settled(out.number, [TAKEN], 1.0)
    out = session.flush(1.0)
    assert bound(out) == ["127.0.0.1:1"]
    assert out.tables is not None
    assert "xDS listener 'b': listener 'a' has 127.0.0.1:1 already" in out.tables.left_out
    session.settled(out.number, [TAKEN], 1.0)
    out = session.flush(1.0)
    assert bound(out) == []
    session.settled(out.number, [], 1.0)
    assert session.flush(1.0).tables is None


def test_what_stands_in_for_a_listener_has_its_routes() -> None:
    session = begun(made.listener("a", 5, "r1"))
    session.received(response(RDS, "1", made.routes("r1", made.host("v", ["*"], PONG))), 0.0)
    session.settled(session.flush(0.0).number, [], 0.0)
    session.received(response(LDS, "2", made.listener("a", 1, "r2")), 1.0)
    session.received(response(RDS, "2", made.routes("r2", made.host("v", ["*"], PONG))), 1.0)
    refused = session.settled(session.flush(1.0).number, [TAKEN], 1.0)
    assert ["r1", "r2"] in [sorted(one.resource_names) for one in refused.requests]
    tables = session.flush(1.0).tables
    assert tables is not None
    assert [one["address"] for one in tables.listeners] == ["127.0.0.1:5"]
    assert [route["respond"]["status"] for route in tables.routes] == [200]


def test_a_newer_one_is_not_held_to_what_an_older_one_was_refused_for() -> None:
    session = begun(listener("a", 1))
    out = session.flush(0.0)
    session.received(response(LDS, "2", listener("a", 3)), 0.0)
    session.settled(out.number, [TAKEN], 0.0)
    out = session.flush(0.0)
    assert bound(out) == ["127.0.0.1:3"]
    session.settled(out.number, [], 0.0)
    assert session.due(0.0) is None


def refusals(out: Out, kind: Any) -> list[str]:
    return [
        one.error_detail.message
        for one in out.requests
        if one.type_url == kind.url and one.HasField("error_detail")
    ]


def upstreams(out: Out) -> dict[str, Any]:
    assert out.tables is not None
    return {name: table.get("connect_timeout") for name, table in out.tables.upstreams.items()}


def clusters(*resources: Any) -> Session:
    session = opened()
    session.received(response(CDS, "1", *resources), 0.0)
    session.received(response(LDS, "1", made.listener("a", 1, "r")), 0.0)
    session.received(response(RDS, "1", SERVED), 0.0)
    session.received(response(EDS, "1", made.endpoints("c", 1), made.endpoints("d", 2)), 0.0)
    return session


def test_a_cluster_that_is_refused_holds_up_no_other() -> None:
    session = clusters(made.cluster("c"), made.cluster("d"))
    out = session.settled(session.flush(0.0).number, [WRONG], 0.0)
    assert refusals(out, CDS) == [WRONG]
    assert [refusals(out, kind) for kind in (LDS, RDS)] == [[], []]
    out = session.flush(0.0)
    assert upstreams(out) == {"c": None, "d": "5s"}  # nobody serves c: 503
    assert out.tables is not None and out.tables.left_out == [WRONG]
    session.settled(out.number, [], 0.0)
    later = made.cluster("d", connect_timeout="7s")
    session.received(response(CDS, "2", made.cluster("c"), later), 1.0)
    out = session.flush(1.0)
    assert upstreams(out) == {"c": "5s", "d": "7s"}
    assert refusals(session.settled(out.number, [WRONG], 1.0), CDS) == [WRONG]
    out = session.flush(1.0)
    assert upstreams(out) == {"c": None, "d": "7s"}
    session.settled(out.number, [], 1.0)
    mended = made.cluster("c", connect_timeout="6s")
    session.received(response(CDS, "3", mended, later), 2.0)
    out = session.flush(2.0)
    assert upstreams(out) == {"c": "6s", "d": "7s"}
    assert out.tables is not None and out.tables.left_out == []
    session.settled(out.number, [], 2.0)
    assert session.due(2.0) is None


def test_a_cluster_stays_as_it_was_with_its_endpoints() -> None:
    session = clusters(made.cluster("c"), made.cluster("d"))
    session.settled(session.flush(0.0).number, [], 0.0)
    elsewhere = {"service_name": "c2", "eds_config": made.ADS}
    worse = made.cluster("c", connect_timeout="6s", eds_cluster_config=elsewhere)
    session.received(response(CDS, "2", worse, made.cluster("d")), 1.0)
    others = response(EDS, "2", made.endpoints("c2", 3), made.endpoints("d", 2))
    assert session.received(others, 1.0).servers == {"c": {"http://127.0.0.1:3": 1}}
    out = session.flush(1.0)
    assert upstreams(out)["c"] == "6s"
    out = session.settled(out.number, [WRONG], 1.0)
    asked = [set(one.resource_names) for one in out.requests if one.type_url == EDS.url]
    assert asked == [{"c", "c2", "d"}]
    out = session.flush(1.0)
    assert upstreams(out) == {"c": "5s", "d": "5s"}
    assert out.servers == {"c": {"http://127.0.0.1:1": 1}}
    session.settled(out.number, [], 1.0)
    out = session.received(response(EDS, "3", made.endpoints("c", 4), made.endpoints("c2", 5)), 2.0)
    assert out.servers == {"c": {"http://127.0.0.1:4": 1}}


def told(out: Out) -> dict[str, str]:
    """By kind, what is answered: "" is an acknowledgement."""
    return {one.type_url.rsplit(".", 1)[1]: one.error_detail.message for one in out.requests}


def test_a_cluster_that_was_there_before_is_refused_and_not_the_routes_that_use_it() -> None:
    """Nothing used it until now, so that nobody saw that it is wrong: the response that brought it
    was acknowledged, and is refused by another answer, as it is the newest of its kind."""
    session = opened()
    session.received(response(CDS, "1", made.cluster("c"), made.cluster("d")), 0.0)
    session.received(response(LDS, "1", made.listener("a", 1, "r")), 0.0)
    only_d = made.routes("r", made.host("v", ["*"], made.route({"prefix": "/d"}, "d")))
    session.received(response(RDS, "1", only_d), 0.0)
    session.received(response(EDS, "1", made.endpoints("c", 1), made.endpoints("d", 2)), 0.0)
    out = session.flush(0.0)
    assert upstreams(out) == {"d": "5s"}
    session.settled(out.number, [], 0.0)
    session.received(response(RDS, "2", SERVED), 1.0)
    refused = session.settled(session.flush(1.0).number, [WRONG], 1.0)
    assert told(refused) == {"Cluster": WRONG, "RouteConfiguration": ""}
    assert session.versions == {"rds": "2", "eds": "1", "lds": "1"}
    out = session.flush(1.0)
    assert upstreams(out) == {"c": None, "d": "5s"}
    assert out.tables is not None and out.tables.left_out == [WRONG]


@pytest.mark.parametrize("reason", [TAKEN, WRONG])
def test_routes_are_not_refused_for_what_is_tried_again_beside_them(reason: str) -> None:
    session = clusters(made.cluster("c"), made.cluster("d"))
    session.settled(session.flush(0.0).number, [reason], 0.0)
    session.settled(session.flush(0.0).number, [], 0.0)
    pong = made.host("pong", ["pong.test"], PONG)
    to_c = made.host("v", ["*"], made.route({"prefix": "/c"}, "c"))
    session.received(response(RDS, "2", made.routes("r", pong, to_c)), RETRY)
    refused = session.settled(session.flush(RETRY).number, [reason], RETRY)
    assert told(refused) == {"RouteConfiguration": ""}


def test_what_holds_up_the_whole_state_is_told_of_whatever_came() -> None:
    """Though no route configuration is among it, the state that it makes is not in force."""
    session = clusters(made.cluster("c"), made.cluster("d"))
    session.settled(session.flush(0.0).number, [], 0.0)
    session.received(
        response(LDS, "2", made.listener("a", 1, "r"), made.listener("b", 2, "r")), 1.0
    )
    reason = "sources: it takes more than there is"
    refused = session.settled(session.flush(1.0).number, [reason], 1.0)
    assert told(refused) == {"Listener": reason}
