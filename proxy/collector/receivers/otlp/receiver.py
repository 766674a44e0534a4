"""Receiver `otlp`: OTLP by gRPC, HTTP and WebSocket, as bytes.

A request is passed on as it came, a large one in parts, and without spans whose ids are none. It is
parsed once all the same, only to be
counted and thrown away: the C library does that faster (0.5 µs a span) than our scanner counts
(0.6), and sees what the scanner does not, such as text that is not UTF-8. In a batch, one such
request would have the back end refuse everybody else's spans too. Sockets and answers are the
servers' in `proxy.otlp`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any

from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.collector.parts import TlsServer
from proxy.collector.receivers.loss import Loss
from proxy.collector.receivers.otlp.settings import Settings
from proxy.collector.receivers.portions import hand_on
from proxy.config.syntax import parse_address
from proxy.otlp import serve_grpc, serve_http
from proxy.otlp.cors import Cors
from proxy.otlp.ids import together
from proxy.otlp.inflow import Limits
from proxy.otlp.partial import Rejected
from proxy.otlp.parts import PART, Checked, Unreadable, checked, framed, parts
from proxy.otlp.refusal import MALFORMED, OVERLOADED, UNWANTED, Refusal
from proxy.otlp.server import Gate
from proxy.otlp.wire import WireError


class OtlpReceiver:
    """A Source. `servers` tell the ports that were really bound, after `start`."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._outlet = context.outlet
        self._turns = context.turns
        self._check = checked if settings.validate else framed
        self._loss = Loss(context)
        self.grpc: serve_grpc.GrpcServer | None = None
        self.http: serve_http.HttpServer | None = None

    @property
    def addresses(self) -> dict[str, int]:
        """Ports by protocol."""
        found = {"grpc": self.grpc, "http": self.http}
        return {name: server.port for name, server in found.items() if server is not None}

    async def start(self) -> None:
        settings = self._settings
        limits = Limits(settings.max_request_size, settings.max_in_flight_size)
        common: dict[str, Any] = {
            "limits": limits,
            "gate": Gate(settings.auth.bearer, settings.auth.basic),
            "turns": self._turns,
        }
        if settings.http:
            host, port = parse_address(settings.http)
            cors = settings.cors
            binding = serve_http.Binding(
                host,
                port,
                tls=_context(settings.tls) if settings.tls else None,
                cors=Cors(cors.allowed_origins, cors.allowed_headers, cors.max_age),
                websocket=settings.websocket,
                **common,
            )
            self.http = serve_http.HttpServer(binding, self._take)
            await self.http.start()
        if settings.grpc:
            host, port = parse_address(settings.grpc)
            tls = _context(settings.tls) if settings.tls else None
            address = serve_grpc.Binding(
                host, port, tls=tls, keepalive=settings.keepalive.clocks(), **common
            )
            self.grpc = serve_grpc.GrpcServer(address, self._take)
            await self.grpc.start()

    async def stop(self, deadline: float) -> None:
        servers = [server for server in (self.grpc, self.http) if server is not None]
        await asyncio.gather(*(server.stop(deadline) for server in servers))

    def _take(self, signal: Any, payload: bytes) -> Awaitable[Rejected | None] | Rejected | None:
        if not self._outlet.wants(signal):
            raise Refusal(UNWANTED)
        if signal != "profiles" and (len(payload) > PART or self._turns.is_spent()):
            return self._take_in_parts(signal, payload)
        try:
            made = self._checked(signal, payload)
            # An empty request is a success (OTLP 1.11, "Full Success").
            if made.items and not self._outlet.consume(Batch(signal, made.payload, made.items)):
                raise Refusal(OVERLOADED)
        except Unreadable:
            return self._take_in_parts(signal, payload)
        except WireError as error:
            raise Refusal(MALFORMED, str(error)) from None
        return self._loss.told(made.items, made.lost) if made.lost else None

    def _checked(self, signal: str, payload: bytes) -> Checked:
        return Checked(payload, 1) if signal == "profiles" else self._check(signal, payload)

    async def _take_in_parts(self, signal: Any, payload: bytes) -> Rejected | None:
        """All of it is valid before some of it is taken."""
        try:
            found = await self._turns.run(parts(signal, payload, self._check))
            portions = (Batch(signal, part.payload(), part.items) for part in found if part.items)
            await hand_on(self._outlet, self._turns, portions)
        except WireError as error:
            raise Refusal(MALFORMED, str(error)) from None
        lost = together(part.lost for part in found)
        return self._loss.told(sum(part.items for part in found), lost) if lost else None


def _context(tls: TlsServer) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert, tls.key)
    if tls.client_ca:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def make(settings: Settings, context: Context) -> OtlpReceiver:
    return OtlpReceiver(settings, context)
