"""A worker whose descriptors run out: who is here is served, who comes waits, and it is said."""

from __future__ import annotations

import http.client
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.hub.gateway import DEADLINE, MINIMAL, Gateway, gateway, until

LIMIT = 100  # descriptors of the worker
CROWD = 200  # clients that come

ROUTE = """
[[route]]
path = "/b"
to = "b"
connect_timeout = "60s"
[upstream.b]
servers = ["http://127.0.0.1:{}"]
"""


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    together = threading.Barrier(1)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = CROWD  # who finds no room is dialled again by the kernel, late


@contextmanager
def backend() -> Iterator[int]:
    with Server(("127.0.0.1", 0), Backend) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Gateway]:
    with backend() as port:
        config = MINIMAL.format(more=ROUTE.format(port))
        with gateway(tmp_path, config, workers=1) as hub:
            (worker,) = [w["pid"] for w in hub.stats()["workers"]]
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
            yield hub


def ask(client: http.client.HTTPConnection) -> int:
    client.request("GET", "/b")
    answer = client.getresponse()
    answer.read()
    return answer.status


def said(hub: Gateway) -> list[str]:
    return [line for line in hub.lines if "out of file descriptors" in line]


def test_who_is_here_is_served_and_who_comes_waits(hub: Gateway) -> None:
    here = [http.client.HTTPConnection("127.0.0.1", hub.port, timeout=DEADLINE) for _ in range(10)]
    assert [ask(client) for client in here] == [200] * 10
    with ExitStack() as crowd:
        for _ in range(CROWD):
            crowd.enter_context(socket.create_connection(("127.0.0.1", hub.port), timeout=DEADLINE))
        hub.wait_for_line("out of file descriptors")
        for _ in range(3):
            assert [ask(client) for client in here] == [200] * 10
        late = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=DEADLINE)
        late.connect()  # to the kernel's queue
        late.request("GET", "/")
    assert late.getresponse().status == 200
    assert [ask(client) for client in here] == [200] * 10
    (line,) = said(hub)
    assert str(LIMIT) in line and "LimitNOFILE" in line and "ulimit -n" in line
    assert "limits.connections" in line
    assert until(lambda: hub.values().get(("spangate_descriptors_exhausted_total", ())))


def test_dials_wait_for_a_connection_that_comes_back(hub: Gateway) -> None:
    """Far more clients at once than there can be connections to the upstream."""
    statuses: list[int] = []

    def visit() -> None:
        client = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=DEADLINE)
        statuses.extend(ask(client) for _ in range(5))
        client.close()

    visitors = [threading.Thread(target=visit) for _ in range(CROWD)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert statuses == [200] * 5 * CROWD
    assert len(said(hub)) <= 1
