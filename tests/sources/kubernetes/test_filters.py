"""What rules do with requests: filters, time limits, retries, and what is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.routing.rewrite import compile_redirect, compile_rewrite
from tests.sources.kubernetes.kit import Routing, outcome_of, routing, told
from tests.sources.kubernetes.objects import (
    Object,
    edge,
    listener,
    orders,
    path,
    route,
    service,
    to,
)


def filtered(*filters: Object, match: Object | None = None, **more: Any) -> Routing:
    rule = {"filters": list(filters), "matches": [match or path("/foo")], **more}
    if not any(one["type"] == "RequestRedirect" for one in filters):
        rule.setdefault("backendRefs", [to("orders")])
    return routing(*edge(), *orders(), service("shop/shadow"), route("shop/r", rule))


def redirect(**said: Any) -> Object:
    return {"type": "RequestRedirect", "requestRedirect": said}


def rewrite(**said: Any) -> Object:
    return {"type": "URLRewrite", "urlRewrite": said}


def full(value: str) -> Object:
    return {"type": "ReplaceFullPath", "replaceFullPath": value}


def prefix(value: str) -> Object:
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}


def location(found: Routing, where: str) -> tuple[str, int]:
    taken = found.asked("a.example", where)
    asked, _, query = where.partition("?")
    captures = {"*": asked.removeprefix("/foo"), "rest": asked.removeprefix("/f*")}
    maker = compile_redirect(taken.redirect)
    return maker(asked, f"?{query}" if query else "", captures, "a.example"), taken.redirect.status


@pytest.mark.parametrize(
    ("said", "where", "wanted"),
    [
        ({}, "/foo/x", "http://a.example/foo/x"),
        ({"scheme": "https"}, "/foo/x", "https://a.example/foo/x"),
        ({"scheme": "https", "port": 8443}, "/foo", "https://a.example:8443/foo"),
        ({"hostname": "b.example"}, "/foo/x", "http://b.example/foo/x"),
        ({"port": 8083}, "/foo/x", "http://a.example:8083/foo/x"),
        ({"path": full("/bar")}, "/foo/x", "http://a.example/bar"),
        ({"path": prefix("/bar")}, "/foo/x", "http://a.example/bar/x"),
        ({"path": prefix("/bar/")}, "/foo/x", "http://a.example/bar/x"),
        ({"path": prefix("/bar")}, "/foo", "http://a.example/bar"),
        ({"path": prefix("/bar")}, "/foo/", "http://a.example/bar/"),
        ({"path": prefix("/")}, "/foo", "http://a.example/"),
        ({"path": prefix("")}, "/foo/x", "http://a.example/x"),
        ({"path": prefix("/")}, "/foo/", "http://a.example/"),
    ],
)
def test_redirects_lead_where_they_say(said: Object, where: str, wanted: str) -> None:
    assert location(filtered(redirect(**said)), where) == (wanted, 302)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_have_their_status(status: int) -> None:
    assert location(filtered(redirect(statusCode=status)), "/foo")[1] == status


def test_a_redirect_keeps_the_port_of_its_listener() -> None:
    door = listener(8080, routes="All")
    found = routing(*edge(door), route("shop/r", {"filters": [redirect(hostname="b.example")]}))
    assert found.goes("h", "/x", listener="kubernetes:8080") == "http://b.example:8080{path}"


@pytest.mark.parametrize(
    ("said", "match", "where", "wanted"),
    [
        (full("/one"), "/foo", "/foo/x", "/one"),
        (prefix("/bar"), "/foo", "/foo/x", "/bar/x"),
        (prefix("/bar"), "/foo", "/foo", "/bar"),
        (prefix("/"), "/foo", "/foo", "/"),
        (prefix("/"), "/foo", "/foo/x", "/x"),
        (prefix("/xyz"), "/", "/foo", "/xyz/foo"),
        (prefix("/xyz"), "/f*", "/f*/x", "/xyz/x"),
        (full("/a{b}*"), "/foo", "/foo", "/a%7Bb%7D%2A"),
    ],
)
def test_paths_are_rewritten(said: Object, match: str, where: str, wanted: str) -> None:
    taken = filtered(rewrite(path=said), match=path(match)).asked("h", where)
    maker = compile_rewrite(taken)
    assert maker is not None
    left = where.removeprefix(match if match != "/" else "")
    assert maker(where, {"*": left, "rest": left}) == wanted


def test_names_of_hosts_are_rewritten() -> None:
    assert filtered(rewrite(hostname="b.example")).asked("h", "/foo").host_header == "b.example"


def test_header_fields_are_edited() -> None:
    said = {
        "set": [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"},
                {"name": "Host", "value": "b.example"}],
        "add": [{"name": "X-B", "value": "3"}], "remove": ["X-C"],
    }  # fmt: skip
    answers = {"set": [{"name": "X-D", "value": "4"}]}
    taken = filtered(
        {"type": "RequestHeaderModifier", "requestHeaderModifier": said},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": answers},
    ).asked("h", "/foo")
    edits = taken.headers.request
    assert (edits.set, edits.add, edits.remove) == ({"X-A": "1"}, {"X-B": "3"}, ["X-C"])
    assert taken.headers.response.set == {"X-D": "4"}
    assert taken.host_header == "b.example"


@pytest.mark.parametrize(
    ("more", "share"),
    [({}, 1.0), ({"percent": 20}, 0.2), ({"fraction": {"numerator": 1, "denominator": 4}}, 0.25)],
)
def test_requests_are_mirrored(more: Object, share: float) -> None:
    said = {"backendRef": {"name": "shadow", "port": 80}, **more}
    mirror = filtered({"type": "RequestMirror", "requestMirror": said}).asked("h", "/foo").mirror
    assert (mirror.to, mirror.share) == ("shop.shadow.80", share)


def test_pages_of_other_origins_may_read_answers() -> None:
    said = {
        "allowOrigins": ["https://a.example"],
        "allowMethods": ["PUT"],
        "allowHeaders": ["x-a"],
        "exposeHeaders": ["x-b"],
        "allowCredentials": True,
        "maxAge": 60,
    }
    cors = filtered({"type": "CORS", "cors": said}).asked("h", "/foo").cors
    assert (cors.origins, cors.methods, cors.max_age) == (["https://a.example"], ["PUT"], 60)
    assert (cors.headers, cors.expose, cors.credentials) == (["x-a"], ["x-b"], True)


def test_time_limits_and_retries() -> None:
    more = {
        "timeouts": {"request": "1m30s", "backendRequest": "500ms"},
        "retry": {"codes": [500, 503], "attempts": 3, "backoff": "10ms"},
    }
    taken = filtered(**more).asked("h", "/foo")
    assert (taken.timeout, taken.first_byte_timeout) == (90, 0.5)
    assert (taken.retry.times, taken.retry.backoff, taken.retry.per_try) == (3, 0.01, 0.5)
    assert taken.retry.on == [500, 503, "connect", "timeout"]
    assert filtered(retry={"attempts": 2}).asked("h", "/foo").retry.on == ["connect"]
    assert filtered(timeouts={"request": "0s"}).asked("h", "/foo").timeout == 0


UNSUPPORTED = [
    ({"type": "ExtensionRef", "extensionRef": {"group": "x.io", "kind": "K", "name": "n"}}, {},
     "filter ExtensionRef is not supported"),
    ({"type": "ExternalAuth"}, {}, "filter ExternalAuth is not supported"),
    ({"type": "New"}, {}, "filter New is not supported"),
    ({"type": "RequestHeaderModifier"}, {}, "filter RequestHeaderModifier says nothing"),
    (rewrite(path=prefix("/x")), {"matches": [path("/foo", "Exact")]},
     "ReplacePrefixMatch needs a match of type PathPrefix"),
    (rewrite(path={"type": "New"}), {}, "path of type New is not supported"),
    ({"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": "Connection", "value": "x"}]}}, {},
     "header field Connection is the gateway's own"),
    ({"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["traceparent"]}}, {},
     "header field traceparent is the gateway's own"),
    ({"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": "a b", "value": "x"}]}}, {}, "'a b' is no name of a header field"),
    ({"type": "RequestHeaderModifier", "requestHeaderModifier": {
        "set": [{"name": "a", "value": "x\r\ny"}]}}, {}, "its value cannot be sent"),
    ({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "gone", "port": 80}}}, {},
     "RequestMirror: there is no Service shop/gone"),
    (redirect(), {"backendRefs": [to("orders")]}, "a rule with RequestRedirect has no backendRefs"),
    (redirect(statusCode=305), {}, "a redirect with status 305 is not supported"),
    (redirect(scheme="ftp"), {}, "a redirect to scheme ftp is not supported"),
    (rewrite(hostname="a b"), {}, "'a b' is no host"),
    ({"type": "CORS", "cors": {"allowOrigins": ["*"], "allowCredentials": True}}, {},
     "credentials for any origin are not supported"),
    (rewrite(hostname="b"), {"sessionPersistence": {"sessionName": "x"}},
     "sessionPersistence is not supported"),
    (rewrite(hostname="b"), {"timeouts": {"request": "1y"}}, "'1y' is no duration"),
    (rewrite(hostname="b"), {"retry": {"codes": [200]}}, "200 is no status of an error"),
    (rewrite(hostname="b"), {"backendRefs": [to("orders", filters=[redirect()]), to("shadow")]},
     "filters of backendRefs that differ from each other are not supported"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "more", "words"), UNSUPPORTED)
def test_what_cannot_be_done_is_refused_by_its_name(one: Object, more: Object, words: str) -> None:
    rule = {"matches": [path("/foo")], "backendRefs": [to("orders")], "filters": [one], **more}
    if one["type"] == "RequestRedirect" and "backendRefs" not in more:
        del rule["backendRefs"]
    objects = [*edge(), *orders(), service("shop/shadow")]
    alone = routing(*objects, route("shop/r", rule), strict=False)
    holds, reason, message = told(alone.outcome, "HTTPRoute", "shop/r")["Accepted"]
    assert (holds, reason) == (False, "UnsupportedValue")
    assert words in message
    asked = "/foo"
    assert alone.goes("h", asked) == "500", "a filter may be what keeps requests away"
    good = {"matches": [path("/")], "backendRefs": [to("orders")]}
    both = routing(*objects, route("shop/r", good, rule), strict=False)
    conditions = told(both.outcome, "HTTPRoute", "shop/r")
    assert conditions["Accepted"][0]
    partly = conditions["PartiallyInvalid"]
    assert partly[:2] == (True, "UnsupportedValue")
    assert partly[2].startswith("Dropped Rule")
    assert (both.goes("h", asked), both.goes("h", "/x")) == ("500", "orders")


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"path": {"type": "New", "value": "/"}}, "path match of type New is not supported"),
        ({"path": {"type": "Exact", "value": "x"}}, "does not begin with a slash"),
        ({"path": {"type": "Exact", "value": "/a//b"}}, "can never match"),
        ({"path": {"type": "RegularExpression", "value": "("}}, "no regular expression"),
        ({"method": "PURGE"}, "method PURGE is not supported"),
        ({"headers": [{"name": "a b", "value": "x"}]}, "'a b' is no name of a header"),
        ({"headers": [{"name": "a", "value": "(", "type": "RegularExpression"}]}, "no regular"),
        ({"queryParams": [{"name": "a", "value": "x", "type": "New"}]}, "of type New is not"),
    ],
)
def test_matches_that_mean_nothing_are_refused(match: Object, words: str) -> None:
    rule = {"matches": [match], "backendRefs": [to("orders")]}
    outcome = outcome_of(*edge(), *orders(), route("shop/r", rule), strict=False)
    holds, _, message = told(outcome, "HTTPRoute", "shop/r")["Accepted"]
    assert not holds
    assert words in message


def test_a_field_that_nobody_knows_is_refused_by_its_name() -> None:
    good = {"matches": [path("/")], "backendRefs": [to("orders")]}
    rule = {"matches": [path("/foo")], "backendRefs": [to("orders")], "quota": {"rate": 1}}
    found = routing(*edge(), *orders(), route("shop/r", good, rule), strict=False)
    holds, _, message = told(found.outcome, "HTTPRoute", "shop/r")["PartiallyInvalid"]
    assert holds
    assert "rule 2: Object contains unknown field `quota`" in message
    assert (found.goes("h", "/foo"), found.goes("h", "/x")) == ("500", "orders")


def test_a_match_that_cannot_be_read_takes_nothing() -> None:
    good = {"matches": [path("/")], "backendRefs": [to("orders")]}
    odd = {"matches": [{"path": {"value": "/foo"}, "cookie": 1}], "backendRefs": [to("orders")]}
    found = routing(*edge(), *orders(), route("shop/r", good, odd), strict=False)
    assert told(found.outcome, "HTTPRoute", "shop/r")["PartiallyInvalid"][0]
    assert found.goes("h", "/foo") == "orders"
    alone = routing(*edge(), *orders(), route("shop/r", odd), strict=False)
    assert told(alone.outcome, "HTTPRoute", "shop/r")["Accepted"][:2] == (False, "UnsupportedValue")


def test_what_a_route_as_a_whole_says_and_nobody_knows_is_refused() -> None:
    outcome = outcome_of(*edge(), *orders(), route("shop/r", newKey={"x": 1}), strict=False)
    holds, reason, message = told(outcome, "HTTPRoute", "shop/r")["Accepted"]
    assert (holds, reason) == (False, "UnsupportedValue")
    assert "newKey" in message
    assert not outcome.given.routes


def test_a_listener_that_says_something_unknown_is_refused_and_the_others_serve() -> None:
    doors = [listener(80, "a", routes="All"), {**listener(81, "b"), "http3": True}]
    found = routing(*edge(*doors), *orders(), route(), strict=False)
    told_ = found.outcome.gateways["infra", "edge"].listeners[1].told[0]
    assert (told_.holds, told_.reason) == (False, "UnsupportedValue")
    assert "http3" in told_.message
    assert found.goes("h", "/") == "orders"
    assert [one.address for one in found.config.listen] == [":80"]


def test_a_rule_of_calls_that_is_dropped_says_what_calls_get() -> None:
    good = {"matches": [{"method": {"service": "a.B"}}], "backendRefs": [to("orders")]}
    odd = {**good, "filters": [{"type": "ExtensionRef", "extensionRef": {
        "group": "x.io", "kind": "X", "name": "x"}}]}  # fmt: skip
    found = outcome_of(*edge(), *orders(), route("shop/calls", good, odd, kind="GRPCRoute"))
    _, reason, message = told(found, "GRPCRoute", "shop/calls")["PartiallyInvalid"]
    assert reason == "UnsupportedValue"
    assert message.startswith("Dropped Rule (requests that match it are answered UNAVAILABLE)")
