"""OTLP/HTTP: one POST for each request, protobuf or JSON.

Owns the aiohttp session. Answers are judged in `status.py`.
"""

from __future__ import annotations

import asyncio
import json as stdjson
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import aiohttp

from proxy.otlp import status
from proxy.otlp.deflate import Compress, compressor, content_coding
from proxy.otlp.endpoint import Endpoint
from proxy.otlp.status import Outcome
from proxy.otlp.transport import (
    UNTRACED,
    USER_AGENT,
    Options,
    check_headers,
    not_connected,
    ssl_context,
)
from proxy.otlp.wire import WireError

# Bytes from which encoding is done in a thread, so that the hub's loop does not stand still: below
# it gzip takes 0.6 ms, JSON 3 ms.
_OFFLOAD = {"protobuf": 128 * 1024, "json": 16 * 1024}

# Bytes that are written at once. Many kernels let nobody else have the core during a write: a whole
# batch takes 0.4 to 1 ms, for which a worker on that core would wait, and this 0.1.
_PIECE = 256 * 1024

_CONTENT_TYPES = {"protobuf": "application/x-protobuf", "json": "application/json"}


class HttpTransport:
    """POSTs to `endpoint.url(signal)`; keep-alive, no redirects, no cookies."""

    __slots__ = ("_compress", "_endpoint", "_headers", "_options", "_session", "_timeout")

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._options = options
        self._timeout = aiohttp.ClientTimeout(total=options.timeout or None)
        self._compress: Compress | None = None
        coding = content_coding(options.compression)
        self._headers = {
            "User-Agent": USER_AGENT,
            "Content-Type": _CONTENT_TYPES[endpoint.protocol],
            UNTRACED[0]: UNTRACED[1],
            **({"Content-Encoding": coding} if coding else {}),
            **options.headers,
        }
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        check_headers(self._options.headers)
        if self._options.compression != "none":
            self._compress = compressor(self._options.compression)
        tls = ssl_context(self._options) if self._endpoint.tls else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._options.concurrency, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            skip_auto_headers=("Accept-Encoding",),
        )

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        try:
            body = await self._encode(signal, payload)
        except WireError as error:
            return _malformed(error)
        return await self._post(signal, (body,), items)

    async def send_pieces(self, signal: str, pieces: Sequence[bytes], items: int) -> Outcome:
        """The same for a payload in pieces, which are not put together to be sent as they are."""
        if self._compress or self._endpoint.protocol == "json":
            return await self.send(signal, b"".join(pieces), items)
        return await self._post(signal, pieces, items)

    async def _post(self, signal: str, body: Sequence[bytes], items: int) -> Outcome:
        assert self._session is not None
        size = sum(map(len, body))
        try:
            async with self._session.post(
                self._endpoint.url(signal),
                data=b"".join(body) if size <= _PIECE else _portions(body),
                headers={**self._headers, "Content-Length": str(size)},
                allow_redirects=False,
            ) as answer:
                return await self._judge(answer, items)
        except WireError as error:
            return _malformed(error)
        except TimeoutError:
            return status.unreachable("timeout", f"no answer in {self._options.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return not_connected(error)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _encode(self, signal: str, payload: bytes) -> bytes:
        protocol = self._endpoint.protocol
        if len(payload) > _OFFLOAD[protocol] and (self._compress or protocol == "json"):
            return await asyncio.to_thread(self._body, signal, payload)
        return self._body(signal, payload)

    def _body(self, signal: str, payload: bytes) -> bytes:
        if self._endpoint.protocol == "json":
            from proxy.otlp import json  # and protobuf, which nothing else here needs

            payload = json.request_to_json(signal, payload)
        return self._compress(payload) if self._compress else payload

    async def _judge(self, answer: aiohttp.ClientResponse, items: int) -> Outcome:
        body = await _limited(answer.content)
        if body is None:
            return Outcome(status.Verdict.PERMANENT, "response_too_large")
        as_json = answer.content_type == "application/json"
        if answer.status < 300:
            return _json_success(body, items) if as_json else status.accepted(body, items)
        message = _json_message(body) if as_json else status.status_message(body)
        retry_after = answer.headers.get("Retry-After", "")
        return status.from_http(
            answer.status, retry_after, message or answer.reason or "", time.time()
        )


def _malformed(error: WireError) -> Outcome:
    return Outcome(status.Verdict.PERMANENT, "malformed", str(error))


async def _portions(body: Sequence[bytes]) -> AsyncIterator[bytes | memoryview]:
    """One in each turn of the loop, at most, and none while the destination takes no more.

    Whoever waits for this core gets it in between.
    """
    for portion in portions(body, _PIECE):
        yield portion
        os.sched_yield()
        await asyncio.sleep(0)


def portions(body: Sequence[bytes], most: int) -> Iterator[bytes | memoryview]:
    """What is in `body` in its order, at most so many bytes at once; only small pieces are copied,
    several of them into one."""
    small: list[bytes] = []
    size = 0
    for piece in body:
        is_small = len(piece) <= most // 4
        if size and (not is_small or size + len(piece) > most):
            yield b"".join(small)
            small, size = [], 0
        if is_small:
            small.append(piece)
            size += len(piece)
            continue
        view = memoryview(piece)
        for start in range(0, len(piece), most):
            yield view[start : start + most]
    if size:
        yield b"".join(small)


async def _limited(content: aiohttp.StreamReader) -> bytes | None:
    """The decompressed body; None if it is larger than a response may be."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > status.MAX_RESPONSE:
            return None
    return bytes(body)


def _json_success(body: bytes, items: int) -> Outcome:
    parsed = _json_object(body).get("partialSuccess")
    if not isinstance(parsed, dict):
        return status.accepted(b"", items)
    rejected = 0
    for key in ("rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"):
        try:
            rejected = rejected or int(parsed.get(key) or 0)
        except (TypeError, ValueError):
            continue
    return status.partial(rejected, str(parsed.get("errorMessage") or ""), items)


def _json_message(body: bytes) -> str:
    return str(_json_object(body).get("message") or "")


def _json_object(body: bytes) -> dict[str, object]:
    try:
        parsed = stdjson.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
