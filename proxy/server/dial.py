"""Opening a connection to an endpoint: the seam at which the system's errors become ours."""

from __future__ import annotations

import asyncio
import socket
from ssl import SSLObject
from typing import Any, NamedTuple

from proxy.errors import (
    ConnectFailed,
    ConnectRefused,
    ConnectReset,
    ConnectTimeout,
    DnsFailed,
    TlsFailed,
    TlsTimeout,
    UpstreamError,
)
from proxy.server.descriptors import Descriptors
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.h2_pool import SharedPool
from proxy.server.mesh_places import transparent
from proxy.server.pool import Pool
from proxy.server.sides import StoryEvents
from proxy.server.tls_dial import TlsDial
from proxy.server.tls_identity import named_by
from proxy.server.tls_keyring import ClientContext
from proxy.server.tls_room import spoken
from proxy.tasks import spawn
from proxy.telemetry.blocks import endpoint_attributes
from proxy.telemetry.instruments import UPSTREAM_HANDSHAKES, UPSTREAM_TLS_FAILED
from proxy.telemetry.tls import count_failure, count_handshake, count_peer

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


class Manner(NamedTuple):
    """How a connection is made, beside what its pool says."""

    header: bytes = b""  # in front of everything (PROXY protocol); it tells of one client
    old: bool = False  # by HTTP/1.1, whatever else is spoken there
    handshake: float = 0.0  # seconds that TLS may take, 0 = as long as all of it


USUAL = Manner()


async def dial(pool: Pool, timeout: float, descriptors: Descriptors, manner: Manner = USUAL) -> Any:
    """A new connection to the pool's address; `timeout` in seconds, 0 = the longest there is.
    Where there is no descriptor for it, one that was given back may come in its place.

    Raises ConnectRefused, ConnectReset, ConnectTimeout, DnsFailed, ConnectFailed or TlsFailed, or
    BadResponse where what is spoken there is not what must be.
    """
    try:
        async with asyncio.timeout(timeout or _LONGEST):
            while True:
                if not descriptors.are_out():
                    try:
                        return await _connect(pool, manner)
                    except UpstreamError:
                        if not descriptors.are_out():
                            raise
                await asyncio.sleep(_PAUSE)
                warm = pool.at_hand()
                if warm is not None:
                    return warm
    except TimeoutError as error:
        why = "out of file descriptors" if descriptors.paused else "no connection in time"
        raise _translate(TimeoutError(why), pool) from error


async def _connect(pool: Pool, manner: Manner) -> Any:
    """Open the socket, write the header, shake hands where there is TLS, hand over to the codec."""
    if pool.tls is not None:
        return await _connect_securely(pool, pool.tls, manner)
    codec: Any = UpstreamConnection(pool) if manner.old else pool.codec(None)
    try:
        await _open(pool, codec, manner.header)
    except BaseException as error:
        # If it is cancelled it may have been made just now, and uvloop then closes it without
        # connection_lost().
        pool.unmade(codec)
        if not isinstance(error, Exception):
            raise
        raise _translate(error, pool) from error
    if manner.header:
        codec.old = 0  # never to be used again
    return codec


async def _open(pool: Pool, protocol: Any, header: bytes) -> None:
    """A socket to the pool's address, on which `header` is written; `protocol` does all that one
    does, but is no heir of asyncio's class."""
    if not header:
        await _reach(pool, protocol)
        return
    transport = await _reach(pool, asyncio.Protocol())
    transport.write(header)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)  # in the same turn: nothing was read yet


async def _reach(pool: Pool, protocol: Any) -> Any:
    loop = asyncio.get_running_loop()
    if pool.scheme == "unix":
        transport, _ = await loop.create_unix_connection(lambda: protocol, pool.host)
    elif pool.source:
        sock = transparent(pool.source)
        try:
            await loop.sock_connect(sock, (pool.host, pool.port))
            transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
        except BaseException:
            sock.close()
            raise
    else:
        transport, _ = await loop.create_connection(lambda: protocol, pool.host, pool.port)
    return transport


async def _connect_securely(pool: Pool, tls: ClientContext, manner: Manner) -> Any:
    """The same with TLS; the codec is the one for what both ends agreed on."""
    layer = TlsDial(tls.old if manner.old else tls, pool.keep_session)
    where = endpoint_attributes(pool.upstream, pool.host, pool.port)
    try:
        await _open(pool, layer, manner.header)
        agreed = await _shake(layer, pool, manner)
        connection = pool.codec(agreed.selected_alpn_protocol() or "http/1.1")
    except BaseException as error:
        if layer.transport is not None:
            layer.abort()
        if isinstance(error, TlsFailed):
            pool.session = None
            count_failure(pool.registry, UPSTREAM_TLS_FAILED, error.kind, where)
            raise TlsFailed(f"{pool.place}: {error.detail}", error.kind) from None
        if isinstance(error, UpstreamError) or not isinstance(error, Exception):
            raise
        raise _translate(error, pool) from error
    count_handshake(
        pool.registry, UPSTREAM_HANDSHAKES, agreed.version(), agreed.session_reused, where
    )
    layer.give(connection)
    connection.scheme = "https"
    if tls.identifies:
        name = connection.peer.identity = named_by(agreed)
        connection.peer.tls = spoken(agreed, "", name)
        if tls.is_mesh:
            count_peer(pool.registry, "outbound", name)
    else:
        connection.peer.tls = spoken(agreed)
    if manner.header:
        connection.old = 0
    return connection


async def _shake(layer: TlsDial, pool: Pool, manner: Manner) -> SSLObject:
    try:
        async with asyncio.timeout(manner.handshake or None):
            return await layer.shake(pool.host, None if manner.old else pool.session)
    except TimeoutError:
        raise TlsTimeout(f"{pool.place}: no TLS handshake in time") from None


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
        manner: Manner = USUAL,
    ) -> None:
        self._story: StoryEvents | None = story
        self._task = counted(pool, spawn(self._run(pool, timeout, descriptors, manner), "dial"))

    def forget(self) -> None:
        self._story = None
        self._task.cancel()

    async def _run(
        self, pool: Pool, timeout: float, descriptors: Descriptors, manner: Manner
    ) -> None:
        try:
            connection = await dial(pool, timeout, descriptors, manner)
        except UpstreamError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._fail(ConnectFailed("dialling was cancelled"))
            raise
        else:
            pool.made(self._task, connection)
            story, self._story = self._story, None
            if story is None:
                connection.close()
            else:
                story.on_connected(connection)

    def _fail(self, error: UpstreamError) -> None:
        story, self._story = self._story, None
        if story is not None:
            story.on_connect_failed(error)


def counted(pool: Pool, task: asyncio.Task[None]) -> asyncio.Task[None]:
    """While it runs, one connection more is being made."""
    if pool.bounds is not None:
        pool.makes(task)
        task.add_done_callback(lambda ended: pool.made(ended, None))
    return task


def dial_shared(
    pool: SharedPool, timeout: float, handshake: float, descriptors: Descriptors
) -> None:
    """Begin to make a connection for whoever waits at the pool, which is told how that ends."""
    manner = Manner(handshake=handshake) if handshake else USUAL
    counted(pool, spawn(_share(pool, timeout, descriptors, manner), "dial"))


async def _share(
    pool: SharedPool, timeout: float, descriptors: Descriptors, manner: Manner
) -> None:
    try:
        connection = await dial(pool, timeout, descriptors, manner)
    except UpstreamError as error:
        pool.not_dialled(error)
    except asyncio.CancelledError:
        pool.not_dialled(ConnectFailed("dialling was cancelled"))
        raise
    else:
        pool.made(asyncio.current_task(), connection)
        pool.dialled(connection)
