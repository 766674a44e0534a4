"""Streams of Redis or Valkey as queues.

An entry's field `value` is the value (`tombstone`: there is none), `key` the key, all others are
headers, so that whoever writes with XADD can write `traceparent` too. A member that dies leaves
entries that nobody acknowledged: those that were idle for IDLE go to whoever lives, and what is
under way here is kept from being so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proxy.collector.retry import Backoff
from proxy.config.messaging_model import Consume, RedisStreams
from proxy.config.rates import parse_redis
from proxy.messaging.commits import Commits
from proxy.messaging.message import Gone, Message, NotWritten, Part, Place, Taken, Written
from proxy.messaging.redis_entries import KEY, OWN, TOMBSTONE, VALUE, read
from proxy.messaging.redis_replies import lag_of, last_of, order, told
from proxy.messaging.resp import ReplyError, Resp, Word
from proxy.messaging.telemetry import getrandbits

log = logging.getLogger("spangate")

CONNECT = 2.0  # seconds
AGAIN = 0.5  # seconds without a server after which it is dialled again
IDLE = 60.0  # seconds without a sign of life, then an entry goes to another member
CARE = 15.0  # seconds between two looks after idle entries, and signs of life
ANSWER = 5.0  # seconds for small questions

_BACKOFF = Backoff(0.2, 5.0, 0.0)
_BUSY = frozenset({"LOADING", "OOM", "MISCONF", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "BUSY"})


def place_of(settings: RedisStreams) -> Place:
    place, port, *_ = parse_redis(settings.server)
    return Place("redis", place, port)


class RedisProducer:
    """Implements message.Producer."""

    def __init__(self, name: str, settings: RedisStreams) -> None:
        self.place = place_of(settings)
        self._name = name
        self._settings = settings
        self._line: Resp | None = None
        self._dialling = asyncio.Lock()
        self._failed = -AGAIN  # monotonic seconds
        self._why = ""

    async def send(
        self, topic: str, messages: Sequence[Message], fixed: bool
    ) -> list[Written | NotWritten]:
        try:
            line = await self._connected()
            async with asyncio.timeout(self._settings.timeout):
                if not fixed and await line.call("TYPE", topic) != b"stream":
                    raise NotWritten(404, "unknown_topic", "there is no such stream")
                replies = await line.calls([self._added(topic, one) for one in messages])
        except NotWritten as error:
            return [error] * len(messages)
        except TimeoutError:
            self._lose()
            late = "the server has not acknowledged it in time"
            return [NotWritten(504, "timeout", late)] * len(messages)
        except (OSError, ReplyError) as error:
            self._lose()
            away = NotWritten(503, "broker_unavailable", f"the server went away: {error}")
            return [away] * len(messages)
        return [_outcome(reply) for reply in replies]

    async def stop(self, seconds: float) -> None:
        self._lose()

    def _added(self, topic: str, one: Message) -> list[Word]:
        words: list[Word] = ["XADD", topic]
        if self._settings.maxlen:
            words += ["MAXLEN", "~", self._settings.maxlen]
        words.append("*")
        words += [TOMBSTONE, b"true"] if one.value is None else [VALUE, one.value]
        if one.key is not None:
            words += [KEY, one.key]
        for name, value in one.headers:
            if name.lower() not in OWN:
                words += [name, value]
        return words

    async def _connected(self) -> Resp:
        async with self._dialling:
            if self._line is not None and not self._line.is_broken:
                return self._line
            if time.monotonic() - self._failed < AGAIN:
                raise NotWritten(503, "broker_unavailable", self._why)
            try:
                async with asyncio.timeout(CONNECT):
                    self._line = await Resp.connect(self._settings.server)
            except (OSError, TimeoutError, ReplyError) as error:
                if not self._why:
                    message = "queue %s: cannot connect: %s"
                    log.warning(message, self._name, error, extra={"key": "queue.unreachable"})
                self._failed = time.monotonic()
                self._why = f"there is no connection to the server: {error}"
                raise NotWritten(503, "broker_unavailable", self._why) from None
            if self._why:
                log.info("queue %s: connected", self._name, extra={"key": "queue.connected"})
            self._why = ""
            return self._line

    def _lose(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


def _is_busy(reply: Any) -> bool:
    """Refused for now."""
    return isinstance(reply, ReplyError) and reply.kind in _BUSY


def _outcome(reply: Any) -> Written | NotWritten:
    if not isinstance(reply, ReplyError):
        return Written(None, reply.decode())
    if _is_busy(reply):
        return NotWritten(503, "broker_unavailable", str(reply))
    status = 400 if reply.kind == "WRONGTYPE" else 502
    return NotWritten(status, f"redis_{reply.kind.lower()[:32]}", str(reply))


class RedisConsumer:
    """Implements message.Consumer."""

    def __init__(self, settings: RedisStreams, said: Consume) -> None:
        self.place = place_of(settings)
        self.gone: Gone | None = None
        self._settings = settings
        self._said = said
        self._member = f"{socket.gethostname()}-{os.getpid()}-{getrandbits(32):08x}"  # ours alone
        self._reading: Resp | None = None
        self._line: Resp | None = None  # for all but reading, which waits
        self._last: dict[str, str] = {}  # by topic, the entry after which the group goes on
        self._held: dict[tuple[str, str], Taken] = {}
        self._done: list[Taken] = []
        self._commits = Commits(said.name)
        self._due = 0.0
        self._failures = 0

    async def take(self, most: int, seconds: float) -> list[Taken]:
        try:
            if self._reading is None or self._line is None or self._line.is_broken:
                await self._connect()
            assert self._reading is not None
            found = await self._cared_for(most)
            if most - len(found) <= 0 or found:
                return found
            words: list[Word] = ["XREADGROUP", "GROUP", self._said.group, self._member]
            words += ["COUNT", most, "BLOCK", max(1, int(seconds * 1000)), "STREAMS"]
            names = self._said.topics
            async with asyncio.timeout(seconds + ANSWER):
                reply = await self._reading.call(*words, *names, *(">" for _ in names))
            fresh = [one for stream, entries in reply or () for one in self._taken(stream, entries)]
        except (OSError, TimeoutError, ReplyError) as error:
            await self._lose()
            raise OSError(str(error) or "no answer") from None
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            await self._lose()
            raise OSError(f"the answer is none of a server with streams: {error}") from None
        self._failures = 0
        for one in fresh:
            self._last[one.topic] = str(one.offset)
        return fresh

    def done(self, taken: Taken) -> None:
        self._done.append(taken)

    async def commit(self) -> None:
        done, self._done = self._done, []
        if not done or self._line is None:
            self._done = done
            return
        commands = [("XACK", one.topic, self._said.group, str(one.offset)) for one in done]
        try:
            async with asyncio.timeout(ANSWER):
                replies = await self._line.calls(commands)
            if busy := [one for one in replies if _is_busy(one)]:
                raise OSError(str(busy[0]))
        except (OSError, TimeoutError) as error:
            self._done = done + self._done  # once more of those that were taken does no harm
            self._commits.failed(str(error) or "the server does not answer")
            return
        self._commits.succeeded()
        for one in done:
            self._held.pop((one.topic, str(one.offset)), None)

    async def lag(self) -> Mapping[Part, int]:
        """Of the whole group: entries that nobody has taken, and those that are under way."""
        if self._line is None:
            raise OSError("there is no connection to the server")
        try:
            async with asyncio.timeout(ANSWER):
                replies = await self._line.calls(
                    [("XINFO", "GROUPS", topic) for topic in self._said.topics]
                )
        except (OSError, TimeoutError) as error:
            raise OSError(str(error) or "the server does not answer") from None
        for topic, groups in zip(self._said.topics, replies, strict=True):
            self._learn(topic, groups)
        return {
            (topic, None): lag
            for topic, groups in zip(self._said.topics, replies, strict=True)
            if (lag := lag_of(groups, self._said.group)) is not None
        }

    async def stop(self, seconds: float) -> None:
        await self.commit()
        if self._line is not None and not self._held:
            commands = [
                ("XGROUP", "DELCONSUMER", topic, self._said.group, self._member)
                for topic in self._said.topics
            ]
            try:
                async with asyncio.timeout(ANSWER):
                    await self._line.calls(commands)
            except (OSError, TimeoutError):
                pass  # an empty member is in nobody's way
        self._close()

    def _taken(self, stream: bytes, entries: Any) -> Iterator[Taken]:
        for name, fields in entries or ():
            if fields is None:  # it was deleted, and is still to be acknowledged
                continue
            one = read(stream.decode("utf-8", "replace"), name.decode(), fields)
            self._held[one.topic, str(one.offset)] = one
            yield one

    async def _cared_for(self, most: int) -> list[Taken]:
        """Entries of members that are gone; and a sign of life of what is under way here."""
        now = time.monotonic()
        if now < self._due or self._line is None:
            return []
        self._due = now + CARE
        found: list[Taken] = []
        try:
            async with asyncio.timeout(ANSWER):
                for topic in self._said.topics:
                    await self._live(topic)
                    if most > len(found):
                        found += await self._claimed(topic, most - len(found))
        except BaseException:  # nobody processes them here: they are left to be idle again
            for one in found:
                self._held.pop((one.topic, str(one.offset)), None)
            raise
        return found

    async def _live(self, topic: str) -> None:
        assert self._line is not None
        mine = [str(one.offset) for one in self._held.values() if one.topic == topic]
        if mine:
            who = (topic, self._said.group, self._member)
            await self._line.call("XCLAIM", *who, 0, *mine, "JUSTID")

    async def _claimed(self, topic: str, most: int) -> list[Taken]:
        assert self._line is not None
        reply = await self._line.call(
            "XAUTOCLAIM", topic, self._said.group, self._member, int(IDLE * 1000), "0-0",
            "COUNT", most,
        )  # fmt: skip
        fresh = [e for e in reply[1] if e and (topic, e[0].decode()) not in self._held]
        return list(self._taken(topic.encode(), fresh))

    async def _connect(self) -> None:
        self._close()
        async with asyncio.timeout(CONNECT):
            self._line = await Resp.connect(self._settings.server)
            self._reading = await Resp.connect(self._settings.server)
            for topic in self._said.topics:
                try:
                    await self._join(self._line, topic)
                except ReplyError as error:
                    raise OSError(f"stream {topic}: {error}") from None
        self._due = 0.0

    async def _join(self, line: Resp, topic: str) -> None:
        """A group that was there and is gone, as after FLUSHALL, misses nothing: it goes on where
        it was, or at the first entry where the stream is another one."""
        group, last = self._said.group, self._last.get(topic)
        start = "0" if self._said.start == "earliest" else "$"
        if last is not None:
            is_there = await line.call("EXISTS", topic)
            known = told(await line.call("XINFO", "STREAM", topic)) if is_there else {}
            newest = known.get(b"last-generated-id", b"0").decode()
            start = last if order(newest) >= order(last) else "0"
        try:
            await line.call("XGROUP", "CREATE", topic, group, start, "MKSTREAM")
        except ReplyError as error:
            if error.kind != "BUSYGROUP":
                raise
        if last is None:
            groups = await line.call("XINFO", "GROUPS", topic)
            if not isinstance(groups, list):
                raise TypeError("no list of groups")
            self._learn(topic, groups)

    def _learn(self, topic: str, groups: Any) -> None:
        """Where the group is. Other members bring it forward: without looking, one that took
        nothing for a day would make the group again where it was a day ago."""
        last = last_of(groups, self._said.group)
        if last is not None:
            self._last[topic] = last

    async def _lose(self) -> None:
        """Begin anew after a while. What is under way goes on, and is acknowledged later."""
        self._close()
        self._failures += 1
        pause = _BACKOFF.pause(self._failures, None, 0.0, lambda: getrandbits(16) / 65536)
        await asyncio.sleep(pause or 0.0)

    def _close(self) -> None:
        for line in (self._reading, self._line):
            if line is not None:
                line.close()
        self._reading = self._line = None
