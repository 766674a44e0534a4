"""What is well-formed and can hardly be meant: `spangate check --strict` tells, with the remedy."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError, Problem


def route(lines: str, path: str = "/a", top: str = "") -> str:
    """A route of `lines`, beside the upstream "u" and another route that uses it."""
    return (
        f"{top}\n[[route]]\nname = 'mine'\npath = '{path}'\n{lines}\n"
        "[[route]]\npath = '/other'\nto = 'u'\n[upstream.u]\nservers = 'http://10.0.0.1:8000'\n"
    )


def told(text: str) -> list[Problem]:
    try:
        return loads(text, "f", {}).warnings
    except ConfigError as error:
        return error.problems


TO = "to = 'u'"
SLIPS = [
    # paths: a blank behind ~, and expressions that fit no path
    (route(TO, "~ ^/x"), "path", 'write "~^/x.*"'),
    (route(TO, "~* ^/x$"), "path", 'write "~(?i)^/x$"'),
    (route(TO, "~api/.*"), "path", 'write "~/api/.*"'),
    (route(TO, "~^api"), "path", 'write "~/api"'),
    (route(TO, r"~^\d+$"), "path", r"write '~/\d+$'"),
    (route(TO, "~^(?:api)/x"), "path", "can never match"),
    (route(TO, "~^(?P<v>v1)/x"), "path", "can never match"),
    (route(TO, r"~^/v\\d+$"), "path", r"write '~^/v\d+$'"),
    (route(TO, r"~^/a\?x=1$"), "path", "when = { query"),
    (route(TO, "~^/a//b"), "path", "write one slash"),
    (route(TO, "~^/a%2fb"), "path", "upper case"),
    (route(TO, "~^/a#top"), "path", "no path has a #"),
    (route(TO, "/a?x=1"), "path", 'write path = "/a" and when = { query = { x = "1" } }'),
    # redirects and rewrites
    (route("redirect.to = '/new/$1'"), "redirect.to", "write {name}"),
    (route("redirect = '/new/$1'"), "redirect", "write {name}"),
    (route("redirect.to = '/new/${1}'"), "redirect.to", "write ${NAME}"),
    (route(r"redirect.to = '/new/\1'"), "redirect.to", "write {name}"),
    (route(r"redirect.to = '/new/\g<id>'"), "redirect.to", "write {id}"),
    (route("redirect.to = 'https://a.example$request_uri'"), "redirect.to", "write {path}"),
    (route("redirect.to = 'https://$host/a'"), "redirect.to", "$host is taken literally"),
    (route("redirect.to = 'https://a.example${path}'"), "redirect.to", "write {path}"),
    (route("redirect.to = 'https://a.example${request_uri}'"), "redirect.to", "write {path}"),
    (route("redirect.to = 'https://a.example{uri}'"), "redirect.to", "write {path}"),
    (route("redirect.to = '/a/{http.request.uri}'"), "redirect.to", "write {path}"),
    (route("redirect.to = 'https://a.example%[path]'"), "redirect.to", "write {path}"),
    (route("redirect.to = '/users/:id'", "/u/{id}"), "redirect.to", "write {id}"),
    (route("redirect = '/a'"), "redirect", "again and again"),
    (route(f"{TO}\nrewrite.path = '/v2/$1'"), "rewrite.path", "write {name}"),
    (route(f"{TO}\nrewrite.path = '/v2/:id'", "/a/{id}"), "rewrite.path", "write {id}"),
    (route(f"{TO}\nrewrite.prefix = '/v2$request_uri'", "/a/*"), "rewrite.prefix", "{path}"),
    # conditions and retries that never hold
    (route(f"{TO}\nwhen.header.x_flag = '1'"), "when.header.x_flag", "write x-flag"),
    (route(f"{TO}\nwhen.header.x_flag = '1'", top="forwarding.underscores = 'reject'"),
     "when.header.x_flag", "are refused before"),
    (route(f"{TO}\nwhen.header.x-a = '1 '"), "when.header.x-a", "without blanks"),
    (route(f"{TO}\nrewrite.prefix = '/v2/*'", "/a/*"), "rewrite.prefix", 'prefix = "/v2"'),
    (route(f"{TO}\nwhen.header.host = 'a'"), "when.header.host", "write host"),
    (route(f"{TO}\nwhen.method = ['get']"), "when.method[0]", 'did you mean "GET"?'),
    (route(f"{TO}\nretry.methods = ['get', 'PUT']"), "retry.methods[0]", 'did you mean "GET"?'),
    (route(f"{TO}\nretry.methods = []"), "retry.methods", "no method is tried again"),
    (route(f"{TO}\nretry.budget = 0"), "retry.budget", "write retry = 0"),
    (route(TO, top="defaults.retry = { methods = ['get'] }"), "defaults.retry.methods[0]", "GET"),
    (route(TO) + "retry.methods = ['get']", "upstream.u.retry.methods[0]", "GET"),
    # edits without an effect
    (route(f"{TO}\nheaders.request.set.X-Forwarded-For = '1'"),
     "headers.request.set.X-Forwarded-For", "x_forwarded = false"),
    (route(f"{TO}\nheaders.request.remove = ['via']"), "headers.request.remove[0]", 'via = ""'),
    (route(f"{TO}\nheaders.request.set.x-request-id = '1'"), "x-request-id", "request_id = false"),
    (route("respond = 'x'\nheaders.request.set.a = '1'"), "headers.request", "headers.response"),
    (route("respond = 'x'\nretry = 2"), "retry", "nothing is forwarded"),
    (route("redirect = '/b'\nhost_header = 'b'"), "host_header", "nothing is forwarded"),
    (route("redirect = '/b'\nconnect_timeout = '1s'"), "connect_timeout", "nothing is forwarded"),
    (route("respond = { status = 304, body = 'x' }"), "respond.body", "304 has no body"),
    # variables of others are sent as they stand
    (route(f"{TO}\nheaders.request.set.x-ip = '$remote_addr'"), "set.x-ip", "X-Forwarded-For"),
    (route(f"{TO}\nheaders.request.set.x-ip = '{{remote_host}}'"), "set.x-ip", "X-Forwarded-For"),
    (route(f"{TO}\nheaders.request.set.x-ip = '%[src]'"), "set.x-ip", "X-Forwarded-For"),
    (route(f"{TO}\nheaders.request.add.x-ip = '%DOWNSTREAM_REMOTE_ADDRESS%'"), "x-ip", "-For"),
    (route(f"{TO}\nheaders.request.set.x-k = '{{env.KEY}}'"), "set.x-k", "write ${KEY}"),
    (route(f"{TO}\nheaders.request.set.x-host = '$host'"), "set.x-host", "Host is passed on"),
    (route(f"{TO}\nheaders.response.set.x-a = '$upstream_addr'"), "set.x-a", "literally"),
    # gRPC to servers that are asked by HTTP/1.1
    (route(f"{TO}\ngrpc_web = true"), "to", 'write protocol = "h2" in [upstream.u]'),
    (route(f"{TO}\nwhen.grpc = true"), "to", "gRPC needs HTTP/2"),
    (route(TO) + "health = { grpc = '' }", "upstream.u.health.grpc", 'write protocol = "h2"'),
    # hosts, servers, weights
    (route(f"{TO}\nhost = 'https://shop.example:8080/a'"), "host[0]", 'write "shop.example"'),
    (route(f"{TO}\nhost = 'shop.example:8080'"), "host[0]", 'write "shop.example"'),
    (route(f"{TO}\nhost = 'shop.example/a'"), "host[0]", 'write "shop.example"'),
    (route(f"{TO}\nhost = '~^.*[.]example$'"), "host[0]", '"*.example.com"'),
    (route("to = 'localhost:8000'"), "to", 'write "http://localhost:8000"'),
    (route("to = '10.0.0.1'"), "to", 'write "http://10.0.0.1"'),
    (route("to = { u = 0.9 }"), "to.u", "weights are whole numbers"),
    (route("to = { u = '90%' }"), "to.u", "weights are whole numbers"),
    (route("to = 'http://localhost:8080'", top="listen = 8080"), "to", "round in a circle"),
    (route("to = 'http://127.0.0.1:8080'", top="listen = '127.0.0.1:8080'"), "to", "in a circle"),
    # durations
    (route(f"{TO}\ntimeout = '1s'\nconnect_timeout = '2s'"), "connect_timeout", "make it shorter"),
    (route(f"{TO}\ntimeout = '1s'\nfirst_byte_timeout = '2s'"), "first_byte_timeout", "shorter"),
    (route(f"{TO}\ntls_timeout = '2s'\nconnect_timeout = '1s'"), "tls_timeout", "make it shorter"),
    (route(TO, top="[defaults]\ntimeout = '1s'\nconnect_timeout = '2s'"),
     "defaults.connect_timeout", "shorter"),
    (route(TO) + "timeout = '1s'\nconnect_timeout = '2s'", "upstream.u.connect_timeout", "shorter"),
    (route(TO) + "health = { every = '1s', timeout = '2s' }", "upstream.u.health.timeout",
     "shorter than `every`"),
    (route(f"{TO}\ntimeout = 5"), "timeout", 'write "5s"'),
    # telemetry
    ("tracing.untraced = ['/health*']\n" + route(TO), "tracing.untraced[0]", 'sampler = "never"'),
    ("tracing = { sampler = 'always', sample = 0.1 }\n" + route(TO), "tracing.sample", '"ratio"'),
    ("tracing.request_headers = ['x_a']\n" + route(TO), "tracing.request_headers[0]", "x-a"),
    ("attributes.a = 'header:x_a'\n" + route(TO), "attributes.a", "x-a"),
    ("export.otlp = 'http://h:4318/v1/traces'\n" + route(TO), "export.otlp[0]",
     'write otlp = "http://h:4318", or traces = "http://h:4318/v1/traces"'),
    ("export.otlp = 'https+json://h/otlp/v1/logs/'\n" + route(TO), "export.otlp[0]",
     'write otlp = "https+json://h/otlp"'),
    ("export.otlp = 'h:4318'\n" + route(TO), "export.otlp[0]", 'write "http://h:4318"'),
    ("export.otlp = 'http://h:4317'\n" + route(TO), "export.otlp[0]", 'write "grpc://h:4317"'),
    ("export.otlp = 'grpcs://h:4318'\n" + route(TO), "export.otlp[0]", 'write "https://h:4318"'),
    ("labels = { 'http.team' = 'a' }\n" + route(TO), '"http.team"', "it is left out"),
    (route(f"{TO}\nlabels = {{ 'url.x' = 'a' }}"), '"url.x"', 'write "business.url.x"'),
    ("export.headers.a = '1'\n" + route(TO), "export.headers", "nothing is sent"),
    ("export = { otlp = 'http://h', tls = { insecure_skip_verify = true } }\n" + route(TO),
     "export.tls", "https://"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "says"), SLIPS)
def test_a_slip_is_told_once_with_line_key_and_remedy(text: str, key: str, says: str) -> None:
    (problem,) = told(text)
    assert problem.key.removeprefix("route[0].").endswith(key)
    assert problem.line
    assert says in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        route(TO, r"~.*\.php$"),
        route(TO, "~(?i)/x"),
        route(TO, "~(/a|/b)/.*"),
        route(TO, "~(?P<all>.*)"),
        route(TO, "~/?x"),
        route(TO, "~[^x]+"),
        route(TO, "~^a|/b$"),
        route(TO, r"~^/v\d+(?#which)$"),
        route(TO, "/v1/things:export"),
        route(TO, "/~user/x"),
        route(TO, "/a$b=c"),
        route(f"{TO}\nwhen.header.x_flag = '1'", top="forwarding.underscores = 'pass'"),
        route("redirect = '/a'\nhost = 'a.example'"),
        route("redirect.to = 'https://a.example:8443/x'"),
        route("redirect.to = 'https://a.example{path}?{query}'"),
        route("redirect.to = '/b?price=$'"),
        route(f"{TO}\nheaders.request.set = {{ x-a = 'pa$word', x-b = '100%', x-c = '{{}}' }}"),
        route(f"{TO}\nheaders.request.set.via = '1'", top="forwarding.via = ''"),
        route("respond = 'x'\nheaders.response.set.a = '1'"),
        route(f"{TO}\ntimeout = '1s'"),
        route(f"{TO}\ntimeout = '1s'", top="[defaults]\nconnect_timeout = '2s'"),
        route(f"{TO}\nretry = 0"),
        route("to = 'http://127.0.0.1:8081'", top="listen = 8080"),
        "tracing = { sampler = 'ratio', sample = 0.1 }\n" + route(TO),
        "export.traces = 'http://h:4318/v1/traces'\n" + route(TO),
        "export.console = true\nexport.compression = 'gzip'\n" + route(TO),
    ],
)
def test_what_may_well_be_meant_is_taken_without_a_word(text: str) -> None:
    assert told(text) == []


def test_a_variable_may_say_what_the_file_must_not() -> None:
    """No environment stops a gateway whose file is good."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318/v1/traces"}
    (warning,) = loads(route(TO), "f", environ).warnings
    assert warning.key == "OTEL_EXPORTER_OTLP_ENDPOINT"
    assert warning.remedy == 'write "http://h:4318"'


def test_a_slip_in_a_secret_does_not_show_it() -> None:
    """Of a value that is edited in, no more than the variable that it names."""
    (problem,) = told(route(f"{TO}\nheaders.request.set.x-a = 'hunter2 $remote_addr'"))
    assert "hunter2" not in str(problem)
    (problem,) = told("export.otlp = 'http://me:hunter2@h:4317'\n" + route(TO))
    assert "hunter2" not in str(problem)
