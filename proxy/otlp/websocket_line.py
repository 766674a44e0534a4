"""One connection of OTLP over WebSocket, from the sender's side: messages out, answers in order.

Knows whose turn an answer is and what it means; connecting is `websocket_send.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from aiohttp import (
    ClientError,
    ClientWebSocketResponse,
    WebSocketError,
    WSCloseCode,
    WSMessage,
    WSMsgType,
)

from proxy import tasks
from proxy.otlp import status
from proxy.otlp.status import Outcome, Verdict

_FAREWELL = 0.5  # seconds for our close frame to leave
_TOO_BIG = WSCloseCode.MESSAGE_TOO_BIG


class Line:
    """Made inside a running loop. `open` until either side has closed it."""

    __slots__ = ("_due", "_reading", "_socket", "_transport", "open")

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.open = True
        self._socket = socket
        connection = socket._response.connection  # aiohttp has no other way to its transport
        self._transport = connection.transport if connection is not None else None
        self._due: deque[tuple[asyncio.Future[Outcome], int]] = deque()  # and how many items
        self._reading = tasks.spawn(self._read(), "otlp websocket")

    async def ask(self, message: bytes, items: int) -> Outcome:
        """Send it and wait for its answer; raises ClientError or OSError if it cannot be sent.

        Whoever gives up waiting leaves a place in the queue, so that later answers stay in step.
        """
        if not self.open:
            return _lost("it is closed")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._due.append((answer, items))
        # aiohttp writes the frame before it waits for anything, so that messages go in this order.
        try:
            await self._socket.send_bytes(message)
        except (ClientError, OSError):
            if not answer.done():
                raise
        return await answer

    async def finish(self) -> None:
        """Close it when what is under way was answered, or nobody waits for it any more."""
        waiting = [answer for answer, _ in self._due if not answer.done()]
        if waiting:
            await asyncio.wait(waiting)
        await self.close()

    async def close(self) -> None:
        """Close it now."""
        await tasks.cancel(self._reading)
        self._fail(_lost("it was closed here"))
        await self._shut(WSCloseCode.OK)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is not WSMsgType.BINARY or not message.data or not self._due:
                break
            answer, items = self._due.popleft()
            if not answer.done():
                answer.set_result(_judge(message.data, items))
        self._fail(_ending(message))
        await self._shut(WSCloseCode.PROTOCOL_ERROR)

    def _fail(self, oldest: Outcome) -> None:
        """It is over: the oldest message may be why, the others may be sent again."""
        self.open = False
        others = _lost("with the message before this one")
        outcome = oldest
        while self._due:
            answer, _ = self._due.popleft()
            if not answer.done():
                answer.set_result(outcome)
            outcome = oldest if oldest.verdict is Verdict.RETRY else others

    async def _shut(self, code: int) -> None:
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()  # they do not read, so that a farewell would not arrive
        with contextlib.suppress(TimeoutError, ClientError, OSError):
            async with asyncio.timeout(_FAREWELL):
                await self._socket.close(code=code)


def _judge(answer: bytes, items: int) -> Outcome:
    """docs/otlp-websocket.md, "Answers"."""
    code, rest = answer[0], answer[1:]
    if code == 0:
        return status.accepted(rest, items)
    return status.from_grpc(code, rest, status.status_message(rest))


def _ending(message: WSMessage) -> Outcome:
    """What the end of the connection means for the oldest message that was not answered."""
    if message.type is WSMsgType.CLOSE:
        if message.data == _TOO_BIG:
            return Outcome(Verdict.PERMANENT, "too_large", "larger than a message may be there")
        return _lost(f"closed with code {message.data}")
    if message.type is WSMsgType.ERROR:
        error = message.data
        if isinstance(error, WebSocketError) and error.code == _TOO_BIG:
            return Outcome(Verdict.PERMANENT, "response_too_large")
        return status.unreachable("protocol", str(error))
    if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
        return status.unreachable("protocol", "an answer that is none, or to nothing")
    return _lost("without a word")


def _lost(how: str) -> Outcome:
    return status.unreachable("disconnected", f"the connection ended: {how}")
