"""What a word of another program is called here: hints by table, and that they stay true."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.convert import _tables
from proxy.config.load import loads
from proxy.config.words import fill, hints, missing, paths, toml
from proxy.errors import ConfigError

U = '[upstream.orders]\nservers = "http://10.0.0.1:8000"\n'


def told(text: str) -> str:
    """The one problem of a file."""
    try:
        problems = loads(text, "f", {}).warnings
    except ConfigError as error:
        problems = error.problems
    (problem,) = problems
    assert problem.line
    return str(problem)


def on_route(line: str) -> str:
    return told(f'[[route]]\npath = "/a"\nto = "orders"\n{line}\n{U}')


def on_upstream(line: str) -> str:
    return told(f'[route]\nto = "orders"\n{U}{line}\n')


def at_top(line: str) -> str:
    return told(f'{line}\n[[route]]\nto = "orders"\n{U}')


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("proxy_read_timeout = 60", 'write first_byte_timeout = "60s"'),
        ("read_timeout = 60000", 'write first_byte_timeout = "60s"'),
        ("client_max_body_size = '20m'", 'write body_limit = "20MiB"'),
        ("strip-prefix = '/api'", 'rewrite = { strip = "/api" }'),
        ("stripPrefix = '${P:-/x}'", 'rewrite = { strip = "/api" }'),
        ("methods = ['GET', 'PUT']", 'when = { method = ["GET", "PUT"] }'),
        ("server_name = 'shop.example'", 'host = "shop.example"'),
        ("set_real_ip_from = '10.0.0.0/8'", "[forwarding] trust"),
        ("sticky = true", "is a key of [upstream.NAME]"),
        ("sample = 0.5", "trace = { sample = 0.5 }"),
        ("trust = ['10.0.0.0/8']", "write [tracing] trust and [forwarding] trust"),
        ("request_id = true", "is a key of [forwarding]"),
        ("every = '5s'", "is a key of `health` of an upstream"),
        ("drain_timeout = '5s'", "above the first [table]"),
        ("Timeout = '5s'", "write `timeout`"),
        ("timout = '5s'", "did you mean `timeout`?"),
        ("handle_path = '/api/*'", 'path = "/api/*" and rewrite = { strip = "/api" }'),
        ("paths = ['/api']", 'write path = "/api/*"'),
        ("return = 404", "write respond = "),
        ("return = '404 gone'", 'respond = { status = 404, body = "gone" }'),
        ("return = '301 https://a.example$request_uri'", 'to = "https://a.example{path}"'),
        ("proxy_set_header = { X-A = 'hunter2' }", 'headers.request.set = { X-A = "…" }'),
        ("headers = { x-a = '1' }", "headers.request.set = { x-a = … }"),
        ("headers.request = { x-a = '1' }", "write set = { x-a = … }"),
        ("when = { x-a = '1' }", "write header = { x-a = "),
        ("when.path = '/b'", 'it is the route\'s own: path = "/b"'),
        ("tls = {}", "in [[listen]]"),
        ("rate_limit = 5", "write rate = {"),
        ("basicAuth = 'x'", '[auth.staff] basic = { file = "users.htpasswd" }'),
        ("forwardAuth = { address = 'http://a' }", "[auth.sso] forward = { to = "),
        ("auth_request = '/verify'", "[auth.sso] forward = { to = "),
        ("key-auth = true", "[auth.keys] api_key = {"),
        ("jwt_authn = {}", "[auth.staff] jwt = {"),
        ("ipAllowList = {}", 'allow = ["10.0.0.0/8"]'),
        ("cors = true", 'write cors = { origins = ["https://shop.example"] }'),
        ("cors = { allowOrigins = '*' }", "write origins = ["),
        ("cors = { allow_credentials = true }", "write credentials = true"),
        ("auth = true", 'write auth = "staff"'),
        ("auth = { basic = 1 }", "a check is a table of its own"),
        ("secure_headers = 'yes'", "write secure_headers = true"),
        ("secure_headers = { frameDeny = true }", 'write frame_options = "DENY"'),
        ("websocket = true", 'write upgrade = ["websocket"]'),
        ("retry = { attempts = 3 }", "write times = 3"),
        ("retry = { on = ['5xx'] }", "write on = [500, 502, 503, 504]"),
        ("retry = { on = ['502'] }", "write 502, without quotes"),
        ("retry = true", "write retry = 2"),
        ("when.method = 'GET,POST'", 'write ["GET", "POST"]'),
        ("when.method = '*'", "leave it out for any"),
        ("timeout = '5 sec'", 'write "5s"'),
        ("timeout = '5000'", 'write "5s"'),
        ("body_limit = '10m'", 'write "10MiB"'),
        ("rewrite = '/v2'", "say which: { path ="),
        ("name = ['a']", "one name is one text"),
    ],
)
def test_on_a_route(line: str, says: str) -> None:
    assert says in on_route(line)
    assert "hunter2" not in on_route(line)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("lb_policy = 'x'", "round_robin"),
        ("balance = 'roundrobin'", 'write "round_robin"'),
        ("balance = 'leastconn'", 'write "least_request"'),
        ("balance = 'p2c'", 'write "least_request"'),
        ("balance = 'ewma'", 'write "peak_ewma"'),
        ("balance = 'ip_hash'", 'write balance = { policy = "hash", on = "client" }'),
        ("balance = { policy = 'p2c' }", 'write "least_request"'),
        ("balance = 'best'", "is not one of round_robin, random, least_request"),
        ("balance = 'hash'", 'write on = "header:x-user"'),
        ("balance = { policy = 'hash', on = 'header:' }", "is no key of a request"),
        ("balance = { policy = 'hash', on = 'user' }", "is no key of a request"),
        ("balance = { policy = 'random', on = 'client' }", "random goes by no key"),
        ("sticky = { cookie = 'a b' }", "is not a cookie's name"),
        ("sticky = { cookie = 'a', key = 'short' }", "can be guessed"),
        ("sticky = { name = 'a', cookie = 'b' }", 'write cookie = "a"'),
        ("zone = 'a'", "no server is in the zone"),
        ("zones = { a = 'http://other:1' }", "is none of the servers"),
        ("slowstart = '30s'", 'write slow_start = "30s"'),
        ("keepalive = 32", "pool = { idle = 32 }"),
        ("health = { interval = '2s' }", 'write every = "2s"'),
        ("health = { expected_status = 200 }", "write status = "),
        ("healthCheck = { path = '/up' }", 'health = "/up"'),
        ("health = true", 'write health = "/healthz"'),
        ("ca_cert = true", "write https:// servers"),
        ("proxy_pass = 'http://a:1'", "write [[route]] with to = "),
        ("max_fails = 3", "write eject = { errors = 5"),
        ("outlier_detection = 1", "write eject = "),
        ("circuit_breaker = 1", "write breaker = "),
        ("'http://a:1' = 2", 'write servers = { "http://a:1" = 1 }'),
    ],
)
def test_on_an_upstream(line: str, says: str) -> None:
    assert says in on_upstream(line)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("port = 8080", 'write listen = ":8080"'),
        ("listen = '*:8080'", 'write ":8080"'),
        ("listen = 'http://0.0.0.0:8080'", 'write ":8080"'),
        ("listen = 'localhost'", 'write "localhost:8080"'),
        ("listen = ':{$PORT}'", 'write ":${PORT}"'),
        ("listen = '443 ssl'", "tls = { cert = "),
        ("listen = { port = 80 }", 'write address = ":80"'),
        ("worker_processes = 4", "write workers = 4"),
        ("workers = '4'", "write 4, without quotes"),
        ("worker_connections = 1024", "connections = 1024"),
        ("timeout = '5s'", '[defaults] timeout = "5s"'),
        ("accessLog = true", "write `access_log`"),
        ("access_log = true", "write [access_log] stdout = true"),
        ("access_log.stdout = 'on'", "write stdout = true"),
        ("tracing.sample = '10%'", "write 0.1"),
        ("tracing.sample = '0.1'", "write 0.1"),
        ("tracing.sampler = 'parentbased_always_on'", 'write "parent"'),
        ("tracing.extract = ['tracecontext']", 'write "w3c"'),
        ("tracing.inject = 'b3'", 'write inject = ["b3"]'),
        ("tracing.endpoint = 'http://a:4318'", '[export] otlp = "http://a:4318"'),
        ("export.endpoint = 'a:4317'", 'otlp = "grpc://a:4317"'),
        ("export.insecure = true", "in the URL"),
        ("export.headers = 'a=b'", 'write headers = { x-team = "…" }'),
        ("collector.receivers.otlp = ':4317'", "write [collector.receivers.otlp], with its"),
        ("collector.receivers.otlp.grpc = 4317", 'write grpc = "127.0.0.1:4317"'),
        ("collector.processors.memory_limiter.limit_mib = '4 MiB'", "write limit_mib = 4"),
        ("export.tls.ca_file = '/a.pem'", 'write ca = "/a.pem"'),
        ("admin.port = 9901", 'write listen = "127.0.0.1:9901"'),
        ("admin.listen = 9901", 'write listen = "127.0.0.1:9901"'),
        ("admin = '0.0.0.0:9901'", "write [admin] listen"),
        ("metrics = true", "/metrics is on the [admin] port"),
        ("limits.max_connections = 5", "write connections = 5"),
        ("forwarding.trusted_proxies = ['10.0.0.0/8']", "write trust = "),
        ("extensions = ['x']", "/ready"),
        ("receivers.otlp.grpc = 'x'", "[collector.receivers.otlp]"),
        ("foo = 1", "known: access_log, admin"),
    ],
)
def test_at_the_top(line: str, says: str) -> None:
    assert says in at_top(line)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[route]\n[route]\n", "write [[route]], one for each"),
        ("[[route]]\npath = /a\n", 'path = "/a"'),
        ("[[route]]\ntimeout = 5s\n", 'timeout = "5s"'),
        ("[access_log]\nstdout = True\n", "write stdout = true"),
        ("[access_log]\nstdout = yes\n", "write stdout = true"),
        ("listen = 80;\n", "leave the semicolon out"),
        ("listen = “:80”\n", "quotes are straight"),
        ('[[route]]\npath = "~^/v\\d+$"\n', "single quotes"),
        ("[[route]]\nwhen = {\n  method = 1\n}\n", "one line"),
        ('listen = ":80\n', "a string ends on its line"),
        ("[upstream orders]\n", "write [upstream.orders]"),
        ("a = 1\na = 2\n", "one of the two goes"),
        ('path "/a"\n', 'write path = "/a"'),
        ("[[route]]\nheaders.request.set = { x-token = abc }\n", 'x-token = "…"'),
        ('{"listen": 80}', "this is JSON"),
        ("listen: 80\n", "this is YAML, and routes.toml is TOML"),
        ("service:\n  pipelines:\n", "`spangate collect` reads"),
    ],
)  # fmt: skip
def test_slips_of_toml(text: str, says: str) -> None:
    assert says in told(text)


@pytest.mark.parametrize("table", sorted(hints._OF_TABLE))
def test_no_hint_is_about_a_key_that_there_is(table: str) -> None:
    """Whoever adds a key that other programs have too, takes its hint out."""
    assert not set(hints._OF_TABLE[table]) & set(_tables()[table])
    if table == "Route":
        assert not set(missing.NAMES) & set(_tables()[table])


def test_every_hint_is_a_sentence_with_something_to_do_or_to_know() -> None:
    for words in (*hints._OF_TABLE.values(), missing.NAMES):
        for name, hint in words.items():
            assert 10 < len(hint) < 240, name
            assert hint.count("[") == hint.count("]"), name
            assert not hint.endswith("."), name


@pytest.mark.parametrize("table", sorted(hints._OF_TABLE))
def test_hints_name_keys_that_there_are(table: str) -> None:
    """`[table] key = …` in a hint is a table and a key of the model."""
    known = _tables()
    names = {"limits": "Limits", "defaults": "Defaults", "forwarding": "Forwarding",
             "tracing": "Tracing", "export": "Export", "admin": "Admin",
             "access_log": "AccessLog", "log": "Log", "metrics": "Metrics",
             "dns": "Dns", "errors": "Errors"}  # fmt: skip
    for hint in hints._OF_TABLE[table].values():
        for place, key in re.findall(r"\[(\w+)\] (\w+) = ", hint):
            assert key in known[names[place]], hint


FOREIGN = [
    *("/users/:id", "/files/{rest...}", "/f/*rest", "/f/**", "/o/{id:[0-9]+}", "/u/<int:id>/x"),
    *("~ ^/x", "~* [.]php$", "= /a", "^~ /s/", "^/api", "PathPrefix(`/api`)", "Path(`/x`)"),
    *("http://a/b", "/a?x=1", "/o/{id:int}/y/:z", "/u/<path:p>"),
]


@pytest.mark.parametrize("path", FOREIGN)
def test_what_is_proposed_for_a_foreign_path_is_a_path_of_ours(path: str) -> None:
    wrong = paths.written_here(path)
    assert wrong is not None
    made = re.search(r"""(?:path = |write )("[^"]*"|'[^']*')""", wrong[1])
    assert made is not None, wrong
    host = re.search(r'host = ("[^"]*"),', wrong[1])
    assert host is None or "a" in host[1]
    assert loads(f"[route]\npath = {made[1]}\nrespond = 204\n", "f", {}).warnings == []


@given(st.text(st.characters(max_codepoint=0x2FFF), max_size=40))
def test_hints_never_fail(text: str) -> None:
    """Whatever stands there: a hint or none, and never an exception."""
    paths.written_here(text)
    paths.rule(text)
    toml.remedy("Invalid value", text, 1, text)
    toml.remedy("Expected newline", f"listen {text}", 8, f"listen {text}")
    for words in hints._OF_TABLE.values():
        for hint in list(words.values())[:5]:
            fill.filled(hint, text)
    hints.remedy("Route", text, text, _tables())
