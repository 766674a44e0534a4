"""What must hold between values: one row for each rule, as a user would break it."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError

UPSTREAM = '[upstream.u]\nservers = "http://10.0.0.1:8000"\n'


def found(text: str) -> list[tuple[str, str, bool]]:
    """(key, message and remedy, is it a warning) of each problem."""
    try:
        problems = loads(text, "f", {}).warnings
    except ConfigError as error:
        problems = error.problems
    return [(p.key, f"{p.message} ({p.remedy})", p.warning) for p in problems]


def route(lines: str, path: str = "/a") -> str:
    """A route of `lines`, beside the upstream "u" and another route that uses it."""
    return (
        f'[[route]]\nname = "mine"\npath = "{path}"\n{lines}\n'
        f'[[route]]\npath = "/other"\nto = "u"\n{UPSTREAM}'
    )


ERRORS = [
    # listeners and processes
    ("listen = 80800", "listen", "at most 65535"),
    ('listen = "localhost"', "listen", "is not an address"),
    ('listen = ":65536"', "listen", "at most 65535"),
    ('listen = "[::g]:80"', "listen", "is not an address"),
    ('listen = "[1:2]:80"', "listen", "is not an IPv6 address"),
    ('listen = [":80", ":80"]', "listen[1]", "already taken by listen[0]"),
    ('listen = [":80", "0.0.0.0:80"]', "listen[1]", "already taken by listen[0]"),
    ('listen = [":80", "[::]:80"]', "listen[1]", "takes IPv4 and IPv6: leave this one out"),
    ('listen = ["[0::0]:80", "0.0.0.0:80"]', "listen[1]", "takes IPv4 and IPv6"),
    ('listen = ["0.0.0.0:80", "[::]:80"]', "listen[1]", "already taken by listen[0]"),
    ('listen = ["[::1]:80", "[0:0::1]:80"]', "listen[1]", "already taken by listen[0]"),
    ('listen = ["localhost:80", "LOCALHOST.:80"]', "listen[1]", "already taken by listen[0]"),
    ('listen = "127.0.0.1:9901"', "admin.listen", "already taken by listen[0]"),
    ('listen = ":9901"', "admin.listen", "already taken by listen[0]"),
    ('listen = "0.0.0.0:9901"', "admin.listen", "already taken by listen[0]"),
    ('listen = "127.0.0.1:80"\nadmin.listen = ":80"', "admin.listen", "already taken"),
    ('listen = "[::1]:80"\nadmin.listen = "[::]:80"', "admin.listen", "already taken"),
    ('listen = ["127.0.0.1:80", "127.0.0.1:80"]', "listen[1]", "already taken by listen[0]"),
    ('listen = "127.0.0.1:80"\nadmin.listen = "localhost:80"', "admin.listen", "already taken"),
    ("listen = 9901", "admin.listen", "already taken by listen[0]"),
    ('listen = [{ address = ":80", trust = ["10/8"] }]', "listen[0].trust[0]", "not a network"),
    ('admin.listen = "9901"', "admin.listen", "is not an address"),
    ('forwarding.trust = ["10.0.0.0/33"]', "forwarding.trust[0]", "is not a network"),
    ('forwarding.via = "my gate"', "forwarding.via", "not a pseudonym"),
    # tracing
    ('tracing.trust = ["10.0.0.1/8"]', "tracing.trust[0]", 'write "10.0.0.0/8"'),
    ('tracing.request_headers = ["x a"]', "tracing.request_headers[0]", "not a header name"),
    ('tracing.response_header = "x:"', "tracing.response_header", "not a header name"),
    ('tracing.untraced = ["health"]', "tracing.untraced[0]", "is not a path"),
    # export
    ('export.otlp = "localhost:4317"', "export.otlp[0]", "not an OTLP URL"),
    ('export.otlp = "udp://localhost:4317"', "export.otlp[0]", "not an OTLP transport"),
    ('export.otlp = "grpc://localhost:4317/v1"', "export.otlp[0]", "has no path"),
    ('export.otlp = "grpc://u:p@localhost:4317"', "export.otlp[0]", "no user or password"),
    ('export.logs = ["http://a:99999"]', "export.logs[0]", "at most 65535"),
    ('export.headers = { "a b" = "c" }', 'export.headers."a b"', "not a header name"),
    ('export.headers = { a = "b\\r\\nc" }', "export.headers.a", "cannot be sent"),
    ('export.tls.cert = "/a.pem"', "export.tls", "come together"),
    # limits
    ("limits.head_bytes = 0", "limits.head_bytes", "cannot be unlimited"),
    ("limits.request_line = 0", "limits.request_line", "cannot be unlimited"),
    # upstreams
    ("[upstream.v]", "upstream.v", "has no servers"),
    ("[upstream.v]\nservers = {}", "upstream.v", "has no servers"),
    ('[upstream.v]\nservers = ["10.0.0.1:80"]', "upstream.v.servers[0]", "is not a server"),
    ('[upstream.v]\nservers = ["ftp://a"]', "upstream.v.servers[0]", "use http://"),
    ('[upstream.v]\nservers = ["unix:///a"]', "upstream.v.servers[0]", 'write "unix:/a"'),
    ('listen = ["unix:/run/gw", "unix:/run/gw"]', "listen[1]", "already taken by listen[0]"),
    (
        "[upstream.u]\nservers = 'http://a'\nprotocol = 'h2'\nsend_proxy = 'v2'\n"
        "[[route]]\nto = 'u'",
        "upstream.u.send_proxy",
        "HTTP/2 connections are shared",
    ),
    ('listen = "unix:run/gw"', "listen", "is not a Unix socket"),
    ('[[listen]]\naddress = "unix:/a"\nmode = "777x"', "listen[0].mode", "three octal digits"),
    (
        "[[listen]]\naddress = ':80'\nproxy_protocol = true\ntrust = []",
        "listen[0].proxy_protocol",
        "nobody is trusted",
    ),
    (
        '[[route]]\nto = "http://a"\ncompress = { types = "*/*" }',
        "route[0].compress.types[0]",
        "compressed again",
    ),
    (
        '[[route]]\nto = "http://a"\ncompress = { types = ["text/html; charset=utf-8"] }',
        "route[0].compress.types[0]",
        "has parameters",
    ),
    (
        '[[route]]\nto = "http://a"\ncompress = { types = ["html"] }',
        "route[0].compress.types[0]",
        "not a media type",
    ),
    ('[[route]]\nto = "http://a"\ncompress = { with = [] }', "route[0].compress.with", "no coding"),
    (
        '[[route]]\nto = "http://a"\ncompress = { with = ["br", "br"] }',
        "route[0].compress.with[1]",
        "listed twice",
    ),
    (
        '[[route]]\nto = "http://a"\ncompress = { with = ["brotli"] }',
        "route[0].compress.with[0]",
        "not one of",
    ),
    ('[upstream.v]\nservers = ["http://a/x"]', "upstream.v.servers[0]", "no path or query"),
    ('[upstream.v]\nservers = ["http://u@a"]', "upstream.v.servers[0]", "no user or password"),
    ('[upstream.v]\nservers = ["http://a:0"]', "upstream.v.servers[0]", "port 0"),
    ('[upstream.v]\nservers = ["http://a..b"]', "upstream.v.servers[0]", "two of its dots"),
    (f'[upstream.v]\nservers = ["http://{"a" * 64}.b"]', "upstream.v.servers[0]", "too long"),
    (f'[upstream.v]\nservers = ["http://{"a." * 127}b"]', "upstream.v.servers[0]", "too long"),
    ('export.otlp = "grpc://a..b:4317"', "export.otlp[0]", "not an OTLP URL"),
    ('[upstream.v]\nservers = ["http://[::z]"]', "upstream.v.servers[0]", "is not a server"),
    (
        '[upstream.v]\nservers = ["http://a", "http://A/"]',
        "upstream.v.servers[1]",
        "same server",
    ),
    ('[upstream.v]\nservers = ["http://a", "http://a"]', "upstream.v.servers[1]", "listed twice"),
    (
        '[upstream.v]\nservers = "http://a"\nhealth.path = "h"',
        "upstream.v.health.path",
        "not a path",
    ),
    (
        '[upstream.v]\nservers = "http://a"\nhealth.host = "a b"',
        "upstream.v.health.host",
        "not a host",
    ),
    ('[upstream.v]\nservers = "http://a"\nhealth.every = 0', "upstream.v.health.every", "a pause"),
    # routes: which requests
    (route('to = "u"', "a"), "route[0].path", 'must begin with "/"'),
    (route('to = "u"', "/{a"), "route[0].path", "whole segment"),
    (route('to = "u"', "/x{a}"), "route[0].path", "whole segment"),
    (route('to = "u"', "/{}"), "route[0].path", "is not a capture"),
    (route('to = "u"', "/{a}/{a}"), "route[0].path", "twice"),
    (route('to = "u"', "/*/a"), "route[0].path", "only at the end"),
    (route('to = "u"', "/a*"), "route[0].path", "only at the end"),
    (route('to = "u"', "/a/../b"), "route[0].path", "can never match"),
    (route('to = "u"', "~^/(a"), "route[0].path", "is not a regular expression"),
    (route('to = "u"\nhost = "a:80"'), "route[0].host[0]", "no port"),
    (route('to = "u"\nhost = "a.*.b"'), "route[0].host[0]", "only for whole labels"),
    (route('to = "u"\nwhen.method = "GE T"'), "route[0].when.method[0]", "is not a method"),
    (route('to = "u"\nwhen.header = { "a b" = "1" }'), 'route[0].when.header."a b"', "header name"),
    (route('to = "u"\nwhen.header = { a = "~(" }'), "route[0].when.header.a", "regular expression"),
    (route('to = "u"\nwhen.query = { a = "~[" }'), "route[0].when.query.a", "regular expression"),
    # routes: what to do
    (route(""), "route[0]", "this one says nothing"),
    (route('to = "u"\nrespond = {}'), "route[0]", "this one says `to` and `respond`"),
    (route('to = "v"'), "route[0].to", "there is no upstream 'v'"),
    (route("to = { u = 1, v = 1 }"), "route[0].to.v", "there is no upstream 'v'"),
    (route("to = { u = 0 }"), "route[0].to.u", ">= 1"),
    (route('to = ["u"]'), "route[0].to", "expected a table, got a list"),
    (route('to = "u"\nrewrite = {}'), "route[0].rewrite", "one of strip, prefix"),
    (
        route('to = "u"\nrewrite = { strip = "/a", path = "/b" }'),
        "route[0].rewrite",
        "one of strip, prefix",
    ),
    (route('to = "u"\nrewrite.strip = "/b"'), "route[0].rewrite.strip", "does not begin"),
    (
        route('to = "u"\nrewrite.strip = "/ap"', "/api/*"),
        "route[0].rewrite.strip",
        "does not begin",
    ),
    (route('to = "u"\nrewrite.prefix = "/b"'), "route[0].rewrite.prefix", "ends in /*"),
    (route('to = "u"\nrewrite.path = "/{id}"'), "route[0].rewrite.path", "{id}"),
    (route('redirect.to = "ftp://a"'), "route[0].redirect.to", "neither a path nor"),
    (route('redirect.to = "/a\\r\\nb"'), "route[0].redirect.to", "visible ASCII"),
    (route('redirect.to = "/{id}"'), "route[0].redirect.to", "{id}"),
    (route('redirect = { to = "/b", status = 200 }'), "route[0].redirect.status", "is not one of"),
    (route("redirect = { status = 301 }"), "route[0].redirect", "`to` is missing"),
    (route("respond.status = 101"), "route[0].respond.status", "1xx"),
    (route('respond = { status = 204, body = "x" }'), "route[0].respond.body", "204 has no body"),
    (
        route('respond.headers = { Content-Length = "3" }'),
        "route[0].respond.headers.Content-Length",
        "gateway's own",
    ),
    (
        route('to = "u"\nheaders.request.set = { Host = "a" }'),
        "route[0].headers.request.set.Host",
        "host_header",
    ),
    (
        route('to = "u"\nheaders.request.remove = ["Connection"]'),
        "route[0].headers.request.remove[0]",
        "gateway's own",
    ),
    (
        route('to = "u"\nheaders.response.add = { Transfer-Encoding = "chunked" }'),
        "route[0].headers.response.add.Transfer-Encoding",
        "gateway's own",
    ),
    (
        route('to = "u"\nheaders.response.set = { x-a = "b\\nc" }'),
        "route[0].headers.response.set.x-a",
        "cannot be sent",
    ),
    (
        route('to = "u"\nheaders.response.set = { x-a = "λ" }'),
        "route[0].headers.response.set.x-a",
        "Latin-1",
    ),
    (route('to = "u"\nhost_header = "a b"'), "route[0].host_header", "is not a host"),
    (
        route("respond = { grpc_health = true, body = 'x' }"),
        "route[0].respond",
        "their protocol says",
    ),
    (route('to = "u"\nretry.on = ["unavailible"]'), "route[0].retry.on[0]", "is not one of"),
    (route('to = "u"\nretry.on = [20]'), "route[0].retry.on[0]", "100"),
    (route('to = "u"\nretry.methods = ["a b"]'), "route[0].retry.methods[0]", "is not a method"),
]


@pytest.mark.parametrize(("text", "key", "says"), ERRORS)
def test_what_cannot_work_is_an_error(text: str, key: str, says: str) -> None:
    text = text if "[[route]]" in text else f'{text}\n[[route]]\nto = "u"\n{UPSTREAM}'
    errors = [(k, m) for k, m, warning in found(text) if not warning]
    assert [k for k, _ in errors] == [key]
    assert says in errors[0][1]


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("[upstream.v]\nservers = 'http://a'", "upstream.v", "no route uses this upstream"),
        ("export = { otlp = 'grpc://a:1', batch_bytes = '8MiB' }", "export.batch_bytes", "4 MiB"),
        (
            "export = { otlp = 'grpcs://a:1', tls.ca = '/no.pem' }",
            "export.tls.ca",
            "there is no file",
        ),
        (route('to = "u"\nretry.on = [503, 200]'), "route[0].retry.on[1]", "200 is not an error"),
        (route('to = "u"\nwhen.method = "get"'), "route[0].when.method[0]", 'did you mean "GET"?'),
        (route('respond = {}\nrewrite.strip = "/a"'), "route[0].rewrite", "nothing is"),
        (
            route('to = "u"\nheaders.request.set = { traceparent = "x" }'),
            "route[0].headers.request.set.traceparent",
            "written by the gateway",
        ),
        (
            route('to = "u"\nheaders.request.remove = ["x-gone", "Baggage"]'),
            "route[0].headers.request.remove[1]",
            "no effect",
        ),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(text: str, key: str, says: str) -> None:
    text = text if "[[route]]" in text else f'{text}\n[[route]]\nto = "u"\n{UPSTREAM}'
    ((found_key, message, warning),) = found(text)
    assert (found_key, warning) == (key, True)
    assert says in message


@pytest.mark.parametrize(
    "text",
    [
        'listen = ["127.0.0.1:80", "[::1]:80", "127.0.0.2:80", "a.example:80"]',
        'listen = "127.0.0.1:0"\nadmin.listen = "127.0.0.1:0"',
        'admin.listen = ""',
        'tracing.trust = ["::1", "10.0.0.1", "fc00::/7"]',
        'export.otlp = ["grpc://a", "grpcs://[::1]:4317", "https+json://u:p@a:1/otlp/"]',
        'export = { otlp = "grpc://a", headers = { authorization = "Bearer é" } }',
        route('to = "u"\nrewrite.strip = "/api"', "/api/*"),
        route('to = "u"\nrewrite.prefix = "/v2"', "/api/*"),
        route('to = "u"\nrewrite.path = "/v2/{id}/*"', "/api/{id}/*"),
        route('to = "u"\nrewrite.path = "/{v}"', "~^/v(?P<v>[0-9]+)$"),
        route('to = "u"\nhost = ["*.example.com", "a.b"]'),
        route('redirect.to = "https://a{path}?{query}"'),
        route('redirect.to = "/n/{id}"', "/o/{id}"),
        route('respond = { status = 503, body = "later", headers = { Retry-After = "5" } }'),
        route('to = "u"\nhost_header = "[::1]:80"'),
    ],
)
def test_what_works_is_taken_without_a_word(text: str) -> None:
    text = text if "[[route]]" in text else f'{text}\n[[route]]\nto = "u"\n{UPSTREAM}'
    assert found(text) == []


def test_two_routes_of_one_name_tell_where_the_other_is() -> None:
    text = '[[route]]\nname = "a"\nto = "u"\n[[route]]\nname = "a"\nto = "u"\n' + UPSTREAM
    assert found(text) == [
        ("route[1].name", "two routes are called 'a' (the other one is in line 1)", False)
    ]
