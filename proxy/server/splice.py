"""Large bodies from one TCP socket to another without passing through this program.

Where nothing looks at the bytes of a body but at their number, `splice(2)` hands the pages that
the kernel received to the other socket, through a pipe: no copy into a buffer of ours and none out
of it. `suits`, `is_plain` and `bare` of the sides say when; all other bodies go by the transports.

A `Flow` is the moving part. For its time the source's transport does not read, and nobody writes
to the sink's; it works on duplicates of their descriptors, since the event loop watches each
descriptor for one owner. All that a story and its sides know of a body they are told here as
transports would: what was taken and given, that the sink takes no more, that it does again. When
it ends, for whatever reason, what it still holds is written to the sink's transport and the source
is read again, so that the ends of messages and of connections are met by those who know them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from proxy.server.sides import PLENTY
from proxy.server.tap import Tap

TAIL = 64 * 1024  # the last bytes of a body, which go by the transports, and complete it there
PIPE = 1024 * 1024  # bytes of a pipe; Linux gives no more by default
TURN = 4 * PIPE  # bytes of all flows in one turn of the loop, about 1.5 ms
MOST = 16  # flows at a time in this process, which bounds memory and descriptors: four each
_PLAIN = (socket.AF_INET, socket.AF_INET6)
_CAN = hasattr(os, "splice")  # Linux

log = logging.getLogger("spangate")


def suits(left: int, flows: int) -> bool:
    """Whether to splice a body of which `left` bytes are to come, while `flows` others are."""
    return left >= PLENTY and flows < MOST and _CAN


def share(flows: int) -> int:
    """Bytes that each of so many may move in one turn, so that no other client waits for long."""
    return min(PIPE, TURN // flows)


def is_plain(transport: Any) -> bool:
    """Whether what is on the transport is what is on its socket, and that is one of TCP."""
    family = transport.get_extra_info("socket").family
    return family in _PLAIN and transport.get_extra_info("tls") is None


class Source(Protocol):
    """The connection that a body comes from."""

    transport: Any
    _tap: Tap

    def took(self, count: int) -> None:
        """`count` bytes of the body were taken from its socket."""


class Sink(Protocol):
    """The connection that it goes to."""

    transport: Any

    def gave(self, count: int) -> None:
        """`count` bytes of the body were written to its socket."""

    def bare(self) -> Any:
        """The transport, where content goes out as it is; else None."""

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Owner(Protocol):
    """The story of the body."""

    flow: Flow | None

    def on_moved(self, count: int, upload: bool) -> None:
        """`count` bytes of it came, and are on their way."""


_FLOWS: set[Flow] = set()  # of this process


def begin(story: Owner, source: Source, sink: Sink, left: int, upload: bool) -> None:
    """Splice the `left` bytes that are to come of a body, but for its tail, if that suits."""
    if not suits(left, len(_FLOWS)):
        return
    transports = source.transport, sink.bare()
    if any(t is None or t.is_closing() or not is_plain(t) for t in transports):
        return
    files = _open(*(t.get_extra_info("socket").fileno() for t in transports))
    if files is not None:
        flow = Flow(story, source, sink, files, upload)
        _FLOWS.add(flow)
        story.flow = flow
        flow.start(left - TAIL)


class _Files(NamedTuple):
    source: int
    sink: int
    out: int  # of the pipe
    into: int


def _open(source: int, sink: int) -> _Files | None:
    """Duplicates of both and a large pipe; None where the system gives none of that any more."""
    opened: list[int] = []
    try:
        opened += os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(opened[1], fcntl.F_SETPIPE_SZ, PIPE)
        opened += [os.dup(source), os.dup(sink)]
    except OSError:
        for fd in opened:
            os.close(fd)
        return None
    out, into, source, sink = opened
    return _Files(source, sink, out, into)


class Flow:
    """One body on its way. The pipe is filled only when it is empty, so that a sink that takes no
    more stops the source; it is this flow's alone, so that nobody gets another one's bytes."""

    __slots__ = (
        "_blocked", "_files", "_held", "_loop", "_quota", "_sink", "_source", "_story", "_upload",
    )  # fmt: skip

    def __init__(
        self, story: Owner, source: Source, sink: Sink, files: _Files, upload: bool
    ) -> None:
        self._story = story
        self._source = source
        self._sink = sink
        self._files: _Files | None = files
        self._upload = upload
        self._loop = asyncio.get_running_loop()
        self._quota = 0  # bytes yet to be taken
        self._held = 0  # bytes in the pipe
        self._blocked = False  # the sink takes no more, and its side knows

    def start(self, quota: int) -> None:
        """Move `quota` bytes, as soon as the sink's transport has written what it has."""
        self._quota = quota
        self._source._tap.lend()
        if self._sink.transport.get_write_buffer_size():
            self._watch(sink=True)
        else:
            self._watch(sink=False)

    def stop(self) -> None:
        """Give both sockets back to their transports; may be called at any time, and again."""
        files = self._files
        if files is None:
            return
        self._loop.remove_reader(files.source)
        self._loop.remove_writer(files.sink)
        self._files = self._story.flow = None
        _FLOWS.discard(self)
        sink = self._sink
        rest = _drain(files.out, self._held)
        for fd in files:
            os.close(fd)
        if not sink.transport.is_closing():
            if self._blocked:
                sink.resume_writing()
            if rest:
                sink.gave(len(rest))
                sink.transport.write(rest)
        self._source._tap.take_back()

    def _watch(self, *, sink: bool) -> None:
        """Go on when the sink takes more, or when the source has more."""
        assert self._files is not None
        if sink:
            self._loop.remove_reader(self._files.source)
            self._loop.add_writer(self._files.sink, self._turn, self._on_writable)
        else:
            self._loop.remove_writer(self._files.sink)
            self._loop.add_reader(self._files.source, self._turn, self._fill)

    def _turn(self, step: Callable[[_Files], None]) -> None:
        if self._files is None:
            return
        try:
            step(self._files)
        except Exception:
            log.exception("a connection failed inside the gateway", extra={"key": "connection.bug"})
            self.stop()
            self._source.transport.abort()
            self._sink.transport.abort()

    def _fill(self, files: _Files) -> None:
        try:
            count = _splice(files.source, files.into, min(self._quota, share(len(_FLOWS))))
        except OSError as error:
            self._lose(self._source, error)
            return
        if count == 0:
            self.stop()  # its end, which its transport will find
        elif count > 0:
            self._quota -= count
            self._held = count
            self._source.took(count)
            self._story.on_moved(count, self._upload)
            self._empty(files)

    def _on_writable(self, files: _Files) -> None:
        if self._held:
            self._empty(files)
        elif not self._sink.transport.get_write_buffer_size():
            self._watch(sink=False)  # what was written before the flow began has left

    def _empty(self, files: _Files) -> None:
        try:
            count = _splice(files.out, files.sink, self._held)
        except OSError as error:
            self._lose(self._sink, error)
            return
        if count > 0:
            self._held -= count
            self._sink.gave(count)
        if self._held:
            self._block()
        elif not self._quota:
            self.stop()
        elif self._blocked:
            self._blocked = False
            self._watch(sink=False)
            self._sink.resume_writing()

    def _block(self) -> None:
        if not self._blocked:
            self._blocked = True
            self._watch(sink=True)
            self._sink.pause_writing()

    def _lose(self, side: Any, error: OSError) -> None:
        """A socket has failed. The error was told here and will not be told again, so the loop
        would take this for an orderly end."""
        transport = side.transport
        self.stop()
        transport.abort()
        side.fail_by(error)


def _splice(source: int, sink: int, count: int) -> int:
    """Bytes moved, at most `count`; 0 at the end, -1 if there is nothing to move or no room now."""
    try:
        return os.splice(source, sink, count, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
    except BlockingIOError:
        return -1


def _drain(pipe: int, count: int) -> bytes:
    """The `count` bytes that are in the pipe."""
    rest = bytearray()
    with contextlib.suppress(BlockingIOError):
        while len(rest) < count and (more := os.read(pipe, count - len(rest))):
            rest += more
    return bytes(rest)
