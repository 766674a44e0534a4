"""OTLP/HTTP as a server: POST of protobuf or JSON, any of the known codings; WebSocket beside it.

Owns sockets and answers; what is taken is decided by the Taker. aiohttp's low-level server is
used, since two dozen lines of dispatch cost 30 µs a request less than its router.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from functools import partial

from aiohttp import web

from proxy.otlp import answers, json, json_steps
from proxy.otlp.answers import JSON, PROTOBUF
from proxy.otlp.cors import Cors
from proxy.otlp.endpoint import PATHS
from proxy.otlp.express import Ask, Express, Terms
from proxy.otlp.inflate import at_once, is_known
from proxy.otlp.inflow import Inflow, Limits
from proxy.otlp.partial import Rejected
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
)
from proxy.otlp.serve_websocket import converse, is_upgrade
from proxy.otlp.server import Gate, Taker, taken
from proxy.otlp.turns import Turns
from proxy.otlp.wire import WireError
from proxy.web.connection import Guards
from proxy.web.requests import coding, reader
from proxy.web.server import GuardedServer

log = logging.getLogger("spangate")

Pending = Awaitable[Rejected | None]

_SIGNALS = {f"/{path}": signal for signal, path in PATHS.items()}
_WHOLE = 16 * 1024  # bytes of JSON that are decoded in one go: above it takes over 3 ms


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
        paths = {path.encode(): signal for path, signal in binding.paths.items()}
        terms = Terms(paths, binding.gate, self.inflow, self)
        self._server = GuardedServer(
            self._handle, Guards(), partial(Express, terms), auto_decompress=False
        )
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

    # ordinary requests, which are whole already

    @property
    def is_open(self) -> bool:
        return not self._stopping

    def reply(self, ask: Ask, body: bytes) -> bytes | Awaitable[bytes]:
        held = 0
        try:
            text = None if self.inflow.turns.is_spent() else at_once(ask.encoding, body)
            if text is None:
                return self._reply_later(ask, body)
            self.inflow.take(len(text))
            held = len(text)
            payload = json.ordinary(ask.signal, text) if ask.is_json else text
            found = (
                self._take(ask.signal, payload) if payload is not None else self._accept(ask, text)
            )
            if found is None or isinstance(found, Rejected):
                return _success(ask, found)
            pending, held = self._reply_when(ask, found, held), 0
            return pending
        except Refusal as refusal:
            return self._failure(ask, refusal)
        finally:
            self.inflow.in_flight -= held

    async def _reply_later(self, ask: Ask, data: bytes) -> bytes:
        body = self.inflow.body(ask.encoding)
        try:
            await body.feed(data)
            return await self._reply_when(ask, self._accept(ask, await body.finish()))
        except Refusal as refusal:
            return self._failure(ask, refusal)
        finally:
            body.close()

    async def _reply_when(self, ask: Ask, pending: Pending, held: int = 0) -> bytes:
        try:
            return _success(ask, await pending)
        except Refusal as refusal:
            return self._failure(ask, refusal)
        finally:
            self.inflow.in_flight -= held

    def _failure(self, ask: Ask, refusal: Refusal) -> bytes:
        challenge = self._binding.gate.challenge
        return answers.encoded(answers.refused(refusal, challenge, is_json=ask.is_json))

    # all others

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
        answer = answers.taken(signal, rejected, is_json=kind == JSON)
        return web.Response(body=answer.body, headers=answer.headers)

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
            return await self._accept(Ask(signal, is_json, encoding), payload)
        finally:
            body.close()

    async def _accept(self, ask: Ask, payload: bytes) -> Rejected | None:
        if ask.is_json:
            payload = await self._from_json(ask.signal, payload)
        return await taken(self._take(ask.signal, payload))

    async def _from_json(self, signal: str, text: bytes) -> bytes:
        try:
            if len(text) <= _WHOLE:
                await self.inflow.turns.gap()
                return json.request_from_json(signal, text)
            return await self.inflow.turns.run(json_steps.request_from_json(signal, text))
        except (WireError, KeyError) as error:
            raise Refusal(MALFORMED, str(error)) from None

    def _refused(self, request: web.BaseRequest, refusal: Refusal) -> web.Response:
        is_json = request.content_type == JSON
        answer = answers.refused(refusal, self._binding.gate.challenge, is_json=is_json)
        response = web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        if not request.content.at_eof():
            response.force_close()  # what is left of the body is not worth reading
        return response


def _success(ask: Ask, rejected: Rejected | None) -> bytes:
    return answers.encoded(answers.taken(ask.signal, rejected, is_json=ask.is_json))
