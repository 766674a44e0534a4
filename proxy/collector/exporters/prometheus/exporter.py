"""Exporter `prometheus`: shows the latest values on a port of its own, to be scraped.

Owns the socket and the pace: batches are taken in portions, so that a large one does not make
others wait, and count as exported when they are on the page. What the page says, and what it
refuses, is export_prometheus_page's.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import deque
from typing import Any

from aiohttp import web

from proxy import __version__, tasks
from proxy.collector import guard
from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.exporters.prometheus.page import Page
from proxy.collector.exporters.prometheus.settings import Settings
from proxy.collector.parts import TlsServer
from proxy.config.syntax import parse_address
from proxy.formats.prometheus.series import Translation, Translator
from proxy.otlp.server import Gate
from proxy.web.connection import Guards
from proxy.web.server import GuardedServer

PORTION = 200  # points between two chances for others: 3 ms
MAX_WAITING = 16 * 1024 * 1024  # bytes of batches that are not on the page yet
PAGES = 2  # pages that are written at the same time; others wait
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class PrometheusExporter:
    """A Stage. `port` is the one that was really bound, after `start`."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._translator = Translator(translation(settings))
        self.page = Page(
            int(settings.metric_expiration * 1e9),
            settings.series_limit,
            timestamps=settings.send_timestamps,
        )
        self._gate = Gate(settings.auth.bearer, settings.auth.basic)
        self._waiting: deque[Batch] = deque()
        self._size = self._held = 0
        self._wake = asyncio.Event()
        self._closed = True
        self._worker: asyncio.Task[None] | None = None
        self._server = GuardedServer(self._handle, Guards())
        self._writing = asyncio.Semaphore(PAGES)
        self.port = 0
        gauge, page = context.counters.gauge, self.page
        gauge("spangate.prometheus.series", "Series on the page.", lambda: page.size)
        self._collisions = context.counters.counter(
            "spangate.prometheus.collisions",
            "Points of series that several resources write; the latest is shown.",
        )

    async def start(self) -> None:
        host, port = parse_address(self._settings.endpoint)
        tls = server_tls(self._settings.tls)
        self.port = await self._server.start(address=(host, port), tls=tls)
        self._closed = False
        self._worker = guard.keep(self._work, self._context.condition, f"export {self._context.id}")

    def consume(self, batch: Batch) -> bool:
        if self._closed or (self._size and self._size + batch.size > MAX_WAITING):
            return False
        batch.message()
        self._waiting.append(batch)
        self._size += batch.size
        self._held += batch.items
        self._wake.set()
        return True

    def held(self, signal: Signal) -> int:
        return self._held if signal == "metrics" else 0

    async def stop(self, deadline: float) -> None:
        self._closed = True
        await tasks.cancel(self._worker)
        self._context.ledgers["metrics"].drop(self._held, "shutdown")
        self._held = self._size = 0
        self._waiting.clear()
        await self._server.stop(min(deadline, 1.0))  # a page takes no longer

    # -- onto the page ----------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            while self._waiting:
                with guard.Guard(self._context.condition, "metrics") as guarded:
                    await self._show(self._waiting[0])
                if guarded.error is not None:
                    batch = self._waiting[0]
                    self._book(batch, 0, {guard.REASON: batch.items}, batch.items)
            self._wake.clear()
            await self._wake.wait()

    async def _show(self, batch: Batch) -> None:
        request: Any = batch.message()
        now = self._context.now_ns()
        sources = [
            hash(r.resource.SerializeToString(deterministic=True)) for r in request.resource_metrics
        ]
        points = done = collisions = 0
        collisions -= self.page.collisions
        refused: dict[str, int] = {}
        for point, number in self._translator.points(request):
            reason = "malformed"
            if point is not None:
                reason = self.page.put(point, now, sources[abs(number) - 1])
            if number < 0:
                continue  # target_info is nobody's item
            points += 1
            if reason:
                refused[reason] = refused.get(reason, 0) + 1
            else:
                done += 1
            if not points % PORTION:
                await asyncio.sleep(0)
        self.page.expire(now)
        self._complain(refused, self.page.collisions + collisions)
        self._book(batch, done, refused, points)

    def _book(self, batch: Batch, done: int, refused: dict[str, int], points: int) -> None:
        """One step: the batch leaves what is held and enters the books."""
        ledger = self._context.ledgers["metrics"]
        self._waiting.popleft()
        self._size -= batch.size
        self._held -= batch.items
        ledger.exported += done
        for reason, amount in refused.items():
            ledger.drop(amount, reason)
        # The books count what the batch claims; a claim that is wrong must not unbalance them.
        if points < batch.items:
            ledger.drop(batch.items - points, "malformed")
        else:
            ledger.created += points - batch.items

    def _complain(self, refused: dict[str, int], collisions: int) -> None:
        if refused:
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(refused.items()))
            self._context.condition.warn(f"points that cannot be shown: {reasons}")
        elif collisions > 0:
            self._context.condition.warn(
                f"{collisions} points of series that several resources write: give each a"
                " service.instance.id, or set resource_to_telemetry_conversion"
            )
        else:
            self._context.condition.over()
        self._collisions.add(max(0, collisions))

    # -- the page ---------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._gate.admits(request.headers.get("Authorization", "")):
            challenge = {"WWW-Authenticate": f'{self._gate.challenge} realm="spangate"'}
            return _plain(401, "credentials are missing or wrong", challenge)
        if request.path != self._settings.metrics_path:
            return _plain(404, f"the page is at {self._settings.metrics_path}")
        if request.method not in ("GET", "HEAD"):
            return _plain(405, "GET it", {"Allow": "GET, HEAD"})
        accept = request.headers.get("Accept", "")
        modern = self._settings.enable_open_metrics and wants_openmetrics(accept)
        zipped = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        async with self._writing:
            body = await self._body(modern, zipped)
        headers = {
            "Content-Type": OPENMETRICS if modern else TEXT,
            "Server": f"spangate/{__version__}",
            **({"Content-Encoding": "gzip"} if zipped else {}),
        }
        return web.Response(body=body, headers=headers)

    async def _body(self, openmetrics: bool, zipped: bool) -> bytes:
        self.page.expire(self._context.now_ns())
        codec = zlib.compressobj(1, wbits=31)
        parts = []
        for part in self.page.render(openmetrics):
            parts.append(codec.compress(part) if zipped else part)
            await asyncio.sleep(0)
        return b"".join(parts) + (codec.flush() if zipped else b"")


def wants_openmetrics(accept: str) -> bool:
    """Whether it is asked for, and not less than the old format (RFC 9110 §12.5.1)."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        given = dict(p.split("=", 1) for p in parameters if "=" in p)
        try:
            weight = float(given.get("q", "1"))
        except ValueError:
            continue
        if media in best and given.get("version", "") in ("", "1.0.0", "0.0.1", "0.0.4"):
            best[media] = max(best[media], weight)
    return best["application/openmetrics-text"] > 0 and (
        best["application/openmetrics-text"] >= best["text/plain"]
    )


def translation(settings: Settings) -> Translation:
    return Translation(
        suffixes=settings.translation_strategy == "UnderscoreEscapingWithSuffixes",
        namespace=settings.namespace,
        constant=settings.const_labels,
        resource_labels=settings.resource_to_telemetry_conversion.enabled,
        scope_labels=not settings.without_scope_info,
        target_info=settings.target_info,
    )


def server_tls(tls: TlsServer | None) -> ssl.SSLContext | None:
    """Raises OSError for files that cannot be used."""
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key)
    if tls.client_ca:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _plain(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{message}\n", headers=headers)


def make(settings: Settings, context: Context) -> PrometheusExporter:
    return PrometheusExporter(settings, context)
