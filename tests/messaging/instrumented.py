"""`python -m tests.messaging.instrumented produce|consume BROKER TOPIC`: another service, whose
Kafka client is instrumented by OpenTelemetry; prints its spans as JSON.

A process of its own, since instrumentation changes a library for all who use it.
"""

from __future__ import annotations

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


async def produce(broker: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"1", key=b"k")
    finally:
        await producer.stop()


async def consume(broker: str, topic: str) -> None:
    reader = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest")
    await reader.start()
    try:
        await reader.getone()
    finally:
        await reader.stop()


def main() -> None:
    what, broker, topic = sys.argv[1:]
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    AIOKafkaInstrumentor().instrument(tracer_provider=provider)
    asyncio.run({"produce": produce, "consume": consume}[what](broker, topic))
    told = [
        {
            "kind": span.kind.name,
            "trace": f"{span.context.trace_id:032x}",
            "span": f"{span.context.span_id:016x}",
            "parent": f"{span.parent.span_id:016x}" if span.parent is not None else "",
        }
        for span in exporter.get_finished_spans()
    ]
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
