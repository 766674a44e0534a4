"""How a probe reaches its server: by TCP or a Unix socket, with a PROXY header where servers expect
one.

The header says that nobody else is behind the connection (LOCAL; version 1 has UNKNOWN for it), and
it comes before TLS.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp

from proxy.http.proxy_header import LOCAL, UNKNOWN

PREFACES = {"off": b"", "v1": UNKNOWN, "v2": LOCAL}  # by `send_proxy` of the upstream


def connector(path: str, send_proxy: str) -> aiohttp.BaseConnector:
    """One that keeps no connection; `path` is that of a Unix socket, "" = by TCP."""
    preface = PREFACES[send_proxy]
    if path:
        return _Unix(path, preface)
    return _Tcp(preface) if preface else aiohttp.TCPConnector(force_close=True, limit=0)


class _Unix(aiohttp.UnixConnector):
    def __init__(self, path: str, preface: bytes) -> None:
        super().__init__(path, force_close=True, limit=0)
        self._preface = preface

    async def _create_connection(self, *args: Any, **more: Any) -> Any:
        protocol = await super()._create_connection(*args, **more)
        if self._preface and protocol.transport is not None:
            protocol.transport.write(self._preface)
        return protocol


class _Tcp(aiohttp.TCPConnector):
    def __init__(self, preface: bytes) -> None:
        super().__init__(force_close=True, limit=0)
        self._preface = preface

    async def _wrap_create_connection(self, *args: Any, **more: Any) -> Any:
        if not more.get("ssl"):
            transport, protocol = await super()._wrap_create_connection(*args, **more)
            transport.write(self._preface)
            return transport, protocol
        family, kind, number, _, place = more.pop("addr_infos")[0]
        req, _ = more.pop("req"), more.pop("timeout")  # that of the whole probe holds
        error = more.pop("client_error", aiohttp.ClientConnectorError)
        try:
            sock = await self._connected(socket.socket(family, kind, number), place)
            return await asyncio.get_running_loop().create_connection(*args, sock=sock, **more)
        except OSError as why:
            raise error(req.connection_key, why) from why

    async def _connected(self, sock: socket.socket, place: Any) -> socket.socket:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, place)
            await loop.sock_sendall(sock, self._preface)
        except BaseException:
            sock.close()
            raise
        return sock
