"""Ejection and draining as clients and operators see them: real processes before servers that fail
half of what they are asked."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.hub.gateway import Gateway, fetch, gateway, until
from tests.ports import free_port

CONFIG = """
listen = "127.0.0.1:{port}"
drain_timeout = "3s"
[admin]
listen = "127.0.0.1:0"
{token}
[[route]]
path = "/*"
to = "u"
retry = {retry}
[upstream.u]
servers = [{servers}]
{eject}
"""
EJECT = 'eject = {{ errors = 5, base = "{base}", max = 0.5 }}'
TOKEN = {"Authorization": "Bearer s3cret"}


class Backend:
    """Answers 200, or by turns 500 where it `fails`; holds requests for /slow until `go`."""

    def __init__(self) -> None:
        self.fails = False
        self.asked = 0
        self.held = threading.Event()
        self.go = threading.Event()
        turns, backend = itertools.count(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                backend.asked += 1
                if self.path == "/slow":
                    backend.held.set()
                    backend.go.wait(20)
                self.send_response(500 if backend.fails and next(turns) % 2 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.place}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    some = [Backend() for _ in range(3)]
    yield some
    for one in some:
        one.close()


def config(backends: list[Backend], *, port: int = 0, retry: str = "0", base: str = "60s") -> str:
    servers = ", ".join(f'"{backend.url}"' for backend in backends)
    eject = EJECT.format(base=base) if base else ""
    token = 'token = "s3cret"'
    return CONFIG.format(port=port, servers=servers, retry=retry, eject=eject, token=token)


def endpoints(hub: Gateway) -> dict[str, Any]:
    shown = json.loads(hub.ask("/upstreams")[2])
    return {one["url"]: one for one in shown["u"]["endpoints"]}


def state(hub: Gateway, backend: Backend) -> str:
    return str(endpoints(hub)[backend.url]["state"])


def ask(hub: Gateway, times: int) -> list[int]:
    return [fetch(hub.port, "/x")[0] for _ in range(times)]


def ask_until_out(hub: Gateway, backend: Backend) -> list[int]:
    seen: list[int] = []
    until(lambda: seen.extend(ask(hub, 20)) or state(hub, backend) == "ejected")
    return seen


def test_who_fails_half_is_put_out(tmp_path: Path, backends: list[Backend]) -> None:
    bad = backends[0]
    with gateway(tmp_path, config(backends)) as hub:
        ask(hub, 30)
        bad.fails = True
        assert 500 in ask_until_out(hub, bad)
        until(lambda: 500 not in ask(hub, 9))
        before = bad.asked
        assert ask(hub, 60) == [200] * 60
        assert bad.asked == before
        line = hub.wait_for_line(rf"upstream u: {re.escape(bad.url)} is ejected for 60 s: (.*)")
        assert re.search(r"\d+% of \d+ succeeded.* 1 of 3 are out|failures in a row", line[1])
        shown = endpoints(hub)[bad.url]
        assert shown["why"] == shown["ejection"]["why"]
        assert shown["ejection"]["times"] == 1
        assert shown["ejection"]["until"] is not None
        labels = (
            ("server_address", "127.0.0.1"),
            ("server_port", bad.place.rpartition(":")[2]),
            ("spangate_upstream", "u"),
        )
        values = hub.values()
        assert values["spangate_upstream_endpoint_ejected", labels] == 1
        assert values["spangate_upstream_ejections_total", labels] == 1


def test_with_retries_clients_see_nothing_of_it(tmp_path: Path, backends: list[Backend]) -> None:
    retry = '{ times = 2, on = [500], budget = 1.0, backoff = "1ms" }'
    with gateway(tmp_path, config(backends, retry=retry)) as hub:
        backends[0].fails = True
        assert set(ask_until_out(hub, backends[0])) == {200}


def test_it_comes_back_and_a_reload_ends_it(tmp_path: Path, backends: list[Backend]) -> None:
    bad, port = backends[0], free_port()
    with gateway(tmp_path, config(backends, port=port, base="300ms")) as hub:
        bad.fails = True
        ask_until_out(hub, bad)
        bad.fails = False
        hub.wait_for_line(rf"upstream u: {re.escape(bad.url)} is back, on trial: its first time")
        before = bad.asked
        until(lambda: ask(hub, 6) and bad.asked > before + 5 and state(hub, bad) == "up")
        hub.rewrite(config(backends, port=port))
        bad.fails = True
        ask_until_out(hub, bad)
        hub.rewrite(config(backends, port=port, base=""))
        until(lambda: state(hub, bad) == "up")


def change(hub: Gateway, endpoint: str, what: str, **headers: str) -> tuple[int, str]:
    path = f"/upstreams/u/{quote(endpoint, safe='')}/{what}"
    status, _, said = fetch(hub.admin, path, headers, "POST")
    return status, said.decode()


def test_a_drained_server_finishes_what_runs(tmp_path: Path, backends: list[Backend]) -> None:
    port = free_port()
    with gateway(tmp_path, config(backends[:1], port=port)) as hub:
        (one,) = backends[:1]
        answers: list[int] = []
        slow = threading.Thread(target=lambda: answers.append(fetch(hub.port, "/slow")[0]))
        slow.start()
        assert one.held.wait(20)
        assert change(hub, one.url, "drain")[0] == 401
        assert change(hub, one.url, "drain", **TOKEN) == (
            200,
            f"upstream u: {one.url} is drained\n",
        )
        hub.wait_for_line(rf"upstream u: {re.escape(one.url)} is drained by an operator")
        until(lambda: set(ask(hub, 4)) == {503})
        assert state(hub, one) == "drained"
        assert endpoints(hub)[one.url]["active"]["requests"] == 1
        hub.rewrite(config(backends[:2], port=port))
        until(lambda: set(ask(hub, 4)) == {200})
        before = one.asked
        assert set(ask(hub, 20)) == {200}
        assert one.asked == before
        one.go.set()
        slow.join(20)
        assert answers == [200]
        assert change(hub, one.place, "undrain", **TOKEN)[0] == 200
        until(lambda: ask(hub, 4) and one.asked > before)


def test_who_is_unknown_is_told(tmp_path: Path, backends: list[Backend]) -> None:
    with gateway(tmp_path, config(backends)) as hub:
        status, said = change(hub, "http://nobody:1", "drain", **TOKEN)
        assert status == 404
        assert "there is no endpoint 'http://nobody:1' of upstream 'u'" in said
        assert all(backend.url in said for backend in backends)
