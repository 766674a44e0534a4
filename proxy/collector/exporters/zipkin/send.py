"""Sending to Zipkin: one POST of v2 JSON for each batch.

Owns the aiohttp session. The API promises nothing about bodies of answers, so that only the status
is judged, by the table of OTLP/HTTP.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
from google.protobuf.message import DecodeError

from proxy.formats.zipkin.from_otlp import from_otlp
from proxy.formats.zipkin.model import write_json
from proxy.otlp import status
from proxy.otlp.deflate import compressor
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.messages import REQUESTS
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import (
    UNTRACED,
    USER_AGENT,
    Options,
    check_headers,
    not_connected,
    ssl_context,
)

_OFFLOAD = 16 * 1024  # bytes that are translated in a thread: above it takes over 3 ms
_MESSAGE = 500  # bytes of an error's body that are read for people


class ZipkinTransport:
    """A Transport; the endpoint's URL for traces is used as it stands."""

    __slots__ = ("_compress", "_endpoint", "_headers", "_options", "_session", "_url")

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._url = endpoint.url("traces")
        self._options = options
        self._compress = compressor(options.compression)
        self._headers = {
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
            UNTRACED[0]: UNTRACED[1],
            **({"Content-Encoding": "gzip"} if options.compression == "gzip" else {}),
            **options.headers,
        }
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        check_headers(self._options.headers)
        tls = ssl_context(self._options) if self._endpoint.tls else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._options.concurrency, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._options.timeout or None),
            skip_auto_headers=("Accept-Encoding",),
        )

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        assert self._session is not None
        try:
            body = await self._encode(payload)
            async with self._session.post(
                self._url, data=body, headers=self._headers, allow_redirects=False
            ) as answer:
                return await _judge(answer)
        except DecodeError as error:
            return Outcome(Verdict.PERMANENT, "malformed", str(error))
        except TimeoutError:
            return status.unreachable("timeout", f"no answer in {self._options.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return not_connected(error)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _encode(self, payload: bytes) -> bytes:
        if len(payload) > _OFFLOAD:
            return await asyncio.to_thread(self._body, payload)
        return self._body(payload)

    def _body(self, payload: bytes) -> bytes:
        body = write_json(from_otlp(REQUESTS["traces"].FromString(payload)))
        return self._compress(body)


async def _judge(answer: aiohttp.ClientResponse) -> Outcome:
    if answer.status < 300:
        return Outcome(Verdict.ACCEPTED)
    message = (await answer.content.read(_MESSAGE)).decode("utf-8", "replace")
    retry_after = answer.headers.get("Retry-After", "")
    text = message.strip() or answer.reason or ""
    return status.from_http(answer.status, retry_after, text, time.time())
