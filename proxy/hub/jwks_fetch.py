"""How a JWKS is fetched: one GET, bounded in time and size, that goes nowhere else.

The server is verified by the system's authorities. Redirects are not followed: whose keys count is
what the file says, and not what some other server does.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, NamedTuple

from proxy import __version__
from proxy.config.access_jwks import LARGEST

if TYPE_CHECKING:
    import aiohttp

TIMEOUT = 5.0  # seconds for all of it

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?(\d{1,9})", re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?:$|[,\s])", re.IGNORECASE)


class Fetched(NamedTuple):
    """What came of it."""

    body: bytes = b""
    max_age: float | None = None  # seconds, of Cache-Control; None = it does not say
    why: str = ""  # it failed, in a few words for the log; "" = it did not
    keys: int = 0
    useless: list[str] = []  # noqa: RUF012 - nobody changes it


class Fetcher:
    """Fetches. aiohttp is imported when it first does, in a thread."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> Fetched:
        if self._session is None:
            await asyncio.to_thread(_import)
        import aiohttp

        if self._session is None or self._session.closed:
            self._session = _make_session()
        try:
            async with asyncio.timeout(TIMEOUT):
                return await _get(self._session, url)
        except TimeoutError:
            return Fetched(why=f"no answer within {TIMEOUT:g} s")
        except aiohttp.ClientResponseError:
            return Fetched(why="the answer is no HTTP")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Fetched(why=" ".join(str(error).split())[:200] or type(error).__name__)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def _get(session: aiohttp.ClientSession, url: str) -> Fetched:
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            return Fetched(why=f"it answered {response.status}")
        body = b""
        while more := await response.content.read(LARGEST + 1 - len(body)):
            body += more
            if len(body) > LARGEST:
                return Fetched(why=f"the answer has more than {LARGEST >> 20} MiB")
        said = ",".join(response.headers.getall("Cache-Control", []))
        return Fetched(body, max_age(said, response.headers.get("Age", "")))


def max_age(cache_control: str, age: str = "") -> float | None:
    """For how many more seconds an answer counts (RFC 9111 §4.2.1); None = it does not say."""
    if _NOT_KEPT.search(cache_control):
        return 0.0
    found = _MAX_AGE.search(cache_control)
    if found is None:
        return None
    spent = int(age) if age.isdecimal() and age.isascii() and len(age) < 10 else 0
    return float(max(int(found[1]) - spent, 0))


def _make_session() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=16),
        headers={
            "User-Agent": f"spangate-jwks/{__version__}",
            "Accept": "application/jwk-set+json, application/json",
            "Accept-Encoding": "identity",
        },
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _import() -> None:
    """14 MB that only those need who fetch."""
    import aiohttp as aiohttp
