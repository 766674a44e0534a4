"""OTLP/HTTP as a server: POST of protobuf or JSON, any of the known codings; WebSocket beside it.

Owns sockets and answers; what is taken is decided by the Taker. aiohttp's low-level server is
used, since two dozen lines of dispatch cost 30 µs a request less than its router.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from proxy import __version__
from proxy.otlp import json, json_steps
from proxy.otlp.cors import Cors
from proxy.otlp.endpoint import PATHS
from proxy.otlp.inflate import ENCODINGS, is_known
from proxy.otlp.inflow import Inflow, Limits
from proxy.otlp.partial import Rejected, response_bytes, response_json
from proxy.otlp.refusal import (
    MALFORMED,
    NO_CODING,
    NO_METHOD,
    NO_PATH,
    NO_TYPE,
    STOPPING,
    TOO_LARGE,
    UNAUTHENTICATED,
    Refusal,
    status_bytes,
    status_json,
)
from proxy.otlp.serve_websocket import converse, is_upgrade
from proxy.otlp.server import Gate, Taker, taken
from proxy.otlp.turns import Turns
from proxy.otlp.wire import WireError
from proxy.web import GuardedServer, Guards, coding, reader

log = logging.getLogger("spangate")

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_SIGNALS = {f"/{path}": signal for signal, path in PATHS.items()}
_WHOLE = 16 * 1024  # bytes of JSON that are decoded in one go: above it takes over 3 ms
_SERVER = f"spangate/{__version__}"


@dataclass(frozen=True, slots=True)
class Binding:
    """Where and how to listen. `paths` are signals by path."""

    host: str
    port: int
    limits: Limits
    tls: ssl.SSLContext | None = None
    gate: Gate = field(default_factory=Gate)
    cors: Cors = field(default_factory=Cors)
    paths: Mapping[str, str] = field(default_factory=lambda: _SIGNALS)
    websocket: bool = True
    turns: Turns = field(default_factory=Turns)


class HttpServer:
    """One listening socket."""

    def __init__(self, binding: Binding, take: Taker) -> None:
        self._binding = binding
        self._take = take
        self.inflow = Inflow(binding.limits, binding.turns)
        self._server = GuardedServer(self._handle, Guards(), auto_decompress=False)
        self._sockets: set[web.WebSocketResponse] = set()
        self._stopping = False
        self.port = binding.port

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        binding = self._binding
        address = (binding.host, binding.port)
        self.port = await self._server.start(address=address, tls=binding.tls)

    async def stop(self, deadline: float) -> None:
        """Accept nothing more, answer what is being read within `deadline` seconds."""
        self._stopping = True
        self._server.close()
        for socket in list(self._sockets):
            await socket.close(code=1001, message=b"going away")
        await self._idle(deadline)
        await self._server.stop(0.1)  # requests have had their time

    async def _idle(self, deadline: float) -> None:
        end = asyncio.get_running_loop().time() + deadline
        while self.inflow.in_flight and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._answer(request)
        except Refusal as refusal:
            response = self._refused(request, refusal)
        if not response.prepared:
            self._binding.cors.mark(request, response)
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        signal = self._binding.paths.get(request.path)
        if signal is None:
            raise Refusal(NO_PATH)
        if request.method == "OPTIONS" and "Origin" in headers:
            return self._binding.cors.preflight(request)
        if not self._binding.gate.admits(headers.get("Authorization", "")):
            raise Refusal(UNAUTHENTICATED)
        if self._stopping:
            raise Refusal(STOPPING)
        if self._binding.websocket and is_upgrade(request):
            return await converse(request, signal, self.inflow, self._take, self._sockets)
        if request.method != "POST":
            raise Refusal(NO_METHOD)
        kind = request.content_type
        if kind not in (PROTOBUF, JSON):
            raise Refusal(NO_TYPE)
        rejected = await self._read(request, signal, is_json=kind == JSON)
        return web.Response(
            body=response_json(signal, rejected) if kind == JSON else response_bytes(rejected),
            headers={"Content-Type": kind, "Server": _SERVER},
        )

    async def _read(
        self, request: web.BaseRequest, signal: str, *, is_json: bool
    ) -> Rejected | None:
        encoding = coding(request)
        if not is_known(encoding):
            raise Refusal(NO_CODING)
        if (request.content_length or 0) > self.inflow.cap:
            raise Refusal(TOO_LARGE, f"{self.inflow.cap} bytes")
        body = self.inflow.body(encoding)
        try:
            payload = await body.read(reader(request))
            if is_json:
                payload = await self._from_json(signal, payload)
            return await taken(self._take(signal, payload))
        finally:
            body.close()

    async def _from_json(self, signal: str, text: bytes) -> bytes:
        try:
            if len(text) <= _WHOLE:
                await self.inflow.turns.gap()
                return json.request_from_json(signal, text)
            return await self.inflow.turns.run(json_steps.request_from_json(signal, text))
        except (WireError, KeyError) as error:
            raise Refusal(MALFORMED, str(error)) from None

    def _refused(self, request: web.BaseRequest, refusal: Refusal) -> web.Response:
        reason = refusal.reason
        as_json = request.content_type == JSON
        body = (status_json if as_json else status_bytes)(reason, refusal.message)
        kind = JSON if as_json else PROTOBUF
        headers = {"Content-Type": kind, "Server": _SERVER}
        if reason.retry:
            headers["Retry-After"] = str(max(1, round(reason.retry)))
        if reason is NO_METHOD:
            headers["Allow"] = "POST, OPTIONS"
        if reason is NO_CODING:  # RFC 9110 §15.5.16
            headers["Accept-Encoding"] = ", ".join(ENCODINGS)
        if reason is UNAUTHENTICATED:
            headers["WWW-Authenticate"] = f'{self._binding.gate.challenge} realm="otlp"'
        response = web.Response(status=reason.http, body=body, headers=headers)
        if not request.content.at_eof():
            response.force_close()  # what is left of the body is not worth reading
        return response
