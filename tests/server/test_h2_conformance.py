"""RFC 9113 §3 to §8 over raw sockets, row by row."""

from __future__ import annotations

import pytest

from tests.harness import Backend, Handler, Peer, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.h2_rows import ROWS, Row, outcome
from tests.server.kit import eventually, is_settled, reply, request


async def _any_body(peer: Peer) -> None:
    while True:
        await request(peer)
        peer.write(reply())


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
async def test_a_row_of_the_table(row: Row) -> None:
    handler: Handler = _any_body
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        assert await outcome(gate.port, row) in row.outcomes
        other = await h2_client(gate)
        assert (await other.get()).status == 200, "others are served"
        other.transport.abort()
        await eventually(lambda: is_settled(gate))
