"""Listeners that pass bytes on, the routes that name them, and what a route switches to."""

from __future__ import annotations

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError

PG = '[[listen]]\naddress = ":5432"\nname = "pg"\nprotocol = "tcp"\n'
EDGE = '[[listen]]\naddress = ":8443"\nname = "edge"\nprotocol = "tls"\n'
WEB = '[[listen]]\naddress = ":8080"\nname = "web"\n'
DB = '[upstream.db]\nservers = ["tcp://10.0.0.1:5432"]\n'
APP = '[upstream.app]\nservers = ["http://10.0.0.2:8000"]\n'
BY_PG = '[[route]]\nto = "db"\nwhen = { listener = "pg" }\n'
BY_EDGE = '[[route]]\nhost = "a.example"\nto = "db"\nwhen = { listener = "edge" }\n'
ANY = '[[route]]\nto = "app"\n'


def said(text: str) -> list[str]:
    try:
        loaded = loads(text, "test.toml", {})
    except ConfigError as error:
        return [str(p).partition(": ")[2] for p in error.problems]
    return [str(p).partition(": ")[2] for p in loaded.warnings]


@pytest.mark.parametrize(
    "text",
    [
        PG + BY_PG + DB,
        PG + 'to = "db"\n' + DB,
        WEB + PG + EDGE + BY_PG + BY_EDGE + ANY + DB + APP,
        EDGE + 'to = "db"\n' + BY_EDGE + DB,
        WEB + ANY + 'when = { listener = "web" }\n' + APP,
        PG + BY_PG + '[upstream.db]\nservers = ["unix:/run/pg.sock"]\n',
        ANY + 'upgrade = ["websocket", "SPDY/3.1"]\n' + APP,
        ANY + "upgrade = []\nconnect = true\n" + APP,
    ],
)
def test_what_is_right(text: str) -> None:
    assert said(text) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PG + DB + ANY + APP, "listen[0]: nothing says where its connections go"),
        (PG + 'to = "bd"\n' + BY_PG + DB, "listen[0].to: there is no upstream 'bd' (known: db)"),
        (WEB + 'to = "app"\n' + ANY + APP, "listen[0].to: requests are sent on by routes"),
        (WEB + WEB.replace("8080", "8081") + ANY + APP, "two listeners are called 'web'"),
        (WEB + ANY + 'when = { listener = "wbe" }\n' + APP, "there is no listener 'wbe' (did you"),
        (ANY + 'when = { listener = "x" }\n' + APP, 'give a [[listen]] name = "x"'),
        (PG + BY_PG + APP.replace("app", "db"), 'asked for answers (write "tcp://10.0.0.2:8000"'),
        (
            PG + BY_PG + '[upstream.db]\nservers = ["http://db"]\n',
            'asked for answers (write "tcp://db:80"',
        ),
        (ANY + DB.replace("db", "app"), "wants answers, and 'tcp://10.0.0.1:5432' takes bytes"),
        (
            PG + BY_PG + DB.replace('5432"]', '5432", "http://10.0.0.1:80"]'),
            "upstream.db.servers",
        ),
        (
            WEB
            + PG
            + BY_PG
            + '[[route]]\nto = "db"\n[upstream.db]\nservers = ["unix:/run/x.sock"]\n',
            "wants connections of it and route[1] answers (write two upstreams)",
        ),
        (PG + BY_PG + 'host = "a.example"\n' + DB, "who connects by TCP names no host"),
        (PG + BY_PG + 'path = "/x/*"\n' + DB, 'route[0].path: a "tcp" listener has connections'),
        (PG + BY_PG + 'rewrite = { strip = "/x" }\n' + DB, "route[0].rewrite: a"),
        (PG + BY_PG + "grpc_web = true\n" + DB, "route[0].grpc_web: a"),
        (PG + BY_PG + 'headers.request.set = { a = "b" }\n' + DB, "route[0].headers: a"),
        (
            PG + '[[route]]\nto = "db"\nwhen = { listener = "pg", method = "GET" }\n' + DB,
            "route[0].when: a connection has nothing but its listener",
        ),
        (PG + '[[route]]\nrespond = 204\nwhen = { listener = "pg" }\n' + DB, "route[0].respond: a"),
        (
            EDGE + 'tls = { cert = "a.pem", key = "a.key" }\n' + BY_EDGE + DB,
            'with protocol = "tls" nothing is decrypted',
        ),
        (ANY + 'upgrade = ["a b"]\n' + APP, "route[0].upgrade[0]: 'a b' is not a protocol"),
        (ANY + 'upgrade = ["h2c"]\n' + APP, "'h2c' is never switched to"),
        (ANY + 'upgrade = ["TLS/1.2"]\n' + APP, "'TLS/1.2' is never switched to"),
        ("[[route]]\nrespond = 204\nconnect = true\n", "there is no upstream to connect to"),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(text: str, told: str) -> None:
    found = said(text)
    assert [line for line in found if told in line], found
    assert any("(" in line for line in found)
