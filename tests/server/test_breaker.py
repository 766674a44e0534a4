"""Breakers of a worker before servers that refuse, reset, hang and recover."""

from __future__ import annotations

import socket

import pytest

from tests.harness import OK, Backend, Gateway, gateway
from tests.server.kit import attributes, eventually, reply, script, traces

CONFIG = """
[export]
otlp = "http://127.0.0.1:1"
[defaults]
retry = 0
first_byte_timeout = "300ms"
idle_timeout = "50ms"
[[route]]
path = "/*"
to = "u"
[upstream.u]
servers = [{servers}]
breaker = {{ failures = 0.5, window = "10s", open = "{open_}" }}
"""
LEAST = 10


def config(*urls: str, open_: str = "30s") -> str:
    return CONFIG.format(servers=", ".join(f'"{url}"' for url in urls), open_=open_)


async def fail(gate: Gateway, times: int = LEAST) -> list[int]:
    return [(await gate.get("/x")).status for _ in range(times)]


@pytest.fixture
def refusing() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def test_when_all_are_open_the_answer_is_503_at_once(refusing: str) -> None:
    async with gateway(config(refusing)) as gate:
        assert await fail(gate) == [503] * LEAST
        answer = await gate.get("/x")
        assert answer.status == 503
        status = 'spangate; error=destination_unavailable; details="breaker"'
        assert answer["proxy-status"] == status
        assert 28 <= int(answer["retry-after"]) <= 30
        last = (await traces(gate, LEAST + 1))[-1]
    assert attributes(last.server)["error.type"] == "breaker_open"
    assert last.clients == []


@pytest.mark.parametrize(
    "broken",
    [reply(500), b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"],
    ids=["500", "reset", "half an answer"],
)
async def test_what_counts_as_a_failure(broken: bytes) -> None:
    async with Backend(script(broken)) as backend, gateway(config(backend.url)) as gate:
        for _ in range(LEAST):
            client = await gate.connect()
            client.write(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            await client.read_all()
        assert (await gate.get("/x"))["proxy-status"].endswith('details="breaker"')


async def test_others_take_over(refusing: str) -> None:
    async with Backend(script(OK)) as backend, gateway(config(refusing, backend.url)) as gate:
        assert sorted(set(await fail(gate, 2 * LEAST))) == [200, 503]
        assert await fail(gate, 20) == [200] * 20


async def test_it_closes_when_the_server_is_well_again() -> None:
    answers = [reply(500)] * LEAST + [OK]
    async with (
        Backend(script(*answers)) as backend,
        gateway(config(backend.url, open_="50ms")) as gate,
    ):
        assert await fail(gate) == [500] * LEAST
        endpoint = gate.worker.upstreams["u"].endpoints[backend.url]
        await eventually(lambda: endpoint.up)
        assert await fail(gate, 6) == [200] * 6


async def test_without_it_nothing_is_kept() -> None:
    async with Backend(script(OK)) as backend, gateway(config(backend.url)) as gate:
        assert gate.worker.upstreams.learning
        plain = "\n".join(
            line for line in config(backend.url).splitlines() if "breaker" not in line
        )
        await gate.reload(plain)
        assert not gate.worker.upstreams.learning
        assert await fail(gate, 3) == [200] * 3
