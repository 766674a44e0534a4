"""What the admin port shows: a View over HTTP.

No page changes the gateway: GET and HEAD alone are allowed, but for what `changes.py` guards. Pages
are plain, escaped, and may neither be framed nor run scripts.

/         index                    /metrics  Prometheus text or OpenMetrics, by Accept
/live     200 while the hub lives  /config   the configuration in force, JSON, secrets redacted
/ready    200 or 503 with reason   /stats    workers, routes, upstreams, books, JSON
/upstreams each endpoint, and why   /pipelines   the collector's stages, JSON
/mesh     a sidecar's identity and peers, JSON; /mesh/redirect   how traffic gets to it
/ui/      pages                     /api/…   what they show, and /jaeger, /zipkin, /tempo: see.py
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from proxy import __version__
from proxy.admin.changes import RELOAD, Changes
from proxy.admin.gate import Gate
from proxy.admin.hosts import Hosts
from proxy.admin.page import Pages
from proxy.admin.pieces import Turns, json_pieces
from proxy.admin.quick import HEADERS, LIVE, METRICS, READY, REDIRECT, metrics, short
from proxy.admin.see import SEEN, See
from proxy.admin.view import Hand, View

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

PAGES = {
    "/ui/": "requests as they come, traces, map, doctor: everything to be looked at",
    "/live": "200 while the hub lives",
    "/ready": "200 when traffic may come, else 503 with the reason",
    "/metrics": "metrics for Prometheus; exemplars with OpenMetrics",
    "/config": "the configuration in force, secrets redacted",
    "/stats": "workers, routes, upstreams and export books",
    "/upstreams": "each endpoint with its state, and why it is so",
    "/pipelines": "the collector: each stage's state, last error and throughput",
    "/mesh": "who this sidecar is, whom it trusts, and its peers",
}

_REFUSALS = {
    400: "400 Bad Request: one Host is needed, a name or an address with or without a port\n",
    403: "403 Forbidden: this Host is not one of the admin port; `[admin] hosts` can allow it\n",
}


class Site:
    """One View, for those whose Host is right, by aiohttp."""

    __slots__ = ("_changes", "_hosts", "_pages", "_routes", "_view", "gate", "see")

    def __init__(
        self, view: View, hosts: Hosts, listen_host: str, hand: Hand | None, turns: Turns
    ) -> None:
        self._view = view
        self._hosts = hosts
        self._pages = Pages(turns)
        self.gate = Gate(_text, listen_host)
        self._changes = Changes(hand, _text, self.gate)
        self.see = See(view, self.gate, _text, HEADERS, self._pages)
        self._routes: dict[str, Handler] = {
            "/": self._index,
            LIVE: self._short,
            READY: self._short,
            REDIRECT: self._short,
            METRICS: self._metrics,
            "/config": self._config,
            "/stats": self._stats,
            "/upstreams": self._upstreams,
            "/pipelines": self._pipelines,
            "/mesh": self._mesh,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer it."""
        handler = self._routes.get(request.path)
        if refusal := self._hosts.refusal(request.headers.getall("Host", [])):
            return _text(refusal, _REFUSALS[refusal])
        if request.path == RELOAD or request.path.startswith("/upstreams/"):
            return await self._changes.handle(request)
        if request.path.removeprefix("/").partition("/")[0] in SEEN:
            return await self.see.handle(request)
        if handler is None:
            return _text(404, "404 Not Found\n")
        if request.method not in ("GET", "HEAD"):
            response = _text(405, "405 Method Not Allowed\n")
            response.headers["Allow"] = "GET,HEAD"
            return response
        return await handler(request)

    async def _index(self, request: web.BaseRequest) -> web.StreamResponse:
        rows = "".join(
            f'<li><a href="{html.escape(path)}">{html.escape(path)}</a> {html.escape(what)}</li>'
            for path, what in PAGES.items()
        )
        title = html.escape(f"spangate {__version__}")
        page = f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{rows}</ul>"
        return web.Response(text=page, content_type="text/html", headers=HEADERS)

    async def _short(self, request: web.BaseRequest) -> web.StreamResponse:
        status, kind, text = short(request.path, self._view)
        headers = {**HEADERS, "Content-Type": kind}
        return web.Response(status=status, text=text, headers=headers)

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._view.refresh()
        headers, pieces = metrics(self._view, ",".join(request.headers.getall("Accept", [])))
        return await self._pages.send(request, headers, pieces)

    async def _config(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._json(request, self._view.config())

    async def _stats(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._view.refresh()
        return await self._json(request, self._view.stats())

    async def _upstreams(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._view.refresh()
        return await self._json(request, self._view.upstreams())

    async def _pipelines(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._view.refresh()
        return await self._json(request, self._view.pipelines())

    async def _mesh(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._view.refresh()
        return await self._json(request, self._view.mesh())

    async def _json(self, request: web.BaseRequest, value: Mapping[str, Any]) -> web.StreamResponse:
        headers = {
            **HEADERS,
            "Content-Type": "application/json; charset=utf-8",
            "Vary": "Accept-Encoding",
        }
        return await self._pages.send(request, headers, json_pieces(value))


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=HEADERS)
