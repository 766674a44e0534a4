"""Who may come in by address, where the peers are proxies, sockets, or connect by TCP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import Backend, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import eventually, number
from tests.server.test_per_client import come, is_served
from tests.server.test_unix import connect, listening

TRUST = '[forwarding]\ntrust = ["127.0.0.0/8"]\n'


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("X-Forwarded-For: 10.0.0.1", 200),
        ("X-Forwarded-For: ::ffff:10.0.0.1", 200),
        ('Forwarded: for="10.0.0.1:1234"', 200),
        ("X-Real-IP: 10.0.0.1", 200),
        ("X-Other: 1", 200),  # the proxy's own request, from within the list
        ("Forwarded: for=unknown", 403),
        ("Forwarded: for=_hidden", 403),
        ('Forwarded: for="_hidden:80"', 403),
        ("Forwarded: by=127.0.0.1;host=x", 403),
        ("Forwarded: for=10.0.0.1;for=10.0.0.1", 403),
        ("X-Forwarded-For: unknown", 403),
        ("X-Forwarded-For: 10.0.0.1, unknown", 403),
        ("X-Forwarded-For: unknown, 127.0.0.9", 403),
        ("X-Forwarded-For: 10.0.0.1x", 403),
        ("X-Forwarded-For: 10.0.0.1%eth0", 403),
        ("X-Forwarded-For: 010.0.0.1", 403),
        ("X-Forwarded-For: 10.0.0.1\r\nForwarded: for=_hidden", 403),
        ("X-Forwarded-For: 192.0.2.1", 403),
        ("X-Forwarded-For: 10.0.0.1, 192.0.2.1", 403),
    ],
)
@pytest.mark.parametrize("lists", ['allow = ["10.0.0.0/8", "127.0.0.0/8"]', 'deny = ["192.0.2.1"]'])
async def test_whom_a_trusted_proxy_names_or_hides(line: str, status: int, lists: str) -> None:
    async with Backend() as backend, gateway(routes(backend, TRUST, lists)) as gate:
        assert (await gate.get("/", line)).status == status
        assert len(backend.heads) == (status == 200)


async def test_what_strangers_say_of_themselves_is_nothing() -> None:
    nobody = "[forwarding]\ntrust = []\n"
    async with Backend() as backend:
        async with gateway(routes(backend, nobody, 'deny = ["127.0.0.0/8"]')) as gate:
            assert (await gate.get("/", "X-Forwarded-For: 10.0.0.1")).status == 403
            got = await (await h2_client(gate)).get("/", (b"forwarded", b"for=10.0.0.1"))
            assert got.status == 403
        async with gateway(routes(backend, nobody, 'allow = ["127.0.0.0/8"]')) as gate:
            assert (await gate.get("/", "Forwarded: for=unknown")).status == 200


@pytest.mark.parametrize(("lists", "status"), [('allow = ["unix"]', 200), ('deny = "unix"', 403)])
async def test_unix_sockets(tmp_path: Path, lists: str, status: int) -> None:
    path = tmp_path / "gw.sock"
    async with Backend() as backend, gateway(routes(backend, route=lists), sock=listening(path)):
        client = await connect(path)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == status


async def test_connections_that_are_passed_on_as_bytes() -> None:
    async with Backend() as backend:
        config = f"""
[[listen]]
address = ":5432"
name = "pg"
protocol = "tcp"
[[route]]
name = "db"
when = {{ listener = "pg" }}
to = "b"
allow = ["127.0.0.0/8"]
deny = ["127.0.0.2"]
[upstream.b]
servers = ["tcp://127.0.0.1:{backend.port}"]
"""
        async with gateway(config) as gate:
            assert not await is_served(await come(gate, "127.0.0.2"))
            assert await is_served(await come(gate, "127.0.0.3"))
            await gate.recorded.collect()
            labels = {"spangate_check": "address", "spangate_route": "db"}
            assert number(gate, "spangate.access.denied", **labels) == 1
            assert number(gate, "spangate.rejected", spangate_reason="tcp_address") == 1
            await eventually(lambda: len(backend.peers) == 1)
