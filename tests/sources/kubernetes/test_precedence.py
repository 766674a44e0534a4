"""Which route takes a request: cases after the conformance tests of the Gateway API (httproute-
matching, -matching-across-routes, -method-matching, -query-param-matching, -exact-path-matching,
-path-match-order, -header-matching, -listener-hostname-matching, -hostname-intersection, and
grpcroute-exact-method-matching), routed by the gateway's own table."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.kubernetes.kit import Routing, routing
from tests.sources.kubernetes.objects import (
    Object,
    edge,
    endpoints,
    listener,
    path,
    route,
    service,
    to,
)


def services(*names: str) -> list[Object]:
    return [
        one
        for name in names
        for one in (service(f"shop/{name}"), endpoints(f"shop/{name}", "10.0.0.1"))
    ]


def header(name: str, value: str, kind: str = "Exact") -> Object:
    return {"name": name, "value": value, "type": kind}


def rule(backend: str, *matches: Object) -> Object:
    return (
        {"matches": list(matches), "backendRefs": [to(backend)]}
        if matches
        else {"backendRefs": [to(backend)]}
    )


V = services("v1", "v2", "v3", "v4", "v5")

MATCHING = [
    *edge(),
    *V,
    route(
        "shop/m",
        rule("v1", path("/"), {"headers": [header("version", "one")]}),
        rule("v2", path("/v2"), {"headers": [header("version", "two")]}),
    ),
]
ORDER = [
    *edge(),
    *V,
    route(
        "shop/order",
        rule("v1", path("/match")),
        rule("v2", path("/match/exact", "Exact"), path("/match/prefix/one")),
        rule("v3", path("/match/prefix/one/any"), path("/match/.*", "RegularExpression")),
        rule("v4", {**path("/match"), "method": "POST"}),
        rule("v5", {**path("/match"), "headers": [header("a", "1"), header("b", "2")]}),
    ),
]
COUNTS = [
    *edge(),
    *V,
    route(
        "shop/counts",
        rule("v1", {"headers": [header("color", "blue")]}),
        rule("v2", {"headers": [header("color", "blue"), header("version", "two")]}),
        rule("v3", {"queryParams": [header("animal", "whale")]}),
        rule("v4", {"queryParams": [header("animal", "whale"), header("size", "big")]}),
        rule("v5", {"method": "GET", "headers": [header("only", "get")]}),
    ),
]


@pytest.mark.parametrize(
    ("objects", "asked", "goes"),
    [
        (MATCHING, {"path": "/"}, "v1"),
        (MATCHING, {"path": "/example"}, "v1"),
        (MATCHING, {"path": "/", "headers": {"version": "one"}}, "v1"),
        (MATCHING, {"path": "/v2"}, "v2"),
        (MATCHING, {"path": "/v2/example"}, "v2"),
        (MATCHING, {"path": "/", "headers": {"version": "two"}}, "v2"),
        (MATCHING, {"path": "/v2/", "headers": {"version": "one"}}, "v2"),
        (MATCHING, {"path": "/v2example"}, "v1"),
        (ORDER, {"path": "/match/exact"}, "v2"),
        (ORDER, {"path": "/match"}, "v1"),
        (ORDER, {"path": "/match/"}, "v1"),
        (ORDER, {"path": "/match/prefix"}, "v1"),
        (ORDER, {"path": "/match/prefix/one"}, "v2"),
        (ORDER, {"path": "/match/prefix/one/"}, "v2"),
        (ORDER, {"path": "/match/prefix/one/any"}, "v3"),
        (ORDER, {"path": "/match/exact/x"}, "v1"),
        (ORDER, {"path": "/match", "method": "POST", "headers": {"a": "1", "b": "2"}}, "v4"),
        (ORDER, {"path": "/match", "headers": {"a": "1", "b": "2"}}, "v5"),
        (ORDER, {"path": "/match", "headers": {"a": "1"}}, "v1"),
        (ORDER, {"path": "/other"}, "404"),
        (COUNTS, {"path": "/", "headers": {"color": "blue"}}, "v1"),
        (COUNTS, {"path": "/", "headers": {"color": "blue", "version": "two"}}, "v2"),
        (COUNTS, {"path": "/", "query": "animal=whale"}, "v3"),
        (COUNTS, {"path": "/", "query": "size=big&animal=whale"}, "v4"),
        (COUNTS, {"path": "/", "query": "animal=whale", "headers": {"color": "blue"}}, "v1"),
        (COUNTS, {"path": "/", "query": "animal=whale&animal=dolphin"}, "v3"),
        (COUNTS, {"path": "/", "headers": {"color": "orange"}}, "404"),
        (
            COUNTS,
            {"path": "/", "headers": {"only": "get", "color": "blue", "version": "two"}},
            "v5",
        ),
    ],
)
def test_matches(objects: list[Object], asked: dict[str, Any], goes: str) -> None:
    assert routing(*objects).goes("x.example", **asked) == goes


def test_of_equal_matches_the_older_route_counts_then_the_name_then_the_first_rule() -> None:
    found = routing(
        *edge(),
        *V,
        route("shop/b", rule("v1", path("/a")), created="2026-01-01T00:00:02Z"),
        route("shop/z", rule("v2", path("/a")), created="2026-01-01T00:00:01Z"),
        route("shop/c", rule("v3", path("/n")), rule("v4", path("/n"))),
        route("shop/d", rule("v5", path("/n"))),
    )
    assert found.goes("h", "/a") == "v2"
    assert found.goes("h", "/n") == "v3"


def test_a_more_special_hostname_counts_before_any_path() -> None:
    found = routing(
        *edge(),
        *V,
        route("shop/any", rule("v1", path("/very/long/path", "Exact"))),
        route("shop/wide", rule("v2", path("/very/long")), hostnames=["*.example.com"]),
        route("shop/wider", rule("v3"), hostnames=["*.com"]),
        route("shop/one", rule("v4", path("/very")), hostnames=["a.example.com"]),
    )
    assert found.goes("a.example.com", "/very/long/path") == "v4"
    assert found.goes("a.example.com", "/other") == "v3"
    assert found.goes("a.b.example.com", "/very/long/path") == "v2"
    assert found.goes("example.com", "/very/long/path") == "v3"
    assert found.goes("other.org", "/very/long/path") == "v1"
    assert found.goes("com", "/") == "404"


def intersecting() -> Routing:
    return routing(
        *edge(
            listener(80, "one", hostname="very.specific.com", routes="All"),
            listener(80, "two", hostname="*.wildcard.io", routes="All"),
            listener(80, "three", hostname="*.anotherwildcard.io", routes="All"),
        ),
        *V,
        route(
            "shop/specific", rule("v1", path("/s1")),
            hostnames=["non.matching.com", "*.nonmatching.io", "very.specific.com"],
        ),
        route(
            "shop/wild", rule("v2", path("/s2")),
            hostnames=["wildcard.io", "foo.wildcard.io", "bar.wildcard.io", "foo.bar.wildcard.io"],
        ),
        route("shop/wide", rule("v3", path("/s3")), hostnames=["*.specific.com"]),
        route("shop/another", rule("v4", path("/s4")), hostnames=["*.anotherwildcard.io"]),
        route("shop/none", rule("v5", path("/s5")), hostnames=["specific.but.wrong.com"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("host", "asked", "goes"),
    [
        ("very.specific.com", "/s1", "v1"),
        ("non.matching.com", "/s1", "404"),
        ("foo.nonmatching.io", "/s1", "404"),
        ("very.specific.com", "/non-matching", "404"),
        ("foo.wildcard.io", "/s2", "v2"),
        ("foo.bar.wildcard.io", "/s2", "v2"),
        ("wildcard.io", "/s2", "404"),
        ("other.wildcard.io", "/s2", "404"),
        ("very.specific.com", "/s3", "v3"),
        ("foo.specific.com", "/s3", "404"),
        ("one.anotherwildcard.io", "/s4", "v4"),
        ("one.two.anotherwildcard.io", "/s4", "v4"),
        ("anotherwildcard.io", "/s4", "404"),
        ("specific.but.wrong.com", "/s5", "404"),
    ],
)
def test_hostnames_are_those_of_the_listener_and_the_route(
    host: str, asked: str, goes: str
) -> None:
    assert intersecting().goes(host, asked) == goes


def test_a_route_without_a_common_hostname_is_not_accepted() -> None:
    outcome = intersecting().outcome
    _, conditions = outcome.routes["HTTPRoute", ("shop", "none")].parents[0]
    assert [(c.holds, c.reason) for c in conditions if c.type == "Accepted"] == [
        (False, "NoMatchingListenerHostname")
    ]


def test_names_of_one_listener_do_not_fall_to_another() -> None:
    """Of gateway-http-listener-isolation."""
    parents = {
        name: [{"name": "edge", "namespace": "infra", "sectionName": name}]
        for name in ("any", "wide", "narrow", "exact")
    }
    found = routing(
        *edge(
            listener(80, "any", routes="All"),
            listener(80, "wide", hostname="*.example.com", routes="All"),
            listener(80, "narrow", hostname="*.foo.example.com", routes="All"),
            listener(80, "exact", hostname="abc.foo.example.com", routes="All"),
        ),
        *V,
        route("shop/any", rule("v1", path("/any")), parents=parents["any"]),
        route("shop/wide", rule("v2", path("/wide")), parents=parents["wide"]),
        route("shop/narrow", rule("v3", path("/narrow")), parents=parents["narrow"]),
        route("shop/exact", rule("v4", path("/exact")), parents=parents["exact"]),
    )
    hosts = {
        "bar.com": "any",
        "bar.example.com": "wide",
        "bar.foo.example.com": "narrow",
        "abc.foo.example.com": "exact",
    }
    backends = {"any": "v1", "wide": "v2", "narrow": "v3", "exact": "v4"}
    for host, own in hosts.items():
        for name, backend in backends.items():
            assert found.goes(host, f"/{name}") == (backend if name == own else "404")


def call(service_name: str = "", method: str = "", kind: str = "Exact", **more: Any) -> Object:
    said = {"type": kind}
    said |= {"service": service_name} if service_name else {}
    said |= {"method": method} if method else {}
    return {"method": said, **more}


def test_calls_are_told_by_service_and_method() -> None:
    found = routing(
        *edge(),
        *V,
        route(
            "shop/g",
            rule("v1", call("grpc.Echo", "Echo")),
            rule("v2", call("grpc.Echo")),
            rule("v3", call("", "Two")),
            rule("v4", call("grpc.E.*", "E.*", "RegularExpression")),
            rule("v5", call("grpc.Echo", "Echo", headers=[header("version", "five")])),
            kind="GRPCRoute",
        ),
        route("shop/web", rule("v3")),
    )
    grpc = {"content-type": "application/grpc"}
    assert found.goes("h", "/grpc.Echo/Echo", "POST", headers=grpc) == "v1"
    assert found.goes("h", "/grpc.Echo/Other", "POST", headers=grpc) == "v2"
    assert found.goes("h", "/other.Service/Two", "POST", headers=grpc) == "v3"
    assert found.goes("h", "/grpc.Else/Ever", "POST", headers=grpc) == "v4"
    five = {**grpc, "version": "five"}
    assert found.goes("h", "/grpc.Echo/Echo", "POST", headers=five) == "v5"
    assert found.goes("h", "/grpc.Echo/Echo", "GET") == "v3", "a page is no call"
    upstream = found.config.upstream["shop.v1.80.h2"]
    assert upstream.protocol == "h2"


@pytest.mark.parametrize(
    ("value", "kind", "fits", "misses"),
    [
        ("/a*b", "Exact", ["/a*b"], ["/ab", "/axb", "/a*b/"]),
        ("/a*b", "PathPrefix", ["/a*b", "/a*b/", "/a*b/c"], ["/a*bc"]),
        ("/users/:id", "Exact", ["/users/:id"], ["/users/1"]),
        ("/v1.0", "PathPrefix", ["/v1.0/x"], ["/v1x0/x"]),
        ("/a/", "PathPrefix", ["/a", "/a/", "/a/b"], ["/ab"]),
        ("/a/", "Exact", ["/a/"], ["/a"]),
        ("/n/[0-9]+", "RegularExpression", ["/n/12"], ["/n/", "/n/12/x"]),
    ],
)
def test_paths_mean_what_they_say(
    value: str, kind: str, fits: list[str], misses: list[str]
) -> None:
    found = routing(*edge(), *V, route("shop/p", rule("v1", path(value, kind))))
    assert [found.goes("h", one) for one in fits] == ["v1"] * len(fits)
    assert [found.goes("h", one) for one in misses] == ["404"] * len(misses)


def test_header_values_that_mean_something_here_mean_themselves() -> None:
    found = routing(
        *edge(),
        *V,
        route(
            "shop/h",
            rule("v1", {"headers": [header("a", "*")]}),
            rule("v2", {"headers": [header("a", "~x")]}),
            rule("v3", {"headers": [header("a", "y+", "RegularExpression")]}),
            rule("v4", {"headers": [header("b", "1"), header("B", "2")]}),
        ),
    )
    for value, goes in [("*", "v1"), ("~x", "v2"), ("yyy", "v3"), ("x", "404"), ("z", "404")]:
        assert found.goes("h", "/", headers={"a": value}) == goes
    assert found.goes("h", "/", headers={"b": "1"}) == "v4", "the first of one name counts"
