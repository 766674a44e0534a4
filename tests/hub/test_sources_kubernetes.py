"""A gateway whose configuration is a cluster and nothing else."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.config.local_ca import make
from tests.hub.gateway import DEADLINE, Gateway, fetch, gateway, until
from tests.hub.test_health import Backend
from tests.peers.kubernetes_api import Server, api_server
from tests.ports import free_port
from tests.sources.kubernetes.objects import (
    Object,
    edge,
    endpoints,
    listener,
    made,
    path,
    route,
    service,
    to,
)

CONFIG = """
drain_timeout = "3s"
[admin]
listen = "127.0.0.1:0"
[source.kubernetes]
server = "{server}"
ports = {{ 80 = {port}, 443 = {tls} }}
addresses = ["192.0.2.7"]
{more}
"""
# Of the file, so that the gateway listens before a state is in force.
LISTEN = '[[listen]]\naddress = "127.0.0.1:0"'


@pytest.fixture
def server() -> Iterator[Server]:
    with api_server() as running:
        yield running


@pytest.fixture
def backends() -> Iterator[tuple[Backend, Backend]]:
    first, second = Backend(), Backend()
    try:
        yield first, second
    finally:
        first.close()
        second.close()


def served(*some: Backend, name: str = "shop/orders") -> Object:
    """Endpoints of which all have the port of the first, so one of them is enough."""
    port = int(some[0].url.rpartition(":")[2])
    return endpoints(name, "127.0.0.1", ports={"p80": port})


@contextmanager
def running(folder: Path, server: Server, more: str = "") -> Iterator[Gateway]:
    port, tls = free_port(), free_port()
    text = CONFIG.format(server=server.url, port=port, tls=tls, more=more)
    with gateway(folder, text, workers=2) as hub:
        hub.port, hub.tls = port, tls  # type: ignore[attr-defined]
        yield hub


def source(hub: Gateway) -> Any:
    return json.loads(hub.ask("/config")[2])["sources"]["kubernetes"]


def generation(hub: Gateway) -> int:
    return int(json.loads(hub.ask("/config")[2])["generation"])


def programmed(server: Server) -> bool:
    said = server.cluster.get("Gateway", "infra", "edge").get("status", {})
    found = {one["type"]: one["status"] for one in said.get("conditions", ())}
    return found.get("Programmed") == "True"


def test_a_cluster_alone_is_a_configuration(
    tmp_path: Path, server: Server, backends: tuple[Backend, Backend]
) -> None:
    first, second = backends
    lost = {"matches": [path("/lost")], "backendRefs": [to("gone")]}
    half = {"matches": [path("/half")], "backendRefs": [to("orders"), to("gone")]}
    rest = {"backendRefs": [to("orders")]}
    server.cluster.apply(
        *edge(), service("shop/orders"), served(first),
        route("shop/orders", rest, lost, half, hostnames=["shop.example"]),
    )  # fmt: skip
    with running(tmp_path, server) as hub:
        shop = {"Host": "shop.example"}
        until(lambda: source(hub)["routes"])  # all workers go by it
        until(lambda: status(hub, "/", shop) == 200)
        assert fetch(hub.port, "/", {"Host": "other.example"})[0] == 404
        assert fetch(hub.port, "/lost", shop)[0] == 500
        halves = {fetch(hub.port, "/half", shop)[0] for _ in range(40)}
        assert halves == {200, 500}
        until(lambda: programmed(server))

        # endpoints change without a reload
        before = generation(hub)
        server.cluster.apply(served(second))
        known = {second.url}
        until(lambda: set(servers(hub)) == known)
        hub.stats()  # who answers has read what it was told before
        first.close()
        assert fetch(hub.port, "/", shop)[0] == 200
        assert generation(hub) == before

        # the API server goes away: all stays, over a reload of the file too
        server.stop_answering()
        until(lambda: source(hub)["error"])
        hub.signal(signal.SIGHUP)
        hub.wait_for_line("reloaded")
        assert fetch(hub.port, "/", shop)[0] == 200
        assert set(servers(hub)) == known

        # and comes back, with something new
        server.cluster.apply(route("shop/late", {**rest, "matches": [path("/late")]}))
        server.answer_again()
        until(lambda: fetch(hub.port, "/late")[0] == 200)
        until(lambda: not source(hub)["error"])


def status(hub: Gateway, path_: str, headers: dict[str, str] | None = None) -> int:
    """0 = nobody listens yet."""
    try:
        return fetch(hub.port, path_, headers)[0]
    except ConnectionRefusedError:
        return 0


def servers(hub: Gateway) -> list[str]:
    return list(hub.stats()["upstreams"]["shop.orders.80"]["discover"]["servers"])


def test_a_storm_is_few_states(
    tmp_path: Path, server: Server, backends: tuple[Backend, Backend]
) -> None:
    server.cluster.apply(*edge(), service("shop/orders"), served(backends[0]), route())
    with running(tmp_path, server) as hub:
        until(lambda: source(hub)["routes"])
        until(lambda: status(hub, "/") == 200)
        before = generation(hub)
        rules = [{"matches": [path(f"/r{n}")], "backendRefs": [to("orders")]} for n in range(200)]
        server.cluster.apply(*(route(f"shop/r{n}", rule) for n, rule in enumerate(rules)))
        until(lambda: source(hub)["routes"] == 201)
        assert generation(hub) - before < 40
        assert fetch(hub.port, "/r199")[0] == 200


def test_a_route_that_the_gateway_refuses_does_not_keep_the_others_away(
    tmp_path: Path, server: Server, backends: tuple[Backend, Backend]
) -> None:
    """A value that only the checks of the whole configuration judge."""
    server.cluster.apply(*edge(), service("shop/orders"), served(backends[0]), route())
    odd = {
        "matches": [path("/odd")],
        "filters": [{"type": "CORS", "cors": {"allowOrigins": ["not an origin"]}}],
        "backendRefs": [to("orders")],
    }
    server.cluster.apply(route("shop/odd", odd))
    with running(tmp_path, server, LISTEN) as hub:
        until(lambda: status(hub, "/") == 200)
        until(lambda: any("shop/odd" in one for one in source(hub)["left_out"]))

        def told() -> Any:
            said = server.cluster.get("HTTPRoute", "shop", "odd").get("status", {})
            return said.get("parents")

        (accepted, _) = until(told)[0]["conditions"]
        assert (accepted["status"], accepted["reason"]) == ("False", "UnsupportedValue")
        assert "origin" in accepted["message"]


def test_listeners_with_tls_have_their_secret_which_rotates(
    tmp_path: Path, server: Server, backends: tuple[Backend, Backend]
) -> None:
    files = [make(str(tmp_path / one), ["shop.example"]) for one in ("a", "b")]
    tls = {"certificateRefs": [{"name": "cert"}]}
    door = listener(443, "https", protocol="HTTPS", tls=tls, routes="All")
    server.cluster.apply(
        *edge(door), secret(files[0]), service("shop/orders"), served(backends[0]), route()
    )
    with running(tmp_path, server) as hub:
        until(lambda: asked(hub, files[0].ca) == 200)
        with pytest.raises(ssl.SSLCertVerificationError):
            asked(hub, files[1].ca)
        server.cluster.apply(secret(files[1]))
        until(lambda: is_served(hub, files[1].ca))


def secret(files: Any) -> Object:
    data = {
        "tls.crt": b64encode(files.cert.read_bytes()).decode(),
        "tls.key": b64encode(files.key.read_bytes()).decode(),
    }
    return made("Secret", "infra/cert", type="kubernetes.io/tls", data=data)


def asked(hub: Gateway, ca: Path) -> int:
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    port = hub.tls  # type: ignore[attr-defined]
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=DEADLINE)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except ConnectionRefusedError:
        return 0
    finally:
        connection.close()


def is_served(hub: Gateway, ca: Path) -> bool:
    try:
        return asked(hub, ca) == 200
    except ssl.SSLError:
        return False


def test_an_api_server_of_other_authorities_is_told(tmp_path: Path) -> None:
    own, other = make(str(tmp_path / "a"), ["127.0.0.1"]), make(str(tmp_path / "b"), ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    with api_server(context) as server:
        server.cluster.apply(*edge(), service("shop/orders"), route())
        ca = tmp_path / "ca.pem"
        ca.write_bytes(other.ca.read_bytes())
        more = f'ca = "{ca}"\n{LISTEN}'
        with running(tmp_path, server, more) as hub:
            until(lambda: "CERTIFICATE_VERIFY_FAILED" in source(hub)["error"])
            hub.wait_for_line("CERTIFICATE_VERIFY_FAILED")
            # the right ones are put there: no restart is needed
            ca.write_bytes(own.ca.read_bytes())
            until(lambda: source(hub)["routes"])


def test_ready_waits_for_the_state_without_what_was_refused(
    tmp_path: Path, server: Server, backends: tuple[Backend, Backend]
) -> None:
    first, _ = backends
    server.cluster.apply(
        *edge(listener(80, "a", routes="All"), listener(8080, "b", routes="All")),
        service("shop/orders"), served(first),
        route("shop/orders", {"backendRefs": [to("orders")]}),
    )  # fmt: skip
    with socket.create_server(("0.0.0.0", 0)) as other:
        taken = other.getsockname()[1]
        text = CONFIG.replace("443 = {tls}", "8080 = {tls}")
        port = free_port()
        text = text.format(server=server.url, port=port, tls=taken, more="")
        with gateway(tmp_path, text, workers=1) as hub:
            hub.wait_for_line("ready: admin on|ready: http")
            assert fetch(port, "/")[0] == 200
            (why,) = [line for line in hub.lines if "is refused" in line]
            assert f"kubernetes listener 8080: listen: cannot listen on :{taken}" in why
