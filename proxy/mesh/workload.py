"""`spiffe:///PATH`: the SPIFFE Workload API on a Unix socket, which SPIRE's agent offers.

One call of gRPC, FetchX509SVID, whose answers come for as long as it lasts, each with the whole
state. It is spoken by the engine of HTTP/2 that is there anyway: grpcio takes 21 MB, a hub is kept
free of it, and a process of its own for one message an hour would take more. When the call ends,
what there is stays, and the call is made again, later each time. So it is when an answer is no use,
as what is wrong may be the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from random import random
from typing import Any

from proxy.http import h2
from proxy.http.h2 import Rules, Session
from proxy.http.head import Pair
from proxy.mesh.aside import Ask, ask
from proxy.mesh.source import Puts
from proxy.mesh.svid import Svid

FIRST, LAST = 1.0, 30.0  # seconds until it is asked again, at first and at most
PATIENCE = 60.0  # seconds of silence before the first answer, which agents give or refuse at once
MOST = 4 * 1024 * 1024  # bytes of one answer

_PATH = b"/SpiffeWorkloadAPI/FetchX509SVID"
_EMPTY = b"\0\0\0\0\0"  # a message of gRPC without anything in it
_HEAD: list[Pair] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"localhost"),
    (b":path", _PATH),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"spangate"),
    (b"workload.spiffe.io", b"true"),  # SPIFFE Workload Endpoint §3: or it is refused
]
_WORDS = {
    b"3": "does not take the call",
    b"7": "has no identity for this process: is it registered?",
    b"12": "is no Workload API",
    b"14": "is not available",
}


class CallEnded(ConnectionError):
    """Why no more answers come."""


class Workload:
    """The one of one socket."""

    def __init__(self, path: str, ask: Ask = ask) -> None:
        self._path = path
        self._ask = ask

    def first(self, now: float) -> Svid | None:
        """It has to be asked for."""
        return None

    async def run(self, into: Puts) -> None:
        pause = FIRST
        while True:
            try:
                async with contextlib.aclosing(answers(self._path)) as messages:
                    async for message in messages:
                        made = await self._judged(message, into)
                        if made is None:
                            break
                        pause = FIRST
                        if not await into.put(made):
                            break  # a new call gives what there is by then
                    else:
                        into.failed(f"the Workload API at {self._path} ended the call")
            except FileNotFoundError:
                into.failed(f"there is no Workload API at {self._path}")
            except OSError as error:
                why = error if isinstance(error, CallEnded) else (error.strerror or error)
                into.failed(f"the Workload API at {self._path}: {why}")
            await asyncio.sleep(pause * (0.5 + random()))
            pause = min(2 * pause, LAST)

    async def _judged(self, message: bytes, into: Puts) -> Svid | None:
        try:
            return await asyncio.to_thread(self._ask, "workload", message, time.time())
        except (OSError, ValueError) as error:
            into.failed(str(error))
            return None


async def answers(path: str) -> AsyncGenerator[bytes, None]:
    """The messages of one call, until it ends well; OSError, CallEnded if it does not."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        async for message in _call(reader, writer):
            yield message
    finally:
        writer.transport.abort()


async def _call(reader: Any, writer: Any) -> AsyncIterator[bytes]:
    session = Session(server=False, rules=Rules())
    stream = session.send_request(_HEAD, False)
    session.send_data(stream, _EMPTY, True)
    heard = _Heard(stream)
    while not heard.over:
        while data := session.take():
            writer.write(data)
        data = await _read(reader, not heard.answered)
        if not data:
            raise CallEnded("the connection ended")
        events = session.receive(data, time.monotonic_ns())
        while session.waiting:
            events += session.receive(b"", time.monotonic_ns())
        for event in events:
            heard.take(event, session)
        for message in heard.messages():
            yield message
    heard.judge()


async def _read(reader: Any, is_first: bool) -> bytes:
    try:
        async with asyncio.timeout(PATIENCE if is_first else None):
            data: bytes = await reader.read(h2.TAKE)
            return data
    except TimeoutError:
        raise CallEnded("does not answer") from None


class _Heard:
    """What came of one call."""

    def __init__(self, stream: int) -> None:
        self.over = self.answered = False
        self._stream = stream
        self._buffer = b""
        self._fields: dict[bytes, bytes] = {}  # of head and trailers

    def take(self, event: h2.Event, session: Session) -> None:
        if isinstance(event, h2.ConnectionClosed):
            raise CallEnded("the connection broke the rules of HTTP/2, or was ended")
        if getattr(event, "stream_id", 0) != self._stream:
            return
        if isinstance(event, h2.ResponseReceived | h2.TrailersReceived):
            self._fields.update(event.headers)
        elif isinstance(event, h2.DataReceived):
            session.acknowledge(len(event.data), self._stream)
            self._buffer += event.data
            if len(self._buffer) > MOST:
                raise CallEnded("an answer is too large")
        elif isinstance(event, h2.StreamClosed):
            self.over = True

    def messages(self) -> list[bytes]:
        """Those that are whole: a byte, four of the length, and so many bytes."""
        found = []
        while len(self._buffer) >= 5:
            size = int.from_bytes(self._buffer[1:5], "big")
            if self._buffer[0]:
                raise CallEnded("an answer is compressed, which was not asked for")
            if size > MOST:
                raise CallEnded("an answer is too large")
            if len(self._buffer) < 5 + size:
                break
            found.append(self._buffer[5 : 5 + size])
            self._buffer = self._buffer[5 + size :]
        self.answered = self.answered or bool(found)
        return found

    def judge(self) -> None:
        """Raise CallEnded unless it has ended well."""
        status = self._fields.get(b"grpc-status", b"")
        if status == b"0":
            return
        if self._fields.get(b":status") not in (b"200", None):
            raise CallEnded("it speaks HTTP, and no gRPC")
        words = _WORDS.get(status, "ended the call without a status")
        if status and status not in _WORDS:
            words = f"ended the call with status {status.decode('ascii', 'replace')[:3]}"
        raise CallEnded(words)
