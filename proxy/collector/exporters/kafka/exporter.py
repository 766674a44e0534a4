"""Exporter `kafka`: batches as messages, by the queue and the retries of all network exporters.

Owns the producer. It is made at the first batch and not at the start, so that a broker that is
away holds up nothing but its own queue. What a batch looks like is said in export_kafka_messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from proxy.collector.context import Context
from proxy.collector.exporters.delivery import OtlpExporter
from proxy.collector.exporters.kafka.messages import Format, Message, messages
from proxy.collector.exporters.kafka.settings import Settings
from proxy.collector.exporters.partly import Attempt, deliver
from proxy.collector.kafka import client as kafka_client
from proxy.collector.queues.disk.queue import make_queue
from proxy.collector.retry import Backoff, backoff
from proxy.otlp.status import Outcome, Verdict, unreachable
from proxy.otlp.wire import WireError

_RECORD = 512  # bytes for what Kafka writes around a record: 61 of a batch, 21, the key
_OFFLOAD = 16 * 1024  # bytes of a request that are 3 ms of work as JSON
_CLOSING = 0.2  # seconds for a producer that has nothing to send any more


class KafkaTransport:
    """A Transport."""

    def __init__(self, settings: Settings, context: Context, backoff: Backoff) -> None:
        self._settings = settings
        self._backoff = backoff
        self._random = context.random
        self._topics = settings.topics
        self._headers = [(name, value.encode()) for name, value in settings.headers.items()]
        own = sum(len(name) + len(value) + 4 for name, value in self._headers)
        self._format = Format(
            settings.encoding == "otlp_json",
            settings.partition_traces_by_id,
            settings.max_message_bytes - _RECORD - own,
        )
        self._library: Any = None
        self._security: dict[str, Any] = {}
        self._producer: Any = None
        self._connecting = asyncio.Lock()

    async def start(self) -> None:
        self._library = kafka_client.library()
        self._security = kafka_client.security(self._settings.tls, self._settings.sasl)
        self._check_compression()

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        try:
            if self._format.as_json and len(payload) > _OFFLOAD:
                made = await asyncio.to_thread(messages, signal, payload, items, self._format)
            else:
                made = messages(signal, payload, items, self._format)
        except WireError as error:
            return Outcome(Verdict.PERMANENT, "malformed", str(error))
        topic = self._topics[signal]

        async def attempt(left: Sequence[Message]) -> Attempt[Message]:
            return await self._attempt(topic, left)

        return await deliver(made, attempt, self._backoff, self._random)

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await kafka_client.finish_producer(producer, _CLOSING)

    async def _attempt(self, topic: str, made: Sequence[Message]) -> Attempt[Message]:
        small = [m for m in made if len(m.value) <= self._format.room]
        result: Attempt[Message] = Attempt()
        if len(small) < len(made):
            result.rejected = sum(m.items for m in made) - sum(m.items for m in small)
            text = "an item exceeds max_message_bytes"
            result.trouble = Outcome(Verdict.ACCEPTED, "too_large", text)
        sent: list[tuple[Message, asyncio.Future[Any]]] = []
        error: BaseException | None = None
        try:
            async with asyncio.timeout(self._settings.timeout):
                producer = await self._connected()
                for message in small:
                    future = await producer.send(
                        topic, message.value, key=message.key, headers=self._headers
                    )
                    sent.append((message, future))
                if sent:
                    await asyncio.wait([future for _, future in sent])
        except (self._library.errors.KafkaError, OSError, TimeoutError) as caught:
            error = caught
        for message in small[len(sent) :]:
            self._judge(result, message, error or TimeoutError())
        for message, future in sent:
            failure = future.exception() if future.done() else TimeoutError()
            if failure is not None:
                self._judge(result, message, failure)
        return result

    def _judge(self, result: Attempt[Message], message: Message, error: BaseException) -> None:
        reason = kafka_client.reason(error)
        text = str(error) or f"no answer in {self._settings.timeout:g} s"
        if kafka_client.is_retriable(error) or isinstance(error, self._unsure):
            result.left.append(message)
            result.trouble = unreachable(reason, text)
        else:
            result.rejected += message.items
            result.trouble = Outcome(Verdict.PERMANENT, reason, f"{reason}: {text}")

    @property
    def _unsure(self) -> tuple[type[Exception], ...]:
        """What Kafka does not mark as worth another try, and is: nothing was refused."""
        errors = self._library.errors
        return (errors.KafkaTimeoutError, errors.KafkaConnectionError, errors.ProducerClosed)

    async def _connected(self) -> Any:
        """The producer; raises KafkaError."""
        async with self._connecting:
            if self._producer is None:
                producer = self._made()
                try:
                    await producer.start()
                except BaseException:
                    await kafka_client.finish_producer(producer, _CLOSING)
                    raise
                self._producer = producer
            return self._producer

    def _made(self) -> Any:
        settings = self._settings
        codec = settings.compression
        return self._library.AIOKafkaProducer(
            bootstrap_servers=settings.brokers,
            client_id=settings.client_id,
            acks=settings.required_acks,
            compression_type=None if codec == "none" else codec,
            max_request_size=settings.max_message_bytes,
            # Brokers measure a batch of records by what they allow a message.
            max_batch_size=settings.max_message_bytes - _RECORD,
            request_timeout_ms=int(settings.timeout * 1000),
            **self._security,
        )

    def _check_compression(self) -> None:
        """Codecs come with aiokafka's own extras; a missing one would fail at each message."""
        name = self._settings.compression
        has = getattr(self._library.codec, f"has_{name}", None)
        if has is not None and not has():
            raise ValueError(f"compression {name!r} needs another library: pip install cramjam")


def make(settings: Settings, context: Context) -> OtlpExporter:
    queue = settings.sending_queue
    patience = backoff(settings.retry_on_failure, queue)
    return OtlpExporter(
        KafkaTransport(settings, context, patience),
        make_queue(queue, context),
        patience,
        context,
        concurrency=queue.num_consumers,
    )
