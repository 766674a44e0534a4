"""Backends that are restarted under load: no client notices, and no POST is done twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.harness import OK, Backend, Gateway, Peer, gateway
from tests.server.kit import ask, request, routing

RESTARTS = 20
CLIENTS = 4
RETRY = "retry = { times = 2, budget = 1.0, backoff = '1ms' }"


async def died(backend: Backend) -> None:
    """It is gone with all its connections, as after SIGKILL, and there again on the same port."""
    await backend.__aexit__()
    for peer in backend.peers:
        peer.reset()
    backend.peers.clear()
    await backend.__aenter__()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_backend_is_restarted_under_load(method: str) -> None:
    seen: Counter[bytes] = Counter()
    statuses: Counter[int] = Counter()
    over = asyncio.Event()

    async def answering(peer: Peer) -> None:
        while True:
            head, _ = await request(peer)
            seen[head.split()[1]] += 1
            peer.write(OK)

    async def load(gate: Gateway, number: int) -> None:
        client, asked = await gate.connect(), 0
        while not over.is_set():
            asked += 1
            body = b"x" if method == "POST" else b""
            answer = await ask(client, method, f"/{number}/{asked}", body=body)
            statuses[answer.status] += 1
        await client.close()

    async def restarts(backend: Backend) -> None:
        for restart in range(1, RESTARTS + 1):
            while statuses.total() < restart * 20:
                await asyncio.sleep(0)
            await died(backend)
        over.set()

    async with Backend(answering) as stays, Backend(answering) as dies:
        config = routing({"b": [stays.url, dies.url]}, f'[[route]]\nto = "b"\n{RETRY}')
        async with gateway(config) as gate:
            await asyncio.gather(restarts(dies), *(load(gate, i) for i in range(CLIENTS)))
    if method == "GET":
        assert set(statuses) == {200}
    else:
        assert max(seen.values()) == 1, "a POST was done twice"
        assert set(statuses) <= {200, 502}
