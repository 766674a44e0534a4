"""Channel: unary calls to one server of gRPC, over one connection at a time.

Owns names, dialling and when a connection is given up. A server that says GOAWAY, or a host that
vanished without a word, gets a new connection; calls that a server did not begin are made again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable, Sequence
from time import monotonic_ns
from typing import Any

from proxy import tasks
from proxy.otlp.rpc import words
from proxy.otlp.rpc.asking import Asking, Reply
from proxy.otlp.rpc.words import Field

_TRIES = 3  # of calls that servers did not begin
_DIAL = 10.0  # seconds for one address, handshake of TLS included
# Dials fail at once for so long after one has failed; twice as long each time.
_REST, _LONGEST_REST = 0.2, 1.0
# gRPC servers commonly bear no ping more often than this (proposal A8); the kernel finds out
# sooner whether a host is there.
_SILENCE = 300.0
_PROBES = {
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,  # ms
}


class Channel:
    """One server, by name."""

    __slots__ = ("_dialling", "_failure", "_host", "_line", "_lines", "_port", "_rest", "_tls",
                 "_until")  # fmt: skip

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._line: Asking | None = None  # that takes calls, or did
        self._lines: set[Asking] = set()
        self._dialling: asyncio.Task[Asking | OSError] | None = None
        self._failure: OSError | None = None
        self._until = 0.0  # loop time before which nobody is dialled
        self._rest = _REST

    async def call(self, fields: Iterable[Field], parts: Sequence[bytes], seconds: float) -> Reply:
        """Within `seconds`, 0 = no limit; never raises for what a network or a server can do."""
        begun = monotonic_ns()
        try:
            async with asyncio.timeout(seconds or None):
                for _ in range(_TRIES):
                    line = await self._connected()
                    reply = await self._ask(line, fields, parts, seconds)
                    if reply is not None:
                        return reply
                return Reply(words.UNAVAILABLE, line.why)
        except TimeoutError:
            self._suspect(begun)
            return Reply(words.DEADLINE_EXCEEDED, f"no answer in {seconds:g} s")
        except OSError as error:
            return Reply(words.UNAVAILABLE, str(error))

    async def close(self) -> None:
        """Calls under way end without an answer."""
        await tasks.cancel(self._dialling)
        lines = [*self._lines]
        for line in lines:
            line.end()
        for line in lines:
            try:
                async with asyncio.timeout(1):
                    await line.over.wait()
            except TimeoutError:
                line.abort()

    async def _ask(
        self, line: Asking, fields: Iterable[Field], parts: Sequence[bytes], seconds: float
    ) -> Reply | None:
        if 0 < seconds <= _SILENCE:
            return await line.ask(fields, parts)
        asking = tasks.spawn(line.ask(fields, parts), "a gRPC call")
        try:
            while True:
                done, _ = await asyncio.wait((asking,), timeout=_SILENCE)
                if done:
                    found: Reply | None = asking.result()
                    return found
                if line.is_dead(int(_SILENCE * 1e9)):
                    line.abort()
        finally:
            await tasks.cancel(asking)

    def _suspect(self, begun: int) -> None:
        """After a call without an answer: nothing came meanwhile, so the connection may be dead.

        On one whose host vanished the kernel may retransmit for long. Calls under way on it may
        still end in their time.
        """
        line = self._line
        if line is not None and line.heard < begun:
            line.leave()

    # connections

    async def _connected(self) -> Asking:
        """Raises OSError."""
        if self._line is not None and self._line.is_open:
            return self._line
        if self._dialling is None:
            if self._failure is not None and asyncio.get_running_loop().time() < self._until:
                raise self._failure
            self._dialling = tasks.spawn(self._dial(), "a gRPC connection")
        # Whoever gives up leaves the connection to others.
        found = await asyncio.shield(self._dialling)
        if isinstance(found, OSError):
            raise found
        return found

    async def _dial(self) -> Asking | OSError:
        loop = asyncio.get_running_loop()
        try:
            line = self._line = await self._first_of(await self._addresses())
            self._lines = {one for one in self._lines if not one.over.is_set()} | {line}
            self._rest = _REST
            return line
        except OSError as error:
            self._failure = error
            self._until = loop.time() + self._rest
            self._rest = min(2 * self._rest, _LONGEST_REST)
            return error
        finally:
            self._dialling = None

    async def _addresses(self) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise OSError(f"{self._host}: {error.strerror or error}") from None
        return list(dict.fromkeys(str(place[4][0]) for place in found))

    async def _first_of(self, addresses: Sequence[str]) -> Asking:
        """A connection to the first that takes it."""
        whys: list[str] = []
        for address in addresses:
            try:
                async with asyncio.timeout(_DIAL):
                    return await self._connect(address)
            except TimeoutError:
                whys.append(f"{address}: no connection in {_DIAL:g} s")
            except OSError as error:  # those of ssl too
                whys.append(f"{address}: {_why(error)}")
        where = f"{self._host}:{self._port}"
        raise OSError(f"cannot connect to {where}: {'; '.join(whys) or 'it has no address'}")

    async def _connect(self, address: str) -> Asking:
        transport, line = await asyncio.get_running_loop().create_connection(
            Asking,
            address,
            self._port,
            ssl=self._tls,
            server_hostname=self._host if self._tls is not None else None,
        )
        if self._tls is not None:
            agreed = transport.get_extra_info("ssl_object").selected_alpn_protocol()
            if agreed != "h2":
                line.abort()
                raise OSError("the server did not agree to speak HTTP/2 (ALPN)")
        _watch(transport.get_extra_info("socket"))
        return line


def _watch(sock: Any) -> None:
    """Let the kernel find out when the other host is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _why(error: OSError) -> str:
    if error.errno and error.errno > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
