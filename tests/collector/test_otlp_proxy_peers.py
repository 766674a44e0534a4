"""Envoy, Traefik and Caddy trace a request of theirs to our receiver, by HTTP and by gRPC.

They run as they do for the benchmarks (`benchmarks/peers.py`), but send at once. Between a client
and a backend of the test's, each continues the client's trace and tells the backend of its own
span; what it tells us must agree with both.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from benchmarks import peers
from tests.collector.kit import Place, until
from tests.ports import free_port

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT = 2, 3

# Span kinds and names in the order of parents. Caddy has no span for its own request.
SPANS = {
    "envoy": [(SERVER, "ingress"), (CLIENT, "router backend egress")],
    "traefik": [(SERVER, "GET"), (CLIENT, "ReverseProxy")],
    "caddy": [(SERVER, "GET")],
}

Edits = tuple[tuple[str, str], ...]

SOON: Mapping[str, Edits] = {"envoy": (("flush_interval_ms: 1000", "flush_interval_ms: 20"),)}

# What differs in the configurations when spans go by gRPC.
BY_GRPC: Mapping[str, Edits] = {
    "envoy": (
        ("http_service:\n", "grpc_service:\n"),
        ("http_uri:\n", "envoy_grpc: {cluster_name: sink}\n"),
        ("                    uri: http://127.0.0.1:@SINK@/v1/traces\n", ""),
        ("                    cluster: sink\n                    timeout: 10s\n", ""),
        ("  - name: sink\n", "  - name: sink\n    http2_protocol_options: {}\n"),
    ),
    "traefik": (
        ('http: {endpoint: "http://127.0.0.1:@SINK@/v1/traces"}',
         'grpc: {endpoint: "127.0.0.1:@SINK@", insecure: true}'),
    ),
}  # fmt: skip


class Backend:
    """Answers everything and notes the trace context that the sampled requests bear."""

    def __init__(self) -> None:
        self.port = 0
        self.contexts: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        context = request.headers.get("traceparent", "")
        if context.startswith(f"00-{TRACE}"):
            self.contexts.append(context)
        return web.Response(text="hello")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("name", SPANS)
async def test_a_proxy_traces_to_us(name: str, protocol: str, tmp_path: Path) -> None:
    target = next(t for t in peers.TARGETS if t.name == f"{name}-traced")
    if reason := peers.missing(target):
        pytest.skip(f'{reason}: pip install "spangate[bench]"')
    place = Place("receiver", "otlp")
    receiver = place.make(f'{protocol} = "127.0.0.1:0"')
    await receiver.start()
    try:
        async with backend() as behind:
            values = {"BACKEND": str(behind.port), "SINK": str(receiver.addresses[protocol])}
            async with proxying(target, protocol, values, tmp_path) as (url, session):
                asked = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
                async with session.get(f"{url}/orders", headers=asked) as answer:
                    assert (answer.status, await answer.text()) == (200, "hello")
                await until(lambda: len(arrived(place)) >= len(SPANS[name]))
    finally:
        await receiver.stop(1)
    assert check_chain(name, arrived(place)) == behind.contexts


def check_chain(name: str, spans: list[tuple[str, Any]]) -> list[str]:
    """Returns the contexts that the backend must have been sent."""
    parent = PARENT
    assert {service for service, _ in spans} == {f"{name}-traced"}
    by_parent = {span.parent_span_id.hex(): span for _, span in spans}
    assert len(by_parent) == len(spans) == len(SPANS[name])
    for expected in SPANS[name]:
        span = by_parent[parent]
        assert (span.kind, span.name) == expected
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        parent = span.span_id.hex()
    return [f"00-{TRACE}-{parent}-01"]


def arrived(place: Place) -> list[tuple[str, Any]]:
    """The spans of the trace in question, with the names of their services."""
    out = []
    for batch in place.out:
        message: Any = batch.message()
        for resource in message.resource_spans:
            known = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                out += [
                    (known["service.name"], span)
                    for span in scope.spans
                    if span.trace_id.hex() == TRACE
                ]
    return out


@asynccontextmanager
async def backend() -> AsyncIterator[Backend]:
    made = Backend()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxying(
    target: peers.Target, protocol: str, values: Mapping[str, str], folder: Path
) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """The proxy's URL, when requests get through to the backend, and a client."""
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            port = free_port()
            given = {**values, "DIR": str(folder), "PORT": str(port), "ADMIN": "0"}
            process = await start(target, protocol, given, folder)
            try:
                if await gets_through(process, session, f"http://127.0.0.1:{port}"):
                    yield f"http://127.0.0.1:{port}", session
                    return
            finally:
                await end(process)
        pytest.fail((folder / "output").read_text())


async def start(
    target: peers.Target, protocol: str, values: dict[str, str], folder: Path
) -> asyncio.subprocess.Process:
    command, env = peers.prepare(target, values)
    edits = SOON.get(target.product, ())
    if protocol == "grpc":
        edits += BY_GRPC.get(target.product, ())
        env = {k: v.replace("http/protobuf", "grpc") for k, v in env.items()}
    edit(folder / next(iter(target.files)), edits, values)
    with (folder / "output").open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            # Caddy keeps a store in its user's home; the SDK of Go sends every so many ms.
            env={**os.environ, **env, "HOME": str(folder), "OTEL_BSP_SCHEDULE_DELAY": "20"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def edit(file: Path, edits: Edits, values: Mapping[str, str]) -> None:
    text = file.read_text()
    for old, new in edits:
        old = peers.fill(old, values)
        assert text.count(old) == 1, f"{old!r} is not in {file.name} once"
        text = text.replace(old, peers.fill(new, values))
    file.write_text(text)


async def gets_through(
    process: asyncio.subprocess.Process, session: aiohttp.ClientSession, url: str
) -> bool:
    """Whether a request of no sampled trace was answered; False if the process ended."""
    unsampled = {"traceparent": f"00-{'1' * 32}-{PARENT}-00"}
    async with asyncio.timeout(20):
        while process.returncode is None:
            try:
                async with session.get(url, headers=unsampled) as answer:
                    if answer.status == 200:
                        return True
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)  # nothing else tells that another process is ready
    return False


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
