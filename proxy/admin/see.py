"""See: everything below /ui/ and /api/, and what peers' tools ask below /jaeger, /zipkin, /tempo.

Who may see it is the gate's to say; what there is, the View's. Nothing here changes anything.

Files of the pages are for everybody who reaches the port: they say nothing, and ask for the token
by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from proxy import __version__
from proxy.admin import api, live
from proxy.admin.files import PREFIX, Files
from proxy.admin.gate import Gate
from proxy.admin.page import Pages
from proxy.admin.pieces import json_pieces
from proxy.admin.view import View

SEEN = frozenset(("ui", "api", "jaeger", "zipkin", "tempo"))  # first segments of its paths
JSON = "application/json; charset=utf-8"

Answer = Callable[[int, str], web.Response]


class See:
    """That of one admin port."""

    __slots__ = ("_answer", "_headers", "_pages", "_view", "files", "gate")

    def __init__(
        self, view: View, gate: Gate, answer: Answer, headers: Mapping[str, str], pages: Pages
    ) -> None:
        self._view = view
        self._answer = answer
        self._headers = headers
        self._pages = pages
        self.gate = gate
        self.files = Files()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Its Host has been looked at."""
        if closed := self.gate.closed():
            return closed
        if request.method not in ("GET", "HEAD"):
            response = self._answer(405, "405 Method Not Allowed\n")
            response.headers["Allow"] = "GET,HEAD"
            return response
        if request.path == "/ui":
            return web.Response(status=308, headers={**self._headers, "Location": PREFIX})
        if request.path.startswith(PREFIX):
            return self.files.answer(request, origins(self._view.info()))
        if unseen := self.gate.unseen(request):
            return unseen
        if request.path == "/api/tap":
            return await self._tap(request)
        return await self._data(request)

    async def _data(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/api/info":
            return self._json(200, {"version": __version__, "ui": True, **self._view.info()})
        if (known := await api.answer(self._view, request.path, request.query)) is not None:
            status, value = known
            if status != 200:
                return self._json(status, value)
            headers = {**self._headers, "Content-Type": JSON, "Vary": "Accept-Encoding"}
            return await self._pages.send(request, headers, json_pieces(value))
        accept = ",".join(request.headers.getall("Accept", []))
        status, content_type, body = await self._view.ask(request.path_qs, accept)
        response = web.Response(
            status=status, body=body, headers={**self._headers, "Content-Type": content_type}
        )
        response.headers["Vary"] = "Accept, Accept-Encoding"
        if len(body) > 1024:
            response.enable_compression()
        return response

    async def _tap(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={**self._headers, "Content-Type": live.TYPE})
        limit = request.query.get("limit", "")
        line = live.Line(int(limit) if limit.isascii() and limit.isdigit() else 0)
        try:
            end = await self._view.tap(request.query_string, line.tell)
        except ValueError as error:
            return self._json(400, {"error": str(error)})
        try:
            return await live.send(request, self._headers, line)
        finally:
            end()

    def _json(self, status: int, value: Mapping[str, Any]) -> web.Response:
        return web.Response(
            status=status,
            body=json.dumps(value).encode(),
            headers={**self._headers, "Content-Type": JSON},
        )


def origins(info: Mapping[str, Any]) -> list[str]:
    """Whom the buttons of a demo ask."""
    requests = (info.get("demo") or {}).get("requests", ())
    urls = [urlsplit(request["url"]) for request in requests]
    return sorted({f"{url.scheme}://{url.netloc}" for url in urls})
