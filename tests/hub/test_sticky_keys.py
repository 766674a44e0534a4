"""All workers of a hub agree on sticky cookies, through a reload and the death of one."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.load import loads
from proxy.hub.sticky_keys import with_keys
from tests.hub.gateway import Gateway, fetch, gateway, until
from tests.hub.test_real_workers import Upstream, pids
from tests.hub.test_reload import reloads

CONFIG = """
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[[route]]
to = "b"
[upstream.b]
servers = {urls}
sticky = "srv"
balance = "{policy}"
"""


def test_each_upstream_has_a_key_of_its_own_and_one_that_is_said_stays() -> None:
    text = """
[[route]]
to = { a = 1, b = 1, c = 1, d = 1 }
[upstream]
a = { servers = "http://a", sticky = "srv" }
b = { servers = "http://b", sticky = "srv" }
c = { servers = "http://c", sticky = { cookie = "srv", key = "0123456789abcdef" } }
d = { servers = "http://d" }
"""
    config = loads(text, "f", {}).config
    made = with_keys(config, b"secret").upstream
    keys = [made[name].sticky.key for name in "abc"]  # type: ignore[union-attr]
    assert [len(key) for key in keys] == [64, 64, 16] and len(set(keys)) == 3
    assert keys[2] == "0123456789abcdef" and made["d"].sticky is None
    assert with_keys(config, b"secret").upstream == made
    plain = loads('[[route]]\nto = "http://a"', "f", {}).config
    assert with_keys(plain) is plain


@pytest.fixture
def upstreams() -> Iterator[list[Upstream]]:
    running = [Upstream(f"up{n}") for n in range(4)]
    yield running
    for upstream in running:
        upstream.close()


def asked(hub: Gateway, cookie: str = "") -> tuple[str, str]:
    """Who answered on a new connection, and what cookie was set."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port)
    connection.request("GET", "/x", headers={"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    told = answer.headers.get("set-cookie", "").partition(";")[0]
    body = answer.read().decode()
    connection.close()
    return body.split()[0], told


def test_workers_agree_whatever_happens_to_them(tmp_path: Path, upstreams: list[Upstream]) -> None:
    urls = [upstream.url for upstream in upstreams]
    config = CONFIG.format(urls=urls, policy="round_robin")
    with gateway(tmp_path, config, workers=2) as hub:
        server, cookie = asked(hub)
        assert cookie
        assert {asked(hub, cookie) for _ in range(20)} == {(server, "")}
        victim = pids(hub)[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(now := pids(hub)) == 2 and victim not in now)
        assert {asked(hub, cookie) for _ in range(20)} == {(server, "")}
        hub.rewrite(CONFIG.format(urls=urls, policy="random"))
        until(lambda: reloads(hub)["succeeded"] == 1)
        assert {asked(hub, cookie) for _ in range(20)} == {(server, "")}
        assert {asked(hub)[0] for _ in range(60)} == {"up0", "up1", "up2", "up3"}


def test_nobody_is_shown_a_key(tmp_path: Path, upstreams: list[Upstream]) -> None:
    key = "0123456789abcdef"
    config = CONFIG.format(urls=[upstreams[0].url], policy="random").replace(
        'sticky = "srv"', f'sticky = {{ cookie = "srv", key = "{key}" }}'
    )
    with gateway(tmp_path, config, workers=1) as hub:
        status, _, body = fetch(hub.admin, "/config")
        assert status == 200 and key.encode() not in body
        assert json.loads(body)["upstream"]["b"]["sticky"]["cookie"] == "srv"
