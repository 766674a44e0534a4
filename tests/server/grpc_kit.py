"""A real gRPC server and real clients (grpcio) on both sides of a gateway.

The service is that of gRPC's interoperability tests in what it does; messages are bytes, so that
nothing has to be generated: what a test wants is in the request's metadata or its text.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from tests.harness import Gateway, gateway
from tests.server.tls_kit import leaf, listening, write, write_ca

SERVICE = "grpc.testing.TestService"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


class Service(grpc.GenericRpcHandler):
    """The service, and what was asked of it."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []  # metadata of each call
        self.times: list[float] = []  # that each had left
        self.ended = asyncio.Event()  # a call that waited: its client has ended it
        self.failures = 0  # calls that are UNAVAILABLE at first
        self.pushback: str | None = None

    def service(self, details: Any) -> Any:
        kinds = {
            "EmptyCall": (grpc.unary_unary_rpc_method_handler, self.unary),
            "UnaryCall": (grpc.unary_unary_rpc_method_handler, self.unary),
            "StreamingInputCall": (grpc.stream_unary_rpc_method_handler, self.collect),
            "StreamingOutputCall": (grpc.unary_stream_rpc_method_handler, self.produce),
            "FullDuplexCall": (grpc.stream_stream_rpc_method_handler, self.duplex),
        }
        service, _, method = details.method[1:].partition("/")
        if service != SERVICE or method not in kinds:
            return None
        make, handler = kinds[method]
        return make(handler)

    async def _begin(self, context: Any) -> dict[str, Any]:
        said = {str(key): value for key, value in context.invocation_metadata()}
        self.seen.append(said)
        left = context.time_remaining()
        self.times.append(-1.0 if left is None else left)
        if "x-grpc-test-echo-initial" in said:
            initial = said["x-grpc-test-echo-initial"]
            await context.send_initial_metadata((("x-grpc-test-echo-initial", initial),))
        trailing = []
        if "x-grpc-test-echo-trailing-bin" in said:
            value = said["x-grpc-test-echo-trailing-bin"]
            trailing.append(("x-grpc-test-echo-trailing-bin", value))
        if self.failures:
            self.failures -= 1
            if self.pushback is not None:
                trailing.append(("grpc-retry-pushback-ms", self.pushback))
            context.set_trailing_metadata(tuple(trailing))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "come again")
        context.set_trailing_metadata(tuple(trailing))
        return said

    async def _end(self, said: dict[str, Any], context: Any) -> None:
        if "x-sleep" in said:
            try:
                await asyncio.sleep(float(said["x-sleep"]))
            except asyncio.CancelledError:
                self.ended.set()
                raise
        if "x-code" in said:
            code = {c.value[0]: c for c in grpc.StatusCode}[int(said["x-code"])]
            message = SPECIAL if said.get("x-message") == "special" else said.get("x-message", "")
            await context.abort(code, message)

    async def unary(self, request: bytes, context: Any) -> bytes:
        said = await self._begin(context)
        await self._end(said, context)
        return bytes(int(said["x-size"])) if "x-size" in said else request

    async def collect(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        said = await self._begin(context)
        size = 0
        async for request in requests:
            size += len(request)
        await self._end(said, context)
        return str(size).encode()

    async def produce(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        said = await self._begin(context)
        for size in request.split(b",") if request else ():
            yield bytes(int(size))
        await self._end(said, context)

    async def duplex(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        said = await self._begin(context)
        async for request in requests:
            yield bytes(int(request))
        self.ended.set()  # which is all that a server of grpc.aio sees of a cancelled stream
        await self._end(said, context)


@contextlib.asynccontextmanager
async def serving(service: Service, credentials: Any = None) -> AsyncIterator[int]:
    """A server with this service; its port."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service,))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


class Caller:
    """A client's channel through the gateway, and the two beside it."""

    def __init__(self, gate: Gateway, channel: Any, service: Service) -> None:
        self.gate = gate
        self.channel = channel
        self.service = service

    def unary(self, method: str = "UnaryCall", service: str = SERVICE) -> Callable[..., Any]:
        return self.channel.unary_unary(f"/{service}/{method}")  # type: ignore[no-any-return]

    def collect(self) -> Callable[..., Any]:
        return self.channel.stream_unary(f"/{SERVICE}/StreamingInputCall")  # type: ignore[no-any-return]

    def produce(self) -> Callable[..., Any]:
        return self.channel.unary_stream(f"/{SERVICE}/StreamingOutputCall")  # type: ignore[no-any-return]

    def duplex(self) -> Callable[..., Any]:
        return self.channel.stream_stream(f"/{SERVICE}/FullDuplexCall")  # type: ignore[no-any-return]


def file(url: str, route: str = "", upstream: str = "", top: str = "", path: str = "/*") -> str:
    return f"""
[export]
otlp = "http://127.0.0.1:1"
{top}
[[route]]
name = "calls"
path = "{path}"
to = "b"
{route}
[upstream.b]
servers = ["{url}"]
protocol = "h2"
{upstream}
"""


@contextlib.asynccontextmanager
async def calling(
    route: str = "", upstream: str = "", top: str = "", path: str = "/*"
) -> AsyncIterator[Caller]:
    """In plaintext on both sides, by prior knowledge."""
    service = Service()
    async with serving(service) as port:
        config = file(f"http://127.0.0.1:{port}", route, upstream, top, path)
        async with gateway(config) as gate, channel(gate) as made:
            yield Caller(gate, made, service)


def channel(gate: Gateway) -> Any:
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
    return grpc.aio.insecure_channel(f"127.0.0.1:{gate.port}", options=options)


@contextlib.asynccontextmanager
async def calling_tls(folder: Path) -> AsyncIterator[Caller]:
    """With certificates of both ends, on both sides."""
    service = Service()
    ca = Path(write_ca(folder)).read_bytes()
    mine = leaf("127.0.0.1")
    shown = [(mine.key.read_bytes(), mine.cert.read_bytes())]
    credentials = grpc.ssl_server_credentials(shown, ca, require_client_auth=True)
    async with serving(service, credentials) as port:
        path = write_ca(folder)
        cert, file_of_key = write(folder, "gateway", "gateway.test")
        top = listening(folder, f', client_ca = "{path}"')
        tls = f'tls = {{ ca = "{path}", cert = "{cert}", key = "{file_of_key}" }}'
        config = top + file(f"https://127.0.0.1:{port}", upstream=tls)
        async with gateway(config) as gate:
            its = leaf("client.test")
            own = grpc.ssl_channel_credentials(ca, its.key.read_bytes(), its.cert.read_bytes())
            options = [("grpc.ssl_target_name_override", "gateway.test")]
            options += [("grpc.max_receive_message_length", -1)]  # type: ignore[list-item]
            async with grpc.aio.secure_channel(f"127.0.0.1:{gate.port}", own, options) as made:
                yield Caller(gate, made, service)
