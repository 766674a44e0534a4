"""Exporter `prometheus_remote_write`: pushes series to a Prometheus, or to what speaks like one.

A transport of the common exporter, whose queue, retries and books it has: batches wait as OTLP and
become series when they are sent. One batch is one request. Deltas have no place in Prometheus and
are refused: adding them up needs a memory that does not survive a restart, and samples of several
such processes would not add up to anything.

Source: prometheus/docs specs/prw/remote_write_spec.md, remote_write_spec_2_0.md: "Retries on
failures", "Backward and forward compatibility".
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from google.protobuf.message import DecodeError

from proxy.collector.context import Context
from proxy.collector.exporters.delivery import OtlpExporter
from proxy.collector.exporters.prometheus_remote_write.settings import Settings
from proxy.collector.queues.disk.queue import make_queue
from proxy.collector.retry import backoff
from proxy.formats.prometheus.series import Translation, Translator
from proxy.formats.remote_write import snappy
from proxy.formats.remote_write.from_otlp import Translated, translate
from proxy.formats.remote_write.write import write_v1, write_v2
from proxy.otlp import status
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

OFFLOAD = 16 * 1024  # bytes of OTLP that are translated in a thread: above it takes over 3 ms
V2 = "io.prometheus.write.v2.Request"
_MOST_MESSAGE = 300  # bytes of an answer that are read, for people
_WRITTEN = tuple(f"X-Prometheus-Remote-Write-{n}-Written" for n in ("Samples", "Histograms"))


@dataclass(frozen=True, slots=True)
class _Body:
    """One batch, ready to be sent."""

    payload: bytes  # what it was made of
    version: int
    data: bytes
    translated: Translated


class RemoteWriteTransport:
    """A Transport; POSTs to one URL."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._url = settings.endpoint
        self._timeout = settings.timeout
        self._concurrency = settings.sending_queue.num_consumers
        self._user_headers = settings.headers
        tls = settings.tls
        self._options = Options(
            ca=tls.ca, cert=tls.cert, key=tls.key, verify=not tls.insecure_skip_verify
        )
        self._version = 2 if settings.protobuf_message == V2 else 1
        self._translator = Translator(
            Translation(
                suffixes=settings.translation_strategy == "UnderscoreEscapingWithSuffixes",
                namespace=settings.namespace,
                constant=settings.external_labels,
                resource_labels=settings.resource_to_telemetry_conversion.enabled,
                scope_labels=not settings.without_scope_info,
                target_info=settings.target_info,
            )
        )
        self._last: _Body | None = None  # a retry sends it again
        self._session: aiohttp.ClientSession | None = None
        self._condition = context.condition
        self._counters = context.counters

    async def start(self) -> None:
        try:
            snappy.load()
        except snappy.Missing as error:
            raise ValueError(str(error)) from None
        check_headers(self._user_headers)
        tls = ssl_context(self._options) if self._url.startswith("https") else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout or None),
            skip_auto_headers=("Accept-Encoding",),
        )

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        try:
            outcome = await self._attempt(payload, items)
            if outcome is None:  # 2.0 is not understood
                self._version = 1
                self._condition.warn("does not take remote write 2.0, going on with 1.0")
                outcome = await self._attempt(payload, items)
                assert outcome is not None
            return outcome
        except DecodeError as error:
            return Outcome(Verdict.PERMANENT, "malformed", str(error))
        except TimeoutError:
            return status.unreachable("timeout", f"no answer in {self._timeout:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return not_connected(error)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _attempt(self, payload: bytes, items: int) -> Outcome | None:
        body = await self._body(payload)
        if not body.translated.series:
            return self._taken(body, items)
        assert self._session is not None
        async with self._session.post(
            self._url, data=body.data, headers=self._headers(), allow_redirects=False
        ) as answer:
            return await self._judge(answer, body, items)

    def _headers(self) -> dict[str, str]:
        two = self._version == 2
        return {
            "User-Agent": USER_AGENT,
            "Content-Encoding": "snappy",
            "Content-Type": f"application/x-protobuf;proto={V2}" if two else _V1_TYPE,
            "X-Prometheus-Remote-Write-Version": "2.0.0" if two else "0.1.0",
            UNTRACED[0]: UNTRACED[1],
            **self._user_headers,
        }

    async def _body(self, payload: bytes) -> _Body:
        last = self._last
        if last is None or last.payload is not payload or last.version != self._version:
            if len(payload) > OFFLOAD:
                last = await asyncio.to_thread(self._translate, payload, self._version)
            else:
                last = self._translate(payload, self._version)
            self._last = last
        return last

    def _translate(self, payload: bytes, version: int) -> _Body:
        request: Any = REQUESTS["metrics"].FromString(payload)
        translated = translate(request, self._translator)
        write = write_v2 if version == 2 else write_v1
        return _Body(payload, version, snappy.compress(write(translated.series)), translated)

    async def _judge(
        self, answer: aiohttp.ClientResponse, body: _Body, items: int
    ) -> Outcome | None:
        code = answer.status
        if 200 <= code < 300:
            if body.version == 2 and not any(name in answer.headers for name in _WRITTEN):
                return None  # specification: nothing was written, whatever the status says
            return self._taken(body, items, _missing(answer, body))
        if code == 415 and body.version == 2:
            return None
        raw = await answer.content.read(_MOST_MESSAGE)
        message = raw.decode("utf-8", "replace").strip() or answer.reason or ""
        if code >= 500 or code == 429:
            delay = status.parse_retry_after(answer.headers.get("Retry-After", ""), time.time())
            return Outcome(Verdict.RETRY, f"http_{code}", message, delay=delay)
        return Outcome(Verdict.PERMANENT, f"http_{code}", message)

    def _taken(self, body: _Body, items: int, missing: int = 0) -> Outcome:
        self._last = None
        refused = body.translated.refused
        for reason, amount in refused.items():
            self._counters.counter(
                "spangate.prometheus.points.dropped",
                "Data points that remote write cannot have.",
                reason=reason,
            ).add(amount)
        reasons = [f"{amount} {reason}" for reason, amount in sorted(refused.items())]
        if missing:
            reasons.append(f"{missing} samples not written")
        return status.partial(sum(refused.values()) + missing, ", ".join(reasons), items)


_V1_TYPE = "application/x-protobuf"


def _missing(answer: aiohttp.ClientResponse, body: _Body) -> int:
    """Samples and histograms that a receiver of 2.0 says it has not written."""
    if body.version != 2:
        return 0
    sent = (body.translated.samples, body.translated.histograms)
    missing = 0
    for name, amount in zip(_WRITTEN, sent, strict=True):
        said = answer.headers.get(name, "0").strip()
        missing += max(0, amount - int(said)) if said.isdigit() and len(said) < 10 else 0
    return missing


def make(settings: Settings, context: Context) -> OtlpExporter:
    queue = settings.sending_queue
    return OtlpExporter(
        RemoteWriteTransport(settings, context),
        make_queue(queue, context),
        backoff(settings.retry_on_failure, queue),
        context,
        concurrency=queue.num_consumers,
    )
