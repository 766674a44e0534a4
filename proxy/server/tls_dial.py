"""A connection to an upstream's server with TLS: the handshake, and who it turned out to be."""

from __future__ import annotations

import asyncio
from ssl import SSLError, SSLObject
from typing import Any

from proxy.errors import TlsFailed
from proxy.server import tls_failures
from proxy.server.tls import MOST_HANDSHAKE, TlsLayer
from proxy.server.tls_failures import Failure, failure
from proxy.server.tls_keyring import ClientContext


class TlsDial(TlsLayer):
    """The client's end. `keep` is given each session that the server offers."""

    __slots__ = ("_done", "_fresh", "_handed", "_keep", "_settings")

    def __init__(self, settings: ClientContext, keep: Any) -> None:
        super().__init__()
        self._settings = settings
        self._keep = keep
        self._done: asyncio.Future[None] | None = None
        self._handed = False
        self._fresh = True  # nothing has come since the handshake

    async def shake(self, host: str, session: Any) -> SSLObject:
        """Begin as soon as all that comes before TLS is written; returns what was agreed on.

        Raises TlsFailed. `host`: the name in the URL, unless the settings have another.
        """
        self._done = asyncio.get_running_loop().create_future()
        try:
            self._begin(self._settings.context, self._settings.server_name or host, session)
            if not self._is_open:
                self._shake(0)
            await self._done
        except (SSLError, ValueError) as error:
            raise _failed(failure(error)) from error
        finally:
            self._done = None
        return self.tls

    def give(self, codec: Any) -> None:
        """To the codec, from now on."""
        self._handed = True
        self._open(codec)

    def data_received(self, data: bytes) -> None:
        self._in.write(data)
        if self._is_open:
            self._deliver()
            if self._fresh and self._error is None:
                self._fresh = False
                if not self._settings.is_mesh:
                    # whose ticket comes after the handshake
                    self._keep(self._settings, self._tls.session)
        elif self._done is not None:
            self._shake(len(data))

    def connection_lost(self, error: Exception | None) -> None:
        done, self._done = self._done, None
        if done is not None and not done.done():
            done.set_exception(_failed(tls_failures.CLOSED))
        cut = self._error
        if self._fresh and isinstance(cut, SSLError) and "_ALERT_" in (cut.reason or ""):
            self._error = _failed(failure(cut))  # with TLS 1.3 a server says so after the handshake
        TlsLayer.connection_lost(self, error)

    def _shake(self, size: int) -> None:
        self.came += size
        done = self._done
        if done is None or done.done():
            return
        try:
            if self.came > MOST_HANDSHAKE:
                raise _failed(tls_failures.TOO_LARGE)
            if self._step():
                self._flush()
                done.set_result(None)
        except (SSLError, OSError, TlsFailed) as error:
            done.set_exception(error)


def _failed(why: Failure) -> TlsFailed:
    kind, words = why
    return TlsFailed(f"the upstream {words}", kind)
