"""The worker that users run under the hub that they run: what a client and an operator see.

Other files here ask the hub about workers that misbehave on order (`fake_worker.py`); these have
the real one forward real requests while it starts, reloads, dies, is rolled over and drains.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import processes
from tests.hub.gateway import DEADLINE, Gateway, fetch, gateway, until
from tests.hub.test_reload import reloads
from tests.hub.test_supervisor import Client
from tests.ports import free_port

CONFIG = """
listen = [{listen}]
drain_timeout = "20s"
[admin]
listen = "127.0.0.1:0"
[[route]]
name = "{name}"
path = "/*"
to = "b"
[upstream.b]
servers = ["{url}"]
"""


class Upstream:
    """Answers with the trace context that it was sent; /held waits until `let_go` is set."""

    def __init__(self, name: str = "up") -> None:
        self.held = threading.Event()  # a request for /held is here
        self.let_go = threading.Event()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/held":
                    upstream.held.set()
                    upstream.let_go.wait(DEADLINE)
                body = f"{name} {self.headers['traceparent']}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def config(self, *ports: int, name: str = "all") -> str:
        listen = ", ".join(f'"127.0.0.1:{port}"' for port in ports or (0,))
        return CONFIG.format(listen=listen, name=name, url=self.url)

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


class Held:
    """A request that the upstream does not answer until it may."""

    def __init__(self, port: int, upstream: Upstream) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self._upstream = upstream
        self._port = port
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert upstream.held.wait(DEADLINE)

    def _run(self) -> None:
        status, _, body = fetch(self._port, "/held")
        self.answers.append((status, body))

    def let_go(self) -> tuple[int, bytes]:
        self._upstream.let_go.set()
        self._thread.join(DEADLINE)
        return self.answers[0]


def pids(hub: Gateway) -> list[int]:
    """Of the workers that take new connections."""
    return [w["pid"] for w in hub.stats()["workers"] if w["state"] == "ready"]


def test_it_starts_forwards_and_counts(tmp_path: Path, upstream: Upstream) -> None:
    with gateway(tmp_path, upstream.config(), workers=2) as hub:
        assert len(set(pids(hub))) == 2
        for _ in range(10):
            assert re.fullmatch(r"up 00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", hub.get("/x"))
        assert sum(w["requests"] for w in hub.stats()["workers"]) == 10
        counted = {
            dict(labels)["http_route"]: value
            for (name, labels), value in hub.values().items()
            if name == "http_server_request_duration_seconds_count"
        }
        assert counted == {"/*": 10}
        assert hub.end() == 0


def test_a_reload_moves_to_another_upstream_and_keeps_the_workers(
    tmp_path: Path, upstream: Upstream
) -> None:
    other = Upstream("other")
    with gateway(tmp_path, upstream.config(), workers=2) as hub, Client(hub.port) as client:
        before = pids(hub)
        held = Held(hub.port, upstream)
        hub.rewrite(other.config())
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 0})
        until(lambda: hub.get().startswith("other "))
        status, body = held.let_go()  # it began before, and ends as it began
        assert (status, body[:3]) == (200, b"up ")
        assert pids(hub) == before
        assert client.refused == []
    other.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_it_is_replaced_and_serves_again(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    with (
        gateway(tmp_path, upstream.config(), workers=workers) as hub,
        Client(hub.port) as client,
    ):
        until(lambda: client.answered > 5)
        victim = pids(hub)[0]
        os.kill(victim, signal.SIGKILL)
        hub.wait_for_line(rf"pid {victim}\) was ended by signal 9")
        until(lambda: len(now := pids(hub)) == workers and victim not in now)
        seen = client.answered
        until(lambda: client.answered > seen + 5)
        assert client.refused == []
        assert sum(w["restarts"] for w in hub.stats()["workers"]) == 1
        assert hub.get("/x").startswith("up ")


def test_a_drain_finishes_what_runs_and_refuses_what_comes(
    tmp_path: Path, upstream: Upstream
) -> None:
    with gateway(tmp_path, upstream.config(), workers=2) as hub:
        started = pids(hub)
        held = Held(hub.port, upstream)
        hub.signal(signal.SIGTERM)
        until(lambda: hub.ask("/ready")[0] == 503)
        until(lambda: is_refused(hub.port))
        assert held.let_go()[0] == 200
        assert hub.process.wait(DEADLINE) == 0
        assert processes.wait_for_end(started) == []


def test_other_listeners_are_served_by_others_while_old_requests_end(
    tmp_path: Path, upstream: Upstream
) -> None:
    first, second = free_port(), free_port()
    with gateway(tmp_path, upstream.config(first), workers=2) as hub, Client(first) as client:
        old = pids(hub)
        held = Held(first, upstream)
        hub.rewrite(upstream.config(first, second))
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 0})
        assert hub.get("/x", port=second).startswith("up ")
        until(lambda: len(now := pids(hub)) == 2 and not set(now) & set(old))
        assert held.let_go()[0] == 200
        assert processes.wait_for_end(old) == []
        assert client.refused == []
        assert all(w["restarts"] == 0 for w in hub.stats()["workers"])


def test_workers_do_not_outlive_a_killed_hub(tmp_path: Path, upstream: Upstream) -> None:
    with gateway(tmp_path, upstream.config(), workers=2) as hub:
        assert hub.get("/x").startswith("up ")
        started = processes.descendants(hub.process.pid)
        assert set(pids(hub)) <= set(started)
        hub.process.kill()
        assert processes.wait_for_end(started) == []


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # it was in the queue of a socket that closed
        return False
    return False
