"""Three hosts, applications that know nothing, rules of nftables: one request is one tree."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config.mesh_model import Mesh
from proxy.mesh.install import install
from proxy.mesh.rules import Own, redirect
from tests.mesh.hosts import DEADLINE, V4, Host, hosts, needs_namespaces
from tests.mesh.relay import OWN, Address, close, serve
from tests.mesh.test_redirect import has
from tests.mesh.test_sidecar import GROUP, ROOT, running

pytestmark = [
    needs_namespaces, has("nft"), has("setpriv"), has("curl"), pytest.mark.timeout(300)
]  # fmt: skip
PORT, DATABASE = 8080, 3306
GREETING = b"5.7 ready\n"
CONFIG = """
[mesh]
name = "{name}"
app = "127.0.0.1:8080"
outbound = ":15001"
redirect = "nft"
peers = ["10.77.0.0/24"]
identity = {{ ca = "local://{folder}/ca" }}
mtls = "strict"
[log]
format = "json"
"""
# service, kind, whom the certificate of the other end names
TREE = [
    ("shop", "client", "orders"),
    ("orders", "server", "shop"),
    ("orders", "client", ""),
    ("orders", "client", "users"),
    ("users", "server", "orders"),
    ("users", "client", ""),
]


def call(host: Host, address: str, more: bytes = b"") -> bytes:
    """What is answered to an application on `host`, head and body."""
    with host.new_socket(V4) as sock:
        sock.connect((address, PORT))
        head = b"GET /x HTTP/1.1\r\nHost: service:8080\r\nConnection: close\r\n"
        sock.sendall(head + more + b"\r\n")
        answered = b""
        while some := sock.recv(4096):
            answered += some
    return answered


@contextlib.contextmanager
def application(host: Host, calls: str = "") -> Iterator[None]:
    """Answers 200, after it has called `calls` with the `traceparent` that it was sent."""

    def answer(client: socket.socket, peer: Address) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        lines = [line for line in head.split(b"\r\n") if line.lower().startswith(b"traceparent:")]
        body = b"ok" if not calls else call(host, calls, lines[0] + b"\r\n")[-2:]
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n" + body)

    listener = host.listen(V4, "0.0.0.0", PORT)
    serve(listener, answer)
    try:
        yield
    finally:
        close(listener)


@contextlib.contextmanager
def sidecar(host: Host, name: str, folder: Path) -> Iterator[None]:
    host.inside(lambda: install(redirect(Mesh(redirect="nft"), Own(OWN, OWN))))
    file = folder / f"{name}.toml"
    file.write_text(CONFIG.format(name=name, folder=folder))
    started = subprocess.Popen(
        ["ip", "netns", "exec", host.name, *GROUP, sys.executable, "-m", "proxy", "sidecar",
         str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
    )  # fmt: skip
    with running(started):
        yield


def spans(host: Host, trace: str, number: int) -> list[dict[str, Any]]:
    """Of that trace, by the sidecar there, once there are so many."""
    url = f"http://127.0.0.1:9901/api/traces/{trace}"
    deadline = time.monotonic() + DEADLINE
    while True:
        told = json.loads(host.run("curl", "-s", url).stdout)
        if len(told.get("spans", [])) >= number or time.monotonic() > deadline:
            return list(told["spans"])


def test_one_request_is_one_tree(tmp_path: Path) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with hosts("shop", "orders", "users") as (shop, orders, users), contextlib.ExitStack() as stack:
        for host, name in ((shop, "shop"), (orders, "orders"), (users, "users")):
            stack.enter_context(sidecar(host, name, tmp_path))
        stack.enter_context(application(users))
        stack.enter_context(application(orders, calls=users.v4))
        sent = f"traceparent: 00-{trace}-{parent}-01\r\n".encode()
        answered = call(shop, orders.v4, sent)
        assert answered.startswith(b"HTTP/1.1 200 ") and answered.endswith(b"ok")
        found = [
            s for host, n in ((shop, 1), (orders, 3), (users, 2)) for s in spans(host, trace, n)
        ]
    assert path(found, parent) == TREE


def path(found: list[dict[str, Any]], parent: str) -> list[tuple[str, str, str]]:
    """From the user's span on, each the only child of the one before."""
    below = {one["parent_id"]: one for one in found}
    assert len(below) == len(found)
    told = []
    while parent in below:
        one = below[parent]
        identity = one["attributes"].get("spangate.peer.identity", "")
        told.append((one["service"], one["kind"], identity.removeprefix("spiffe://mesh/")))
        parent = one["span_id"]
    return told


@contextlib.contextmanager
def database(host: Host) -> Iterator[None]:
    """Speaks first, and answers what it was asked when its client has shut its end."""

    def answer(client: socket.socket, peer: Address) -> None:
        client.sendall(GREETING)
        asked = b""
        while some := client.recv(4096):
            asked += some
        client.sendall(asked[::-1])

    listener = host.listen(V4, "0.0.0.0", DATABASE)
    serve(listener, answer)
    try:
        yield
    finally:
        close(listener)


def detected(host: Host, word: str) -> dict[str, Any]:
    """The span of a connection that was judged so."""
    url = f"http://127.0.0.1:9901/api/traces?q=spangate.detected%3D{word}"
    deadline = time.monotonic() + DEADLINE
    while not (found := json.loads(host.run("curl", "-s", url).stdout)["traces"]):
        assert time.monotonic() < deadline
    (trace,) = found
    told = spans(host, trace["trace_id"], trace["spans"])
    (one,) = [s for s in told if s["attributes"].get("spangate.detected") == word]
    return dict(one["attributes"])


def test_a_database_is_called_by_sidecars_that_let_nothing_in_as_it_is(tmp_path: Path) -> None:
    with hosts("shop", "users") as (shop, users), contextlib.ExitStack() as stack:
        for host, name in ((shop, "shop"), (users, "users")):
            stack.enter_context(sidecar(host, name, tmp_path))
        stack.enter_context(database(users))
        with shop.new_socket(V4) as sock:
            sock.connect((users.v4, DATABASE))
            assert sock.recv(4096) == GREETING
            sock.sendall(b"select")
            sock.shutdown(socket.SHUT_WR)
            answered = b""
            while some := sock.recv(4096):
                answered += some
        assert answered == b"tceles"
        out, inward = detected(shop, "server_first"), detected(users, "mesh_bytes")
    assert out["spangate.peer.identity"] == "spiffe://mesh/users"
    assert inward["spangate.peer.identity"] == "spiffe://mesh/shop"
