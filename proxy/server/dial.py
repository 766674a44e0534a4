"""Opening a connection to an endpoint: the seam at which the system's errors become ours."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from proxy.errors import (
    ConnectFailed,
    ConnectRefused,
    ConnectReset,
    ConnectTimeout,
    DnsFailed,
    UpstreamError,
)
from proxy.server.descriptors import Descriptors
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.pool import Pool
from proxy.server.sides import StoryEvents, UpstreamSide
from proxy.tasks import spawn

_ERRORS: tuple[tuple[type[BaseException], type[UpstreamError]], ...] = (
    (TimeoutError, ConnectTimeout),
    (ConnectionRefusedError, ConnectRefused),
    (FileNotFoundError, ConnectRefused),  # nobody has made that Unix socket yet
    (ConnectionError, ConnectReset),
    (socket.gaierror, DnsFailed),
    (UnicodeError, DnsFailed),  # a name that DNS cannot hold
    (OSError, ConnectFailed),
    (Exception, ConnectFailed),  # a port that does not exist, and whatever else
)
_LONGEST = 120.0  # seconds, where the configuration says "no limit": about the system's own
_PAUSE = 0.02  # seconds until a descriptor is looked for again


async def dial(
    pool: Pool, timeout: float, descriptors: Descriptors, header: bytes = b""
) -> UpstreamSide:
    """A new connection to the pool's address; `timeout` in seconds, 0 = the longest there is.
    Where there is no descriptor for it, one that was given back may come in its place. `header`
    goes in front of everything (PROXY protocol).

    Raises ConnectRefused, ConnectReset, ConnectTimeout, DnsFailed or ConnectFailed.
    """
    try:
        async with asyncio.timeout(timeout or _LONGEST):
            while True:
                try:
                    return await _connect(pool, header)
                except UpstreamError:
                    if not descriptors.are_out():
                        raise
                await asyncio.sleep(_PAUSE)
                warm = pool.take(True)
                if warm is not None:
                    return warm
    except TimeoutError as error:
        why = "out of file descriptors" if descriptors.paused else "no connection in time"
        raise _translate(TimeoutError(why), pool) from error


async def _connect(pool: Pool, header: bytes) -> UpstreamConnection:
    connection: UpstreamConnection = pool.codec(None)
    protocol: Any = connection  # all that one does, but no heir of asyncio's class
    try:
        if header:
            transport = await _open(pool, asyncio.Protocol())
            transport.write(header)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)  # in this turn: nothing was read yet
        else:
            await _open(pool, protocol)
    except Exception as error:
        pool.forget(connection)
        raise _translate(error, pool) from error
    except asyncio.CancelledError:
        # It may have been made just now, and uvloop then closes it without connection_lost().
        pool.forget(connection)
        raise
    return connection


async def _open(pool: Pool, protocol: Any) -> Any:
    """The transport of a new connection that `protocol` is told of."""
    loop = asyncio.get_running_loop()
    if pool.scheme == "unix":
        transport, _ = await loop.create_unix_connection(lambda: protocol, pool.host)
    else:
        transport, _ = await loop.create_connection(lambda: protocol, pool.host, pool.port)
    return transport


def _translate(error: Exception, pool: Pool) -> UpstreamError:
    ours = next(ours for theirs, ours in _ERRORS if isinstance(error, theirs))
    why = getattr(error, "strerror", None) or error  # without its number
    return ours(f"{pool.place}: {why}")


class Dialling:
    """A connection in the making for one story, which is told of it once, unless it has lost
    interest; however the attempt ends, it ends."""

    __slots__ = ("_story", "_task")

    def __init__(
        self,
        story: StoryEvents,
        pool: Pool,
        timeout: float,
        descriptors: Descriptors,
        header: bytes = b"",
    ) -> None:
        self._story: StoryEvents | None = story
        self._task = spawn(self._run(pool, timeout, descriptors, header), "dial")

    def forget(self) -> None:
        self._story = None
        self._task.cancel()

    async def _run(
        self, pool: Pool, timeout: float, descriptors: Descriptors, header: bytes
    ) -> None:
        try:
            connection = await dial(pool, timeout, descriptors, header)
        except UpstreamError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(ConnectFailed("dialling was cancelled"))
            raise
        else:
            story, self._story = self._story, None
            if story is None:
                connection.close()
            else:
                story.on_connected(connection)

    def _fail(self, error: UpstreamError) -> None:
        story, self._story = self._story, None
        if story is not None:
            story.on_connect_failed(error)
