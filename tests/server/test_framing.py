"""Hostile and odd requests over raw sockets: one clear answer, and nothing that slips through."""

from __future__ import annotations

import pytest

from tests.harness import Backend, gateway, routes
from tests.server.framing_rows import ROWS
from tests.server.hop_rows import HOPS
from tests.server.wire import WAYS, Received, Row, outcome


@pytest.mark.parametrize("row", ROWS + HOPS, ids=lambda row: row.id)
async def test_a_row_of_the_table(row: Row) -> None:
    for way in WAYS:
        received = Received()
        async with Backend(received) as backend, gateway(routes(backend)) as gate:
            answers = await outcome(gate, row, way)
            statuses = [answer.status for answer in answers]
            assert statuses == ([row.status] if row.closes else [row.status, 200]), way
            assert "close" in answers[-1]["connection"].split(", "), way
            got = [whole for whole in received.whole if not whole[0].startswith(b"GET /after")]
            assert len(received.whole) - len(got) == (not row.closes), way
            assert [body for _, body in got] == ([] if row.body is None else [row.body]), way
            for head, _ in got:
                lines = head.lower().split(b"\r\n")
                assert set(row.has) <= set(lines), (way, lines)
                assert not [part for part in row.lacks if part in head.lower()], way
            # not even as bytes behind the request that was refused
            if row.closes:
                assert not any(b"/after" in peer.received for peer in backend.peers), way
