"""Opening a connection to an endpoint: the seam at which the system's errors become ours."""

from __future__ import annotations

import asyncio
import socket

from proxy.errors import (
    ConnectFailed,
    ConnectRefused,
    ConnectReset,
    ConnectTimeout,
    DnsFailed,
    UpstreamError,
)
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.pool import Pool

_ERRORS: tuple[tuple[type[BaseException], type[UpstreamError]], ...] = (
    (TimeoutError, ConnectTimeout),
    (ConnectionRefusedError, ConnectRefused),
    (ConnectionError, ConnectReset),
    (socket.gaierror, DnsFailed),
    (OSError, ConnectFailed),
)


async def dial(pool: Pool, timeout: float) -> UpstreamConnection:
    """A new connection to the pool's address; `timeout` in seconds, 0 = the system's.

    Raises ConnectRefused, ConnectReset, ConnectTimeout, DnsFailed or ConnectFailed.
    """
    loop = asyncio.get_running_loop()
    connection = UpstreamConnection(pool)
    try:
        async with asyncio.timeout(timeout or None):
            await loop.create_connection(lambda: connection, pool.host, pool.port)
    except OSError as error:
        pool.forget(connection)
        raise _translate(error, pool) from error
    except asyncio.CancelledError:
        # It may have been made just now, and uvloop then closes it without connection_lost().
        pool.forget(connection)
        raise
    return connection


def _translate(error: OSError, pool: Pool) -> UpstreamError:
    ours = next(ours for theirs, ours in _ERRORS if isinstance(error, theirs))
    return ours(f"{pool.host}:{pool.port}: {error}")
