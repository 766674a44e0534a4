"""What the grammar of paths and hosts takes, and what it says about the rest."""

from __future__ import annotations

import pytest

from proxy.routing.pattern import parse, parse_host


@pytest.mark.parametrize(
    ("path", "kind", "segments", "captures"),
    [
        ("/", "exact", ("",), ()),
        ("/api", "exact", ("api",), ()),
        ("/api/", "exact", ("api", ""), ()),
        ("/api/{id}", "template", ("api", "{id}"), ("id",)),
        ("/api/{order-id}/items/{n}", "template", ("api", "{order-id}", "items", "{n}"), None),
        ("/*", "prefix", (), ("*",)),
        ("/api/*", "prefix", ("api",), ("*",)),
        ("/{tenant}/api/*", "prefix", ("{tenant}", "api"), ("tenant", "*")),
        ("~^/v[0-9]+/(?P<rest>.*)$", "regex", (), ("rest",)),
        ("/caf\u00e9/%7ea%2fb", "exact", ("caf%C3%A9", "~a%2Fb"), ()),
        ("/a b", "exact", ("a%20b",), ()),
    ],
)
def test_patterns(path: str, kind: str, segments: tuple[str, ...], captures: object) -> None:
    pattern = parse(path)
    assert (pattern.kind, pattern.segments, pattern.template) == (kind, segments, path)
    if captures is not None:
        assert pattern.captures == captures


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("api", 'must begin with "/"'),
        ("", 'must begin with "/"'),
        ("*", 'must begin with "/"'),
        ("/api*", '"*" stands only at the end'),
        ("/*/x", '"*" stands only at the end'),
        ("/a{id}", "a capture is a whole segment"),
        ("/{id}.json", "a capture is a whole segment"),
        ("/{a}{b}", "is not a capture"),
        ("/{}", "is not a capture"),
        ("/{1}", "is not a capture"),
        ("/{id}/x/{id}", "twice"),
        ("/a//b", "merged"),
        ("/a//*", "merged"),
        ("/a/../b", "never match"),
        ("/a/./b", "never match"),
        ("/a?x=1", "never match"),
        ("/a#x", "never match"),
        ("/%zz", "bad percent-encoding"),
        ("/a\\b", "never match"),
        ("~/v[0-9", "not a regular expression"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("*", r"\*")):
        parse(path)


@pytest.mark.parametrize(
    ("host", "parsed"),
    [
        ("Shop.Example", "shop.example"),
        ("*.Example.com", ".example.com"),
        ("*", ""),
        ("localhost", "localhost"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "::1"),
        ("[0:0::0001]", "::1"),
        ("[2001:DB8::AB]", "2001:db8::ab"),
        ("Shop.example.", "shop.example"),
        ("*.example.com.", ".example.com"),
        ("my_service.internal", "my_service.internal"),
    ],
)
def test_hosts(host: str, parsed: str) -> None:
    assert parse_host(host) == parsed


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("shop.example:8080", "no port"),
        ("http://shop.example", "no port, scheme"),
        ("a.*.com", "whole labels"),
        ("*example.com", "whole labels"),
        ("", "not a host name"),
        ("a..b", "not a host name"),
        ("a b", "not a host name"),
        ("-a.b", "not a host name"),
        ("a..", "not a host name"),
        ("[::1", "no port"),
        ("[:::1]", "not an IPv6 address"),
        ("[a]", "not an IPv6 address"),
    ],
)
def test_a_host_that_cannot_be_used_says_why(host: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_host(host)
