"""A producer of Kafka that answers soon: without a broker it says so, and does not wait for one.

It connects in a task, and again whenever that fails or brokers fall silent. A message that is not
acknowledged while no broker can be reached is given up with the connection, so that it is not
written later by an old queue: what may have been written before that nobody knows, as with every
producer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from proxy import tasks
from proxy.collector.kafka import client
from proxy.collector.retry import Backoff
from proxy.config.messaging_model import Kafka
from proxy.config.syntax import parse_address
from proxy.messaging import kafka, reach
from proxy.messaging.message import Message, NotWritten, Written
from proxy.messaging.telemetry import getrandbits

log = logging.getLogger("spangate")

SOON = 0.5  # seconds without an acknowledgement after which brokers are looked at
FIRST = 3.0  # seconds that the first messages wait for the first connection
TOPICS = 1.0  # seconds between two questions for which topics there are
LARGEST = 16 * 1024 * 1024  # bytes of a dead letter, which others may have written
OVERHEAD = 64 * 1024  # bytes of a request to the broker besides the message
ENDED = "aiokafka has stopped sending: it is begun anew"

_BACKOFF = Backoff(0.1, 2.0, 0.0)


class KafkaProducer:
    """Implements message.Producer."""

    def __init__(self, name: str, settings: Kafka) -> None:
        self.place = kafka.place(settings)
        self._name = name
        self._settings = settings
        self._library = client.library()
        self._producer: Any = None  # while it is connected
        self._tried = asyncio.Event()  # a first connection has come, or failed
        self._why = ""  # why it is not; "" = it has not been tried
        self._topics: frozenset[str] = frozenset()
        self._asked = -TOPICS  # monotonic seconds of the last question for them
        self._asking = asyncio.Lock()
        self._task = tasks.spawn(self._connect(), "connect to kafka")

    async def send(
        self, topic: str, messages: Sequence[Message], fixed: bool
    ) -> list[Written | NotWritten]:
        until = time.monotonic() + self._settings.timeout
        try:
            producer = await self._ready()
            if not fixed and not await self._exists(producer, topic, until):
                raise NotWritten(404, "unknown_topic", "there is no such topic")
        except NotWritten as error:
            return [error] * len(messages)
        sending = tasks.spawn(self._send(producer, topic, messages), "send to kafka")
        while not sending.done():
            left = until - time.monotonic()
            await asyncio.wait([sending], timeout=max(0.0, min(SOON, left)))
            if sending.done():
                break
            late = time.monotonic() >= until
            if late or await self._is_lost(producer):
                await tasks.cancel(sending)
                return [_unknown(late)] * len(messages)
        outcomes: list[Written | NotWritten] = sending.result()
        return outcomes

    async def stop(self, seconds: float) -> None:
        await tasks.cancel(self._task)
        producer, self._producer = self._producer, None
        if producer is not None:
            await client.finish_producer(producer, seconds)

    async def _send(
        self, producer: Any, topic: str, messages: Sequence[Message]
    ) -> list[Written | NotWritten]:
        """In their order: the next one is queued when the library has queued the one before."""
        outcomes: list[Any] = []
        try:
            for message in messages:
                outcomes.append(await self._queued(producer, topic, message))
            return [await self._outcome(one) for one in outcomes]
        except asyncio.CancelledError:
            # Each fails by itself when the connection is given up, and asyncio would tell of all
            # that nobody has read.
            for one in outcomes:
                if isinstance(one, asyncio.Future) and not one.cancel() and not one.cancelled():
                    one.exception()
            raise

    async def _queued(self, producer: Any, topic: str, message: Message) -> Any:
        """A future of aiokafka's, or why there is none."""
        if message.value is None and message.key is None:
            return NotWritten(400, "no_key", "a tombstone needs a key")
        headers = list(message.headers)
        try:
            return await producer.send(topic, message.value, key=message.key, headers=headers)
        except Exception as error:  # noqa: BLE001 - the library's own too: of this message alone
            return error

    async def _outcome(self, queued: Any) -> Written | NotWritten:
        if isinstance(queued, NotWritten):
            return queued
        if isinstance(queued, BaseException):
            return kafka.not_written(queued)
        try:
            found = await queued
        except Exception as error:  # noqa: BLE001 - as above
            return kafka.not_written(error)
        return Written(found.partition, found.offset)

    async def _ready(self) -> Any:
        """The producer; raises NotWritten."""
        if not self._tried.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST):
                    await self._tried.wait()
        if self._producer is not None and client.has_ended(self._producer):
            await self._lose(self._producer, ENDED)
        if self._producer is None:
            raise NotWritten(503, "broker_unavailable", "there is no connection to a broker")
        return self._producer

    async def _exists(self, producer: Any, topic: str, until: float) -> bool:
        """Whether the cluster has the topic. To ask aiokafka for one that is none would wait, and
        it would ask for it for ever after."""
        if topic in self._topics:
            return True
        try:
            async with asyncio.timeout(until - time.monotonic()), self._asking:
                if topic not in self._topics and time.monotonic() - self._asked >= TOPICS:
                    found = await producer.client.fetch_all_metadata()
                    self._topics, self._asked = frozenset(found.topics()), time.monotonic()
        except (self._library.errors.KafkaError, OSError, TimeoutError) as error:
            raise kafka.not_written(error) from None
        return topic in self._topics

    async def _is_lost(self, producer: Any) -> bool:
        """Whether it is no use any more, so that we connect anew: no broker takes a connection, or
        the library's task that sends has ended, which it does not begin again."""
        if client.has_ended(producer):
            await self._lose(producer, ENDED)
            return True
        if await self._is_reachable(producer):
            return False
        who = " or ".join(self._settings.brokers)
        await self._lose(producer, f"no broker can be reached any more: look whether {who} runs")
        return True

    async def _is_reachable(self, producer: Any) -> bool:
        """Whether any broker takes a connection."""
        known = {(b.host, b.port) for b in producer.client.cluster.brokers()}
        known |= {parse_address(broker) for broker in self._settings.brokers}
        return await reach.is_any(known)

    async def _lose(self, producer: Any, why: str) -> None:
        if producer is not self._producer:
            return
        self._producer, self._why = None, why
        log.warning("queue %s: %s", self._name, why, extra={"key": "queue.lost"})
        tasks.spawn(client.finish_producer(producer, 0.0), "give up a producer")
        self._task = tasks.spawn(self._connect(), "connect to kafka")

    async def _connect(self) -> None:
        failures = 0
        while True:
            producer = self._made()
            try:
                async with asyncio.timeout(kafka.CONNECT):
                    await producer.start()
            except (self._library.errors.KafkaError, OSError, TimeoutError) as error:
                await client.finish_producer(producer, 0.0)
                failures += 1
                await self._say(error)
                pause = _BACKOFF.pause(failures, None, 0.0, lambda: getrandbits(16) / 65536)
                await asyncio.sleep(pause or 0.0)
                continue
            except BaseException:
                await client.finish_producer(producer, 0.0)
                raise
            before, self._why = self._why, ""
            self._producer = producer
            self._tried.set()
            if before:
                log.info("queue %s: connected", self._name, extra={"key": "queue.connected"})
            return

    async def _say(self, error: BaseException) -> None:
        self._tried.set()
        if not self._why:
            self._why = await reach.why(self._library, self._settings.brokers, error)
            message = "queue %s: cannot connect: %s"
            log.warning(message, self._name, self._why, extra={"key": "queue.unreachable"})

    def _made(self) -> Any:
        settings = self._settings
        codec = settings.compression
        return self._library.AIOKafkaProducer(
            **kafka.arguments(settings),
            acks="all" if settings.acks == "all" else 1,
            compression_type=None if codec == "none" else codec,
            max_request_size=max(settings.message, LARGEST) + OVERHEAD,
            linger_ms=int(settings.linger * 1000),
            request_timeout_ms=int(settings.timeout * 1000),
        )


def _unknown(late: bool) -> NotWritten:
    if late:
        return NotWritten(504, "timeout", "the broker has not acknowledged it in time")
    return NotWritten(503, "broker_unavailable", "no broker can be reached")
