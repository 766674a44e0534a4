"""An OTLP exporter with a queue on disk, and a collector that is away for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.collector.pipeline import Pipeline
from proxy.config.load import loads
from proxy.config.model import Config
from tests.collector.kit import Place, batch
from tests.otlp import samples
from tests.otlp.fake_collector import HANG, FakeCollector


async def exporter(collector: FakeCollector, directory: Path) -> tuple[Place, Any]:
    place = Place("exporter", "otlp_http/backend")
    made = place.make(
        f"""
        endpoint = "http://127.0.0.1:{collector.port}"
        retry_on_failure = {{ initial_interval = "20ms", max_interval = "50ms" }}
        sending_queue = {{ storage = "{directory}", num_consumers = 2 }}
        """
    )
    await made.start()
    return place, made


async def test_what_could_not_be_sent_is_sent_after_a_restart(tmp_path: Path) -> None:
    collector = FakeCollector()
    async with collector:
        await collector.die()
        place, made = await exporter(collector, tmp_path)
        for _ in range(5):
            assert place.send(batch())
        await made.stop(0.1)
        assert place.ledger.dropped == {}
        assert place.ledger.queued == 15  # on disk
        assert place.send(batch()) is False
    async with collector:
        place, made = await exporter(collector, tmp_path)
        assert place.ledger.created == 15
        await collector.wait_items("traces", 15)
        assert place.send(batch())
        await collector.wait_items("traces", 18)
        await made.stop(5)
        assert place.ledger.balanced
        assert (place.ledger.created, place.ledger.exported) == (18, 18)
        assert collector.items("traces") == 18
    assert [p.name for p in (tmp_path / "otlp_http%2Fbackend").iterdir()] == ["lock"]


async def test_what_is_there_is_delivered_before_it_stops(tmp_path: Path) -> None:
    async with FakeCollector() as collector:
        place, made = await exporter(collector, tmp_path)
        for _ in range(20):
            assert place.send(batch())
        await made.stop(5)
        assert collector.items("traces") == 60
        assert (place.ledger.exported, place.ledger.queued) == (60, 0)


async def test_a_collector_that_hangs_at_the_stop_gets_it_again(tmp_path: Path) -> None:
    async with FakeCollector() as collector:
        collector.script(HANG, HANG)
        place, made = await exporter(collector, tmp_path)
        for _ in range(4):
            assert place.send(batch())
        await collector.wait_requests(2)
        await made.stop(0.05)
        assert (place.ledger.dropped, place.ledger.queued) == ({}, 12)
        place, made = await exporter(collector, tmp_path)
        await collector.wait_items("traces", 12)
        await made.stop(5)
        assert (place.ledger.created, place.ledger.exported) == (12, 12)


def config(collector: FakeCollector, directory: Path, timeout: str) -> Config:
    text = f"""
        [export]
        otlp = []
        [collector.exporters.otlp_http]
        endpoint = "http://127.0.0.1:{collector.port}"
        timeout = "{timeout}"
        retry_on_failure = {{ initial_interval = "20ms", max_interval = "50ms" }}
        sending_queue = {{ storage = "{directory}" }}
        [collector.pipelines.traces]
        receivers = ["gateway"]
        exporters = ["otlp_http"]
        """
    return loads(text, "test.toml", {}).config


async def test_a_reload_hands_the_directory_over(tmp_path: Path) -> None:
    collector = FakeCollector()
    async with collector:
        await collector.die()
        before, after = (config(collector, tmp_path, timeout) for timeout in ("3s", "4s"))
        pipeline = Pipeline(before.export, {}, collector=before.collector)
        await pipeline.start()
        pipeline.offer("traces", samples.spans(5), 5)
        change = await pipeline.prepare(after.export, {}, after.collector)
        await pipeline.adopt(change, 0.1)
        pipeline.offer("traces", samples.spans(3), 3)
        assert pipeline.books.balanced()
        await collector.revive()
        await collector.wait_items("traces", 8)
        await pipeline.stop(5)
        ledger = pipeline.books.open("traces", "otlp_http")
        assert (ledger.created, ledger.exported, ledger.dropped) == (8, 8, {})
        assert collector.items("traces") == 8
