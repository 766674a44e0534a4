"""A sidecar for tests: a worker with `[mesh]`, its two listeners, and clients of either."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness import Answer, Backend, Client, Gateway, gateway

EXPORT = '[export]\notlp = "http://127.0.0.1:1"\n'
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"traceparent: 00-{TRACE}-{PARENT}-01"


class Sidecar:
    """One that runs."""

    def __init__(self, gate: Gateway) -> None:
        self.gate = gate

    @property
    def inbound(self) -> int:
        return self.gate.port

    @property
    def outbound(self) -> int:
        return self.gate.ports["outbound"]

    async def connect(self, side: str) -> Client:
        port = getattr(self, side)
        return Client(*await asyncio.open_connection("127.0.0.1", port, limit=2**24))

    async def ask(self, side: str, path: str, host: str, *lines: str) -> Answer:
        """One GET on a connection of its own."""
        client = await self.connect(side)
        text = [f"GET {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]
        client.write("\r\n".join(text).encode())
        answer = await client.answer()
        await client.close()
        return answer

    async def spans(self, number: int) -> list[Span]:
        """All there are, once there are so many; and no more than those."""
        spans = await self.gate.spans(number)
        assert len(spans) == number, [span.name for span in spans]
        return spans


@contextlib.asynccontextmanager
async def sidecar(
    app: Backend | int, more: str = "", mesh: str = "", hosts: Sequence[str] = ("127.0.0.1",)
) -> AsyncIterator[Sidecar]:
    """`more`: other tables of the file; `mesh`: other keys of [mesh]; `hosts`: where its outbound
    side listens."""
    port = app if isinstance(app, int) else app.port
    text = f"""{EXPORT}
[mesh]
name = "orders"
app = "127.0.0.1:{port}"
{mesh}
{more}
"""
    async with gateway(text) as gate:
        for host in hosts[1:]:
            sock = socket.create_server((host, gate.ports["outbound"]), family=socket.AF_INET6)
            sock.setblocking(False)
            await gate.worker.listen("localhost:15001", sock)
        yield Sidecar(gate)
