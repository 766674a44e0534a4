"""What must hold for probes, ejection, breakers and the admin token: one row for each rule."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from tests.config.test_checks import found

TWO = '"http://10.0.0.1:8000", "http://10.0.0.2:8000"'
ROWS = [
    ('health = { path = "hz" }', "health.path", "is not a path"),
    ('health = { every = "0s" }', "health.every", "need a pause"),
    ('health = { body = "~(" }', "health.body", "not a regular expression"),
    ('health = { tcp = true, grpc = "" }\nprotocol = "h2"', "health.tcp", "leave out tcp or grpc"),
    ('health = { tcp = true, body = "ok" }', "health.body", "there is no body"),
    ('health = { grpc = "a", body = "ok" }\nprotocol = "h2"', "health.body", "has a status"),
    ("health = { port = 0 }", "health.port", "1"),
    ("health = { port = 65536 }", "health.port", "65535"),
    ('eject = { base = "0s" }', "eject.base", 'write "30s"'),
    ("eject = { max = 0 }", "eject.max", "ejects nobody"),
    ("eject = { max = 50 }", "eject.max", "did you mean 0.5"),
    ("eject = { errors = 0, success_rate = false }", "eject", "nothing is judged"),
    ("eject = { consecutive_5xx = 5 }", "eject.consecutive_5xx", "write errors = 5"),
    ('breaker = { open = "0s" }', "breaker.open", "needs a duration"),
    ('breaker = { window = "0s" }', "breaker.window", "needs a duration"),
    ("breaker = { failures = 0 }", "breaker.failures", "without any failure"),
    ("breaker = { threshold = 0.5 }", "breaker.threshold", "write failures = 0.5"),
]


def upstream(lines: str, servers: str = TWO) -> str:
    return f'[[route]]\nto = "u"\n[upstream.u]\nservers = [{servers}]\n{lines}\n'


@pytest.mark.parametrize(("lines", "key", "says"), ROWS)
def test_what_cannot_work_is_told(lines: str, key: str, says: str) -> None:
    ((where, told, warning),) = found(upstream(lines))
    assert (where, warning) == (f"upstream.u.{key}", False)
    assert says in told


def test_a_socket_has_no_port() -> None:
    ((where, told, _),) = found(upstream("health = { port = 9000 }", '"unix:/run/a.sock"'))
    assert (where, told) == ("upstream.u.health.port", "a Unix socket has no port (leave it out)")


def test_the_only_server_is_never_ejected() -> None:
    ((where, told, warning),) = found(upstream("eject = {}", '"http://10.0.0.1:8000"'))
    assert (where, warning) == ("upstream.u.eject", True)
    assert "never ejected" in told


@pytest.mark.parametrize("token", ["x y", "ü", "a\\n"])
def test_a_token_must_be_one_that_can_be_sent(token: str) -> None:
    ((where, told, _),) = found(f'admin.token = "{token}"\n' + upstream(""))
    assert where == "admin.token"
    assert token not in told


def test_all_of_it_together() -> None:
    text = upstream("""
health = { path = "/hz", port = 9000, body = "~^ok", every = "1s", timeout = "1s" }
eject = { errors = 5, success_rate = true, base = "30s", max = 0.5 }
breaker = { failures = 0.5, window = "10s", open = "5s" }
""")
    loaded = loads('admin.token = "abc"\n' + text, "f", {})
    assert loaded.warnings == []
    one = loaded.config.upstream["u"]
    assert one.eject is not None
    assert one.breaker is not None
    assert (one.eject.base, one.eject.max, one.breaker.open) == (30, 0.5, 5)
