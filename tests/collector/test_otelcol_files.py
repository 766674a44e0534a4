"""Files of the OpenTelemetry Collector, as its users have them, run here: what goes in comes out.

Each file of tests/config/otelcol says in its first line what is sent to it and what must come out.
Its customary ports become free ones, and its back ends two collectors of this test.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from aiohttp import web

from proxy.collector.pipeline import Pipeline
from proxy.config.load import loads
from proxy.config.observe import Export
from tests.collector.kit import RESOURCE, batch, until
from tests.otlp.fake_collector import FakeCollector

FOLDER = Path(__file__).parents[1] / "config" / "otelcol"
FILES = sorted(FOLDER.glob("*.yaml"))
SERVICES = {"traces": "trace", "metrics": "metrics", "logs": "logs"}


def told(text: str, word: str) -> list[str]:
    """What the first line says about that."""
    found = re.match(rf"# .*\b{word}: ([a-z ]+?)(  |\n)", text)
    assert found is not None
    return found[1].split()


def localised(text: str, backends: tuple[FakeCollector, FakeCollector], target: str) -> str:
    http, grpc_ = backends
    changes = {
        "http://otel-backend:4318": http.endpoint,
        "http://otel-backend:4317": grpc_.endpoint.replace("grpc://", "http://"),
        "otel-backend:4317": grpc_.endpoint.removeprefix("grpc://"),
        "otel-target:8080": target,
        "compression: snappy": "compression: gzip",  # the back end is grpcio, which has no snappy
    }
    for written, here in changes.items():
        text = text.replace(written, here)
    return re.sub(r"(0\.0\.0\.0|\$\{env:MY_POD_IP\}):\d+", "127.0.0.1:0", text)


@asynccontextmanager
async def target() -> AsyncIterator[str]:
    """Something to scrape."""

    async def page(request: web.BaseRequest) -> web.Response:
        return web.Response(text="# TYPE a gauge\na 1\n# TYPE go_b gauge\ngo_b 2\n")

    server = web.Server(page)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert site._server is not None
        yield f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


def arrived(backends: tuple[FakeCollector, ...], signal: str) -> bool:
    return any(backend.items(signal) for backend in backends)


def addresses(pipeline: Pipeline) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in pipeline.graph.receivers():
        stage: Any = node.stage
        found |= getattr(stage, "addresses", None) or {"port": getattr(stage, "port", 0)}
    return found


ZIPKIN = [{"traceId": "a" * 32, "id": f"{n:016x}", "name": "x", "timestamp": 1} for n in (1, 2, 3)]


async def send(how: str, ports: dict[str, int], signal: str) -> None:
    payload = batch(signal, 3).payload  # type: ignore[arg-type]
    if how == "grpc":
        service = f"opentelemetry.proto.collector.{SERVICES[signal]}.v1"
        name = f"{SERVICES[signal].capitalize()}Service"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
            await channel.unary_unary(f"/{service}.{name}/Export")(payload)
        return
    path, kind, body = f"/v1/{signal}", "application/x-protobuf", payload
    if how == "zipkin":
        path, kind, body = "/api/v2/spans", "application/json", json.dumps(ZIPKIN).encode()
    port = ports["http" if how == "http" else "port"]
    async with aiohttp.ClientSession() as session:
        answer = await session.post(
            f"http://127.0.0.1:{port}{path}", data=body, headers={"Content-Type": kind}
        )
        assert answer.status < 300, await answer.text()


def test_there_are_enough() -> None:
    assert len(FILES) >= 20


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_collector_s_file_runs(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    how, wanted = told(text, "in")[0], told(text, "out")
    environ = {"MY_POD_IP": "127.0.0.1", "FOLDER": str(tmp_path)}
    async with FakeCollector() as http, FakeCollector("grpc") as grpc_, target() as scraped:
        environ["BACKEND_HOST"] = grpc_.endpoint.removeprefix("grpc://")
        here = localised(text, (http, grpc_), scraped)
        loaded = loads(here, f"{tmp_path}/{file.name}", environ)
        assert loaded.config.collector is not None
        if how == "nothing":
            return
        pipeline = Pipeline(Export(), RESOURCE, collector=loaded.config.collector)
        await pipeline.start()
        try:
            if how != "none":
                ports = addresses(pipeline)
                sent = [s for s in wanted if file.stem != "spanmetrics" or s == "traces"]
                for signal in sent:
                    await send(how, ports, signal)
            for signal in wanted:
                await until(partial(arrived, (http, grpc_), signal))
        finally:
            await pipeline.stop(5)
        assert pipeline.books.balanced()


async def test_the_headers_of_authenticators_are_sent(tmp_path: Path) -> None:
    text = (FOLDER / "auth.yaml").read_text()
    async with FakeCollector("http") as http, FakeCollector("grpc") as grpc_:
        loaded = loads(localised(text, (http, grpc_), ""), "auth.yaml", {"TOKEN": "t0"})
        pipeline = Pipeline(Export(), RESOURCE, collector=loaded.config.collector)
        await pipeline.start()
        try:
            await send("http", addresses(pipeline), "traces")
            await http.wait_requests(2)
        finally:
            await pipeline.stop(5)
        found: set[Any] = {
            value
            for received in http.received
            for name, value in received.headers.items()
            if name.lower() == "authorization"
        }
        assert found == {"Bearer t0", "Basic bWU6cHc="}
