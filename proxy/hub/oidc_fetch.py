"""How an issuer of OpenID Connect is asked: one request, bounded in time and size, that goes
nowhere else. Servers are verified by the system's authorities, and redirects are not followed: a
code and a client's secret go where the issuer's own document says, and to nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from proxy import __version__
from proxy.config.syntax import is_loopback

if TYPE_CHECKING:
    import aiohttp

TIMEOUT = 5.0  # seconds for all of it
LARGEST = 1024 * 1024  # bytes of an answer


class Came(NamedTuple):
    """What came back."""

    status: int  # 0 = nothing, or nothing that may be read
    body: bytes = b""
    why: str = ""  # in a few words for the log; "" = it is a 200


class Client:
    """aiohttp is imported when it first asks, in a thread."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self, url: str, form: Mapping[str, str] | None = None, authorization: str = ""
    ) -> Came:
        """A GET, or with a `form` a POST of it."""
        if not is_safe(url):
            return Came(0, why="its URL is not https://")
        if self._session is None:
            await asyncio.to_thread(_import)
        import aiohttp

        if self._session is None or self._session.closed:
            self._session = _make_session()
        headers = {"Authorization": authorization} if authorization else {}
        try:
            async with asyncio.timeout(TIMEOUT):
                method = "GET" if form is None else "POST"
                async with self._session.request(
                    method, url, data=form, headers=headers, allow_redirects=False
                ) as response:
                    return await _read(response)
        except TimeoutError:
            return Came(0, why=f"no answer within {TIMEOUT:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Came(0, why=" ".join(str(error).split())[:200] or type(error).__name__)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def is_safe(url: str) -> bool:
    """Whether nobody in between can read or change what is said: https, or this machine itself."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


async def _read(response: aiohttp.ClientResponse) -> Came:
    body = b""
    while more := await response.content.read(LARGEST + 1 - len(body)):
        body += more
        if len(body) > LARGEST:
            return Came(0, why="the answer has more than 1 MiB")
    status = response.status
    return Came(status, body, "" if status == 200 else f"it answered {status}")


def _make_session() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=64),
        headers={
            "User-Agent": f"spangate-oidc/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        },
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _import() -> None:
    """14 MB that only those need who ask."""
    import aiohttp as aiohttp
