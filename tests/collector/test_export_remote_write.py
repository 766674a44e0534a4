"""Sending remote write: what arrives, what is tried again, what is given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from proxy.formats.remote_write import snappy
from proxy.formats.remote_write.read import Message, read_v1, read_v2
from tests.collector.kit import Place
from tests.collector.prometheus_samples import DELTA, NOW, Metrics

WRITTEN = "X-Prometheus-Remote-Write-Samples-Written"


class Server:
    """Answers with what stands in `answers`, then always with success."""

    def __init__(self, *answers: tuple[int, dict[str, str]]) -> None:
        self.answers = list(answers)
        self.success: dict[str, str] = {WRITTEN: "1"}
        self.seen: list[tuple[str, str]] = []  # (version, type)
        self.bodies: list[bytes] = []
        self.messages: list[Message] = []

    async def __aenter__(self) -> Server:
        self.runner = web.ServerRunner(web.Server(self.handle, access_log=None))
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/api/v1/write"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.runner._shutdown_timeout = 0.0
        await self.runner.cleanup()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        version = request.headers["X-Prometheus-Remote-Write-Version"]
        assert request.headers["Content-Encoding"] == "snappy"
        self.seen.append((version, request.headers["Content-Type"]))
        self.bodies.append(body)
        status, headers = self.answers.pop(0) if self.answers else (204, self.success)
        if status < 300:
            read = read_v2 if version == "2.0.0" else read_v1
            self.messages.append(read(snappy.decompress(body)))
        return web.Response(status=status, headers=headers)


async def export(server: Server, *made: Metrics, toml: str = "") -> Place:
    """Everything of `made` is sent, or given up."""
    place = Place("exporter", "prometheusremotewrite", signal="metrics", random=lambda: 0.5)
    retry = 'retry_on_failure = { initial_interval = "1ms", max_interval = "2ms" }'
    stage: Any = place.make(f'endpoint = "{server.url}"\n{retry}\n{toml}')
    await stage.start()
    for one in made:
        assert place.send(one.batch())
    async with asyncio.timeout(20):
        while place.ledger.queued:
            await asyncio.sleep(0.002)  # the other side decides when
            assert place.ledger.balanced
    await stage.stop(1)
    return place


def values(server: Server) -> list[tuple[str, float]]:
    return [
        (dict(series.labels)["__name__"], sample.value)
        for message in server.messages
        for series in message.series
        for sample in series.samples
    ]


async def test_samples_arrive_in_order() -> None:
    async with Server() as server:
        batches = [Metrics(NOW + 1_000_000 * n).gauge("a", n) for n in range(1, 6)]
        place = await export(server, *batches, toml='external_labels = { cluster = "c" }')
        assert values(server) == [("a", n) for n in range(1, 6)]
        assert dict(server.messages[0].series[0].labels)["cluster"] == "c"
        assert set(server.seen) == {("0.1.0", "application/x-protobuf")}
        assert place.ledger.exported == 5


TWO = 'protobuf_message = "io.prometheus.write.v2.Request"'
V2_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"


async def test_version_2_has_metadata_and_starts() -> None:
    async with Server() as server:
        place = await export(server, Metrics().counter("a", 4, "s"), toml=TWO)
        assert server.seen == [("2.0.0", V2_TYPE)]
        (series,) = server.messages[0].series
        assert series.metadata is not None
        assert (series.metadata.type, series.metadata.unit) == ("counter", "seconds")
        assert series.samples[0].start == series.samples[0].time - 1000
        assert place.ledger.exported == 1


@pytest.mark.parametrize("answer", [(415, {}), (204, {})])
async def test_who_does_not_know_version_2_gets_1(answer: tuple[int, dict[str, str]]) -> None:
    async with Server(answer) as server:
        place = await export(server, Metrics().gauge("a", 1), Metrics().gauge("a", 2), toml=TWO)
        assert [version for version, _ in server.seen] == ["2.0.0", "0.1.0", "0.1.0"]
        assert values(server)[-2:] == [("a", 1), ("a", 2)]
        assert place.ledger.exported == 2


async def test_what_was_not_written_is_in_the_books() -> None:
    async with Server((204, {WRITTEN: "1"})) as server:
        place = await export(server, Metrics().gauge("a", 1).gauge("b", 1), toml=TWO)
        assert (place.ledger.exported, place.ledger.dropped) == (1, {"rejected": 1})


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_the_same_bytes_are_sent_again(status: int) -> None:
    async with Server((status, {}), (status, {"Retry-After": "0"})) as server:
        place = await export(server, Metrics().gauge("a", 1))
        assert len(server.bodies) == 3
        assert len(set(server.bodies)) == 1
        assert place.ledger.exported == 1


@pytest.mark.parametrize("status", [400, 404, 413, 415, 301])
async def test_what_is_refused_for_good_is_dropped(status: int) -> None:
    async with Server((status, {})) as server:
        place = await export(server, Metrics().gauge("a", 1), Metrics().gauge("b", 2))
        assert values(server) == [("b", 2)]
        assert place.ledger.dropped == {f"permanent_http_{status}": 1}


async def test_deltas_are_dropped_and_counted() -> None:
    async with Server() as server:
        only = Metrics().sum("a", 1, "", True, DELTA)
        place = await export(server, Metrics().sum("a", 1, "", True, DELTA).gauge("b", 2), only)
        assert values(server) == [("b", 2)]
        assert len(server.bodies) == 1  # nothing is sent for nothing
        assert (place.ledger.exported, place.ledger.dropped) == (1, {"rejected": 2})
        counted = {
            dict(attributes).get("reason"): value
            for instrument, attributes, value, _ in place.counters.series()
            if instrument.name == "spangate.prometheus.points.dropped"
        }
        assert counted == {"delta": 2}
