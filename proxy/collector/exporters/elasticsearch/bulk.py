"""Bulk requests to Elasticsearch: one batch as documents, sent in runs, item by item accounted.

Owns the HTTP session. What documents look like and what answers mean is said in `proxy.otlp`
(`elastic_*`); when to come again in `partly` and the exporter around this.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import aiohttp
from google.protobuf.message import DecodeError

from proxy.collector.context import Context
from proxy.collector.exporters.elasticsearch.settings import Settings
from proxy.collector.exporters.partly import Attempt, deliver
from proxy.collector.retry import Backoff
from proxy.formats.elastic import bulk
from proxy.formats.elastic.documents import Document, Names
from proxy.formats.elastic.ecs import EcsMapping
from proxy.formats.elastic.jaeger import JaegerMapping
from proxy.formats.elastic.otel import OtelMapping
from proxy.otlp import status
from proxy.otlp.messages import REQUESTS
from proxy.otlp.status import Outcome, Verdict
from proxy.otlp.transport import UNTRACED, USER_AGENT, Options, not_connected, ssl_context

_OFFLOAD = 32 * 1024  # bytes of a request: 70 spans, 2 to 3 ms of making documents
_GZIP_LEVEL = 1
_LARGEST_ANSWER = 16 * 1024 * 1024
_KNOWN = 10_000  # Jaeger's services and operations of a day that need not be stored again


class _Mapping(Protocol):
    refused: int

    def traces(self, request: Any) -> Iterator[Document]: ...


class BulkTransport:
    """A Transport."""

    def __init__(self, settings: Settings, context: Context, backoff: Backoff) -> None:
        self._settings = settings
        self._backoff = backoff
        self._random = context.random
        self._known: dict[tuple[str, ...], None] = {}  # in the order of their coming
        nodes = [url.rstrip("/") for url in settings.nodes]
        more = f"&pipeline={settings.pipeline}" if settings.pipeline else ""
        self._urls = itertools.cycle([f"{url}/_bulk?{bulk.QUERY}{more}" for url in nodes])
        self._url = next(self._urls)
        self._names = Names(
            settings.dataset,
            settings.namespace,
            (
                ("traces", settings.traces_index),
                ("metrics", settings.metrics_index),
                ("logs", settings.logs_index),
            ),
            f"{settings.index_prefix}-" if settings.index_prefix else "",
        )
        self._headers = _headers(settings)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        settings, tls = self._settings, self._settings.tls
        options = Options(
            ca=tls.ca, cert=tls.cert, key=tls.key, verify=not tls.insecure_skip_verify
        )
        secure = any(url.startswith("https:") for url in settings.nodes)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.sending_queue.num_consumers,
                ssl=ssl_context(options) if secure else False,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout or None),
        )

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        try:
            if len(payload) > _OFFLOAD:
                documents, refused = await asyncio.to_thread(self._documents, signal, payload)
            else:
                documents, refused = self._documents(signal, payload)
        except DecodeError as error:
            return Outcome(Verdict.PERMANENT, "malformed", str(error))
        outcome = await deliver(documents, self._attempt, self._backoff, self._random)
        if outcome.verdict is not Verdict.ACCEPTED:
            return outcome
        if not outcome.rejected:
            self._learn(documents)
        rejected = min(items, outcome.rejected + refused)
        why = outcome.message or ("points without a value" if refused else "")
        return Outcome(Verdict.ACCEPTED, message=why, rejected=rejected)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _documents(self, signal: str, payload: bytes) -> tuple[list[Document], int]:
        """Those of a request, and the items that have none. May run in a thread."""
        request = REQUESTS[signal].FromString(payload)
        mapping = self._mapping(signal)
        return list(getattr(mapping, signal)(request)), mapping.refused

    def _mapping(self, signal: str) -> _Mapping:
        mode = self._settings.mapping.mode
        if mode == "jaeger" and signal == "traces":
            return JaegerMapping(self._names, self._known)
        return EcsMapping(self._names) if mode == "ecs" else OtelMapping(self._names)

    def _learn(self, documents: Sequence[Document]) -> None:
        for document in documents:
            if document.pair:
                self._known[document.pair] = None
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    async def _attempt(self, documents: Sequence[Document]) -> Attempt[Document]:
        """All runs, until one fails as a whole."""
        flush = self._settings.flush
        made: Attempt[Document] = Attempt()
        runs = list(bulk.chunks(documents, flush.count, flush.bytes))
        while runs:
            run = runs.pop(0)
            outcome = await self._post(run, made)
            if outcome.verdict is Verdict.ACCEPTED:
                made.trouble = outcome if outcome.message else made.trouble
            elif outcome.reason == "http_413" and len(run) > 1:
                half = len(run) // 2
                runs[:0] = [run[:half], run[half:]]
            elif outcome.verdict is Verdict.PERMANENT:
                made.trouble = outcome
                made.rejected += sum(document.items for document in run)
            else:
                made.trouble = outcome
                made.left += [*run, *itertools.chain.from_iterable(runs)]
                break
        return made

    async def _post(self, run: list[Document], made: Attempt[Document]) -> Outcome:
        """One request; what became of its documents goes to `made`."""
        assert self._session is not None
        try:
            body = await self._body(run)
            async with self._session.post(
                self._url, data=body, headers=self._headers, allow_redirects=False
            ) as answer:
                content = await _limited(answer.content)
                if answer.status == 200 and content is not None:
                    return self._judge(content, run, made)
                text = bulk.message(content or b"") or answer.reason or ""
                after = answer.headers.get("Retry-After", "")
                return status.from_http(answer.status, after, text, time.time())
        except TimeoutError:
            self._url = next(self._urls)
            return status.unreachable("timeout", f"no answer in {self._settings.timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            self._url = next(self._urls)
            return not_connected(error)

    async def _body(self, run: list[Document]) -> bytes:
        body = bulk.body(run)
        if self._settings.compression == "none":
            return body
        return await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)

    def _judge(self, content: bytes, run: list[Document], made: Attempt[Document]) -> Outcome:
        try:
            reading = bulk.read(content, run)
        except ValueError as error:
            return Outcome(Verdict.PERMANENT, "bad_answer", f"not an answer of _bulk: {error}")
        self._url = next(self._urls)
        made.left += reading.left
        made.rejected += sum(document.items for document in reading.refused)
        if reading.left:
            made.trouble = status.unreachable("http_429", "some documents had no room")
        return Outcome(Verdict.ACCEPTED, message=reading.why)


def _headers(settings: Settings) -> dict[str, str]:
    made = {"User-Agent": USER_AGENT, "Content-Type": bulk.TYPE, UNTRACED[0]: UNTRACED[1]}
    if settings.compression == "gzip":
        made["Content-Encoding"] = "gzip"
    if settings.api_key:
        made["Authorization"] = f"ApiKey {settings.api_key}"
    elif settings.user:
        pair = f"{settings.user}:{settings.password}".encode()
        made["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return {**made, **settings.headers}


async def _limited(content: aiohttp.StreamReader) -> bytes | None:
    """The body; None if it is larger than an answer may be."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            return None
    return bytes(body)
