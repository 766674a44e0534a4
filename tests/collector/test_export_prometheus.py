"""The page: what a Prometheus reads of it, and what several applications do to it."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_modern
from prometheus_client.parser import text_string_to_metric_families as read_text

from proxy.collector.exporters.prometheus.exporter import wants_openmetrics
from tests.collector.kit import Place
from tests.collector.prometheus_samples import DELTA, NOW, Metrics

MODERN = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
Sample = tuple[str, tuple[tuple[str, str], ...]]


class Exporter:
    """One that runs, on a free port, at a time that the test sets."""

    def __init__(self, toml: str = "") -> None:
        self.now = NOW
        self.place = Place("exporter", "prometheus", signal="metrics", now_ns=lambda: self.now)
        self.stage: Any = self.place.make(f'endpoint = "127.0.0.1:0"\n{toml}')

    async def __aenter__(self) -> Exporter:
        await self.stage.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stage.stop(1)
        assert self.place.ledger.balanced

    async def show(self, made: Metrics) -> None:
        """Send it, and wait until it is on the page."""
        assert self.place.send(made.batch())
        async with asyncio.timeout(20):
            while self.stage.held("metrics"):
                await asyncio.sleep(0)

    async def get(self, path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
        url = f"http://127.0.0.1:{self.stage.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers["Content-Type"]

    async def samples(self, modern: bool = False) -> dict[Sample, float]:
        """As prometheus-client reads the page; each sample must be there once."""
        _, text, kind = await self.get(**(MODERN if modern else {}))
        assert ("openmetrics" in kind) == modern
        found: dict[Sample, float] = {}
        for family in (read_modern if modern else read_text)(text):
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in found
                found[key] = sample.value
        return found


def everything() -> Metrics:
    made = Metrics(service__name="app", service__instance__id="1", zone='e"u\n\\')
    made.counter("http.requests", 3, "{request}", path="/a").gauge("temp", 21.5, "Cel")
    made.sum("in.flight", 2, "", False, 2).summary("s", {0.5: 1.0, 0.9: 2.5}, 4)
    return made.histogram("lat", (0.25, 1.0), (1, 2, 3), 4.5)


@pytest.mark.parametrize("modern", [False, True])
async def test_every_type_is_read_back(modern: bool) -> None:
    async with Exporter("enable_open_metrics = true") as exporter:
        await exporter.show(everything())
        found = await exporter.samples(modern)
        who = (("instance", "1"), ("job", "app"))
        one = "1.0" if modern else "1"
        assert found == {
            ("http_requests_total", (*who, ("path", "/a"))): 3,
            ("temp_celsius", who): 21.5,
            ("in_flight", who): 2,
            ("s", (*who, ("quantile", "0.5"))): 1,
            ("s", (*who, ("quantile", "0.9"))): 2.5,
            ("s_sum", who): 1.5,
            ("s_count", who): 4,
            ("lat_seconds_bucket", (*who, ("le", "0.25"))): 1,
            ("lat_seconds_bucket", (*who, ("le", one))): 3,
            ("lat_seconds_bucket", (*who, ("le", "+Inf"))): 6,
            ("lat_seconds_sum", who): 4.5,
            ("lat_seconds_count", who): 6,
            ("target_info", (*who, ("zone", 'e"u\n\\'))): 1,
        }
        assert (exporter.place.ledger.exported, exporter.place.ledger.dropped) == (5, {})


async def test_exemplars_and_units_are_on_the_openmetrics_page_only() -> None:
    async with Exporter("enable_open_metrics = true\nsend_timestamps = true") as exporter:
        await exporter.show(everything())
        _, text, _ = await exporter.get(**MODERN)
        assert "# UNIT temp_celsius celsius\n" in text
        trace = '{trace_id="0af7651916cd43dd8448eb211c80319c"}'
        assert f" 1700000000.000 # {trace} 3 1700000000.000\n" in text
        assert f'le="1.0"}} 3 1700000000.000 # {trace} 0.3' in text
        _, text, kind = await exporter.get()
        assert "# {" not in text and "UNIT" not in text
        assert "temp_celsius{" in text and " 1700000000000\n" in text
        assert kind == "text/plain; version=0.0.4; charset=utf-8"


async def test_the_old_format_is_given_if_the_new_one_is_not_allowed() -> None:
    async with Exporter() as exporter:
        await exporter.show(everything())
        assert (await exporter.get(**MODERN))[2].startswith("text/plain")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.7", False),
        (
            "application/openmetrics-text; version=1.0.0; q=0.8 , text/plain;version=0.0.4;q=0.3",
            True,
        ),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        ("application/openmetrics-text;version=2.0.0", False),
    ],
)
def test_negotiation(accept: str, expected: bool) -> None:
    assert wants_openmetrics(accept) is expected


async def test_settings_of_names_and_labels() -> None:
    toml = (
        'namespace = "ns"\nconst_labels = { cluster = "c", path = "const" }\ntarget_info = false\n'
        "resource_to_telemetry_conversion = { enabled = true }\nwithout_scope_info = true\n"
        'translation_strategy = "UnderscoreEscapingWithoutSuffixes"'
    )
    async with Exporter(toml) as exporter:
        made = Metrics(service__name="app", zone="eu").counter("a.b", 1, "s", path="/x")
        made.scope.scope.name = "lib"
        await exporter.show(made)
        labels = 'cluster="c",job="app",path="/x",service_name="app",zone="eu"'
        assert f"\nns_a_b{{{labels}}} 1\n" in (await exporter.get())[1]


async def test_scopes_are_labels() -> None:
    async with Exporter() as exporter:
        made = Metrics().gauge("a", 1)
        made.scope.scope.name, made.scope.scope.version = "lib", "2"
        await exporter.show(made)
        ((_, labels),) = await exporter.samples()
        assert dict(labels) == {"job": "app", "otel_scope_name": "lib", "otel_scope_version": "2"}


async def test_the_same_series_of_two_resources_does_not_break_the_page() -> None:
    async with Exporter() as exporter:
        await exporter.show(Metrics(service__name="app", host="a").gauge("g", 1))
        await exporter.show(Metrics(service__name="app", host="b", time=NOW + 1).gauge("g", 2))
        assert (await exporter.samples())["g", (("job", "app"),)] == 2
        counted = {i.name: value for i, _, value, _ in exporter.place.counters.series()}
        assert counted["spangate.prometheus.collisions"] == 1
        assert "service.instance.id" in exporter.place.context.condition.error
        assert exporter.place.ledger.exported == 2


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (Metrics().gauge("a", 1), Metrics().histogram("a", (1.0,), (1, 2), 3), ""),
        (Metrics().gauge("a_seconds", 1), Metrics().histogram("a", (1.0,), (1, 2), 3), "type"),
        (
            Metrics().histogram("a", (1.0,), (1, 2), 3),
            Metrics().gauge("a_seconds_count", 1),
            "name",
        ),
        (Metrics().gauge("a_seconds_sum", 1), Metrics().histogram("a", (1.0,), (1, 2), 3), "name"),
        (Metrics().gauge("a", 1), Metrics().counter("a", 1), ""),
        (Metrics().gauge("a.b", 1), Metrics().gauge("a_b", 2, x="y"), ""),
    ],
)
async def test_names_that_clash(first: Metrics, second: Metrics, reason: str) -> None:
    async with Exporter("enable_open_metrics = true") as exporter:
        await exporter.show(first)
        await exporter.show(second)
        assert exporter.place.ledger.dropped == ({f"{reason}_conflict": 1} if reason else {})
        await exporter.samples()
        await exporter.samples(modern=True)


async def test_deltas_add_up() -> None:
    async with Exporter() as exporter:
        for number in range(3):
            made = Metrics(NOW + number).sum("a", 2, "", True, DELTA)
            await exporter.show(made.histogram("h", (1.0,), (1, 2), 3, DELTA))
        await exporter.show(Metrics(NOW + 2).sum("a", 2, "", True, DELTA))  # came twice
        found = await exporter.samples()
        job = (("job", "app"),)
        assert found["a_total", job] == 6
        assert found["h_seconds_bucket", (*job, ("le", "+Inf"))] == 9
        assert found["h_seconds_sum", job] == 9
        assert exporter.place.ledger.dropped == {"out_of_order": 1}


async def test_the_latest_value_is_shown_whatever_the_order() -> None:
    async with Exporter() as exporter:
        await exporter.show(Metrics(NOW + 5).gauge("a", 5))
        await exporter.show(Metrics(NOW + 1).gauge("a", 1))
        assert (await exporter.samples())["a", (("job", "app"),)] == 5


async def test_series_go_when_they_are_old_or_marked_as_gone() -> None:
    async with Exporter('metric_expiration = "1m"') as exporter:
        await exporter.show(Metrics().gauge("a", 1).gauge("b", 1).gauge("c", 1))
        await exporter.show(Metrics().gauge("b", None))
        assert {name for name, _ in await exporter.samples()} == {"a", "c"}
        exporter.now += 50_000_000_000
        await exporter.show(Metrics().gauge("c", 2))
        exporter.now += 11_000_000_000
        assert {name for name, _ in await exporter.samples()} == {"c"}
        exporter.now += 61_000_000_000
        assert await exporter.samples() == {}
        # A name that is free again may be of another type.
        await exporter.show(Metrics(NOW + 1).counter("a", 1))
        assert exporter.place.ledger.dropped == {}


async def test_what_cannot_be_shown_is_counted() -> None:
    async with Exporter("series_limit = 1") as exporter:
        made = Metrics(x="y").gauge("a", 1).gauge("b", 1).exponential("e", 1, 0, [1])
        await exporter.show(made.histogram("h", (2.0, 1.0), (1, 1, 1), 1))
        await exporter.show(Metrics(x="y").histogram("h", (1.0,), (1, 1, 1), 1))
        assert exporter.place.ledger.exported == 1
        assert exporter.place.ledger.dropped == {
            "series_limit": 1,
            "exponential_histogram": 1,
            "malformed": 2,
        }


async def test_large_batches_are_taken_in_portions_and_none_is_lost() -> None:
    async with Exporter() as exporter:
        made = Metrics()
        for number in range(700):
            made.gauge("g", number, n=str(number))
        assert exporter.place.send(made.batch())
        assert exporter.stage.held("metrics") == 700
        await asyncio.sleep(0)
        assert exporter.place.ledger.balanced
        await exporter.show(Metrics(NOW).gauge("last", 1))
        assert len(await exporter.samples()) == 701


async def test_pages_are_compressed_for_those_who_ask() -> None:
    async with Exporter() as exporter:
        await exporter.show(everything())
        url = f"http://127.0.0.1:{exporter.stage.port}/metrics"
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(url, headers={"Accept-Encoding": "gzip"}) as answer,
        ):
            plain = gzip.decompress(await answer.read()).decode()
        async with (
            aiohttp.ClientSession(skip_auto_headers=["Accept-Encoding"]) as session,
            session.get(url) as answer,
        ):
            assert await answer.text() == plain


async def test_who_may_read_it_and_where() -> None:
    async with Exporter('auth = { basic = { u = "p" } }\nmetrics_path = "/m"') as exporter:
        assert (await exporter.get("/m"))[0] == 401
        allowed = {"Authorization": "Basic dTpw"}
        assert (await exporter.get("/metrics", **allowed))[0] == 404
        assert (await exporter.get("/m", **allowed))[:2] == (200, "")
