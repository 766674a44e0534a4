"""A server of the pages' files, with the admin port's headers, over made-up answers."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.admin.ui import data, hub_data

FILES = Path(__file__).parents[3] / "proxy" / "admin" / "ui"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TOKEN = "let me in"
SPEED = web.AppKey("speed", list[int])


@contextlib.asynccontextmanager
async def serving(port: int = 0, token: str = "") -> AsyncIterator[str]:
    """The pages at the URL that this yields; with `token`, /api/ asks for it."""
    app = web.Application(middlewares=[guarded(token)])
    app.router.add_get("/api/{what:.*}", answer)
    app[SPEED] = [60]
    app.router.add_get("/fixture/speed/{n}", hurry)
    app.router.add_get("/demo/{what:.*}", shop)
    app.router.add_get("/ui/{path:.*}", file)
    app.router.add_post("/upstreams/{what:.*}", change)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert site._server is not None
    bound = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield f"http://127.0.0.1:{bound}"
    finally:
        await runner.cleanup()


def guarded(token: str) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        if token and request.path.startswith("/api/") and given != f"Bearer {token}":
            return web.json_response({"error": "a token is needed"}, status=401)
        return await handler(request)

    return check


async def file(request: web.Request) -> web.Response:
    path = FILES / request.match_info["path"]
    if not path.is_file():
        missing = path.suffix in (".js", ".css", ".svg")
        if missing:
            return web.Response(status=404)
        path = FILES / "index.html"
    kind = {".js": "text/javascript"}.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return web.Response(body=path.read_bytes(), content_type=kind, charset="utf-8", headers=HEADERS)


async def answer(request: web.Request) -> web.StreamResponse:
    what, query = request.match_info["what"], dict(request.query)
    if what == "tap":
        return await tap(request, query)
    found = answers(what, query)
    if found is None:
        return web.json_response({"error": f"there is no {what[:60]}"}, status=404)
    return web.json_response(found)


async def change(request: web.Request) -> web.Response:
    status, text = hub_data.change(request.path)
    return web.Response(status=status, text=text)


def answers(what: str, query: dict[str, str]) -> Any:
    if what == "info":
        return data.info()
    if what == "rates":
        return data.rates()
    if what == "traces":
        return data.traces(query)
    if what.startswith("traces/"):
        return of_trace(what.removeprefix("traces/"), query)
    return hub_data.answers(what, query)


def of_trace(which: str, query: dict[str, str]) -> Any:
    if query.get("format") == "otlp":
        return {"resourceSpans": []}
    if which == data.trace_id(5000):
        return data.large_trace()
    numbers = [n for n in range(1000) if data.trace_id(n) == which]
    return data.trace(numbers[0]) if numbers else None


async def shop(request: web.Request) -> web.Response:
    return web.Response(text="here you are")


async def hurry(request: web.Request) -> web.Response:
    request.app[SPEED][0] = int(request.match_info["n"])
    return web.Response()


async def tap(request: web.Request, query: dict[str, str]) -> web.StreamResponse:
    """As many events a second as `hurry` was told when the stream began."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    speed = request.app[SPEED][0]
    number = 0
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        while True:
            batch = []
            for _ in range(max(1, speed // 20)):
                number += 1
                event = data.request(number)
                if keeps(event, query):
                    batch.append(f"event: request\nid: {number}\ndata: {json.dumps(event)}\n\n")
            if number % 1000 == 0:
                batch.append('event: dropped\ndata: {"count": 7}\n\n')
            await response.write("".join(batch).encode() or b":\n\n")
            await asyncio.sleep(0.05)
    return response


def keeps(event: dict[str, Any], query: dict[str, str]) -> bool:
    status = query.get("status") or str(event["status"])
    return (
        event["route"] == (query.get("route") or event["route"])
        and (event["error"] != "" or query.get("error") != "true")
        and status in (str(event["status"]), f"{event['status'] // 100}xx")
        and (query.get("method") or event["method"]).upper() == event["method"]
        and fnmatch.fnmatchcase(event["path"], query.get("path") or "*")
        and event["duration_ms"] >= float(query.get("min_ms") or 0)
    )


async def main() -> None:
    async with serving(9950) as url:
        print(url + "/ui/")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
