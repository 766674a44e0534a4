"""Kafka's messages as batches: decoded, counted, with headers in the resource if wanted.

A message that is no request is counted and passed over: whoever waits for it to become one waits
for ever. What OTLP's own receiver would leave out is left out here as well. Partitions and offsets
are not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.editing.splice import edit_resources
from proxy.collector.receivers.kafka.settings import Settings
from proxy.collector.receivers.loss import Loss
from proxy.otlp.ids import together
from proxy.otlp.json_steps import request_from_json
from proxy.otlp.parts import parts
from proxy.otlp.wire import WireError
from proxy.telemetry import protobuf

_HEADER = "kafka.header."


class Reader:
    """Reads what came from one broker."""

    __slots__ = ("_condition", "_counters", "_json", "_loss", "_messages", "_names", "_turns")

    def __init__(self, settings: Settings, context: Context) -> None:
        extraction = settings.header_extraction
        self._names = frozenset(extraction.headers if extraction.extract_headers else ())
        self._json = settings.encoding == "otlp_json"
        self._condition = context.condition
        self._counters = context.counters
        self._loss = Loss(context)
        self._turns = context.turns
        self._messages = context.counters.counter(
            "otelcol_kafka_receiver_messages", "Messages that came."
        )

    async def read(self, signal: Signal, record: Any) -> Batch | None:
        """None for a message with nothing in it, or that is none."""
        self._messages.add()
        value = record.value or b""  # None is a tombstone
        try:
            return await self._batch(signal, value, record.headers)
        except WireError as error:
            where = f"{record.topic}/{record.partition} at {record.offset}"
            self.refuse(signal, f"{where}: {error}")
            return None

    def refuse(self, signal: Signal, why: str) -> None:
        self._condition.warn(f"a message is no request and was passed over: {why}")
        self._counters.counter(
            "otelcol_kafka_receiver_unmarshal_failed",
            "Messages that were no requests.",
            otel_signal=signal,
        ).add()

    async def _batch(
        self, signal: Signal, value: bytes, headers: Iterable[tuple[str, bytes]]
    ) -> Batch | None:
        if signal == "profiles":
            if self._json:
                raise WireError("profiles are read as otlp_proto only")
            return Batch(signal, value, 1) if value else None
        if self._json and value:
            value = await self._turns.run(request_from_json(signal, value))
        found = await self._turns.run(parts(signal, value))
        self._loss.count(together(part.lost for part in found))
        items = sum(part.items for part in found)
        if not items:
            return None
        payload = value
        if any(part.mended is not None for part in found):
            payload = b"".join(part.payload() for part in found)
        if self._names:
            payload = self._with_headers(payload, headers)
        return Batch(signal, payload, items)

    def _with_headers(self, payload: bytes, headers: Iterable[tuple[str, bytes]]) -> bytes:
        """Resources with an attribute for each header; the last of several of one name."""
        found = {
            f"{_HEADER}{name}": protobuf.text(value or b"").decode()
            for name, value in headers
            if name in self._names
        }
        more = protobuf.attributes(1, found.items())
        return edit_resources(payload, lambda resource: resource + more) if more else payload
