"""Twenty small services that call each other through a gateway: ten sound, ten that break traces.

`/sN/h` is answered by service N after it has asked the next one, by the gateway, for `h - 1` more.
They run in one loop in a thread of its own. Those that trace export their spans by OTLP/HTTP.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SOUND = [
    "copies", "copies", "copies all", "copies slowly", "traces", "traces", "traces slowly",
    "calls twice", "calls nobody", "copies",
]  # fmt: skip
BROKEN = {
    "drops": "context_dropped",
    "restarts": "context_restarted",
    "corrupts": "context_corrupted",
    "clears": "sampled_flag_changed",
    "stateless": "tracestate_lost",
    "unladen": "baggage_lost",
    "b3": "b3_for_w3c",
    "halves": "trace_id_truncated",
    "exports nothing": "spans_missing",
    "skewed": "clock_skew",
}
# A broken one before each sound one, so that what it does is nobody else's.
WAYS = [way for pair in zip(SOUND, BROKEN, strict=True) for way in pair]
TRACE_FIELDS = ("traceparent", "tracestate", "baggage")
SKEW = 3_000_000_000


class Service:
    """One of them; `gate` and `collector` are ports, known later."""

    def __init__(self, number: int, way: str, town: Town) -> None:
        self.number = number
        self.way = way
        self.town = town

    async def answer(self, request: web.Request) -> web.Response:
        begun = time.time_ns()
        hops = int(request.path.rpartition("/")[2])
        own = os.urandom(8).hex()
        if self.way.endswith("slowly"):
            await asyncio.sleep(0.02)
        if hops and self.way != "calls nobody":
            url = f"http://127.0.0.1:{self.town.gate}/s{(self.number + 1) % len(WAYS)}/{hops - 1}"
            sent = self.sent(request, own)
            calls = [self.town.fetch(url, sent) for _ in range(1 + (self.way == "calls twice"))]
            await asyncio.gather(*calls)
        if self.way in ("traces", "traces slowly", "skewed"):
            self.town.ended(self, request.headers.get("traceparent", ""), own, begun)
        return web.Response(text="ok")

    def sent(self, request: web.Request, own: str) -> dict[str, str]:
        """The header fields of its calls."""
        given = {n: request.headers[n] for n in TRACE_FIELDS if n in request.headers}
        _, trace, parent, flags = given["traceparent"].split("-")
        child = f"00-{trace}-{own}-{flags}"
        changed: dict[str, dict[str, str]] = {
            "drops": dict.fromkeys(TRACE_FIELDS, ""),
            "restarts": {"traceparent": f"00-{os.urandom(16).hex()}-{own}-01", "tracestate": ""},
            "corrupts": {"traceparent": f"00-{trace.upper()}-{own}"},
            "clears": {"traceparent": f"00-{trace}-{own}-00"},
            "stateless": {"tracestate": ""},
            "unladen": {"baggage": ""},
            "b3": {"traceparent": "", "tracestate": "", "b3": f"{trace}-{parent}-1"},
            "halves": {"traceparent": f"00-{'0' * 16}{trace[16:]}-{own}-01"},
            "exports nothing": {"traceparent": child},
            "skewed": {"traceparent": child},
            "traces": {"traceparent": child},
            "traces slowly": {"traceparent": child},
            "copies all": {"x-request-id": request.headers.get("x-request-id", "")},
        }
        merged = given | changed.get(self.way, {})
        return {name: value for name, value in merged.items() if value}


class Town:
    """All of them, and what they share."""

    def __init__(self) -> None:
        self.gate = self.collector = 0
        self.ports: list[int] = []
        self.loop = asyncio.new_event_loop()
        self._export = ExportTraceServiceRequest()
        self._session: aiohttp.ClientSession
        self._runners: list[web.AppRunner] = []

    async def open(self) -> None:
        self._session = aiohttp.ClientSession()
        for number, way in enumerate(WAYS):
            server = web.Server(_handler(Service(number, way, self)))
            runner = web.ServerRunner(server)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._runners.append(runner)  # type: ignore[arg-type]
            self.ports.append(runner.addresses[0][1])

    async def close(self) -> None:
        await self._session.close()
        for runner in self._runners:
            await runner.cleanup()

    async def fetch(self, url: str, fields: dict[str, str]) -> None:
        async with self._session.get(url, headers=fields) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()

    def ended(self, service: Service, given: str, own: str, begun: int) -> None:
        """Keep a service's SERVER span for the next export."""
        _, trace, parent, flags = given.split("-")
        if flags != "01":
            return
        group = self._export.resource_spans.add()
        pair = group.resource.attributes.add(key="service.name")
        pair.value.string_value = f"s{service.number}"
        ahead = SKEW if service.way == "skewed" else 0
        group.scope_spans.add().spans.add(
            trace_id=bytes.fromhex(trace),
            span_id=bytes.fromhex(own),
            parent_span_id=bytes.fromhex(parent),
            name="GET",
            kind=2,
            start_time_unix_nano=begun + ahead,
            end_time_unix_nano=time.time_ns() + ahead,
        )

    async def export(self) -> None:
        """Send what the services have traced."""
        body, self._export = self._export.SerializeToString(), ExportTraceServiceRequest()
        url = f"http://127.0.0.1:{self.collector}/v1/traces"
        fields = {"content-type": "application/x-protobuf"}
        async with self._session.post(url, data=body, headers=fields) as answer:
            assert answer.status == 200, await answer.text()

    def run(self, work: Awaitable[None]) -> None:
        """From another thread, to its end."""

        async def wait() -> None:
            await work

        asyncio.run_coroutine_threadsafe(wait(), self.loop).result(120)


def _handler(service: Service) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    return service.answer  # type: ignore[return-value]


@contextmanager
def town() -> Iterator[Town]:
    """Running services."""
    found = Town()
    thread = threading.Thread(target=found.loop.run_forever, daemon=True)
    thread.start()
    found.run(found.open())
    try:
        yield found
    finally:
        found.run(found.close())
        found.loop.call_soon_threadsafe(found.loop.stop)
        thread.join()
        found.loop.close()
