"""OTLP over WebSocket as a client: the counterpart of `serve_websocket.py`.

Owns one connection for each signal, on which several messages may wait for their answers (see
docs/otlp-websocket.md). A connection that is lost, or does not answer in time, is replaced for the
next message; how long to wait before that is the exporter's business.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from proxy import tasks
from proxy.otlp import status
from proxy.otlp.deflate import compressor, content_coding
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.serve_websocket import PROTOCOL
from proxy.otlp.status import Outcome
from proxy.otlp.transport import (
    UNTRACED,
    USER_AGENT,
    Options,
    check_headers,
    not_connected,
    ssl_context,
)
from proxy.otlp.websocket_line import Line

_OFFLOAD = 128 * 1024  # bytes from which compression is done in a thread, as in http.py


@dataclass(slots=True)
class _Way:
    """To one signal's path: the connection, if there is one, or the attempt to make it."""

    line: Line | None = None
    opening: asyncio.Task[Line | Outcome] | None = None


class WebSocketTransport:
    """A Transport; connects when there is something to send."""

    __slots__ = (
        "_compress", "_endpoint", "_headers", "_leaving", "_lines", "_options", "_session",
        "_timeout", "_ways",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._options = options
        self._timeout = options.timeout or None
        self._compress = compressor(options.compression)
        coding = content_coding(options.compression)
        self._headers = {
            "User-Agent": USER_AGENT,
            UNTRACED[0]: UNTRACED[1],
            **({"Content-Encoding": coding} if coding else {}),
            **options.headers,
        }
        self._session: aiohttp.ClientSession | None = None
        self._ways: dict[str, _Way] = {}
        self._lines: set[Line] = set()  # those that are being left too
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        check_headers(self._options.headers)
        tls = ssl_context(self._options) if self._endpoint.tls else False
        tracing = aiohttp.TraceConfig()
        tracing.on_request_redirect.append(_refuse_redirect)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # of a whole connection, else
            skip_auto_headers=("Accept-Encoding",),
            trace_configs=[tracing],
        )

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        way = self._ways.setdefault(signal, _Way())
        line: Line | None = None
        try:
            async with asyncio.timeout(self._timeout):
                message = await self._message(payload)
                found = await self._line(way, signal)
                if isinstance(found, Outcome):
                    return found
                line = found
                return await line.ask(message, items)
        except TimeoutError:
            if line is not None:
                self._leave(way, line)
            return status.unreachable("timeout", f"no answer in {self._options.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return not_connected(error)

    async def close(self) -> None:
        await tasks.cancel(*(way.opening for way in self._ways.values()))
        await asyncio.gather(*(line.close() for line in self._lines))
        await tasks.cancel(*self._leaving)
        self._lines.clear()
        self._ways.clear()
        if self._session is not None:
            await self._session.close()

    async def _message(self, payload: bytes) -> bytes:
        if len(payload) > _OFFLOAD and self._options.compression != "none":
            return await asyncio.to_thread(self._compress, payload)
        return self._compress(payload)

    async def _line(self, way: _Way, signal: str) -> Line | Outcome:
        """The connection of that signal; all that want it wait for one attempt to make it."""
        if way.line is not None:
            if way.line.open:
                return way.line
            self._leave(way, way.line)
        if way.opening is None:
            way.opening = tasks.spawn(self._open(way, signal), "otlp websocket connect")
        return await asyncio.shield(way.opening)

    async def _open(self, way: _Way, signal: str) -> Line | Outcome:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connect(way, signal)
        except TimeoutError:
            return status.unreachable("timeout", f"no connection in {self._options.timeout:g} s")
        except aiohttp.WSServerHandshakeError as error:
            headers = error.headers
            retry_after = str(headers.get("Retry-After", "")) if headers is not None else ""
            why = f"no WebSocket: {error.message}"
            return status.from_http(error.status, retry_after, why, time.time())
        except (aiohttp.ClientError, OSError) as error:
            return not_connected(error)
        finally:
            way.opening = None

    async def _connect(self, way: _Way, signal: str) -> Line | Outcome:
        assert self._session is not None
        socket = await self._session.ws_connect(
            self._endpoint.url(signal),
            protocols=(PROTOCOL,),
            headers=self._headers,
            max_msg_size=status.MAX_RESPONSE,
            autoclose=False,  # which would wait until everything was sent; Line does it
        )
        line = Line(socket)
        self._lines.add(line)
        if socket.protocol != PROTOCOL:
            self._part(line)
            return status.unreachable("protocol", f"the server does not speak {PROTOCOL}")
        way.line = line
        return line

    def _leave(self, way: _Way, line: Line) -> None:
        """Use it for nothing more.

        A host that vanished without a word leaves an established connection, on which the kernel
        retransmits for a quarter of an hour; what is under way may still be answered in its time.
        """
        if way.line is line:
            way.line = None
            self._part(line)

    def _part(self, line: Line) -> None:
        leaving = tasks.spawn(self._finish(line), "otlp websocket close")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _finish(self, line: Line) -> None:
        await line.finish()
        self._lines.discard(line)


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: Any, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    """Credentials are for the server that was named; aiohttp would follow."""
    answer = redirect.response
    raise aiohttp.WSServerHandshakeError(
        answer.request_info,
        answer.history,
        status=answer.status,
        message="it redirects, which is not followed",
        headers=answer.headers,
    )
