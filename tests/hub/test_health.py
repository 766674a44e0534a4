"""Health as clients and operators see it: real workers before a server that is down."""

from __future__ import annotations

import http.client
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import DEADLINE, Gateway, fetch, gateway, until
from tests.hub.test_reload import reloads
from tests.ports import free_port

CONFIG = """
listen = "127.0.0.1:{port}"
drain_timeout = "3s"
[admin]
listen = "127.0.0.1:0"
[[route]]
name = "{name}"
path = "/*"
to = "u"
[upstream.u]
servers = [{servers}]
health = {{ path = "/hz", every = "{every}", fall = 1, rise = 1 }}
"""


class Backend:
    """Answers 200, and probes with `status`."""

    def __init__(self) -> None:
        self.status = 200
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(backend.status if self.path == "/hz" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def backend() -> Iterator[Backend]:
    running = Backend()
    yield running
    running.close()


def config(*urls: str, name: str = "all", port: int = 0, every: str = "20ms") -> str:
    servers = ", ".join(f'"{url}"' for url in urls)
    return CONFIG.format(port=port, name=name, servers=servers, every=every)


def servers(hub: Gateway) -> dict[str, Any]:
    return {server["url"]: server for server in hub.stats()["upstreams"]["u"]["servers"]}


def workers(hub: Gateway) -> set[int]:
    return {w["pid"] for w in hub.stats()["workers"] if w["state"] == "ready"}


class Statuses:
    """Keeps asking on new connections; what came back, but for connections that a kill broke."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Statuses:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(DEADLINE)

    def some_more(self) -> None:
        before = len(self.seen)
        until(lambda: len(self.seen) >= before + 20)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self.seen.append(fetch(self.port, "/")[0])
            except (OSError, http.client.HTTPException):
                continue


def kill(hub: Gateway, file: str, port: int) -> None:
    for pid in workers(hub):
        os.kill(pid, signal.SIGKILL)


def leave(hub: Gateway, file: str, port: int) -> None:
    for pid in workers(hub):
        os.kill(pid, signal.SIGTERM)


def reload(hub: Gateway, file: str, port: int) -> None:
    hub.rewrite(file.replace('name = "all"', 'name = "other"'))
    until(lambda: reloads(hub)["succeeded"] == 1)


def roll(hub: Gateway, file: str, port: int) -> None:
    more = f'listen = ["127.0.0.1:{port}", "127.0.0.1:{free_port()}"]'
    hub.rewrite(file.replace(f'listen = "127.0.0.1:{port}"', more, 1))
    until(lambda: reloads(hub)["succeeded"] == 1)


def kill_in_a_reload(hub: Gateway, file: str, port: int) -> None:
    hub.rewrite(file.replace('name = "all"', 'name = "other"'))
    kill(hub, file, port)
    until(lambda: sum(reloads(hub).values()) == 1)


def other_settings(hub: Gateway, file: str, port: int) -> None:
    hub.rewrite(file.replace("fall = 1", "fall = 2"))
    until(lambda: reloads(hub)["succeeded"] == 1)


REPLACED = [kill, leave, reload, roll, kill_in_a_reload, other_settings]


@pytest.mark.parametrize("replace", REPLACED, ids=lambda how: how.__name__)
def test_whoever_takes_over_knows_which_servers_are_down(
    tmp_path: Path, backend: Backend, replace: Callable[[Gateway, str, int], None]
) -> None:
    """One of two servers refuses connections; nobody is sent there, from the first request on."""
    dead, port = f"http://127.0.0.1:{free_port()}", free_port()
    file = config(backend.url, dead, port=port)
    with gateway(tmp_path, file, workers=2) as hub:
        until(lambda: not servers(hub)[dead]["up"])
        before = workers(hub)
        with Statuses(port) as statuses:
            statuses.some_more()
            replace(hub, file, port)
            if replace in (kill, leave, roll, kill_in_a_reload):
                until(lambda: len(workers(hub) - before) == 2)
            statuses.some_more()
            assert not servers(hub)[dead]["up"]
        assert set(statuses.seen) == {200}


def test_a_server_that_is_down_is_told_with_the_reason(tmp_path: Path, backend: Backend) -> None:
    with gateway(tmp_path, config(backend.url), workers=1) as hub:
        until(lambda: servers(hub)[backend.url]["last_probe"])
        backend.status = 418
        until(lambda: not servers(hub)[backend.url]["up"])
        hub.wait_for_line(
            rf"upstream u: {backend.url} is down: answered 418, not 200 or 204 after 0\.\d+ s"
        )
        last = servers(hub)[backend.url]["last_probe"]
        assert (last["ok"], last["status"], last["error.type"]) == (False, 418, "418")
        place = [("server_address", "127.0.0.1"), ("spangate_upstream", "u")]
        place.append(("server_port", backend.url.rpartition(":")[2]))
        key = tuple(sorted([*place, ("error_type", "418")]))
        assert hub.values()["spangate_upstream_probe_failures_total", key] >= 1
        until(lambda: fetch(hub.port, "/")[0] == 503)
        backend.status = 200
        hub.wait_for_line(rf"upstream u: {backend.url} is up: answered 200 after")
        until(lambda: fetch(hub.port, "/")[0] == 200)
