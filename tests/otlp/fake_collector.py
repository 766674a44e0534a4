"""A collector in this process, on real sockets, that answers as a test tells it to.

    async with FakeCollector("grpc") as collector:
        collector.script(Answer(grpc=14), Answer(reject=2))   # in turn, then ACCEPT
        ... export to collector.endpoint ...
        await collector.wait_items("traces", 10)

`received` has every request whatever was answered, `items(signal)` counts what was accepted.
`die()` closes the port and every connection, `revive()` listens on the same port again.
"""

from __future__ import annotations

import asyncio
import gzip
import json as stdjson
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
from aiohttp import web
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from proxy.otlp import json as otlp_json
from proxy.otlp import wire
from proxy.telemetry.protobuf import delimited, varint

DEADLINE = 60.0  # seconds after which a test that waits has failed

_SERVICES = {"trace": "traces", "metrics": "metrics", "logs": "logs"}


@dataclass(frozen=True)
class Answer:
    """What to say to one request. The default accepts it."""

    http: int = 200
    grpc: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # None = what the specification asks for
    message: str = ""
    reject: int = 0  # partial success
    retry_info: float | None = None  # seconds, in grpc-status-details-bin
    hang: bool = False  # never answer

    @property
    def accepts(self) -> bool:
        return self.http == 200 and self.grpc == 0 and not self.hang


ACCEPT = Answer()
HANG = Answer(hang=True)


@dataclass(frozen=True)
class Received:
    signal: str
    payload: bytes  # protobuf, decompressed
    headers: dict[str, str]
    path: str
    size: int  # bytes on the wire


@dataclass(frozen=True)
class TlsFiles:
    """PEM files; `client_ca` = who may connect (mTLS)."""

    cert: Path
    key: Path
    client_ca: Path | None = None


class FakeCollector:
    """`protocol` is "grpc", "http" or "http+json"."""

    def __init__(self, protocol: str = "http", *, tls: TlsFiles | None = None) -> None:
        self.protocol = protocol
        self.tls = tls
        self.received: list[Received] = []
        self.accepted: dict[str, list[bytes]] = {"traces": [], "metrics": [], "logs": []}
        self.default = ACCEPT
        self.always: dict[str, Answer] = {}  # by signal; before everything else
        self.under_way = 0  # requests that wait for their answer
        self.port = 0
        self._script: deque[Answer] = deque()
        self._rejected = {"traces": 0, "metrics": 0, "logs": 0}
        self._changed = asyncio.Condition()
        self._close: Callable[[], Any] | None = None

    @property
    def endpoint(self) -> str:
        first, plus, rest = self.protocol.partition("+")
        host = "localhost" if self.tls else "127.0.0.1"
        return f"{first}{'s' if self.tls else ''}{plus}{rest}://{host}:{self.port}"

    def script(self, *answers: Answer) -> None:
        """Answers for the next requests, before `default` is in force again."""
        self._script.extend(answers)

    def items(self, signal: str) -> int:
        """Accepted, without what a partial success rejected."""
        taken = sum(wire.count(signal, payload) for payload in self.accepted[signal])
        return taken - self._rejected[signal]

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Until `condition()`, looked at after every request."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(condition)

    async def wait_items(self, signal: str, items: int) -> None:
        await self.wait(lambda: self.items(signal) >= items)

    async def wait_requests(self, requests: int) -> None:
        await self.wait(lambda: len(self.received) >= requests)

    async def __aenter__(self) -> Self:
        await self.revive()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.die()

    async def revive(self) -> None:
        start = self._serve_grpc if self.protocol == "grpc" else self._serve_http
        self._close = await start()

    async def die(self) -> None:
        if self._close is not None:
            close, self._close = self._close, None
            await close()

    async def _take(self, received: Received) -> Answer:
        self.received.append(received)
        answer = self.always.get(received.signal)
        if answer is None:
            answer = self._script.popleft() if self._script else self.default
        if answer.accepts:
            self.accepted[received.signal].append(received.payload)
            self._rejected[received.signal] += answer.reject
        async with self._changed:
            self._changed.notify_all()
        if answer.hang:
            self.under_way += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.under_way -= 1
        return answer

    # -- gRPC ---------------------------------------------------------------------------------

    async def _serve_grpc(self) -> Callable[[], Any]:
        server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 4 << 20)]
        )
        server.add_generic_rpc_handlers([_Generic(self._export)])
        address = f"127.0.0.1:{self.port}"  # `localhost` is two, of which another may have one
        if self.tls is None:
            self.port = server.add_insecure_port(address)
        else:
            ca = self.tls.client_ca
            credentials = grpc.ssl_server_credentials(
                [(self.tls.key.read_bytes(), self.tls.cert.read_bytes())],
                root_certificates=ca.read_bytes() if ca else None,
                require_client_auth=ca is not None,
            )
            self.port = server.add_secure_port(address, credentials)
        await server.start()
        return lambda: server.stop(grace=None)

    async def _export(self, method: str, payload: bytes, context: Any) -> bytes:
        signal = _SERVICES[method.split(".")[3]]
        headers = {key: str(value) for key, value in context.invocation_metadata()}
        answer = await self._take(Received(signal, payload, headers, method, len(payload)))
        if answer.grpc:
            trailers: tuple[tuple[str, bytes], ...] = ()
            if answer.retry_info is not None:
                trailers = (("grpc-status-details-bin", _status(answer)),)
            code = next(c for c in grpc.StatusCode if c.value[0] == answer.grpc)
            await context.abort(code, answer.message, trailing_metadata=trailers)
        return _response(answer)

    # -- HTTP ---------------------------------------------------------------------------------

    async def _serve_http(self) -> Callable[[], Any]:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/{path:.*}", self._post)
        runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        context = None
        if self.tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.tls.cert, self.tls.key)
            if self.tls.client_ca is not None:
                context.load_verify_locations(self.tls.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner.cleanup

    async def _post(self, request: web.Request) -> web.Response:
        size = request.content_length or 0
        body = await request.read()
        if body[:2] == b"\x1f\x8b":  # aiohttp decompresses by Content-Encoding already
            body = gzip.decompress(body)
        signal = request.path.rpartition("/")[2]
        as_json = request.content_type == "application/json"
        payload = otlp_json.request_from_json(signal, body) if as_json else body
        headers = {k.lower(): v for k, v in request.headers.items()}
        answer = await self._take(Received(signal, payload, headers, request.path, size))
        content = _json(answer, signal) if as_json else _protobuf(answer)
        return web.Response(
            status=answer.http,
            body=content if answer.body is None else answer.body,
            headers={"Content-Type": request.content_type, **answer.headers},
        )


class _Generic(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    def __init__(self, export: Callable[[str, bytes, Any], Awaitable[bytes]]) -> None:
        self._export = export

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method

        async def handle(payload: bytes, context: Any) -> bytes:
            return await self._export(method, payload, context)

        return grpc.unary_unary_rpc_method_handler(handle)


def _response(answer: Answer) -> bytes:
    if answer.body is not None:
        return answer.body
    if not answer.reject and not answer.message:
        return b""
    partial = b"\x08" + varint(answer.reject) + delimited(2, answer.message.encode())
    return delimited(1, partial)


def _status(answer: Answer) -> bytes:
    status = Status(code=answer.grpc, message=answer.message)
    if answer.retry_info is not None:
        delay = Duration()
        delay.FromNanoseconds(int(answer.retry_info * 1e9))
        packed = AnyMessage()
        packed.Pack(RetryInfo(retry_delay=delay))
        status.details.append(packed)
    return bytes(status.SerializeToString())


def _protobuf(answer: Answer) -> bytes:
    return _response(answer) if answer.http == 200 else _status(answer)


def _json(answer: Answer, signal: str) -> bytes:
    if answer.http != 200:
        return stdjson.dumps({"message": answer.message}).encode()
    if not answer.reject and not answer.message:
        return b"{}"
    key = {"traces": "Spans", "metrics": "DataPoints", "logs": "LogRecords"}[signal]
    partial = {f"rejected{key}": str(answer.reject), "errorMessage": answer.message}
    return stdjson.dumps({"partialSuccess": partial}).encode()
