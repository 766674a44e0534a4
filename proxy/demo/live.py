"""What a browser sees of the shop: a page, and in it a stream of events and a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path

from aiohttp import WSMsgType, web

PAGE = Path(__file__).with_name("page.html")
EVERY = 2.0  # seconds between two events


def add(app: web.Application) -> None:
    """Serve all three."""
    app.router.add_get("/", page)
    app.router.add_get("/events", events)
    app.router.add_get("/talk", talk)


async def page(request: web.Request) -> web.Response:
    return web.Response(text=PAGE.read_text(), content_type="text/html")


async def events(request: web.Request) -> web.StreamResponse:
    """Orders as they come in, made up, for as long as somebody listens."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    response.headers["cache-control"] = "no-store"
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # nobody listens any more
        for number in itertools.count(1):
            await response.write(f"id: {number}\ndata: order {number} for a teapot\n\n".encode())
            await asyncio.sleep(EVERY)
    return response


async def talk(request: web.Request) -> web.WebSocketResponse:
    """Says everything back."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(f"the shop heard: {message.data}")
    return socket
