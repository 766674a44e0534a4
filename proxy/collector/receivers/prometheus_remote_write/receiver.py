"""Receiver `prometheus_remote_write`: takes what a Prometheus sends, in messages 1.0 and 2.0.

Owns the socket and the answers, which are the specification's: a sender comes again for 5xx and
gives up for 4xx. Messages and their meaning are proxy.otlp's. Nothing is decompressed before the
length that it will have was read and allowed.

Source: prometheus/docs specs/prw/remote_write_spec_2_0.md, "Response", "Partial Write".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web

from proxy import __version__
from proxy.collector.batch import Batch
from proxy.collector.context import Context
from proxy.collector.exporters.prometheus.exporter import server_tls
from proxy.collector.receivers.portions import hand_on
from proxy.collector.receivers.prometheus_remote_write.settings import Settings
from proxy.config.syntax import parse_address
from proxy.errors import ConfigError, Problem
from proxy.formats.remote_write import snappy
from proxy.formats.remote_write.read import Message, portions, read_v1, read_v2
from proxy.formats.remote_write.to_otlp import Taken, Translator
from proxy.otlp.inflow import Inflow, Limits
from proxy.otlp.refusal import (
    NO_PATH,
    STOPPING,
    TOO_LARGE,
    UNAUTHENTICATED,
    UNWANTED,
    Reason,
    Refusal,
)
from proxy.otlp.server import Gate
from proxy.otlp.wire import WireError
from proxy.web.connection import Guards
from proxy.web.requests import coding, reader
from proxy.web.server import GuardedServer

OFFLOAD = 16 * 1024  # bytes, uncompressed, that are read in a thread: above it takes over 3 ms
PORTION = 512  # series, samples and histograms that are one batch
V1 = "prometheus.WriteRequest"
V2 = "io.prometheus.write.v2.Request"
_READERS: dict[str, Callable[[bytes], Message]] = {"": read_v1, V1: read_v1, V2: read_v2}

_MALFORMED = Reason(400, 3, "this is not a request of remote write")
_NO_TYPE = Reason(415, 3, f"Content-Type must be application/x-protobuf, proto={V1} or {V2}")
_NO_SNAPPY = Reason(415, 12, "Content-Encoding must be snappy")
_NO_METHOD = Reason(405, 12, "POST it")
_NOWHERE = Reason(NO_PATH.http, NO_PATH.grpc, "nothing is taken at this path")
_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"


class _Counts(NamedTuple):
    samples: int = 0
    histograms: int = 0
    exemplars: int = 0

    def plus(self, taken: Taken) -> _Counts:
        return _Counts(
            self.samples + taken.samples,
            self.histograms + taken.histograms,
            self.exemplars + taken.exemplars,
        )

    def headers(self) -> dict[str, str]:
        names = ("Samples", "Histograms", "Exemplars")
        return {_WRITTEN.format(n): str(v) for n, v in zip(names, self, strict=True)}


@dataclass(frozen=True, slots=True)
class _Result:
    counts: _Counts
    problem: str = ""


class RemoteWriteReceiver:
    """A Source. `port` is the one that was really bound, after `start`."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._gate = Gate(settings.auth.bearer, settings.auth.basic)
        limits = Limits(settings.max_request_size, settings.max_in_flight_size)
        self._inflow = Inflow(limits, context.turns)
        self._translator = Translator()
        self._server = GuardedServer(self._handle, Guards(), auto_decompress=False)
        self._stopping = False
        self.port = 0
        count = context.counters.counter
        self._malformed = count(
            "spangate.receiver.malformed", "Requests and packets that could not be read."
        )
        self._refused = count(
            "spangate.prometheus.samples.dropped", "Samples that OTLP cannot have."
        )

    async def start(self) -> None:
        try:
            snappy.load()
        except snappy.Missing as error:
            raise ConfigError([Problem("", f"{self._context.id}: {error}")]) from None
        host, port = parse_address(self._settings.endpoint)
        tls = server_tls(self._settings.tls)
        self.port = await self._server.start(address=(host, port), tls=tls)

    async def stop(self, deadline: float) -> None:
        self._stopping = True
        # A connection without a request is closed at once; the others have so long.
        await self._server.stop(min(deadline, 5.0))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            result = await self._answer(request)
        except Refusal as refusal:
            return self._refusal(request, refusal)
        headers = {"Server": f"spangate/{__version__}", **result.counts.headers()}
        if result.problem:
            return web.Response(status=400, text=f"{result.problem}\n", headers=headers)
        return web.Response(status=204, headers=headers)

    def _refusal(self, request: web.BaseRequest, refusal: Refusal) -> web.Response:
        headers = {"Server": f"spangate/{__version__}", **_Counts().headers()}
        if refusal.reason.retry:
            headers["Retry-After"] = str(max(1, round(refusal.reason.retry)))
        if refusal.reason is UNAUTHENTICATED:
            headers["WWW-Authenticate"] = f'{self._gate.challenge} realm="spangate"'
        status, text = refusal.reason.http, f"{refusal.message}\n"
        response = web.Response(status=status, text=text, headers=headers)
        if not request.content.at_eof():
            response.force_close()  # what is left of the body is not worth reading
        return response

    async def _answer(self, request: web.BaseRequest) -> _Result:
        if request.path != self._settings.path:
            raise Refusal(_NOWHERE, f"POST {self._settings.path}")
        if request.method != "POST":
            raise Refusal(_NO_METHOD)
        if not self._gate.admits(request.headers.get("Authorization", "")):
            raise Refusal(UNAUTHENTICATED)
        if self._stopping:
            raise Refusal(STOPPING)
        if not self._context.outlet.wants("metrics"):
            raise Refusal(UNWANTED)
        read = _reader(request)
        try:
            return await self._read(request, read)
        except WireError as error:
            self._malformed.add()
            raise Refusal(_MALFORMED, str(error)) from None

    async def _read(self, request: web.BaseRequest, read: Callable[[bytes], Message]) -> _Result:
        if (request.content_length or 0) > self._inflow.cap:
            raise Refusal(TOO_LARGE, f"{self._inflow.cap} bytes")
        body = self._inflow.body("")
        try:
            packed = await body.read(reader(request))
            if (size := snappy.length(packed)) > self._inflow.cap:
                raise Refusal(TOO_LARGE, f"{self._inflow.cap} bytes, uncompressed")
            body.hold(size)
            turns = self._context.turns
            if size > OFFLOAD:
                message = await turns.thread(lambda: read(snappy.decompress(packed)))
            else:
                await turns.gap()
                message = read(snappy.decompress(packed))
            return await self._take(message)
        finally:
            body.close()

    async def _take(self, message: Message) -> _Result:
        """Translate and hand on, a portion at a time."""
        turns = self._context.turns
        batches: list[Batch] = []
        counts, refused, problem = _Counts(), 0, ""
        for portion in portions(message, PORTION):
            await turns.gap()
            taken = self._translator.take(portion)
            if taken.request.items:
                made = taken.request.serialise()
                batches.append(Batch("metrics", made, taken.request.items))
            counts = counts.plus(taken)
            refused += taken.refused
            problem = taken.problem or problem
        await hand_on(self._context.outlet, turns, batches)
        if not refused:
            self._context.condition.over()
            return _Result(counts)
        self._refused.add(refused)
        self._context.condition.warn(f"{refused} samples refused: {problem}")
        return _Result(counts, f"{refused} samples refused, the last one for {problem}")


def _reader(request: web.BaseRequest) -> Callable[[bytes], Message]:
    """By Content-Type; the 1.0 specification lets senders leave the message out."""
    if coding(request) != "snappy":
        raise Refusal(_NO_SNAPPY)
    media, *parameters = request.headers.get("Content-Type", "").split(";")
    given = dict(p.strip().split("=", 1) for p in parameters if "=" in p)
    reader = _READERS.get(given.get("proto", "").strip('"'))
    if media.strip().lower() != "application/x-protobuf" or reader is None:
        raise Refusal(_NO_TYPE)
    return reader


def make(settings: Settings, context: Context) -> RemoteWriteReceiver:
    return RemoteWriteReceiver(settings, context)
