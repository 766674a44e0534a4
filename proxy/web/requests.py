"""What aiohttp leaves to its users of a request: leave to send a body, and codings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web


def reader(request: web.BaseRequest) -> Callable[[], Awaitable[bytes]]:
    """What gives a body's bytes as they come, b"" at its end.

    A client that waits for leave to send it (RFC 9110 §10.1.1) gets that when it is asked for.
    """
    waits = expectation(request) and not request.content.total_bytes

    async def more() -> bytes:
        nonlocal waits
        if waits and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        waits = False
        return await request.content.readany()

    return more if waits else request.content.readany


def coding(request: web.BaseRequest) -> str:
    """Of all lines of Content-Encoding, in lower case."""
    return ", ".join(request.headers.getall("Content-Encoding", ())).strip().lower()


def expectation(request: web.BaseRequest) -> str:
    """In lower case; HTTP/1.0 has none."""
    return request.headers.get("Expect", "").strip().lower() if request.version[1] else ""
