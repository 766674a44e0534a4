"""Fetching what a target exposes, within bounds of size and time, and what its type is.

Whatever a target can do wrong becomes a ScrapeError with a reason of few words, to be counted. It
knows aiohttp; what the text means is not its business.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import aiohttp

from proxy import __version__
from proxy.collector.receivers.prometheus.settings import Scrape
from proxy.otlp.inflate import Inflater, TooLarge, is_known
from proxy.otlp.transport import UNTRACED, Options, ssl_context
from proxy.otlp.wire import WireError

ACCEPT = (
    "application/openmetrics-text;version=1.0.0;q=0.9,"
    "application/openmetrics-text;version=0.0.1;q=0.8,"
    "text/plain;version=0.0.4;q=0.7,text/plain;q=0.6"
)
_OPENMETRICS = "application/openmetrics-text"
_TEXT_VERSIONS = ("", "0.0.4", "1.0.0")
_BLOCK = 64 * 1024
_UNLIMITED = 1 << 62


class ScrapeError(Exception):
    """A scrape that failed; `reason` for counting, the message for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Fetcher:
    """The HTTP client of one job; opened in `start`."""

    def __init__(self, job: Scrape, timeout: float) -> None:
        self._job = job
        self._limit = job.body_size_limit or _UNLIMITED
        self._headers = {
            "Accept": ACCEPT,
            "Accept-Encoding": "gzip",
            "User-Agent": f"spangate/{__version__}",
            "X-Prometheus-Scrape-Timeout-Seconds": f"{timeout:g}",
            UNTRACED[0]: UNTRACED[1],
            **_credentials(job),
            **job.headers,
        }
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Raises OSError or ValueError for TLS files that cannot be used."""
        tls = self._job.tls
        options = Options(
            ca=tls.ca, cert=tls.cert, key=tls.key, verify=not tls.insecure_skip_verify
        )
        needed = self._job.scheme == "https" or any((tls.ca, tls.cert, tls.insecure_skip_verify))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl_context(options) if needed else True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # the scrape as a whole has one
            auto_decompress=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str) -> tuple[bytes, bool]:
        """(body, whether it is OpenMetrics); raises ScrapeError."""
        assert self._session is not None
        redirects = self._job.follow_redirects
        try:
            async with self._session.get(
                url, headers=self._headers, allow_redirects=redirects
            ) as answer:
                if answer.status != 200:
                    raise ScrapeError("http_status", f"answered {answer.status}")
                kind = self._type(answer.headers.get("Content-Type", ""))
                return await self._body(answer), kind
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ScrapeError("connect", str(error) or type(error).__name__) from None

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        if not is_known(encoding):
            raise ScrapeError("content_encoding", f"Content-Encoding {encoding[:50]!r}")
        inflater = Inflater(encoding, self._limit)
        try:
            async for chunk in answer.content.iter_any():
                for _ in inflater.feed(chunk):
                    await asyncio.sleep(0)
            return inflater.finish()
        except TooLarge:
            raise ScrapeError("too_large", f"more than {self._limit} bytes") from None
        except WireError as error:
            raise ScrapeError("malformed", str(error)) from None

    def _type(self, header: str) -> bool:
        media, *parameters = [part.strip() for part in header.lower().split(";")]
        given = dict(p.replace(" ", "").split("=", 1) for p in parameters if "=" in p)
        version = given.get("version", "").strip('"')
        if media == _OPENMETRICS and version in ("", "0.0.1", "1.0.0"):
            return True
        if media == "text/plain" and version in _TEXT_VERSIONS:
            return False
        if fallback := self._job.fallback_scrape_protocol:
            return fallback.startswith("OpenMetrics")
        raise ScrapeError("content_type", f"Content-Type {header[:100]!r} is not one of metrics")


def lines(body: bytes) -> Iterator[str]:
    """The lines of a body; decoded block by block, so that none takes long. Raises ValueError."""
    at, size = 0, len(body) - body.endswith(b"\n")
    while at < size:
        end = body.find(b"\n", at + _BLOCK)
        end = size if end < 0 else end
        yield from body[at:end].decode().split("\n")
        at = end + 1


def _credentials(job: Scrape) -> dict[str, str]:
    if job.basic_auth is not None:
        pair = f"{job.basic_auth.username}:{job.basic_auth.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if job.authorization is not None:
        return {"Authorization": f"{job.authorization.type} {job.authorization.credentials}"}
    return {}
