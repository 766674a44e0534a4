"""Receiver `kafka`: messages of a consumer group, each one request.

A message is marked as read when a pipeline took it (or nobody ever will, because it is none), and
marks are committed now and then, so that what was read and lost in a crash is read again. While
the pipelines have no room, partitions are paused and what was fetched waits here. The connection
is made, and made again, in a task: a broker that is away is no reason not to start.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from proxy import tasks
from proxy.collector.batch import SIGNALS, Batch, Signal
from proxy.collector.context import Context
from proxy.collector.kafka import client as kafka_client
from proxy.collector.receivers.kafka.messages import Reader
from proxy.collector.receivers.kafka.settings import Settings
from proxy.collector.retry import Backoff
from proxy.otlp.wire import WireError

AGAIN = 0.05  # seconds between two offers to pipelines that had no room
_TURN = 0.2  # seconds that one look for messages lasts if there are none
_CONNECT = 30.0  # seconds for all of connecting
_CLOSING = 2.0  # seconds for telling the broker that we go
_BACKOFF = Backoff(0.5, 30.0, 0.0)

Wanted = dict[str, Signal]  # by topic


@dataclass(frozen=True, slots=True)
class _Entry:
    """A message that waits; `batch` None = nothing in it for a pipeline."""

    partition: Any
    next_offset: int
    batch: Batch | None


class KafkaReceiver:
    """A Source."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._outlet = context.outlet
        self._condition = context.condition
        self._random = context.random
        self._reader = Reader(settings, context)
        self._library: Any = None
        self._security: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._consumer: Any = None  # while it is connected
        self._pending: deque[_Entry] = deque()
        self._marks: dict[Any, int] = {}  # partition -> next offset to be read, not committed yet
        self._due = 0.0  # loop time of the next commit
        self._stopping = False
        self._end = math.inf
        self._lag = 0
        context.counters.gauge(
            "otelcol_kafka_receiver_offset_lag", "Messages not read yet.", lambda: self._lag
        )

    async def start(self) -> None:
        self._library = kafka_client.library()
        self._security = kafka_client.security(self._settings.tls, self._settings.sasl)
        self._task = tasks.spawn(self._run(), "receive kafka")

    async def stop(self, deadline: float) -> None:
        self._stopping = True
        self._end = asyncio.get_running_loop().time() + deadline
        if self._task is not None and self._consumer is not None:
            await asyncio.wait([self._task], timeout=deadline + 1.0)
        await tasks.cancel(self._task)

    async def _run(self) -> None:
        failures = 0
        while not self._stopping:
            wanted = self._wanted()
            if not wanted:
                await asyncio.sleep(1.0)  # a reload may bring a pipeline
                continue
            try:
                await self._session(wanted)
                failures = 0
            except (self._library.errors.KafkaError, OSError, TimeoutError) as error:
                failures += 1
                self._condition.warn(f"{kafka_client.reason(error)}: {error}")
                pause = _BACKOFF.pause(failures, None, 0.0, self._random)
                await asyncio.sleep(pause or 0.0)

    def _wanted(self) -> Wanted:
        topics = self._settings.topics
        return {topics[signal]: signal for signal in SIGNALS if self._outlet.wants(signal)}

    async def _session(self, wanted: Wanted) -> None:
        """One connection, until we stop, it breaks, or pipelines want something else."""
        consumer = self._made()
        try:
            async with asyncio.timeout(_CONNECT):
                await consumer.start()
            listener = _listener(self._library, self)
            consumer.subscribe(topics=list(wanted), listener=listener)
            self._consumer = consumer
            self._condition.over("reading")
            while not self._stopping and self._wanted() == wanted:
                await self._turn(consumer, wanted)
        finally:
            self._consumer = None
            await self._finish(consumer)

    def _made(self) -> Any:
        settings = self._settings
        return self._library.AIOKafkaConsumer(
            bootstrap_servers=settings.brokers,
            client_id=settings.client_id,
            group_id=settings.group_id,
            auto_offset_reset=settings.initial_offset,
            enable_auto_commit=False,
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_interval * 1000),
            fetch_max_wait_ms=int(settings.max_fetch_wait * 1000),
            fetch_max_bytes=settings.max_fetch_size,
            max_partition_fetch_bytes=settings.max_partition_fetch_size,
            **self._security,
        )

    async def _turn(self, consumer: Any, wanted: Wanted) -> None:
        """Look for messages, which is also how the group sees that we live, and hand them on."""
        wait = AGAIN if self._pending else _TURN
        found = await consumer.getmany(timeout_ms=int(wait * 1000))
        for partition, records in found.items():
            for record in records:
                batch = await self._reader.read(wanted[record.topic], record)
                if partition in consumer.assignment():
                    self._pending.append(_Entry(partition, record.offset + 1, batch))
                    if not self._settings.message_marking.after:
                        self._marks[partition] = record.offset + 1
        self._hand_on()
        if self._pending:
            consumer.pause(*consumer.assignment())
        else:
            consumer.resume(*consumer.paused())
        self._lag = _lag(consumer)
        await self._commit_if_due(consumer)

    def _hand_on(self) -> None:
        while self._pending:
            entry = self._pending[0]
            try:
                if entry.batch is not None and not self._outlet.consume(entry.batch):
                    return
            except WireError as error:
                assert entry.batch is not None
                self._reader.refuse(entry.batch.signal, str(error))
            self._pending.popleft()
            if self._settings.message_marking.after:
                self._marks[entry.partition] = entry.next_offset

    async def _commit_if_due(self, consumer: Any) -> None:
        now = asyncio.get_running_loop().time()
        if self._marks and now >= self._due:
            autocommit = self._settings.autocommit
            self._due = now + (autocommit.interval if autocommit.enable else 0.0)
            await self.commit(consumer)

    async def commit(self, consumer: Any) -> None:
        """Tell the broker how far we are; what fails is said, and read again by the next one."""
        mine = consumer.assignment()
        marks = {p: offset for p, offset in self._marks.items() if p in mine}
        self._marks.clear()
        if not marks:
            return
        try:
            await consumer.commit(marks)
        except self._library.errors.KafkaError as error:
            self._condition.warn(f"cannot commit: {kafka_client.reason(error)}: {error}")
            self._marks = {**marks, **self._marks}

    async def release(self, partitions: Any) -> None:
        """Partitions go to another member: it reads on from what we commit."""
        self._pending = deque(e for e in self._pending if e.partition not in partitions)
        if self._consumer is not None:
            await self.commit(self._consumer)
        for partition in partitions:
            self._marks.pop(partition, None)

    async def _finish(self, consumer: Any) -> None:
        """What waits here was not marked, so that it is read again."""
        left = min(_CLOSING, max(0.0, self._end - asyncio.get_running_loop().time()))
        self._pending.clear()
        try:
            async with asyncio.timeout(left):
                await self.commit(consumer)
        except TimeoutError:
            self._condition.warn("no time to commit: some messages will be read again")
        self._marks.clear()
        left = min(_CLOSING, max(0.0, self._end - asyncio.get_running_loop().time()))
        await kafka_client.finish_consumer(consumer, left)


def _lag(consumer: Any) -> int:
    """Of all partitions, as far as the broker has told."""
    total = 0
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        state = consumer._subscription.subscription.assignment.state_value(partition)
        if end is not None and state.has_valid_position:
            total += max(0, end - state.position)
    return total


def _listener(library: Any, receiver: KafkaReceiver) -> Any:
    """aiokafka takes only a subclass of its own, which is not there before it is imported."""

    class Listener(library.abc.ConsumerRebalanceListener):  # type: ignore[misc]
        async def on_partitions_revoked(self, revoked: Any) -> None:
            await receiver.release(revoked)

        async def on_partitions_assigned(self, assigned: Any) -> None:
            return None

    return Listener()


def make(settings: Settings, context: Context) -> KafkaReceiver:
    return KafkaReceiver(settings, context)
