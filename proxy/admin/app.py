"""The admin port: a View over HTTP.

No page changes the gateway: GET and HEAD alone are allowed, but for what `changes.py` guards. Pages
are plain, escaped, and may neither be framed nor run scripts.

/         index                    /metrics  Prometheus text or OpenMetrics, by Accept
/live     200 while the hub lives  /config   the configuration in force, JSON, secrets redacted
/ready    200 or 503 with reason   /stats    workers, routes, upstreams, books, JSON
/upstreams each endpoint, and why   /pipelines   the collector's stages, JSON
/ui/      pages                     /api/…   what they show, and /jaeger, /zipkin, /tempo: see.py
"""

from __future__ import annotations

import html
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from proxy import __version__
from proxy.admin.changes import RELOAD, Changes
from proxy.admin.exposition import OPENMETRICS, TEXT, lines, wants_openmetrics
from proxy.admin.gate import Gate
from proxy.admin.hosts import Hosts
from proxy.admin.page import Pages, json_pieces
from proxy.admin.see import SEEN, See
from proxy.admin.view import Hand, View
from proxy.config.model import Admin as AdminSettings
from proxy.web import GuardedServer, Guards

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
}

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


_REFUSALS = {
    400: "400 Bad Request: one Host is needed, a name or an address with or without a port\n",
    403: "403 Forbidden: this Host is not one of the admin port; `[admin] hosts` can allow it\n",
}

# An operator and some scrapers; the rest of the descriptors is for supervision.
GUARDS = Guards(connections=64)
GRACE = 1.0  # seconds that an answer gets when the port closes


class Admin:
    """Serves one View on one socket."""

    __slots__ = ("_changes", "_pages", "_routes", "_server", "_view", "gate", "hosts", "see")

    def __init__(
        self, view: View, listen_host: str, guards: Guards = GUARDS, hand: Hand | None = None
    ) -> None:
        self._view = view
        self.gate = Gate(_text, listen_host)
        self._changes = Changes(hand, _text, self.gate)
        self.hosts = Hosts(listen_host)
        self._pages = Pages()
        self.see = See(view, self.gate, _text, _HEADERS, self._pages)
        self._server = GuardedServer(self._handle, guards)
        self._routes: dict[str, Handler] = {
            "/": self._index,
            "/live": self._live,
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/config": self._config,
            "/stats": self._stats,
            "/upstreams": self._upstreams,
            "/pipelines": self._pipelines,
        }

    def configure(self, settings: AdminSettings) -> None:
        """Guard it by these from now on."""
        self.hosts.configure(settings.hosts)
        self.gate.configure(settings.token, settings.ui)

    async def start(self, sock: socket.socket) -> None:
        """Answer on `sock`, which is bound and listening."""
        await self._server.start(sock)

    async def stop(self) -> None:
        await self._server.stop(GRACE)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._routes.get(request.path)
        if refusal := self.hosts.refusal(request.headers.getall("Host", [])):
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
        return web.Response(text=page, content_type="text/html", headers=_HEADERS)

    async def _live(self, request: web.BaseRequest) -> web.StreamResponse:
        return _text(200, "live\n")

    async def _ready(self, request: web.BaseRequest) -> web.StreamResponse:
        reason = self._view.unready()
        return _text(503, f"not ready: {reason}\n") if reason else _text(200, "ready\n")

    async def _metrics(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._view.refresh()
        openmetrics = wants_openmetrics(",".join(request.headers.getall("Accept", [])))
        headers = {
            **_HEADERS,
            "Content-Type": OPENMETRICS if openmetrics else TEXT,
            "Vary": "Accept, Accept-Encoding",
        }
        pieces = lines(self._view.series(), openmetrics)
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

    async def _json(self, request: web.BaseRequest, value: Mapping[str, Any]) -> web.StreamResponse:
        headers = {
            **_HEADERS,
            "Content-Type": "application/json; charset=utf-8",
            "Vary": "Accept-Encoding",
        }
        return await self._pages.send(request, headers, json_pieces(value))


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=_HEADERS)
