"""Receiver `zipkin`: spans of Zipkin's clients, JSON and protobuf of its v2 API, JSON of v1.

Thrift of v1 is not spoken. Formats are in `proxy.otlp`.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.collector.context import Context
from proxy.collector.receivers.post import Answer, Binding, Call, PostServer
from proxy.collector.receivers.translated import Translated, Translation, in_groups
from proxy.collector.receivers.zipkin.settings import Settings
from proxy.config.syntax import parse_address
from proxy.formats.zipkin.model import Span, read_json, read_proto
from proxy.formats.zipkin.to_otlp import to_otlp
from proxy.formats.zipkin.v1 import read_json as read_old
from proxy.otlp.inflow import Limits
from proxy.otlp.refusal import Reason, Refusal

PATH = "/api/v2/spans"
_OLD_PATH = "/api/v1/spans"
_NO_THRIFT = Reason(415, 3, "of the v1 API only JSON is spoken here: POST application/json")
_THRIFT = ("application/x-thrift", "application/vnd.apache.thrift.binary")
_PROTOBUF = "application/x-protobuf"
_NO_TYPE = Reason(415, 3, "Content-Type must be application/json or application/x-protobuf")

Read = Callable[[bytes], list[Span]]


class ZipkinReceiver:
    """A Source. `port` is what was really bound, after `start`."""

    def __init__(self, settings: Settings, context: Context) -> None:
        host, port = parse_address(settings.endpoint)
        limits = Limits(settings.max_request_size, settings.max_in_flight_size)
        turns = context.turns
        self._now = context.now_ns
        self._parse_tags = settings.parse_string_tags
        self._old = Translated(context, "json_v1", self._translation(read_old))
        self._json = Translated(context, "json", self._translation(read_json))
        self._proto = Translated(context, "protobuf", self._translation(read_proto))
        self._server = PostServer(
            Binding(host, port, limits, f"POST {PATH}", turns),
            {("POST", PATH): self._take, ("POST", _OLD_PATH): self._take_old},
        )

    @property
    def port(self) -> int:
        return self._server.port

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, deadline: float) -> None:
        await self._server.stop(deadline)

    async def _take(self, call: Call) -> Answer:
        if call.content_type in _THRIFT:
            raise Refusal(_NO_TYPE)
        # Whatever else it is called is JSON, as for Zipkin's own server and other collectors: a
        # browser sends text/plain, so that it need not ask whether it may.
        translated = self._proto if call.content_type == _PROTOBUF else self._json
        return await translated.answer(call.body)

    async def _take_old(self, call: Call) -> Answer:
        if call.content_type in (*_THRIFT, _PROTOBUF):
            raise Refusal(_NO_THRIFT)
        return await self._old.answer(call.body)

    def _translation(self, read: Read) -> Callable[[bytes], Translation]:
        def translate(payload: bytes) -> Translation:
            now = self._now()
            return in_groups(
                read(payload), lambda spans: to_otlp(spans, now, parse_tags=self._parse_tags)
            )

        return translate


def make(settings: Settings, context: Context) -> ZipkinReceiver:
    return ZipkinReceiver(settings, context)
