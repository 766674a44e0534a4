"""The admin port: an aiohttp application over a View, read only.

Nothing here changes the gateway: GET and HEAD alone are allowed. Pages are plain, escaped, and
may neither be framed nor run scripts.

/         index                    /metrics  Prometheus text or OpenMetrics, by Accept
/live     200 while the hub lives  /config   the configuration in force, JSON, secrets redacted
/ready    200 or 503 with reason   /stats    workers, routes, upstreams, books, JSON
                                   /pipelines   the collector's stages, JSON
"""

from __future__ import annotations

import html
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from proxy import __version__
from proxy.admin.exposition import expose
from proxy.admin.hosts import Hosts
from proxy.admin.view import View

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGES = {
    "/live": "200 while the hub lives",
    "/ready": "200 when traffic may come, else 503 with the reason",
    "/metrics": "metrics for Prometheus; exemplars with OpenMetrics",
    "/config": "the configuration in force, secrets redacted",
    "/stats": "workers, routes, upstreams and export books",
    "/pipelines": "the collector: each stage's state, last error and throughput",
}

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Admin:
    """Serves one View on one socket."""

    __slots__ = ("_hosts", "_runner", "_view")

    def __init__(self, view: View, listen_host: str) -> None:
        self._view = view
        self._hosts = Hosts(listen_host)
        self._runner: web.AppRunner | None = None

    async def start(self, sock: socket.socket) -> None:
        """Answer on `sock`, which is bound and listening."""
        self._runner = web.AppRunner(self.app(), access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=0)
        routes: dict[str, Handler] = {
            "/": self._index,
            "/live": self._live,
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/config": self._config,
            "/stats": self._stats,
            "/pipelines": self._pipelines,
        }
        for path, handler in routes.items():
            app.router.add_get(path, handler)  # and HEAD
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._hosts.allows(request.headers.get("Host", "")):
            response: web.StreamResponse = _text(403, "this Host is not one of the admin port\n")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:  # 404, and 405 with Allow
                response = _text(error.status, f"{error.status} {error.reason}\n")
                if "Allow" in error.headers:
                    response.headers["Allow"] = error.headers["Allow"]
        response.headers.update(_HEADERS)
        return response

    async def _index(self, request: web.Request) -> web.Response:
        rows = "".join(
            f'<li><a href="{html.escape(path)}">{html.escape(path)}</a> {html.escape(what)}</li>'
            for path, what in PAGES.items()
        )
        title = html.escape(f"spangate {__version__}")
        page = f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{rows}</ul>"
        return web.Response(text=page, content_type="text/html")

    async def _live(self, request: web.Request) -> web.Response:
        return _text(200, "live\n")

    async def _ready(self, request: web.Request) -> web.Response:
        reason = self._view.unready()
        return _text(503, f"not ready: {reason}\n") if reason else _text(200, "ready\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._view.refresh()
        accept = ",".join(request.headers.getall("Accept", []))
        body, content_type = expose(self._view.series(), accept)
        response = web.Response(
            body=body, headers={"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        )
        response.enable_compression()
        return response

    async def _config(self, request: web.Request) -> web.Response:
        return _json(self._view.config())

    async def _stats(self, request: web.Request) -> web.Response:
        await self._view.refresh()
        return _json(self._view.stats())

    async def _pipelines(self, request: web.Request) -> web.Response:
        await self._view.refresh()
        return _json(self._view.pipelines())


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)


def _json(value: Mapping[str, Any]) -> web.Response:
    text = json.dumps(value, indent=2, ensure_ascii=True, default=str)
    return web.Response(text=text + "\n", content_type="application/json")
