"""Route configurations of Envoy become routes that take the same requests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.peers import xds_protos

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.sources.xds.map_routes import map_routes
from proxy.sources.xds.protos import message
from proxy.sources.xds.reading import Reader, Refused
from tests.peers import xds_made as made


def ours(published: Any) -> Any:
    """The same message as the client reads it."""
    cls = message(published.DESCRIPTOR.full_name)
    return cls.FromString(published.SerializeToString())


def table(route: dict[str, Any], ignore: tuple[str, ...] = ()) -> dict[str, Any]:
    config = made.routes("r", made.host("v", ["*"], route))
    return map_routes(ours(config), Reader(ignore)).entries[0].table


TO = {"cluster": "c"}
FORWARD: dict[str, Any] = {"timeout": "15s"}


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        ({"path": "/a/b"}, {"path": "/a/b"}),
        ({"prefix": "/"}, {"path": "/*"}),
        ({"prefix": ""}, {"path": "/*"}),
        ({"prefix": "/api"}, {"path": "^/api"}),
        ({"path_separated_prefix": "/api"}, {"path": "/api/*"}),
        ({"safe_regex": {"regex": "/v[0-9]+"}}, {"path": "~/v[0-9]+"}),
        ({"path": "/A", "case_sensitive": False}, {"path": "~(?i:/A)"}),
        ({"prefix": "/A", "case_sensitive": False}, {"path": "~(?i:/A).*"}),
        ({"prefix": "/a{b"}, {"path": r"~/a\{b.*"}),
        (
            {"prefix": "/", "headers": [{"name": ":method", "exact_match": "GET"}]},
            {"path": "/*", "when": {"method": ["GET"]}},
        ),
        (
            {"prefix": "/", "headers": [{"name": "X-A", "string_match": {"exact": "1"}}]},
            {"path": "/*", "when": {"header": {"x-a": "1"}}},
        ),
        (
            {"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "*"}}]},
            {"path": "/*", "when": {"header": {"x": r"~\*"}}},
        ),
        (
            {"prefix": "/", "headers": [{"name": "x", "present_match": True}]},
            {"path": "/*", "when": {"header": {"x": "*"}}},
        ),
        (
            {"prefix": "/", "query_parameters": [{"name": "q", "string_match": {"exact": "1"}}]},
            {"path": "/*", "when": {"query": {"q": "1"}}},
        ),
        ({"prefix": "/", "grpc": {}}, {"path": "/*", "when": {"grpc": True}}),
    ],
)
def test_what_a_route_takes(match: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert table({"match": match, "route": TO}) == {**wanted, **FORWARD}


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ({"route": TO}, FORWARD),
        ({"route": {**TO, "timeout": "0s"}}, {"timeout": "0s", "first_byte_timeout": "0s"}),
        ({"route": {**TO, "prefix_rewrite": "/new"}}, {**FORWARD, "rewrite": {"path": "/new{*}"}}),
        ({"route": {**TO, "host_rewrite_literal": "h"}}, {**FORWARD, "host_header": "h"}),
        (
            {"direct_response": {"status": 418, "body": {"inline_string": "tea"}}},
            {"respond": {"status": 418, "body": "tea"}},
        ),
        (
            {"redirect": {"path_redirect": "/new", "response_code": "FOUND"}},
            {"redirect": {"to": "/new", "status": 302}},
        ),
        (
            {"redirect": {"https_redirect": True}},
            {"redirect": {"to": "https://{host}{path}", "status": 301}},
        ),
        (
            {"redirect": {"prefix_rewrite": "/b", "strip_query": True}},
            {"redirect": {"to": "/b{*}?", "status": 301}},
        ),
    ],
)
def test_what_becomes_of_a_request(action: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert table({"match": {"prefix": "/a"}, **action}) == {"path": "^/a", **wanted}


@pytest.mark.parametrize(
    ("route", "names"),
    [
        (
            {"match": {"prefix": "/", "dynamic_metadata": [{"filter": "f"}]}, "route": TO},
            "RouteMatch.dynamic_metadata",
        ),
        ({"match": {"connect_matcher": {}}, "route": TO}, "RouteMatch.connect_matcher"),
        ({"match": {"safe_regex": {"regex": r"/\pL+"}}, "route": TO}, "RegexMatcher"),
        (
            {"match": {"prefix": "/"}, "route": {"cluster_header": "x"}},
            "RouteAction.cluster_header",
        ),
        (
            {"match": {"prefix": "/"}, "route": {**TO, "cors": {"allow_methods": "GET"}}},
            "RouteAction.cors",
        ),
        (
            {"match": {"prefix": "/"}, "route": {**TO, "retry_policy": {"retry_on": "moon"}}},
            "RetryPolicy.retry_on moon",
        ),
        (
            {"match": {"prefix": "/"}, "route": TO, "tracing": {}, "decorator": {"operation": "x"}},
            "Route.decorator",
        ),
        (
            {
                "match": {"prefix": "/"},
                "route": TO,
                "request_headers_to_add": [{"header": {"key": "a", "value": "%REQ(b)%"}}],
            },
            "%COMMANDS%",
        ),
        ({"match": {"prefix": "/"}, "non_forwarding_action": {}}, "Route.non_forwarding_action"),
        ({"match": {"prefix": "//"}, "route": TO}, "never match"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(route: dict[str, Any], names: str) -> None:
    with pytest.raises(Refused, match=names.replace(".", r"\.")) as caught:
        table(route)
    assert str(caught.value).startswith("virtual host v: route 0: ")


def test_an_operator_may_leave_out_what_is_named() -> None:
    route = {"match": {"prefix": "/"}, "route": TO, "decorator": {"operation": "x"}}
    assert table(route, ("Route.decorator",)) == {"path": "/*", **FORWARD}


def test_a_virtual_host_ends_with_404() -> None:
    config = made.routes(
        "r",
        made.host("a", ["a.test", "a.test:80"], made.route({"prefix": "/x"}, "c")),
        made.host("rest", ["*"], made.route({"prefix": "/"}, "d")),
    )
    entries = map_routes(ours(config), Reader()).entries
    assert [(one.table.get("host"), one.table["path"]) for one in entries] == [
        (["a.test"], "^/x"),
        (["a.test"], "/*"),
        (None, "/*"),
    ]
    assert entries[1].table["respond"] == {"status": 404}


@pytest.mark.parametrize(
    ("domains", "says"),
    [
        ([["a"], ["A"]], "belongs to virtual host v0"),
        ([["a:80"], ["a:81"]], "belongs to virtual host v0"),
        ([["a.*"]], "is not supported"),
        ([[]], "no domain"),
    ],
)
def test_domains_that_contradict_each_other(domains: list[list[str]], says: str) -> None:
    hosts = [made.host(f"v{i}", names) for i, names in enumerate(domains)]
    with pytest.raises(Refused, match=says):
        map_routes(ours(made.routes("r", *hosts)), Reader())
