"""A sidecar's identity in a running gateway: taken from its source, renewed under load, shown."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec

from proxy.mesh import ca_files
from tests.hub.gateway import DEADLINE, Gateway, gateway, until
from tests.mesh.identities import identity, write
from tests.mesh.workload_server import Agent, reply
from tests.ports import free_port

INBOUND = """
drain_timeout = "3s"
[[listen]]
address = "127.0.0.1:{own}"
name = "in"
tls = {{ cert = "mesh:", key = "mesh:", client_ca = "mesh:" }}
[admin]
listen = "127.0.0.1:0"
[mesh]
name = "orders"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
app = "127.0.0.1:9"
mtls = "strict"
identity = {{ ca = "{ca}"{more} }}
[[route]]
path = "/*"
when = {{ listener = "in" }}
respond = {{ status = 200, body = "pong" }}
"""
OUTBOUND = """
drain_timeout = "3s"
[[listen]]
address = "127.0.0.1:{own}"
name = "out"
[admin]
listen = "127.0.0.1:0"
[mesh]
name = "shop"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
app = "127.0.0.1:9"
identity = {{ ca = "{ca}"{more} }}
[[route]]
path = "/*"
when = {{ listener = "out" }}
to = "orders"
[upstream.orders]
servers = ["https://127.0.0.1:{port}"]
health = {{ path = "/", every = "200ms", timeout = "5s" }}
tls = {{ ca = "mesh:", cert = "mesh:", key = "mesh:", identities = ["spiffe://mesh/orders"] }}
"""


def inbound(**said: object) -> str:
    return INBOUND.format(own=free_port(), **said)


def outbound(**said: object) -> str:
    return OUTBOUND.format(own=free_port(), **said)


def mesh(hub: Gateway) -> Any:
    return json.loads(hub.ask("/mesh")[2])


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


@contextmanager
def load(port: int, number: int = 3) -> Iterator[list[str]]:
    """Requests on warm connections and on new ones; what went wrong."""
    stop, wrong = threading.Event(), []

    def ask() -> None:
        warm = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        while not stop.is_set():
            for connection in (warm, HTTPConnection("127.0.0.1", port, timeout=DEADLINE)):
                try:
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    said = answer.read()
                    if answer.status != 200 or said != b"pong":
                        wrong.append(f"{answer.status} {said!r}")
                except OSError as error:
                    wrong.append(repr(error))
                if connection is not warm:
                    connection.close()
        warm.close()

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)


def renewals(hub: Gateway) -> float:
    return hub.values()["spangate_mesh_identity_renewals_total", (("result", "success"),)]


def signs_now(folder: str) -> None:
    """Have the next root of the authority sign from now on, without the time that passes."""
    found = ca_files.read(folder)
    assert found is not None
    *others, last = found.roots
    last = msgspec.structs.replace(last, since=time.time())
    state = msgspec.json.encode(msgspec.structs.replace(found, roots=[*others, last]))
    ca_files.replace(Path(folder, ca_files.STATE), state, 0o600)


def test_certificates_and_roots_are_rotated_under_load_and_nothing_breaks(tmp_path: Path) -> None:
    place = str(tmp_path / "ca")
    said = {"ca": f"local://{place}", "more": ""}
    one, two = folder(tmp_path, "in"), folder(tmp_path, "out")
    with (
        gateway(one, inbound(**said), workers=1) as orders,
        gateway(two, outbound(port=orders.port, **said), workers=1) as shop,
    ):
        both = orders, shop

        def renew() -> None:
            """Who sees a change takes a new certificate; wait until each has."""
            before = [renewals(hub) for hub in both]
            os.utime(Path(place, ca_files.STATE))
            for hub, number in zip(both, before, strict=True):
                until(lambda h=hub, n=number: renewals(h) > n)

        (first,) = mesh(shop)["trust"]["mesh"]
        with load(shop.port) as wrong:
            for _ in range(3):
                renew()
            ca_files.rotate(place, time.time(), 3600)
            until(lambda: all(len(mesh(hub)["trust"]["mesh"]) == 2 for hub in both))
            assert mesh(shop)["trust"]["mesh"][0] == first
            signs_now(place)
            until(lambda: all(mesh(hub)["trust"]["mesh"][1] == first for hub in both))
            renew()
        assert wrong == []
        (server,) = shop.stats()["upstreams"]["orders"]["servers"]
        assert server["up"] and server["last_probe"]["ok"]  # by the identity as well
        seen = mesh(orders)
        assert seen["identity"]["id"] == "spiffe://mesh/orders"
        (peer,) = seen["peers"]
        assert peer["identity"] == "spiffe://mesh/shop" and peer["inbound"] > 3
        assert seen["handshakes_failed"] == {"inbound": {}, "outbound": {}}
        (peer,) = mesh(shop)["peers"]
        assert peer["identity"] == "spiffe://mesh/orders" and peer["outbound"] > 3


def test_strict_and_without_an_identity_it_is_not_ready(tmp_path: Path) -> None:
    place = folder(tmp_path, "certs")
    with gateway(tmp_path, inbound(ca=f"files://{place}", more=""), workers=1) as hub:
        hub.wait_for_line("mesh: no new identity: .* tls.crt, tls.key, ca.crt are looked for")
        status, _, body = hub.ask("/ready")
        assert status == 503 and b"no identity yet" in body
        assert not [line for line in hub.lines if " ready: " in line]
        write(place, ("tls.crt", "tls.key", "ca.crt"), identity(path="/orders"))
        hub.wait_for_line(
            f" ready: https on \\S+, .*admin on http://127.0.0.1:{hub.admin}, 1 worker"
        )
        assert hub.ask("/ready")[0] == 200
        hub.wait_for_line("mesh: this is spiffe://mesh/orders, until ")
        assert mesh(hub)["error"] == ""
        write(place, ("tls.crt", "tls.key", "ca.crt"), identity(path="/orders", ttl=-5))
        hub.wait_for_line("mesh: no new identity: .* expired on .*; the one in force counts until")
        assert hub.ask("/ready")[0] == 200
        assert len([line for line in hub.lines if " ready: " in line]) == 1


def test_a_certificate_that_expires_is_told_by_its_name(tmp_path: Path) -> None:
    place = tmp_path / "ca"
    config = inbound(ca=f"local://{place}", more=', ttl = "5s"')
    with gateway(tmp_path, config, workers=1) as hub:
        hub.wait_for_line("mesh: this is spiffe://mesh/orders, until ")
        state = place / ca_files.STATE
        good = state.read_bytes()
        state.write_bytes(b"{}")
        hub.wait_for_line("mesh: no new identity: .*authority.json")
        hub.wait_for_line("the certificate of spiffe://mesh/orders expired on .* peers refuse it")
        before = renewals(hub)
        state.write_bytes(good)
        until(lambda: renewals(hub) > before)


@contextmanager
def agent(path: Path) -> Iterator[tuple[Agent, asyncio.AbstractEventLoop]]:
    """A Workload API in a thread of its own."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    made: list[Agent] = []

    async def serve() -> None:
        async with Agent(path) as one:
            made.append(one)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(DEADLINE)
        yield made[0], loop
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE)
        loop.close()


def test_an_identity_from_the_workload_api(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    config = inbound(ca=f"spiffe://{path}", more="")
    with agent(path) as (one, loop), gateway(tmp_path, config, workers=1) as hub:
        hub.wait_for_line("is it registered")
        loop.call_soon_threadsafe(one.say, reply(identity(path="/orders")))
        until(lambda: hub.ask("/ready")[0] == 200)
        partner = identity("partner")[2]
        again = reply(identity(path="/orders/2"), partner=partner)
        loop.call_soon_threadsafe(one.say, again)
        until(lambda: mesh(hub)["identity"]["id"] == "spiffe://mesh/orders/2")
        assert set(mesh(hub)["trust"]) == {"mesh", "partner"}
        assert hub.stats()["reloads"] == {"succeeded": 0, "failed": 0}
        # Another source, by a reload.
        hub.rewrite(config.replace(f"spiffe://{path}", f"local://{tmp_path}/ca"))
        until(lambda: mesh(hub)["identity"]["id"] == "spiffe://mesh/orders")
        assert set(mesh(hub)["trust"]) == {"mesh"}
