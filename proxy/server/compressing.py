"""A client's side that compresses an answer on its way: between the story and the codec.

It stands in the place of the client from an answer's head on (`serve.py`), and only where the route
compresses this one. A piece goes through at once, up to 64 KiB of it; what is beyond waits for
further turns (`turns.py`), while the upstream is paused, so that nobody else waits for one large
answer. What is in the compressor is flushed whenever the upstream pauses. Imported when a
configuration first has a route that compresses.
"""

from __future__ import annotations

from collections import deque

from proxy.config.model import Compress
from proxy.http.compression import Compression, changed
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.head import Pair, ResponseHead, Trailers
from proxy.kernel.clock import monotonic_ns
from proxy.server.attempts import EVENT
from proxy.server.compressors import Compressor, maker
from proxy.server.sides import ClientSide
from proxy.server.story import Story
from proxy.telemetry import instruments

SLICE = 64 * 1024  # bytes of content in one turn: less than 1 ms (compressors.py)
_HOLD = 16 * 1024  # bytes that are held until there are as many, or the upstream pauses
CODING = "spangate.compression"  # on the SERVER span, and a label


class Compressing:
    """What one route says, and what it needs."""

    __slots__ = ("_makers", "_rules")

    def __init__(self, said: Compress) -> None:
        codings = [coding.encode("ascii") for coding in said.codings]
        self._rules = Compression(said.types, said.min, codings)
        self._makers = {coding: maker(coding) for coding in codings}

    def begin(self, story: Story, base: Edits, answer: ResponseHead) -> Edits:
        """`base`, and what else changes in the head of this answer. If it is compressed, the
        story's client is another one from now on."""
        coding, varies = self._rules.choose(story.head, answer)
        if not varies:
            return base
        if coding:
            compressor = self._makers[coding]()
            story.client = CompressingSide(story, story.client, coding.decode("ascii"), compressor)
        return changed(base, story.head, answer, coding)


class CompressingSide(ClientSide):
    """The client of one compressed answer."""

    __slots__ = (
        "_client", "_coding", "_compressor", "_edits", "_ended", "_fed", "_flushes", "_head",
        "_last", "_more", "_queue", "_queued", "_ready", "_sent", "_story", "_unflushed", "_waits",
    )  # fmt: skip

    def __init__(
        self, story: Story, client: ClientSide, coding: str, compressor: Compressor
    ) -> None:
        self.peer = client.peer
        self.scheme = client.scheme
        self.trusted = client.trusted
        self.forwards = client.forwards
        self.blocked = client.blocked
        self._client = client
        self._story: Story | None = story
        self._coding = coding
        self._compressor: Compressor | None = compressor  # None = the answer is none of ours
        self._head: ResponseHead | None = None  # not passed on yet
        self._edits = NO_EDITS
        self._more: list[Pair] = []
        self._queue: deque[bytes] = deque()
        self._queued = False  # it waits for a turn
        self._last = False  # the last piece is in the queue, or has left it
        self._ended = False  # the compressor has given everything away
        self._ready = b""  # compressed, and held so that no small piece leaves alone
        self._unflushed = False  # something may be in the compressor
        self._flushes = False  # the upstream paused while something was in the queue
        self._waits = False  # the story waits until the queue is empty
        self._fed = self._sent = 0  # bytes of content
        story.x.captured.append((CODING, coding))

    # what the story asks of it

    @property
    def reading_paused(self) -> bool:
        return self._client.reading_paused

    @property
    def upload_done(self) -> bool:
        return self._client.upload_done

    def send_informational(self, head: ResponseHead) -> None:
        self._client.send_informational(head)

    def send_head(self, head: ResponseHead, edits: Edits, more: list[Pair]) -> None:
        if self._compressor is None:
            self._client.send_head(head, edits, more)
        else:
            self._head, self._edits, self._more = head, edits, more

    def send_data(self, data: bytes, last: bool) -> None:
        story = self._story
        if self._compressor is None or story is None:
            self._client.send_data(data, last)
            return
        story.x.body_out -= len(data)  # what leaves is counted
        self._fed += len(data)
        self._unflushed = True
        self._last = last
        for start in range(0, len(data), SLICE):
            self._queue.append(data[start : start + SLICE])
        if not self._queued:
            self._work()

    def flush(self) -> None:
        if self._compressor is None:
            self._client.flush()
        elif self._queue:
            self._flushes = True
        elif not self._ended:
            self._flush()

    def end(self, trailers: Trailers) -> None:
        if self._compressor is not None and not self._ended:
            while self._queue:  # a story that was told to end now
                self._feed()
            self._finish(not trailers)
        self._client.end(trailers)

    def take_back(self) -> bool:
        if self._head is None and not self._client.take_back():
            return False
        self._head = self._compressor = None
        self._queue.clear()
        if self._story is not None:
            x = self._story.x
            x.captured[:] = [pair for pair in x.captured if pair[0] != CODING]
        return True

    def skip_body(self) -> None:
        self._client.skip_body()

    def open_tunnel(self) -> None:
        self._client.open_tunnel()

    def close_after(self) -> None:
        self._client.close_after()

    def abort(self) -> None:
        self._queue.clear()
        self._client.abort()

    def pause(self) -> None:
        self._client.pause()

    def resume(self) -> None:
        self._client.resume()

    def next(self, now: int) -> None:
        story, self._story = self._story, None  # no cycle may stay
        self._queue.clear()
        if story is not None and self._compressor is not None:
            count = story.worker.recorder.registry.number
            labels = ((CODING, self._coding),)
            count(instruments.COMPRESSION_IN, labels).value += self._fed
            count(instruments.COMPRESSION_OUT, labels).value += self._sent
        self._client.next(now)

    async def settle(self) -> None:
        """Wait until all that came has gone through."""
        while self._queue:
            self._waits = True
            await EVENT
        if self._waits and self._story is not None:
            self._waits = False
            self._story.x.end = monotonic_ns()

    # its turns

    @property
    def transport(self) -> CompressingSide:
        """Whom a turn that fails aborts."""
        return self

    def go_on(self) -> None:
        self._queued = False
        story = self._story
        if story is None or not self._queue:
            return
        self._work()
        if self._queue:
            return
        if self._waits:
            story.on_paused_enough()
        elif story.upstream is not None and not self._client.blocked:
            story.upstream.resume()

    def _work(self) -> None:
        """One slice, and what belongs to the end of the queue."""
        self._feed()
        if self._queue:
            self._wait_for_turn()
        elif self._last:
            self._finish(True)
        elif self._flushes:
            self._flush()

    def _wait_for_turn(self) -> None:
        story = self._story
        if story is None or self._queued:
            return
        self._queued = True
        if story.upstream is not None:
            story.upstream.pause()
        story.worker.turns.add(self)

    def _feed(self) -> None:
        assert self._compressor is not None
        self._ready += self._compressor.add(self._queue.popleft())
        if len(self._ready) >= _HOLD:
            self._send(False)

    def _flush(self) -> None:
        """What is in the compressor leaves, and so does the head."""
        self._flushes = False
        assert self._compressor is not None
        if self._unflushed:
            self._unflushed = False
            self._ready += self._compressor.flush()
        self._send(False)
        self._client.flush()

    def _finish(self, last: bool) -> None:
        self._ended = True
        assert self._compressor is not None
        self._ready += self._compressor.end()
        self._send(last)

    def _send(self, last: bool) -> None:
        """Pass on what is ready; the head goes first."""
        data, self._ready = self._ready, b""
        if self._head is not None:
            self._pass_head(len(data) if last else None)
        if not data:
            return
        self._sent += len(data)
        if self._story is not None:
            self._story.x.body_out += len(data)
        self._client.send_data(data, last)

    def _pass_head(self, length: int | None) -> None:
        """The head goes before the first byte; if that is all, its length is known again."""
        head, self._head = self._head, None
        assert head is not None
        head.length = length
        self._client.send_head(head, self._edits, self._more)
