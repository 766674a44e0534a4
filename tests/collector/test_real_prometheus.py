"""A real Prometheus: it scrapes us, we scrape it, it takes what we write and writes to us."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.collector.kit import Place
from tests.collector.prometheus_samples import Metrics, flat, numbers
from tests.collector.prometheus_server import prometheus

BOUNDS, COUNTS = (0.1, 0.5, 1.0), (1, 2, 3, 4)


def metrics(prefix: str) -> Metrics:
    made = Metrics(time.time_ns(), service__name="app", service__instance__id="one", zone="eu")
    made.counter(f"{prefix}.requests", 42, path='/a"\\\n')
    made.gauge(f"{prefix}.temperature", 21.5, "Cel")
    return made.histogram(f"{prefix}.duration", BOUNDS, COUNTS, 7.5).exponential(
        f"{prefix}.sizes", 3, -2, [1, 0, 0, 0, 0, 5, 1]
    )


async def test_prometheus_on_all_four_sides(tmp_path: Path) -> None:
    shown = Place("exporter", "prometheus", signal="metrics")
    page = shown.make('endpoint = "127.0.0.1:0"\nenable_open_metrics = true')
    taken = Place("receiver", "prometheus_remote_write")
    taker = taken.make('endpoint = "127.0.0.1:0"')
    await page.start()
    await taker.start()
    try:
        async with prometheus(tmp_path, page.port, taker.port) as server:
            assert shown.send(metrics("shown").batch())
            pushed = Place("exporter", "prometheus_remote_write", signal="metrics")
            url = f"http://127.0.0.1:{server.port}/api/v1/write"
            pusher = pushed.make(f'endpoint = "{url}"')
            scraping = Place("receiver", "prometheus", random=lambda: 0.0)
            scraper = scraping.make(
                'scrape_interval = "200ms"\n'
                'scrape_configs = [{ job_name = "prom", static_configs = '
                f'[{{ targets = ["127.0.0.1:{server.port}"] }}] }}]'
            )
            await pusher.start()
            await scraper.start()
            try:
                assert pushed.send(metrics("pushed").batch())
                for prefix in ("shown", "pushed"):
                    assert await server.wait(
                        f'{prefix}_requests_total{{job="app",instance="one",path="/a\\"\\\\\\n"}}'
                    ) == [42]
                    assert await server.wait(f"{prefix}_temperature_celsius") == [21.5]
                    assert await server.wait(f"{prefix}_duration_seconds_count") == [10]
                    buckets = await server.query(f"{prefix}_duration_seconds_bucket")
                    by_bound = {dict(labels)["le"]: value for labels, value in buckets.items()}
                    assert {float(le): v for le, v in by_bound.items()} == {
                        0.1: 1,
                        0.5: 3,
                        1.0: 6,
                        float("inf"): 10,
                    }
                assert await server.wait('target_info{job="app",zone="eu"}') == [1]
                assert await server.wait("histogram_count(pushed_sizes)") == [7]
                await until(lambda: pushed.ledger.queued == 0)
                assert (pushed.ledger.exported, pushed.ledger.dropped) == (4, {})
                assert shown.ledger.dropped == {"exponential_histogram": 1}
                await until(lambda: "prometheus_tsdb_head_series" in names(scraping))
                up = [p for n, _, p, _ in flat(scraping.out) if n == "up"]
                assert up and all(point.as_double == 1 for point in up)
                kinds = {n: m.WhichOneof("data") for n, _, _, m in flat(scraping.out)}
                assert kinds["prometheus_http_request_duration_seconds"] == "histogram"
                assert kinds["go_gc_duration_seconds"] == "summary"
                assert kinds["prometheus_http_requests_total"] == "sum"
                await until(lambda: "shown_requests_total" in names(taken))
                written = numbers(taken.out)
                found = [v for (n, _), v in written.items() if n == "shown_requests_total"]
                assert found == [42]
                await until(lambda: "pushed_sizes" in names(taken))
                native = next(p for n, _, p, _ in flat(taken.out) if n == "pushed_sizes")
                assert (native.scale, native.positive.offset, native.sum) == (3, -2, 1.0)
                assert list(native.positive.bucket_counts) == [1, 0, 0, 0, 0, 5, 1]
                kind = next(m for n, _, _, m in flat(taken.out) if n == "shown_requests_total")
                assert kind.sum.is_monotonic
            finally:
                await scraper.stop(1)
                await pusher.stop(1)
    finally:
        await page.stop(1)
        await taker.stop(1)


def names(place: Place) -> set[str]:
    return {name for name, *_ in flat(place.out)}


async def until(check: object) -> None:
    assert callable(check)
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.02)  # another process decides when
