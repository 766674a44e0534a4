"""OTLP/gRPC as a server: the unary Export of each signal, with bytes in and bytes out.

Owns the grpc.aio server. The library would decompress a message before anybody could say that it
becomes too large, so that is switched off and done here, within bounds. Which coding was used is
not told then; it shows in the first bytes, with which no OTLP request can begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from proxy.otlp.grpc import METHODS
from proxy.otlp.inflow import Inflow, Limits
from proxy.otlp.partial import Rejected, response_bytes
from proxy.otlp.probe import probe
from proxy.otlp.refusal import STOPPING, UNAUTHENTICATED, Refusal, status_bytes
from proxy.otlp.server import Gate, Taker, taken
from proxy.otlp.turns import Turns

_SIGNALS = {method: signal for signal, method in METHODS.items()}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# Field 3 with wire type 7, and field 15 where there are at most a few: no Export…Request.
_CODINGS = {b"\x1f\x8b": "gzip", b"\x78\x01": "deflate", b"\x78\x5e": "deflate"}
_CODINGS |= {b"\x78\x9c": "deflate", b"\x78\xda": "deflate"}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM, read already; `client_ca` demands certificates of clients."""

    cert: bytes
    key: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """Where and how to listen."""

    host: str
    port: int
    limits: Limits
    tls: TlsFiles | None = None
    gate: Gate = field(default_factory=Gate)
    methods: Mapping[str, str] = field(default_factory=lambda: _SIGNALS)  # method -> signal
    streams: int = 128  # requests at once on one connection
    connections: int = 1000
    handshake: float = 10.0  # seconds until a connection has spoken HTTP/2
    keepalive: tuple[tuple[str, int], ...] = ()  # channel arguments, such as the age of connections
    turns: Turns = field(default_factory=Turns)


class GrpcServer:
    """One listening socket."""

    def __init__(self, binding: Binding, take: Taker) -> None:
        self._binding = binding
        self._take = take
        self.inflow = Inflow(binding.limits, binding.turns)
        self._server: grpc.aio.Server | None = None
        self._stopping = False
        self.port = binding.port

    async def start(self) -> None:
        """Raises OSError when the address cannot be had, or certificates cannot be used."""
        binding = self._binding
        address = f"[{binding.host}]" if ":" in binding.host else binding.host or "[::]"
        place = f"{address}:{binding.port}"
        if (trouble := probe(binding.host, binding.port)) is not None:
            # gRPC would say it on stderr, in C.
            raise OSError(trouble.errno, f"cannot listen on {place}: {trouble.strerror}")
        server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 0),  # somebody else's port must be an error
                ("grpc.max_receive_message_length", binding.limits.request),
                ("grpc.per_message_decompression", 0),
                ("grpc.max_concurrent_streams", binding.streams),
                ("grpc.max_metadata_size", 16 * 1024),
                # Silence costs a descriptor, and there are only so many.
                ("grpc.server_handshake_timeout_ms", int(binding.handshake * 1000)),
                ("grpc.max_allowed_incoming_connections", binding.connections),
                *binding.keepalive,
            )
        )
        server.add_generic_rpc_handlers((_Handlers(self._export, binding.methods),))
        try:
            if binding.tls is None:
                self.port = server.add_insecure_port(place)
            else:
                self.port = server.add_secure_port(place, _credentials(binding.tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {place} for gRPC: {error}") from None
        self._server = server
        await server.start()

    async def stop(self, deadline: float) -> None:
        """Accept nothing more, answer what is being read within `deadline` seconds."""
        self._stopping = True
        if self._server is not None:
            await self._server.stop(deadline)
            self._server = None

    async def _export(self, signal: str, data: bytes, context: Any) -> bytes:
        try:
            return response_bytes(await self._accept(signal, data, context))
        except Refusal as refusal:
            reason = refusal.reason
            details = (("grpc-status-details-bin", status_bytes(reason, refusal.message)),)
            await context.abort(_CODES[reason.grpc], refusal.message, trailing_metadata=details)
            raise AssertionError("abort always raises") from None

    async def _accept(self, signal: str, data: bytes, context: Any) -> Rejected | None:
        if not self._binding.gate.admits(_authorization(context)):
            raise Refusal(UNAUTHENTICATED)
        if self._stopping:
            raise Refusal(STOPPING)
        encoding = _CODINGS.get(data[:2], "")
        body = self.inflow.body(encoding)
        try:
            await body.feed(data)
            return await taken(self._take(signal, await body.finish()))
        finally:
            body.close()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """One unary handler for each signal; grpc answers UNIMPLEMENTED for the rest."""

    def __init__(self, export: Any, methods: Mapping[str, str]) -> None:
        self._handlers = {
            method: grpc.unary_unary_rpc_method_handler(_bound(export, signal))
            for method, signal in methods.items()
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)


def _bound(export: Any, signal: str) -> Any:
    async def handle(data: bytes, context: Any) -> bytes:
        return await export(signal, data, context)  # type: ignore[no-any-return]

    return handle


def _authorization(context: Any) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return value if isinstance(value, str) else value.decode("latin-1")
    return ""


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.cert)],
        root_certificates=tls.client_ca,
        require_client_auth=tls.client_ca is not None,
    )
