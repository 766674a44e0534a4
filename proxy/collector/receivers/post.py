"""A small HTTP server for foreign formats: paths, bodies within limits, answers in plain text.

Owns the socket; what a body means is the handler's business. For OTLP itself, with its own types
and answers, there is `serve_http`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from proxy import __version__
from proxy.otlp.inflate import ENCODINGS, is_known
from proxy.otlp.inflow import Body, Inflow, Limits
from proxy.otlp.refusal import MALFORMED as NO_OTLP
from proxy.otlp.refusal import NO_CODING, STOPPING, TOO_LARGE, Reason, Refusal
from proxy.otlp.turns import Turns
from proxy.web.connection import Guards
from proxy.web.requests import coding, reader
from proxy.web.server import GuardedServer

NO_PATH = Reason(404, 12, "nothing is taken at this path")
NO_METHOD = Reason(405, 12, "not with this method")
MALFORMED = Reason(400, 3, "this cannot be read")

_HEADERS = {"Server": f"spangate/{__version__}"}


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler sees of a request."""

    content_type: str  # without parameters, in lower case
    query: Mapping[str, str]
    body: bytes  # decompressed


@dataclass(frozen=True, slots=True)
class Answer:
    """A success."""

    status: int = 202
    body: bytes = b""
    content_type: str = "text/plain"


Handler = Callable[[Call], Awaitable[Answer]]
Routes = Mapping[tuple[str, str], Handler]  # (method, path) -> handler; it raises Refusal


@dataclass(frozen=True, slots=True)
class Binding:
    host: str
    port: int
    limits: Limits
    hint: str = ""  # added to the answer for an unknown path: what to do instead
    turns: Turns = field(default_factory=Turns)


class PostServer:
    """One listening socket."""

    def __init__(self, binding: Binding, routes: Routes) -> None:
        self._binding = binding
        self._routes = routes
        self._paths = {path for _, path in routes}
        self.inflow = Inflow(binding.limits, binding.turns)
        self._server = GuardedServer(self._handle, Guards(), auto_decompress=False)
        self._stopping = False
        self._busy = 0
        self._idle = asyncio.Event()
        self.port = binding.port

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        binding = self._binding
        self.port = await self._server.start(address=(binding.host, binding.port))

    async def stop(self, deadline: float) -> None:
        """Accept nothing more, answer what is being read within `deadline` seconds."""
        self._stopping = True
        self._server.close()
        if self._busy:
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline):
                    await self._idle.wait()
        await self._server.stop(0.0)  # requests have had their time

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy += 1
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            return _refused(request, refusal)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
        headers = {"Content-Type": answer.content_type, **_HEADERS}
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            known = request.path in self._paths
            raise Refusal(NO_METHOD) if known else Refusal(NO_PATH, self._binding.hint)
        if self._stopping:
            raise Refusal(STOPPING)
        body = self._body(request)
        try:
            content = await body.read(reader(request)) if request.body_exists else b""
            return await handler(Call(request.content_type, request.query, content))
        except Refusal as refusal:
            if refusal.reason is NO_OTLP:
                raise Refusal(MALFORMED, str(refusal)) from None
            raise
        finally:
            body.close()

    def _body(self, request: web.BaseRequest) -> Body:
        encoding = coding(request)
        if not is_known(encoding):
            raise Refusal(NO_CODING)
        if (request.content_length or 0) > self.inflow.cap:
            raise Refusal(TOO_LARGE, f"{self.inflow.cap} bytes")
        return self.inflow.body(encoding)


def _refused(request: web.BaseRequest, refusal: Refusal) -> web.Response:
    reason = refusal.reason
    headers = {"Content-Type": "text/plain; charset=utf-8", **_HEADERS}
    if reason.retry:
        headers["Retry-After"] = str(max(1, round(reason.retry)))
    if reason is NO_CODING:  # RFC 9110 §15.5.16
        headers["Accept-Encoding"] = ", ".join(ENCODINGS)
    body = f"{refusal.message}\n".encode()
    response = web.Response(status=reason.http, body=body, headers=headers)
    if not request.content.at_eof():
        response.force_close()  # what is left of the body is not worth reading
    return response
