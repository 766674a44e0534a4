"""One [[consume]]: messages are taken, delivered in the order of their keys, and acknowledged when
the upstream has, or when they are in the dead letters. Nothing is ever skipped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable

from proxy import tasks
from proxy.config.messaging_model import Consume
from proxy.messaging import trace
from proxy.messaging.dead import bury
from proxy.messaging.deliver import Courier, Outcome, nap
from proxy.messaging.message import Consumer, NotWritten, Part, Taken, placed
from proxy.messaging.order import Lanes
from proxy.messaging.publish import Queue
from proxy.messaging.telemetry import Span, Telemetry, getrandbits, shown_key
from proxy.messaging.tries import LONGEST, Tries, pause_of
from proxy.telemetry import instruments
from proxy.tracing.sampling import Sampler

log = logging.getLogger("spangate")

LOOK = 0.2  # seconds that one look for messages lasts if there are none
COMMIT = 0.25  # seconds between two commits
LAG = 1.0  # seconds between two questions for how much there is
WINDOW = 4  # messages that are held, by `concurrency`, and
LEAST = 64  # at least
HELD = 16 * 1024 * 1024  # bytes of them with which no more are taken
LEAVE = 10.0  # seconds for what is under way of partitions that go
FAULT = 1.0  # seconds until it goes on after a fault


class Abandoned(Exception):
    """There is no more time: it was not acknowledged, and comes again."""


class Consuming:
    """From `start` to `stop`."""

    def __init__(
        self,
        said: Consume,
        queue: Queue,
        consumer: Consumer,
        courier: Courier,
        telemetry: Telemetry,
    ) -> None:
        self.said = said
        self.sampler = Sampler("always", 1.0)  # of traces that begin here
        self._queue = queue
        self._consumer = consumer
        self._courier = courier
        self._telemetry = telemetry
        self._most = max(LEAST, WINDOW * said.concurrency)
        self._lanes: Lanes[Taken] = Lanes(self._most)
        # Requests under way; who pauses before another try is in nobody's way.
        self._turns = asyncio.Semaphore(said.concurrency)
        self._under_way: dict[Taken, asyncio.Task[None]] = {}
        self._held = 0  # bytes
        self._stopping = asyncio.Event()
        self._stirred = asyncio.Event()  # a message has ended
        self._lags: set[Part] = set()  # that were told
        self._due = [0.0, 0.0]  # monotonic seconds of the next commit, and of the next lag
        self._away = False
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None  # for the lag
        consumer.gone = self

    def start(self) -> None:
        self._task = tasks.spawn(self._run(), f"consume {self.said.name}")

    async def stop(self, seconds: float) -> None:
        """Take no more, end what is under way within so long, and leave the group."""
        self._stopping.set()
        self._drop(set(self._lanes.items()))
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=seconds)
        await tasks.cancel(self._task, *self._under_way.values())
        if self._asking is not None:  # who is cut off in between breaks a connection of Redis
            await asyncio.wait([self._asking], timeout=min(seconds, LAG))
        await tasks.cancel(self._asking)
        await self._consumer.stop(seconds)
        self._tell_lag({})

    async def revoked(self, partitions: frozenset[Part]) -> None:
        """Implements message.Gone."""
        waiting = self._lanes.items()
        self._drop({t for t in waiting if (t.topic, t.partition) in partitions})
        ours = [task for t, task in self._under_way.items() if (t.topic, t.partition) in partitions]
        if ours:
            await asyncio.wait(ours, timeout=LEAVE)
            await tasks.cancel(*ours)

    def _drop(self, waiting: set[Taken]) -> None:
        self._lanes.drop(waiting)
        self._held -= sum(len(taken.value or b"") for taken in waiting)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._turn()
            except OSError as error:
                await tasks.cancel(self._asking)
                self._unread(error)
            except Exception:  # a fault of ours or the library's must not be the end of it
                log.exception("consumer %s: a fault", self.said.name, extra={"key": "consumer.bug"})
                await nap(self._stopping, FAULT)

    async def _turn(self) -> None:
        room = self._most - self._lanes.waiting - self._lanes.under_way
        if self._held >= HELD:
            room = 0
        found = await self._consumer.take(room, LOOK)
        for taken in found:
            self._lanes.put(_lane(taken), taken)
            self._held += len(taken.value or b"")
        self._count(instruments.MESSAGES_CONSUMED, "poll", len(found))
        self._go()
        if room <= 0:
            self._stirred.clear()
            await nap(self._stirred, LOOK)
        await self._keep_books()

    async def _keep_books(self) -> None:
        now = time.monotonic()
        if now >= self._due[0]:
            self._due[0] = now + COMMIT
            await self._consumer.commit()
        if now >= self._due[1] and (self._asking is None or self._asking.done()):
            self._due[1] = now + LAG
            self._asking = tasks.spawn(self._ask_lag(), "ask for the lag")

    async def _ask_lag(self) -> None:
        """Beside the messages: one partition that cannot be asked is no reason to take none."""
        try:
            self._tell_lag(await self._consumer.lag())
        except OSError as error:
            self._unread(error)
        else:
            self._say("")

    def _unread(self, error: OSError) -> None:
        self._say(str(error))
        self._tell_lag({})  # what it was nobody knows now

    def _go(self) -> None:
        """Begin what may go."""
        while not self._stopping.is_set() and (found := self._lanes.next()) is not None:
            lane, taken = found
            task = tasks.spawn(self._process(lane, taken), "process a message")
            self._under_way[taken] = task

    async def _process(self, lane: Hashable, taken: Taken) -> None:
        try:
            while not await self._is_over(taken):
                await self._pause(LONGEST, 0.0)
        except (asyncio.CancelledError, Abandoned):
            pass
        finally:
            self._held -= len(taken.value or b"")
            del self._under_way[taken]
            self._lanes.end(lane)
            self._stirred.set()
            self._go()

    async def _is_over(self, taken: Taken) -> bool:
        """One CONSUMER span; False = there was a fault, and the message is not done."""
        span: Span | None = None  # there is none of a message whose turn never came
        try:
            await self._have_turn()
            span = self._begun(taken)
            await self._settle(taken, span)
            self._consumer.done(taken)
        except (asyncio.CancelledError, Abandoned):
            if span is not None:
                span.fail("abandoned", "there was no more time: the message comes again")
            raise
        except Exception as error:  # ours; without a further try its partition would end here
            message = "consumer %s: a fault at %s, which is tried again"
            log.exception(message, self.said.name, _shown(taken), extra={"key": "consumer.stuck"})
            if span is not None:
                span.fail(type(error).__name__, "a fault of the gateway's")
            return False
        finally:
            if span is not None:
                self._record(taken, span)
        return True

    def _begun(self, taken: Taken) -> Span:
        try:
            link = self.said.trace == "link"
            return trace.consumed(taken.headers, taken.topic, self.sampler, link)
        except BaseException:
            self._turns.release()
            raise

    async def _settle(self, taken: Taken, span: Span) -> None:
        """Until the upstream has acknowledged it, or it is in the dead letters."""
        tries = Tries(self.said)
        while True:
            before = tries.count, tries.reason
            try:
                outcome = await self._courier.post(self.said, taken, span, before)
            finally:
                self._turns.release()
            if outcome.is_done:
                return
            pauses = tries.next(outcome)
            if pauses is None:
                await self._give_up(taken, span, outcome, tries.count)
                return
            if tries.count > before[0]:
                self._count(instruments.REDELIVERIES, "process", 1, ("error.type", outcome.reason))
            await self._pause(*pauses)
            await self._have_turn()

    async def _have_turn(self) -> None:
        """Wait until there may be one more request."""
        await self._turns.acquire()
        if self._stopping.is_set():
            self._turns.release()
            raise Abandoned

    async def _give_up(self, taken: Taken, span: Span, outcome: Outcome, tries: int) -> None:
        failures = 0
        while True:
            what, why = (taken, span), (outcome, tries)
            failed = await bury(self.said, self._queue, self._telemetry, what, why)
            if failed is None:
                break
            failures += 1
            self._unburied(taken, failed)
            await self._pause(pause_of(None, failures), 0.0)
        span.fail(outcome.reason, f"given up after {tries} tries: {outcome.detail}")
        self._count(instruments.DEAD_LETTERS, "process", 1, ("error.type", outcome.reason))

    async def _pause(self, pause: float, asked: float) -> None:
        pause *= 0.8 + 0.4 * getrandbits(16) / 65536
        if await nap(self._stopping, max(pause, min(asked, LONGEST))):
            raise Abandoned

    def _record(self, taken: Taken, span: Span) -> None:
        span.pairs += placed(taken.partition, taken.offset)
        span.put("spangate.queue", self._queue.name)
        span.put("spangate.consumer", self.said.name)
        span.put("messaging.message.body.size", len(taken.value or b""))
        place = self._consumer.place
        if place.system == "kafka":
            span.put("messaging.kafka.message.key", shown_key(taken.key))
            span.put("messaging.kafka.message.tombstone", True if taken.value is None else "")
        self._telemetry.finish(span, place, taken.topic, (self._group,))

    @property
    def _group(self) -> tuple[str, str]:
        return "messaging.consumer.group.name", self.said.group

    def _count(self, name: str, operation: str, number: int, *more: tuple[str, str]) -> None:
        self._telemetry.count(name, self._consumer.place, operation, number, self._group, *more)

    def _tell_lag(self, found: object) -> None:
        assert isinstance(found, dict)
        registry = self._telemetry.registry
        for part in self._lags - set(found):  # another member tells of it now, or nobody
            registry.drop(instruments.CONSUMER_LAG, self._shown(part))
        for part, lag in found.items():
            registry.number(instruments.CONSUMER_LAG, self._shown(part)).value = lag
        self._lags = set(found)

    def _shown(self, part: Part) -> tuple[tuple[str, str], ...]:
        topic, partition = part
        pairs: list[tuple[str, str]] = [
            ("spangate.consumer", self.said.name),
            self._group,
            ("messaging.destination.name", topic),
        ]
        if partition is not None:
            pairs.append(("messaging.destination.partition.id", str(partition)))
        return tuple(pairs)

    def _say(self, why: str) -> None:
        """Once, when it changes."""
        if why and not self._away:
            message = "consumer %s: %s"
            log.warning(message, self.said.name, why, extra={"key": "consumer.away"})
        elif not why and self._away:
            log.info("consumer %s: reads again", self.said.name, extra={"key": "consumer.back"})
        self._away = bool(why)

    def _unburied(self, taken: Taken, error: NotWritten) -> None:
        message = "consumer %s: the dead letter of %s cannot be written: %s"
        said = self.said.name, _shown(taken), error.detail
        log.error(message, *said, extra={"key": "consumer.dead_letter"})


def _shown(taken: Taken) -> str:
    return f"{taken.topic}/{taken.partition}/{taken.offset}"


def _lane(taken: Taken) -> Hashable:
    """Messages without a key have nobody before them."""
    if taken.key is None:
        return taken
    return taken.topic, taken.partition, taken.key
