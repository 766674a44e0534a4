"""One probe of a server's health: what is asked, and what came of it.

Who is probed when is decided in `probes.py`, and how many failures make a server down in
`upstream.health`. A failure is named as an attempt's would be (`error.type`, see errors.py).
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import time
from dataclasses import dataclass
from ssl import SSLError
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.config.model import Health
from proxy.config.syntax import parse_server
from proxy.errors import (
    BadResponse,
    ConnectFailed,
    ConnectRefused,
    ConnectReset,
    ConnectTimeout,
    DnsFailed,
    TlsFailed,
    Truncated,
    UpstreamError,
    UpstreamReset,
    UpstreamTimeout,
)
from proxy.server.tls_failures import failure
from proxy.server.tls_keyring import ClientContext

if TYPE_CHECKING:
    import aiohttp

Way = tuple[str, str]  # path of a Unix socket ("" = by TCP), `send_proxy` of the upstream

LONGEST = 60.0  # seconds of a probe that has no time limit of its own
BODY_LIMIT = 64 * 1024  # bytes of an answer that are read; a longer one is cut off

# What we lack says nothing about the server.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_OURS_RESOLVING = frozenset({socket.EAI_MEMORY, socket.EAI_SYSTEM})


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a probe ended. `ok` None: it could not be made, by no fault of the server's."""

    ok: bool | None
    said: str  # "answered 503, not 200 or 204"
    status: int = 0  # 0 = there was no answer
    error: str = ""  # error.type; "" = there is none
    at: float = 0.0  # Unix time at which it ended
    seconds: float = 0.0  # that it took


class Asker:
    """Makes probes; every one connects anew, since that is what a client would have to do."""

    def __init__(self) -> None:
        self._sessions: dict[Way, aiohttp.ClientSession] = {}

    async def ask(
        self,
        url: str,
        settings: Health,
        way: Way = ("", "off"),
        tls: ClientContext | None = None,
        protocol: str = "h1",
    ) -> Verdict:
        """`url` as it stands in the request line; `settings.host` goes into Host; `tls` is how its
        upstream's servers are connected to, and `protocol` what is spoken with them."""
        began = time.monotonic()
        verdict = None
        must = protocol == "h2" or settings.grpc is not None
        if settings.tcp or url.startswith("tcp://"):
            verdict = await _connect(url, settings, way[0])
        elif must or (protocol == "auto" and tls is not None):
            verdict = await _ask_by_h2(url, settings, tls, must)
        if verdict is None:
            verdict = await self._ask(url, settings, way, tls)
        took = time.monotonic() - began
        return Verdict(verdict.ok, verdict.said, verdict.status, verdict.error, time.time(), took)

    async def close(self) -> None:
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def _ask(
        self, url: str, settings: Health, way: Way, tls: ClientContext | None
    ) -> Verdict:
        if not self._sessions:
            await asyncio.to_thread(_import)
        import aiohttp
        import yarl

        session = self._sessions.get(way)
        if session is None or session.closed:
            session = self._sessions[way] = _session(way)
        limit = settings.timeout or LONGEST
        try:
            async with session.get(
                yarl.URL(url, encoded=True),
                headers={"Host": settings.host} if settings.host else None,
                timeout=aiohttp.ClientTimeout(total=limit),
                allow_redirects=False,
                ssl=True if tls is None else tls.old.context,
                server_hostname=(tls.server_name or None) if tls is not None else None,
            ) as response:
                body = await _read(response.content, settings.body)
                return answered(response.status, settings, body)
        except TimeoutError:
            return Verdict(False, f"no answer within {limit:g} s", error=UpstreamTimeout.error_type)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return failed(error)


async def _read(content: aiohttp.StreamReader, wanted: str) -> bytes:
    """As much of a body as is looked at: until a text is found, else all of it to the limit. Where
    nothing is wanted, what there is."""
    body = await content.read(BODY_LIMIT)
    while wanted and len(body) < BODY_LIMIT:
        if not wanted.startswith("~") and has(body, wanted):
            break
        more = await content.read(BODY_LIMIT - len(body))
        if not more:
            break
        body += more
    return body


async def _connect(url: str, settings: Health, path: str = "") -> Verdict:
    """Whether it takes a connection, which is closed at once; `path` is that of a Unix socket."""
    limit = settings.timeout or LONGEST
    try:
        async with asyncio.timeout(limit):
            if path:
                _, writer = await asyncio.open_unix_connection(path)
            else:
                server = parse_server(url.removesuffix(settings.path))
                _, writer = await asyncio.open_connection(server.host, server.port)
    except TimeoutError:
        return Verdict(False, f"no connection within {limit:g} s", error=ConnectTimeout.error_type)
    except OSError as error:
        return unreachable(error)
    writer.close()
    return Verdict(True, "took a connection")


async def _ask_by_h2(
    url: str, settings: Health, tls: ClientContext | None, must: bool
) -> Verdict | None:
    """By HTTP/2; None: the server agreed on HTTP/1.1, which unless it `must` not is as good."""
    from proxy.hub import probe_h2  # half a megabyte that only those need who have such servers

    limit = settings.timeout or LONGEST
    server, path = url.removesuffix(settings.path), settings.path
    try:
        async with asyncio.timeout(limit):
            if settings.grpc is not None:
                health = await probe_h2.health_of(server, settings.grpc, settings.host, tls, limit)
                if health is not None:
                    return Verdict(*health, status=200, error="" if health[0] else "grpc_health")
                return Verdict(False, probe_h2.OTHER, error=BadResponse.error_type)
            answer = await probe_h2.answer_of(server, path, settings.host, tls)
    except TimeoutError:
        return Verdict(False, f"no answer within {limit:g} s", error=UpstreamTimeout.error_type)
    except UpstreamError as error:
        return Verdict(False, error.detail, error=error.error_type)
    except OSError as error:
        return unreachable(error)
    if answer is None:
        return Verdict(False, probe_h2.OTHER, error=BadResponse.error_type) if must else None
    return answered(answer.status, settings, answer.body)


def unreachable(error: OSError) -> Verdict:
    """What the system says of a server to which there is no connection."""
    if isinstance(error, socket.gaierror):
        ours = error.errno in _OURS_RESOLVING
        return Verdict(None if ours else False, _words(error), error=DnsFailed.error_type)
    if error.errno in _OURS:
        return Verdict(None, _words(error), error=ConnectFailed.error_type)
    kinds = {errno.ECONNREFUSED: ConnectRefused, errno.ECONNRESET: ConnectReset}
    kind = kinds.get(error.errno or 0, ConnectFailed)
    return Verdict(False, _words(error), error=kind.error_type)


def answered(status: int, settings: Health, body: bytes = b"") -> Verdict:
    """Whether a status is one of the good ones, and the body has what it should."""
    if status in settings.status:
        if has(body, settings.body):
            return Verdict(True, f"answered {status}", status)
        said = f"answered {status} without {settings.body!r} in its first 64 KiB"
        return Verdict(False, said, status, "body")
    good = " or ".join(map(str, settings.status))
    return Verdict(False, f"answered {status}, not {good}", status, str(status))


def has(body: bytes, wanted: str) -> bool:
    """Whether a text is in it, or after ~ a regular expression matches it somewhere."""
    text = body[:BODY_LIMIT].decode("utf-8", "replace")
    if wanted.startswith("~"):
        return re.search(wanted[1:], text) is not None
    return wanted in text


def failed(error: Exception) -> Verdict:
    """What an exception of the client means."""
    import aiohttp

    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        ours = error.os_error.errno in _OURS_RESOLVING
        return Verdict(None if ours else False, _words(error.os_error), error=DnsFailed.error_type)
    if number in _OURS:
        return Verdict(None, _words(error), error=ConnectFailed.error_type)
    return Verdict(False, _words(error), error=_type(error, number))


def _type(error: Exception, number: int | None) -> str:
    import aiohttp

    if isinstance(error, aiohttp.ClientSSLError):
        return TlsFailed.error_type
    if isinstance(error, aiohttp.ClientConnectorError):
        if number == errno.ECONNREFUSED:
            return ConnectRefused.error_type
        reset = number == errno.ECONNRESET
        return ConnectReset.error_type if reset else ConnectFailed.error_type
    if isinstance(error, aiohttp.ClientPayloadError):
        return Truncated.error_type
    if isinstance(error, aiohttp.ServerDisconnectedError | OSError):
        return UpstreamReset.error_type
    return BadResponse.error_type


def _words(error: BaseException) -> str:
    """One line without what the reader knows: which server it was."""
    secured = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(secured, SSLError):
        return f"it {failure(secured)[1]}"
    number = error.errno if isinstance(error, OSError) else None
    if number and number > 0:
        return os.strerror(number).lower()
    if isinstance(error, socket.gaierror):
        return f"the name cannot be resolved: {error.strerror}".lower()
    return " ".join(str(getattr(error, "message", "") or error).split()) or type(error).__name__


def _session(way: Way) -> aiohttp.ClientSession:
    import aiohttp

    from proxy.hub.probe_connectors import connector

    return aiohttp.ClientSession(
        connector=connector(*way),
        headers={"User-Agent": f"spangate-health/{__version__}", "b3": "0"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _import() -> None:
    """14 MB that only those need who probe."""
    import aiohttp as aiohttp
