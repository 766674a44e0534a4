"""Five services behind a gateway, each with its sidecar: one trace, which is one chain."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness import OK, Backend, Client, Peer, gateway, routes
from tests.server.kit import CLIENT, SERVER
from tests.server.sidecar_kit import Sidecar, sidecar

NAMES = ("users", "orders", "payments", "stock", "database")


class App:
    """An application that knows nothing of traces; it copies some of the fields that it gets."""

    def __init__(self, following: str, copies: tuple[str, ...]) -> None:
        self.following = following  # whom it asks before it answers, "" = nobody
        self.copies = copies
        self.outbound = 0  # of its sidecar

    async def __call__(self, peer: Peer) -> None:
        while True:
            lines = (await peer.head()).decode().split("\r\n")
            copied = [line for line in lines if line.lower().startswith(self.copies)]
            if self.following:
                client = Client(*await asyncio.open_connection("127.0.0.1", self.outbound))
                text = ["GET /next HTTP/1.1", f"Host: {self.following}", *copied, "", ""]
                client.write("\r\n".join(text).encode())
                assert (await client.answer()).status == 200
                await client.close()
            peer.write(OK)


async def spans_of_a_request(copies: tuple[str, ...]) -> list[tuple[str, Span]]:
    """All spans of one request through everything, with whose they are."""
    async with contextlib.AsyncExitStack() as stack:
        sidecars: dict[str, Sidecar] = {}
        following, more = "", ""
        for name in reversed(NAMES):
            app = App(following, copies)
            backend = await stack.enter_async_context(Backend(app))
            side = await stack.enter_async_context(sidecar(backend, more))
            app.outbound = side.outbound
            sidecars[name] = side
            following = name
            more = f'[upstream.{name}]\nservers = ["http://127.0.0.1:{side.inbound}"]\n'
        edge = Backend()
        edge.port = sidecars[NAMES[0]].inbound
        gate = await stack.enter_async_context(gateway(routes(edge)))
        assert (await gate.get("/shop")).status == 200
        found = [("gateway", span) for span in await gate.spans(2)]
        for name in NAMES:
            count = 2 if name == NAMES[-1] else 3
            found += [(name, span) for span in await sidecars[name].spans(count)]
        return found


async def test_one_trace_is_one_tree_though_the_applications_copy_a_field_alone() -> None:
    found = await spans_of_a_request(("traceparent",))
    assert len({span.trace_id for _, span in found}) == 1
    by_parent = {span.parent_span_id: (name, span) for name, span in found}
    assert len(by_parent) == len(found)  # nobody has two children, and there is one root
    chain: list[tuple[str, int]] = []
    parent = b""
    while parent in by_parent:
        name, span = by_parent[parent]
        chain.append((name, span.kind))
        parent = span.span_id
    assert chain == [
        ("gateway", SERVER),
        ("gateway", CLIENT),
        *[(name, kind) for name in NAMES[:-1] for kind in (SERVER, CLIENT, CLIENT)],
        (NAMES[-1], SERVER),
        (NAMES[-1], CLIENT),
    ]


@pytest.mark.parametrize("copies", [("x-none",)])
async def test_an_application_that_copies_nothing_breaks_its_trace_at_itself(
    copies: tuple[str, ...],
) -> None:
    found = await spans_of_a_request(copies)
    roots = [(name, span.kind) for name, span in found if not span.parent_span_id]
    assert roots == [("gateway", SERVER), *[(name, CLIENT) for name in NAMES[:-1]]]
