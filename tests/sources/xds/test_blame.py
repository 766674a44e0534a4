"""What the hub refuses of routes and secrets, and what routes at odds with each other are refused
for: by the name of the resource, with times that the tests say, and no socket."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.sources.xds.blame import together
from proxy.sources.xds.kinds import CDS, EDS, LDS, RDS, SDS
from proxy.sources.xds.session import Out, Session
from proxy.sources.xds.state import RETRY
from tests.peers import xds_made as made
from tests.sources.xds.test_listeners import TLS
from tests.sources.xds.test_session import opened, response, told

REFUSED = "xDS route configuration 'r' of 'a', v/0: route.respond.status: 999 is no status"
ROUTES = "RouteConfiguration"


def answering(name: str, status: int) -> Any:
    route = made.route({"prefix": "/"}, direct_response={"status": status})
    return made.routes(name, made.host("v", ["*"], route))


def begun(*configs: Any, cluster: Any = None) -> Session:
    """Listeners a, b, ... with these route configurations, in force."""
    session = opened()
    session.received(response(CDS, "1", *([cluster] if cluster else [])), 0.0)
    ports = zip("abc", configs, strict=False)
    said = [made.listener(name, ord(name), config.name) for name, config in ports]
    session.received(response(LDS, "1", *said), 0.0)
    session.received(response(RDS, "1", *configs), 0.0)
    session.received(response(EDS, "1", *([made.endpoints("c", 1)] if cluster else [])), 0.0)
    return session


def in_force(session: Session, now: float, *reasons: str) -> tuple[Out, Out]:
    """The next state, which is refused for these reasons, and what follows."""
    out = session.flush(now)
    answers = session.settled(out.number, reasons, now)
    return out, answers


def statuses(out: Out) -> list[int]:
    assert out.tables is not None
    return [route["respond"]["status"] for route in out.tables.routes if "respond" in route]


def test_a_route_configuration_stays_as_it_was_and_is_tried_again() -> None:
    session = begun(answering("r", 200), answering("s", 201))
    in_force(session, 0.0)
    session.received(response(RDS, "2", answering("r", 999), answering("s", 202)), 1.0)
    _, answers = in_force(session, 1.0, REFUSED)
    assert told(answers) == {ROUTES: REFUSED}
    out, answers = in_force(session, 1.0)
    assert statuses(out) == [200, 202]
    assert out.tables is not None and out.tables.left_out == [REFUSED]
    assert session.versions["rds"] == "1", "a version that is refused is not said to be in force"
    assert session.due(1.0) == 1.0 + RETRY
    out, answers = in_force(session, 1.0 + RETRY, REFUSED)
    assert statuses(out) == [999, 202]
    assert answers.requests == [], "the server knows it already"
    in_force(session, 1.0 + RETRY)
    session.received(response(RDS, "3", answering("r", 203)), 20.0)
    out, answers = in_force(session, 20.0)
    assert (statuses(out), told(answers)) == ([203, 202], {ROUTES: ""})
    assert out.tables is not None and out.tables.left_out == []
    assert session.versions["rds"] == "3"


def test_a_listener_is_to_blame_for_routes_of_its_own() -> None:
    def listener(port: int, status: int) -> Any:
        route = made.route({"prefix": "/"}, direct_response={"status": status})
        config = {"name": "r", "virtual_hosts": [made.host("v", ["*"], route)]}
        return made.listening("a", port, made.manager(route_config=config))

    session = opened()
    session.received(response(CDS, "1"), 0.0)
    session.received(response(LDS, "1", listener(1, 200)), 0.0)
    in_force(session, 0.0)
    session.received(response(LDS, "2", listener(2, 999)), 1.0)
    _, answers = in_force(session, 1.0, REFUSED)
    assert told(answers) == {"Listener": REFUSED}
    out = session.flush(1.0)
    assert statuses(out) == [200]
    assert out.tables is not None
    assert [one["address"] for one in out.tables.listeners] == ["127.0.0.1:1"]


def test_many_reasons_of_one_route_configuration_are_told_together() -> None:
    session = begun(answering("r", 999))
    reasons = [REFUSED.replace("v/0", f"v, x: {n}") for n in range(5)]
    _, answers = in_force(session, 0.0, *reasons)
    assert told(answers)[ROUTES] == "; ".join(reasons)
    out = session.flush(0.0)
    assert statuses(out) == [404], "as where there are no routes at all"
    assert out.tables is not None
    (left_out,) = out.tables.left_out
    assert left_out.endswith("; and 2 more")


def test_nobody_is_told_of_a_route_configuration_that_nobody_asks_for_any_more() -> None:
    session = begun(answering("r", 200))
    in_force(session, 0.0)
    session.received(response(RDS, "2", answering("r", 999)), 1.0)
    in_force(session, 1.0, REFUSED)
    in_force(session, 1.0)
    session.received(response(LDS, "2"), 2.0)
    out, _ = in_force(session, 2.0)
    assert out.tables is not None and out.tables.left_out == []
    assert session.due(2.0) is None


def hashing(name: str, *headers: str, path: str = "/") -> Any:
    routes = [
        made.route(
            {"prefix": f"{path}{n}"},
            route={"cluster": "c", "hash_policy": [{"header": {"header_name": header}}]},
        )
        for n, header in enumerate(headers)
    ]
    return made.routes(name, made.host("v", ["*"], *routes))


RING = made.cluster("c", lb_policy="RING_HASH")


def hashed(out: Out) -> Any:
    assert out.tables is not None
    return out.tables.upstreams["c"].get("balance", {}).get("on")


@pytest.mark.parametrize("first", ["x-a", "x-z"])
def test_routes_in_force_keep_the_key_of_their_cluster(first: str) -> None:
    session = begun(hashing("r", "x-m"), hashing("s", "x-m"), cluster=RING)
    in_force(session, 0.0)
    session.received(response(RDS, "2", hashing("r", first), hashing("s", "x-m", path="/x")), 1.0)
    out, answers = in_force(session, 1.0)
    reason = (
        f"xDS route configuration 'r' of 'a', v/0: it hashes by header:{first} to cluster 'c',"
        " which goes by header:x-m: one key for each cluster is supported"
    )
    answers.requests += out.requests
    assert told(answers) == {ROUTES: reason}
    assert out.refused == [reason.removeprefix("xDS ")]
    assert hashed(out) == "header:x-m"
    assert out.tables is not None
    assert [route["path"] for route in out.tables.routes] == ["^/0", "^/x0"]
    assert out.tables.left_out == [reason]


def test_of_routes_that_come_together_the_first_says_the_key() -> None:
    session = begun(hashing("r", "x-a"), hashing("s", "x-b"), cluster=RING)
    out, _ = in_force(session, 0.0)
    assert hashed(out) == "header:x-a"
    assert "route configuration 's' of 'b', v/0: it hashes by header:x-b" in out.refused[0]
    assert statuses(out) == [404]


def test_a_cluster_is_to_blame_where_it_alone_is_new() -> None:
    session = begun(hashing("r", "x-a"), hashing("s", "x-b"), cluster=made.cluster("c"))
    in_force(session, 0.0)
    session.received(response(CDS, "2", RING, made.cluster("d")), 1.0)
    out, _ = in_force(session, 1.0)
    assert told(out) == {
        "Cluster": "xDS cluster 'c': its routes hash by ['header:x-a', 'header:x-b'], not one"
    }
    assert hashed(out) is None


def secret(text: str) -> Any:
    return made.secret(
        "shop",
        tls_certificate={
            "certificate_chain": {"inline_string": text},
            "private_key": {"inline_string": text},
        },
    )


def secured() -> Session:
    """Listeners a and b with a certificate, in force."""
    session = opened()
    session.received(response(CDS, "1"), 0.0)
    listeners = [
        made.listening(name, port, made.manager("r"), transport_socket=TLS)
        for name, port in (("a", 1), ("b", 2))
    ]
    session.received(response(LDS, "1", *listeners), 0.0)
    session.received(response(RDS, "1", answering("r", 200)), 0.0)
    session.received(response(SDS, "1", secret("good")), 0.0)
    in_force(session, 0.0)
    return session


def test_a_secret_of_the_other_kind_is_refused_and_takes_no_listener_away() -> None:
    session = secured()
    authority = made.secret("shop", validation_context={"trusted_ca": {"inline_string": "CA"}})
    session.received(response(SDS, "2", authority), 1.0)
    out = session.flush(1.0)
    assert (
        "xDS secret 'shop': listener 'a': source:shop holds no certificate" in told(out)["Secret"]
    )
    assert out.tables is not None
    assert len(out.tables.listeners) == 2
    assert out.tables.certificates == {"shop": (b"good", b"good")}


def test_what_has_not_come_is_told() -> None:
    session = opened()
    session.received(response(CDS, "1"), 0.0)
    routed = made.routes("r", made.host("v", ["*"], made.route({"prefix": "/"}, "nobody")))
    listeners = [
        made.listening("a", 1, made.manager("r"), transport_socket=TLS),
        made.listener("b", 2, "r"),
        made.listener("c", 3, "s"),
    ]
    session.received(response(LDS, "1", *listeners), 0.0)
    session.received(response(RDS, "1", routed), 0.0)
    out, _ = in_force(session, 60.0)
    assert out.tables is not None
    assert out.tables.left_out == [
        "xDS listener 'a': secret 'shop' has not come",
        "xDS listener 'c': route configuration 's' has not come",
        "xDS cluster 'nobody': it has not come, and is named by routes or listeners",
    ]
    session.received(response(CDS, "2", made.cluster("nobody", type="STATIC")), 61.0)
    out, _ = in_force(session, 61.0)
    assert out.tables is not None
    assert len(out.tables.left_out) == 2


def test_a_secret_is_to_blame_for_what_it_brings() -> None:
    session = secured()
    session.received(response(SDS, "2", secret("bad")), 1.0)
    wrong = "listen.tls.cert: the key source:shop does not belong to source:shop"
    reasons = [f"xDS listener {name!r}: {wrong}" for name in "ab"]
    _, answers = in_force(session, 1.0, *reasons)
    assert told(answers) == {
        "Secret": "; ".join(f"xDS secret 'shop': listener {name!r}: {wrong}" for name in "ab")
    }
    out, _ = in_force(session, 1.0)
    assert out.tables is not None
    assert len(out.tables.listeners) == 2
    assert out.tables.certificates == {"shop": (b"good", b"good")}
    assert out.tables.left_out == [
        f"xDS secret 'shop': listener 'a': {wrong}; secret 'shop': listener 'b': {wrong}"
    ]


def test_what_is_said_twice_of_one_resource_is_told_once() -> None:
    assert together(["xDS cluster 'c': a", "xDS cluster 'c': a"]) == "cluster 'c': a"
