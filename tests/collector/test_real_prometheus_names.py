"""A real Prometheus writes to us and gets it back: the same series, the same quantiles."""

from __future__ import annotations

import time
from pathlib import Path

from proxy.collector.batch import Batch
from tests.collector.kit import Place
from tests.collector.prometheus_samples import Metrics
from tests.collector.prometheus_server import prometheus
from tests.collector.test_real_prometheus import names, until

BOUNDS, COUNTS = (0.1, 0.5, 1.0), (1, 2, 3, 4)
PARTS = {"lat_seconds_bucket", "lat_seconds_sum", "lat_seconds_count", "calls_total"}


async def test_quantiles_are_the_same_before_and_after(tmp_path: Path) -> None:
    shown = Place("exporter", "prometheus", signal="metrics")
    page = shown.make('endpoint = "127.0.0.1:0"')
    taken = Place("receiver", "prometheus_remote_write")
    taker = taken.make('endpoint = "127.0.0.1:0"')
    await page.start()
    await taker.start()
    made = Metrics(time.time_ns(), service__name="app", service__instance__id="one")
    made.histogram("lat", BOUNDS, COUNTS, 7.5)
    made.counter("calls", 42)
    try:
        async with prometheus(tmp_path, page.port, taker.port) as server:
            assert shown.send(made.batch())
            await until(lambda: names(taken) >= PARTS)
            pushed = Place("exporter", "prometheus_remote_write", signal="metrics")
            url = f"http://127.0.0.1:{server.port}/api/v1/write"
            pusher = pushed.make(f'endpoint = "{url}"\nexternal_labels = {{ way = "back" }}')
            await pusher.start()
            try:
                for batch in list(taken.out):  # once: what is written is written to us again
                    assert pushed.send(Batch("metrics", batch.payload, batch.items))
                for name in PARTS:
                    await server.wait(f'{name}{{way="back"}}')
                for query in (
                    "histogram_quantile(0.9, lat_seconds_bucket)",
                    "histogram_quantile(0.25, lat_seconds_bucket)",
                    "lat_seconds_sum / lat_seconds_count",
                    "lat_seconds_bucket",
                    "calls_total",
                ):
                    both = await server.query(query)
                    before = {k: v for k, v in both.items() if ("way", "back") not in k}
                    after = {
                        tuple(pair for pair in k if pair != ("way", "back")): v
                        for k, v in both.items()
                        if ("way", "back") in k
                    }
                    assert before and after == before, query
            finally:
                await pusher.stop(1)
    finally:
        await page.stop(1)
        await taker.stop(1)
