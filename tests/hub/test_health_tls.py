"""Probes of servers at https://: they are believed and refused as requests to them would be."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import Gateway, fetch, gateway, until
from tests.server import tls_kit

TOP = """
drain_timeout = "3s"
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
"""
UPSTREAM = """
[[route]]
path = "/{name}"
to = "{name}"
[upstream.{name}]
servers = ["{url}"]
health = {{ path = "/hz", every = "50ms", fall = 1, rise = 1 }}
{more}
"""
IDENTITY = "spiffe://mesh/orders"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Secured:
    """A server with a certificate for these names; `asks`: for one of the client's."""

    def __init__(self, *names: str, asks: bool = False) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made = tls_kit.leaf(*names)
        context.load_cert_chain(made.cert, made.key)
        if asks:
            context.load_verify_locations(tls_kit.authority("one") / "ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def open_one() -> Iterator[Secured]:
    made = Secured("127.0.0.1", "orders.test", IDENTITY)
    yield made
    made.close()


@pytest.fixture(scope="module")
def asking() -> Iterator[Secured]:
    made = Secured("127.0.0.1", asks=True)
    yield made
    made.close()


# Which server, its upstream's `tls`, and `error.type` of its probes, "" where it is up.
OPEN = {
    "ca": ('ca = "ca-one.pem"', ""),
    "name": ('ca = "ca-one.pem", server_name = "orders.test"', ""),
    "identity": (f'ca = "ca-one.pem", identities = ["{IDENTITY}"]', ""),
    "unverified": ("verify = false", ""),
    "other-ca": ('ca = "ca-other.pem"', "tls_error"),
    "system-ca": ('min = "1.3"', "tls_error"),
    "other-name": ('ca = "ca-one.pem", server_name = "else.test"', "tls_error"),
    "other-identity": ('ca = "ca-one.pem", identities = ["spiffe://mesh/x"]', "tls_error"),
}
ASKING = {
    "shown": ('ca = "ca-one.pem", cert = "me.pem", key = "me.key"', ""),
    "not-shown": ('ca = "ca-one.pem", min = "1.3"', None),  # the server says so after its part
}


@pytest.mark.parametrize("protocol", ["auto", "h1"])
def test_a_server_is_up_for_whom_requests_would_reach_it(
    tmp_path: Path, open_one: Secured, asking: Secured, protocol: str
) -> None:
    files(tmp_path)
    rows = {
        name: (server, tls, error)
        for server, table in ((open_one, OPEN), (asking, ASKING))
        for name, (tls, error) in table.items()
    }
    text = TOP + "".join(
        upstream(name, server.url, tls, protocol) for name, (server, tls, _) in rows.items()
    )
    with gateway(tmp_path, text, workers=1) as hub:
        for name, (_, _, error) in rows.items():
            until(lambda name=name: probed(hub, name)["last_probe"])
            last = probed(hub, name)["last_probe"]
            assert last["ok"] is (error == ""), (name, last)
            assert error is None or (last["error.type"] or "") == error, (name, last)
            expected = 200 if last["ok"] else 503
            until(lambda name=name, expected=expected: fetch(hub.port, f"/{name}")[0] == expected)
        said = {name: probed(hub, name)["last_probe"]["said"] for name in rows}
        assert said["name"] == "answered 200"
        assert said["other-ca"] == said["system-ca"]
        assert len({said[name] for name in ("other-ca", "other-name", "other-identity")}) == 3


def test_an_authority_that_comes_later_brings_the_server_up(
    tmp_path: Path, open_one: Secured
) -> None:
    files(tmp_path)
    shutil.copy(tmp_path / "ca-other.pem", tmp_path / "ca.pem")
    with gateway(tmp_path, TOP + upstream("u", open_one.url, 'ca = "ca.pem"'), workers=1) as hub:
        hub.wait_for_line(rf"upstream u: {open_one.url} is down: ")
        until(lambda: fetch(hub.port, "/u")[0] == 503)
        (tmp_path / "ca-one.pem").replace(tmp_path / "ca.pem")
        hub.wait_for_line(rf"upstream u: {open_one.url} is up: answered 200 ")
        until(lambda: fetch(hub.port, "/u")[0] == 200)


def files(folder: Path) -> None:
    tls_kit.write_ca(folder)
    tls_kit.write_ca(folder, "other")
    tls_kit.write(folder, "me", "me.test")
    (folder / "me.key").chmod(0o600)


def upstream(name: str, url: str, tls: str, protocol: str = "auto") -> str:
    more = f'protocol = "{protocol}"\ntls = {{ {tls} }}'
    return UPSTREAM.format(name=name, url=url, more=more)


def probed(hub: Gateway, name: str) -> Any:
    (server,) = hub.stats()["upstreams"][name]["servers"]
    return server
