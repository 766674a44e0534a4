"""A member of a group of Kafka that commits what was processed, and nothing else.

Offsets are ours (`order.Offsets`): a partition's is committed up to the first message that is not
done. Before partitions go to another member, what is under way of them is ended and committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from proxy.collector.kafka import client
from proxy.collector.retry import Backoff
from proxy.config.messaging_model import Consume, Kafka
from proxy.messaging import kafka, reach
from proxy.messaging.commits import Commits
from proxy.messaging.message import Gone, Part, Taken
from proxy.messaging.order import Offsets
from proxy.messaging.telemetry import getrandbits

log = logging.getLogger("spangate")

ANSWER = 5.0  # seconds for small questions: offsets, a commit
CAREFUL = 0.05  # seconds between two looks where each partition is asked alone

_BACKOFF = Backoff(0.2, 5.0, 0.0)


class KafkaConsumer:
    """Implements message.Consumer."""

    def __init__(self, settings: Kafka, said: Consume) -> None:
        self.place = kafka.place(settings)
        self.gone: Gone | None = None
        self._settings = settings
        self._said = said
        self._library = client.library()
        self._consumer: Any = None  # while it is connected
        self._offsets: dict[Part, Offsets] = {}
        self._moved: set[Part] = set()  # since the last commit
        self._commits = Commits(said.name)
        self._failures = 0
        # Once reading has failed with no error of Kafka's:
        self._is_careful = False
        self._unread: set[Any] = set()  # partitions that cannot be read, until they are anew
        self._first = 0

    async def take(self, most: int, seconds: float) -> list[Taken]:
        try:
            consumer = self._consumer or await self._connect()
            found = await self._got(consumer, most, seconds)
        except (self._library.errors.KafkaError, OSError, TimeoutError) as error:
            told = await self._why(error)
            await self._lose()
            raise OSError(told) from None
        except Exception as error:  # what it had in its hands it does not give again
            self._is_careful = True
            await self._lose()
            raise OSError(f"aiokafka cannot read what is there: {error!r}") from error
        self._failures = 0
        mine = consumer.assignment()
        return [
            self._taken(record) for part, some in found.items() if part in mine for record in some
        ]

    async def _got(self, consumer: Any, most: int, seconds: float) -> dict[Any, list[Any]]:
        if most <= 0:
            consumer.pause(*consumer.assignment())
            most = 1  # nothing is given of partitions that pause
            seconds = 0.0
        else:
            consumer.resume(*(consumer.paused() - self._unread))
        if self._is_careful:
            return await self._got_by_part(consumer, most, seconds)
        found: dict[Any, list[Any]] = await consumer.getmany(
            timeout_ms=int(seconds * 1000), max_records=most
        )
        return found

    async def _got_by_part(self, consumer: Any, most: int, seconds: float) -> dict[Any, list[Any]]:
        """Each alone, in turn, so that one that cannot be read takes nobody's records along."""
        parts = sorted(consumer.assignment())
        self._first += 1
        first = self._first % (len(parts) or 1)
        found: dict[Any, list[Any]] = {}
        for part in parts[first:] + parts[:first]:
            some = await self._got_of(consumer, part, most)
            if some:
                found[part] = some
                most -= len(some)
            if most <= 0:
                break
        if not found:
            await asyncio.sleep(min(seconds, CAREFUL))
        return found

    async def _got_of(self, consumer: Any, part: Any, most: int) -> list[Any]:
        try:
            found = await consumer.getmany(part, timeout_ms=0, max_records=most)
        except (self._library.errors.KafkaError, OSError, TimeoutError):
            raise
        except Exception as error:
            self._unread.add(part)
            consumer.pause(part)
            message = "consumer %s: %s/%s cannot be read behind what was committed: %r"
            told = self._said.name, part.topic, part.partition, error
            log.exception(message, *told, extra={"key": "consumer.unreadable"})
            return []
        some: list[Any] = found.get(part, [])
        return some

    def done(self, taken: Taken) -> None:
        part = taken.topic, taken.partition
        offsets = self._offsets.get(part)
        assert isinstance(taken.offset, int)
        if offsets is not None and offsets.end(taken.offset):
            self._moved.add(part)

    async def commit(self) -> None:
        consumer, moved = self._consumer, self._moved
        if consumer is None or not moved:
            return
        self._moved = set()
        marks = {
            part: self._offsets[name].position
            for part in consumer.assignment()
            if (name := (part.topic, part.partition)) in moved and name in self._offsets
        }
        if not marks:
            return  # partitions that another member has now
        try:
            async with asyncio.timeout(ANSWER):
                await consumer.commit(marks)
        except (self._library.errors.KafkaError, OSError, TimeoutError) as error:
            self._moved |= moved
            self._commits.failed(client.reason(error))
            return
        self._commits.succeeded()

    async def lag(self) -> Mapping[Part, int]:
        consumer = self._consumer
        if consumer is None or not consumer.assignment():
            return {}
        try:
            async with asyncio.timeout(ANSWER):
                ends = await consumer.end_offsets(list(consumer.assignment()))
                return {
                    (part.topic, part.partition): max(0, end - await self._position(consumer, part))
                    for part, end in ends.items()
                }
        except (self._library.errors.KafkaError, OSError, TimeoutError) as error:
            raise OSError(await self._why(error)) from None

    async def stop(self, seconds: float) -> None:
        consumer = self._consumer
        if consumer is not None:
            await self.commit()
            self._consumer = None
            await client.finish_consumer(consumer, min(seconds, kafka.CLOSING))

    async def release(self, parts: Any) -> None:
        """They go to another member, who begins where we have committed."""
        names = frozenset((part.topic, part.partition) for part in parts)
        if self.gone is not None:
            await self.gone.revoked(names)
        await self.commit()
        self._unread -= set(parts)
        for name in names:
            self._offsets.pop(name, None)
            self._moved.discard(name)

    async def _why(self, error: BaseException) -> str:
        return await reach.why(self._library, self._settings.brokers, error)

    async def _position(self, consumer: Any, part: Any) -> int:
        offsets = self._offsets.get((part.topic, part.partition))
        if offsets is not None and offsets.position >= 0:
            return offsets.position
        position: int = await consumer.position(part)
        return position

    def _taken(self, record: Any) -> Taken:
        offsets = self._offsets.setdefault((record.topic, record.partition), Offsets())
        offsets.take(record.offset)
        return Taken(
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            [(name, value or b"") for name, value in record.headers],  # a value may be null
            max(0, record.timestamp or 0),
        )

    async def _connect(self) -> Any:
        consumer = self._made()
        try:
            async with asyncio.timeout(kafka.CONNECT):
                await consumer.start()
            consumer.subscribe(
                topics=list(self._said.topics), listener=_listener(self._library, self)
            )
        except BaseException:
            await client.finish_consumer(consumer, 0.0)
            raise
        self._consumer = consumer
        return consumer

    async def _lose(self) -> None:
        """Begin anew after a while: what was not committed comes again."""
        consumer, self._consumer = self._consumer, None
        self._failures += 1
        if consumer is not None:
            names = frozenset(self._offsets)
            if self.gone is not None:
                await self.gone.revoked(names)
            await client.finish_consumer(consumer, 0.0)
        self._offsets.clear()
        self._moved.clear()
        self._unread.clear()
        pause = _BACKOFF.pause(self._failures, None, 0.0, lambda: getrandbits(16) / 65536)
        await asyncio.sleep(pause or 0.0)

    def _made(self) -> Any:
        return self._library.AIOKafkaConsumer(
            **kafka.arguments(self._settings),
            group_id=self._said.group,
            auto_offset_reset=self._said.start,
            enable_auto_commit=False,
        )


def _listener(library: Any, reader: KafkaConsumer) -> Any:
    """aiokafka takes only a subclass of its own, which is not there before it is imported."""

    class Listener(library.abc.ConsumerRebalanceListener):  # type: ignore[misc]
        async def on_partitions_revoked(self, revoked: Any) -> None:
            await reader.release(revoked)

        async def on_partitions_assigned(self, assigned: Any) -> None:
            return None

    return Listener()
