"""One connection to Redis or Valkey, for one script alone: GCRA by the server's own clock.

Requests are pipelined: each is written at once, and answers come in their order. Nobody waits
longer than PATIENCE; whoever waits in vain is told so, and so is everybody at once while there is
no connection. A server that says nothing for SILENCE is left. Protocol: RESP 2, of which a reply
is read only as far as this script's are made of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from hashlib import sha1
from typing import Any

from proxy.config.rates import parse_redis
from proxy.tasks import spawn

PATIENCE = 0.005  # seconds that a request waits at most
SILENCE = 1.0  # seconds without the oldest answer, then the connection is given up
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds before it is dialled again, the last for ever
MOST = 10_000  # questions under way; more would wait in vain

# Times in us, which a double holds exactly. What is owed is returned in ns.
SCRIPT = b"""local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local tat = tonumber(redis.call('GET', KEYS[1]) or 0)
if tat < now then tat = now end
local owed = tat - now
if owed <= tonumber(ARGV[2]) then
  tat = tat + tonumber(ARGV[1])
  redis.call('SET', KEYS[1], string.format('%.17g', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
end
return math.floor(owed * 1000)
"""
SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

Answer = Callable[[int | None], None]  # what the key owes, in ns; None = there is no answer

log = logging.getLogger("spangate")


class Redis(asyncio.Protocol):
    """Kept connected until `close`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.patience = PATIENCE
        self._to = parse_redis(url)
        self._transport: Any = None
        self._ready = False
        self._waiting: deque[_Question] = deque()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._failures = 0
        self._down = False  # and it was said
        self._closed = False

    def open(self) -> None:
        """Dial, and again whenever the connection ends."""
        self._dialling = spawn(self._dial(), "dial redis")

    def close(self) -> None:
        self._closed = True
        for handle in (self._again, self._timer, self._dialling):
            if handle is not None:
                handle.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._give_up()

    def ask(self, key: bytes, cost: int, most: int, answer: Answer) -> None:
        """Take one of what `key` may have; times in ns. `answer` is called once, maybe at once."""
        if not self._ready or len(self._waiting) >= MOST:
            answer(None)
            return
        loop = asyncio.get_running_loop()
        arguments = (key, b"%.3f" % (cost / 1000), b"%.3f" % (most / 1000))
        self._waiting.append(_Question(arguments, answer, loop.time()))
        self._transport.write(_command(b"EVALSHA", SHA, b"1", *arguments))
        if self._timer is None:
            self._timer = loop.call_later(self.patience, self._look)

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        _, _, user, password, database = self._to
        first = []
        if password:
            first.append(_command(b"AUTH", *([user.encode()] if user else []), password.encode()))
        if database:
            first.append(_command(b"SELECT", b"%d" % database))
        first.append(_command(b"SCRIPT", b"LOAD", SCRIPT))
        now = asyncio.get_running_loop().time()
        self._waiting.extend(_Question((), None, now) for _ in first)
        transport.write(b"".join(first))
        self._timer = asyncio.get_running_loop().call_later(self.patience, self._look)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            at = 0
            while (end := self._buffer.find(b"\r\n", at)) >= 0:
                line = self._buffer[at:end]
                if line[:1] == b"$":
                    length = max(int(line[1:]), -2)
                    if len(self._buffer) < end + 4 + length:
                        break
                    end += 2 + length
                at = end + 2
                self._take(line)
            self._buffer = self._buffer[at:]
            if len(self._buffer) > 65536:
                raise ValueError("a reply without an end")
        except (ValueError, IndexError) as error:
            self._leave(f"it does not speak RESP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._ready = False
        self._buffer = b""
        self._give_up()
        self._dial_again(str(error or "it closed the connection"))

    # inside

    def _take(self, line: bytes) -> None:
        question = self._waiting.popleft()
        answer, question.answer = question.answer, None
        if line[:1] == b":":
            if answer is not None:
                answer(int(line[1:]))
        elif line.startswith(b"-NOSCRIPT") and question.arguments:
            self._repeat(question, answer)
        elif line[:1] == b"-":
            if not self._ready and not question.arguments:
                self._leave(line[1:].decode("ascii", "replace"))
            if answer is not None:
                answer(None)
        elif line[:1] in (b"+", b"$"):
            if not any(not other.arguments for other in self._waiting):
                self._is_ready()
        else:
            raise ValueError("an unknown kind of reply")

    def _repeat(self, question: _Question, answer: Answer | None) -> None:
        """The server has forgotten the script: SCRIPT FLUSH, or it was started anew."""
        if answer is not None and self._transport is not None:
            self._waiting.append(_Question(question.arguments, answer, question.since))
            self._transport.write(_command(b"EVAL", SCRIPT, b"1", *question.arguments))

    def _is_ready(self) -> None:
        self._ready = True
        self._failures = 0
        if self._down:
            self._down = False
            log.warning("redis: connected again", extra={"key": "redis.connected"})

    def _look(self) -> None:
        """Tell those who have waited long enough."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        left = None
        for question in list(self._waiting):
            if now - question.since > SILENCE:
                self._leave(f"no answer for {SILENCE:g} s")
                return
            if now - question.since < self.patience - 0.0002:
                left = question.since + self.patience
                break
            answer, question.answer = question.answer, None
            if answer is not None:
                answer(None)
        if self._waiting and self._timer is None and not self._closed:
            self._timer = loop.call_at(left or now + SILENCE / 10, self._look)

    def _leave(self, why: str) -> None:
        """The connection is of no use any more."""
        self._ready = False
        transport, self._transport = self._transport, None
        if transport is not None:
            log.warning("redis: %s", why, extra={"key": "redis.lost"})
            transport.abort()
        self._give_up()

    def _give_up(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for question in waiting:
            answer, question.answer = question.answer, None
            if answer is not None:
                answer(None)

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        place, port = self._to[:2]
        try:
            async with asyncio.timeout(SILENCE):
                if port:
                    await loop.create_connection(lambda: self, place, port)
                else:
                    await loop.create_unix_connection(lambda: self, place)
        except (OSError, TimeoutError) as error:
            self._dial_again(str(error) or "no connection in time")

    def _dial_again(self, why: str) -> None:
        if self._closed:
            return
        if not self._down:
            self._down = True
            log.warning(
                "redis: not connected (%s); limits go by when_down",
                why,
                extra={"key": "redis.down"},
            )
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        self._again = asyncio.get_running_loop().call_later(pause, self.open)


class _Question:
    """One command; without arguments it is one of the connection's own."""

    __slots__ = ("answer", "arguments", "since")

    def __init__(self, arguments: tuple[bytes, ...], answer: Answer | None, since: float) -> None:
        self.arguments = arguments
        self.answer = answer
        self.since = since


def _command(*words: bytes) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))
