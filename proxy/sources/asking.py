"""Asking a source over HTTP: one of several servers, bounded answers, and pauses after failures.

What goes wrong becomes `Trouble`, in words that name the server and no secret.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from proxy import __version__
from proxy.config.upstream_model import UpstreamTls
from proxy.pauses import doubled

CONNECT = 5.0  # seconds
ANSWER = 10.0  # seconds for an answer that is not waited for on purpose
LARGEST = 256 << 20  # bytes of an answer
LINE = 64 << 20  # bytes of one line of an answer that goes on
WORDS = 200  # characters of what a server says about a failure
SHORTEST, LONGEST = 0.25, 15.0  # seconds between two tries
JITTER = 0.2


class Trouble(Exception):
    """A source cannot be asked now, and why. What it says is read with `except ValueError`: so is
    msgspec's own error, and the one that it lets through, of bytes that are no UTF-8."""


def pause(failures: int, chance: float) -> float:
    """Seconds until the next try, after that many failures in a row; `chance` is 0 to 1."""
    return doubled(SHORTEST, failures - 1, LONGEST) * (1 - JITTER * chance)


class Servers:
    """Some servers that know the same; the next one is asked after a failure."""

    def __init__(
        self, urls: Sequence[str], tls: ssl.SSLContext | None = None, at_once: int = 64
    ) -> None:
        """`at_once`: connections at most; 0 = any number."""
        self._at_once = at_once
        self._urls = [url.rstrip("/") for url in urls]
        self._now = 0
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Of the one that is asked now."""
        return self._urls[self._now % len(self._urls)]

    def next(self) -> None:
        self._now += 1

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = ANSWER,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one request. `seconds` for all of it, None = as long as it takes."""
        if self._session is None:
            self._session = self._open()
        timeout = aiohttp.ClientTimeout(total=seconds, connect=CONNECT)
        data = None if json is None else msgspec.json.encode(json)
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=headers, timeout=timeout,
                allow_redirects=False,
            ) as response:  # fmt: skip
                yield response
        except TimeoutError:
            raise Trouble(f"{self.url} did not answer in time") from None
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise Trouble(f"{self.url}: {_cause(error)}") from None

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=self._at_once),
            headers={"User-Agent": f"spangate/{__version__}", "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )


async def whole(response: aiohttp.ClientResponse) -> bytes:
    """An answer's body; Trouble if it is too long."""
    parts: list[bytes] = []
    length = 0
    async for part in response.content.iter_any():
        parts.append(part)
        length += len(part)
        if length > LARGEST:
            raise Trouble(f"the answer has more than {LARGEST >> 20} MiB")
    return b"".join(parts)


class Lines:
    """The lines of an answer that goes on."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self._rest = b""

    async def next(self, seconds: float) -> list[bytes] | None:
        """Those that are whole now; [] = none within so many seconds, None = there is no more."""
        try:
            async with asyncio.timeout(seconds):
                data = await self._content.readany()
        except TimeoutError:
            return []
        if not data:
            return None
        if len(self._rest) + len(data) > LINE:
            raise Trouble(f"a line has more than {LINE >> 20} MiB")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line for line in lines if line.strip()]


def said(error: BaseException | str) -> str:
    """In one line, and not too long."""
    text = " ".join(str(error).split())[:WORDS]
    return text or type(error).__name__


def _cause(error: BaseException) -> str:
    """aiohttp says where it cannot connect to, which is known, and not always why."""
    inner = getattr(error, "os_error", None)
    if not isinstance(inner, OSError):
        return said(error)
    if isinstance(inner, ssl.SSLError):
        return f"no connection by TLS: {said(inner)}"
    number = inner.errno or 0
    why = os.strerror(number) if number > 0 else inner.strerror or said(inner)
    return f"no connection: {why}"


def context(tls: UpstreamTls, folder: str) -> ssl.SSLContext:
    """How servers at https:// are verified, and who this gateway is to them; Trouble if a file of
    that cannot be used."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.min == "1.3" else ssl.TLSVersion.TLSv1_2
    try:
        if tls.ca:
            made = ssl.create_default_context(cafile=os.path.join(folder, tls.ca))
        if tls.cert:
            made.load_cert_chain(os.path.join(folder, tls.cert), os.path.join(folder, tls.key))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (tls.ca, tls.cert, tls.key)))
        raise Trouble(f"its certificates ({files}) cannot be read: {said(error)}") from None
    if not tls.verify:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made
