"""A gateway that asks another server who may come in, and what is behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.harness import Backend, Gateway, Peer, gateway, routes
from tests.server.kit import attributes, chunks, request, script

Handler = Callable[[Peer], Awaitable[None]]


@dataclass
class Asked:
    """All three."""

    gate: Gateway
    verifier: Backend
    backend: Backend

    def question(self, number: int = -1) -> dict[str, str]:
        """The lines of a question, and its first one as ""."""
        return lines(self.verifier.heads[number])

    def forwarded(self, number: int = -1) -> dict[str, str]:
        """Those of what the backend got."""
        return lines(self.backend.heads[number])

    def spans_of_questions(self) -> list[Any]:
        return [s for s in self.gate.recorded.spans if "spangate.auth.check" in attributes(s)]


def lines(head: bytes) -> dict[str, str]:
    """By name, in lower case; those of one name joined."""
    first, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    found = {"": first}
    for line in rest:
        name, _, value = line.partition(":")
        name = name.lower()
        found[name] = f"{found[name]}, {value.strip()}" if name in found else value.strip()
    return found


@asynccontextmanager
async def asking(
    answer: bytes | Handler,
    said: str = "",
    *,
    path: str = "/verify",
    route: str = "",
    top: str = "",
    backend: Handler | None = None,
) -> AsyncIterator[Asked]:
    """`said`: more of the table; the answers of the verifier are bytes, or what a handler does."""
    handler = script(answer) if isinstance(answer, bytes) else answer
    async with Backend(handler) as verifier, Backend(backend) as behind:
        text = file(verifier.url + path, behind, said, route, top)
        async with gateway(text) as gate:
            yield Asked(gate, verifier, behind)


def file(to: str, behind: Backend, said: str = "", route: str = "", top: str = "") -> str:
    check = f'[auth.sso]\nforward = {{ to = "{to}"{said} }}\n'
    return routes(behind, top + check, f'auth = "sso"\n{route}')


async def takes_all(peer: Peer) -> None:
    """A backend that says how many bytes of a body it got."""
    while True:
        head = await peer.head()
        said = lines(head)
        if said.get("expect"):
            peer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if said.get("transfer-encoding") == "chunked":
            body = await chunks(peer.reader)
        else:
            body = await peer.reader.readexactly(int(said.get("content-length", "0")))
        told = b"%d" % len(body)
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))


async def hangs(peer: Peer) -> None:
    await request(peer)
    await peer.rest()
