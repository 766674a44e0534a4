"""Sending to Jaeger: PostSpans of its collector, over the OTLP exporter's own gRPC channel.

One attempt, as with every Transport. What was refused for good in one part of a batch that had to
be cut is counted as rejected; a part that may be sent again makes the whole batch come again.
"""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError

from proxy.formats.jaeger.from_otlp import from_otlp
from proxy.formats.jaeger.proto import POST_SPANS
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.grpc import GrpcTransport
from proxy.otlp.messages import REQUESTS
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import Options

_OFFLOAD = 16 * 1024  # bytes that are translated in a thread: above it takes over 3 ms


class JaegerTransport:
    """A Transport."""

    __slots__ = ("_inner",)

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._inner = GrpcTransport(endpoint, options, {"traces": POST_SPANS})

    async def start(self) -> None:
        await self._inner.start()

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        try:
            if len(payload) > _OFFLOAD:
                parts = await asyncio.to_thread(_parts, payload)
            else:
                parts = _parts(payload)
        except DecodeError as error:
            return Outcome(Verdict.PERMANENT, "malformed", str(error))
        rejected = 0
        last = Outcome(Verdict.ACCEPTED)
        for part, spans in parts:
            last = await self._inner.send("traces", part, spans)
            if last.verdict is Verdict.RETRY:
                return last
            rejected += spans if last.verdict is Verdict.PERMANENT else last.rejected
        if rejected >= items and last.verdict is Verdict.PERMANENT:
            return last
        return Outcome(Verdict.ACCEPTED, last.reason, last.message, min(rejected, items))

    async def close(self) -> None:
        await self._inner.close()


def _parts(payload: bytes) -> list[tuple[bytes, int]]:
    return list(from_otlp(REQUESTS["traces"].FromString(payload)))
