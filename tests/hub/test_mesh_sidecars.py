"""Two sidecars and an application: out of one, by mTLS into the other, and what each may do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import DEADLINE, fetch, gateway
from tests.ports import free_port

pytest.importorskip("proxy.server.mesh_door", reason="the sidecar's two sides are not there")

SIDECAR = """
drain_timeout = "3s"
[admin]
listen = "127.0.0.1:0"
[mesh]
name = "{name}"
app = "127.0.0.1:{app}"
inbound = "127.0.0.1:{inbound}"
outbound = "127.0.0.1:{outbound}"
mtls = "strict"
identity = {{ ca = "local://{ca}" }}
{more}
"""
ALLOW = 'allow = [{ from = "spiffe://mesh/shop", path = "/orders/*" }]\n'
ORDERS = """
[upstream.orders]
servers = ["https://127.0.0.1:{port}"]
tls = {{ ca = "mesh:", cert = "mesh:", key = "mesh:", server_name = "outbound.mesh.orders", \
identities = ["spiffe://mesh/{who}"] }}
"""


@contextmanager
def application() -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Its port, and the headers that it has seen."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


@pytest.mark.parametrize(("who", "expected"), [("orders", 200), ("payments", 502)])
def test_a_call_from_one_application_to_another(tmp_path: Path, who: str, expected: int) -> None:
    ports = {name: free_port() for name in ("in", "in2", "out", "out2")}
    said = {"ca": tmp_path / "ca"}
    with application() as (app, seen):
        orders = SIDECAR.format(
            name="orders", app=app, inbound=ports["in"], outbound=ports["out"], more=ALLOW, **said
        )
        more = ORDERS.format(port=ports["in"], who=who)
        shop = SIDECAR.format(
            name="shop", app=9, inbound=ports["in2"], outbound=ports["out2"], more=more, **said
        )
        with (
            gateway(folder(tmp_path, "orders"), orders, workers=1) as one,
            gateway(folder(tmp_path, "shop"), shop, workers=1),
        ):
            host = {"Host": "orders"}
            assert fetch(ports["out2"], "/orders/1", host)[0] == expected
            if expected != 200:
                assert seen == []
                return
            assert fetch(ports["out2"], "/admin", host)[0] == 403
            with pytest.raises(OSError, match=r".*"):
                fetch(ports["in"], "/orders/1", host)
            (asked,) = seen
            told = asked["x-forwarded-client-cert"]
            assert told.startswith("By=spiffe://mesh/orders;")
            assert told.endswith(";URI=spiffe://mesh/shop")
            status = json.loads(one.ask("/mesh")[2])
            (peer,) = status["peers"]
            assert peer["identity"] == "spiffe://mesh/shop" and peer["inbound"] >= 1
            assert status["denied"] == {"request": 1}
