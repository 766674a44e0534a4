"""Receiver `jaeger`: spans of Jaeger's clients by gRPC, HTTP and UDP, and remote sampling.

Turns what the servers read into OTLP batches; wire formats and the mapping are in `proxy.otlp`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

from proxy.collector.context import Context
from proxy.collector.receivers import post as serve_post
from proxy.collector.receivers.jaeger.sampling import Strategies
from proxy.collector.receivers.jaeger.settings import Settings
from proxy.collector.receivers.jaeger.udp import UdpServer
from proxy.collector.receivers.post import Answer, Call
from proxy.collector.receivers.translated import Translated, Translation, in_groups
from proxy.config.syntax import parse_address
from proxy.formats.jaeger.model import Batch, Span
from proxy.formats.jaeger.proto import POST_SPANS, read_request
from proxy.formats.jaeger.thrift import read_batch, read_emit
from proxy.formats.jaeger.thrift_protocols import Binary, Compact
from proxy.formats.jaeger.to_otlp import to_otlp
from proxy.otlp import serve_grpc
from proxy.otlp.ids import Lost
from proxy.otlp.inflow import Limits
from proxy.otlp.refusal import Reason, Refusal

_THRIFT = ("application/x-thrift", "application/vnd.apache.thrift.binary")
_NO_THRIFT = Reason(415, 3, f"Content-Type must be {' or '.join(_THRIFT)}")
_NO_SERVICE = Reason(400, 3, "name one service: GET /sampling?service=name")
_QUESTION = Limits(1024, 0)  # a question has no body


class JaegerReceiver:
    """A Source. `addresses` tells the ports that were really bound, after `start`."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._limits = Limits(settings.max_request_size, settings.max_in_flight_size)
        self._servers: dict[str, Any] = {}  # each with start, stop and port
        sampling = settings.remote_sampling
        self._strategies = Strategies(sampling) if sampling is not None else None

    @property
    def addresses(self) -> dict[str, int]:
        """Ports by the name of their setting."""
        return {name: server.port for name, server in self._servers.items()}

    async def start(self) -> None:
        settings = self._settings
        if settings.grpc:
            await self._add("grpc", self._grpc())
        if settings.thrift_http:
            await self._add("thrift_http", self._http())
        if settings.thrift_compact:
            await self._add("thrift_compact", self._udp("thrift_compact", Compact))
        if settings.thrift_binary:
            await self._add("thrift_binary", self._udp("thrift_binary", Binary))
        if settings.remote_sampling is not None:
            await self._add("remote_sampling", self._sampling(settings.remote_sampling.endpoint))

    async def stop(self, deadline: float) -> None:
        servers, self._servers = self._servers, {}
        await asyncio.gather(*(server.stop(deadline) for server in servers.values()))

    async def _add(self, name: str, server: Any) -> None:
        self._servers[name] = server
        await server.start()

    def _grpc(self) -> serve_grpc.GrpcServer:
        host, port = parse_address(self._settings.grpc)
        translated = Translated(self._context, "grpc", _from_grpc)

        async def take(signal: str, payload: bytes) -> None:
            await translated.take(payload)  # PostSpansResponse has no fields

        binding = serve_grpc.Binding(
            host,
            port,
            self._limits,
            methods={POST_SPANS: "traces"},
            keepalive=self._settings.keepalive.clocks(),
            turns=self._context.turns,
        )
        return serve_grpc.GrpcServer(binding, take)

    def _http(self) -> serve_post.PostServer:
        host, port = parse_address(self._settings.thrift_http)
        translated = Translated(self._context, "thrift_http", _from_http)

        async def take(call: Call) -> Answer:
            if call.content_type not in _THRIFT:
                raise Refusal(_NO_THRIFT)
            return await translated.answer(call.body)

        binding = serve_post.Binding(
            host, port, self._limits, "POST /api/traces", self._context.turns
        )
        return serve_post.PostServer(binding, {("POST", "/api/traces"): take})

    def _udp(self, name: str, protocol: type[Binary] | type[Compact]) -> UdpServer:
        settings = self._settings
        translated = Translated(self._context, name, partial(_from_packet, protocol))
        return UdpServer(
            parse_address(getattr(settings, name)),
            translated,
            settings.max_packet_size,
            settings.socket_buffer_size,
        )

    def _sampling(self, endpoint: str) -> serve_post.PostServer:
        host, port = parse_address(endpoint)
        strategies = cast(Strategies, self._strategies)

        async def tell(call: Call) -> Answer:
            service = call.query.get("service", "")
            if not service:
                raise Refusal(_NO_SERVICE)
            return Answer(200, strategies.find(service), "application/json")

        binding = serve_post.Binding(host, port, _QUESTION, "GET /sampling?service=name")
        return serve_post.PostServer(binding, {("GET", "/sampling"): tell})


def _from_grpc(payload: bytes) -> Translation:
    return _translation(read_request(payload))


def _from_http(payload: bytes) -> Translation:
    return _translation([read_batch(Binary(payload))])


def _from_packet(protocol: type[Binary] | type[Compact], payload: bytes) -> Translation:
    return _translation([read_emit(protocol(payload))])


def _translation(batches: list[Batch]) -> Translation:
    """Spans of one process stay together, as far as they are in one group."""

    def make(group: list[tuple[int, Span]]) -> tuple[Any, int, Lost]:
        by_process = groupby(group, itemgetter(0))
        return to_otlp((batches[n][0], [span for _, span in some]) for n, some in by_process)

    return in_groups(
        ((number, span) for number, (_, spans) in enumerate(batches) for span in spans), make
    )


def make(settings: Settings, context: Context) -> JaegerReceiver:
    return JaegerReceiver(settings, context)
