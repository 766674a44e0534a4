"""Odd pages, scraped by us and by a real Prometheus: both take the same, or refuse the same."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.collector.receivers.prometheus.fetch import lines
from proxy.formats.prometheus.target import Identity, ScrapedTarget
from proxy.formats.prometheus.text import MAX_LINE, Families, parse
from proxy.otlp.messages import REQUESTS
from proxy.otlp.metric_bytes import Request
from tests.collector.prometheus_pages import OPENMETRICS, PAGES, TEXT, Page
from tests.collector.prometheus_server import prometheus

# Prometheus stumbles over blanks that the format allows: "leading whitespace is ignored", and one
# behind a comma is what everybody else reads.
LENIENT = {"blanks in front", "modern blank in braces"}
OWN = ("scrape_", "up")

Samples = dict[str, float]


def scraped(page: Page) -> tuple[Samples | None, int]:
    """What we made of it, as samples of Prometheus, and how many we left out; None = refused."""
    target = ScrapedTarget(Identity({"job": "j", "instance": "i"}))
    target.begin(1_000_000_000)
    try:
        samples = parse(lines(page.body.encode()), page.kind == OPENMETRICS, target.families)
        while target.take(samples, 250):
            pass
    except ValueError:
        return None, 0
    request = Request()
    while target.write(request, 250):
        pass
    made: Any = REQUESTS["metrics"].FromString(request.serialise())
    found: Samples = {}
    for resource in made.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    found.update(_samples(metric.name, metric.WhichOneof("data"), point))
    return found, target.dropped + target.families.left_out


def _samples(name: str, kind: str, point: Any) -> Samples:
    labels = {a.key: a.value.string_value for a in point.attributes}
    if kind in ("gauge", "sum"):
        return {shown(name, labels): point.as_double}
    found = {shown(f"{name}_count", labels): float(point.count)}
    found[shown(f"{name}_sum", labels)] = point.sum
    if kind == "summary":
        for q in point.quantile_values:
            found[shown(name, {**labels, "quantile": f"{q.quantile:g}"})] = q.value
        return found
    total = 0
    for bound, count in zip([*point.explicit_bounds, math.inf], point.bucket_counts, strict=True):
        total += count
        le = "+Inf" if bound == math.inf else f"{bound:g}"
        found[shown(f"{name}_bucket", {**labels, "le": le})] = total
    return found


def shown(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value[:99]}"' for key, value in sorted(labels.items()))
    return f"{name[:99]}{{{inside}}}"


@asynccontextmanager
async def pages() -> AsyncIterator[int]:
    """A server of all of them, by number."""
    by_number = list(PAGES.values())

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        page = by_number[int(request.path[1:])]
        return web.Response(body=page.body.encode(), headers={"Content-Type": page.kind})

    runner = web.ServerRunner(web.Server(handle, access_log=None), handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def config(port: int) -> str:
    jobs = [
        f"  - {{ job_name: '{number}', metrics_path: /{number},"
        f" static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}"
        for number in range(len(PAGES))
    ]
    head = "global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n"
    return head + "\n".join(jobs)


async def test_both_take_the_same(tmp_path: Path) -> None:
    theirs: dict[str, Samples | None] = {}
    async with pages() as port, prometheus(tmp_path, text=config(port)) as server:
        everything = '{__name__=~".+",job=~"[0-9]+"}'
        # A scrape is seen as a whole, with what is said of it.
        await server.wait("count(up)", lambda found: found == [len(PAGES)])
        answers = await server.query(everything)
        names = list(PAGES)
        for key, value in answers.items():
            labels = dict(key)
            name = labels.pop("__name__")
            page = names[int(labels.pop("job"))]
            labels.pop("instance")
            if name == "up":
                theirs[page] = (theirs.get(page) or {}) if value else None
            elif not name.startswith(OWN) and theirs.get(page, {}) is not None:
                theirs.setdefault(page, {})[shown(name, labels)] = value  # type: ignore[index]
    wrong = {}
    for name, page in PAGES.items():
        ours, left_out = scraped(page)
        wanted = theirs[name]
        if name in LENIENT:
            assert (ours is not None, wanted) == (True, None), name
            continue
        if ours is None or wanted is None:
            if ours is not wanted:
                wrong[name] = (ours, wanted)
            continue
        rest = {key: value for key, value in wanted.items() if key not in page.lost}
        same = rest.keys() == ours.keys() and all(
            ours[key] == value or (math.isnan(value) and math.isnan(ours[key]))
            for key, value in rest.items()
        )
        counted = left_out >= len([key for key in page.lost if not key.endswith("_created{}")])
        if not same or not counted or not set(page.lost) <= wanted.keys():
            wrong[name] = (ours, wanted)
    assert not wrong


def test_a_line_of_any_length_costs_only_itself() -> None:
    for kind, end in ((TEXT, ""), (OPENMETRICS, "# EOF\n")):
        body = f'a 1\nb{{x="{"y" * MAX_LINE}"}} 2\n# HELP c {"z" * MAX_LINE}\nc 3\n{end}'
        found, left_out = scraped(Page(body, kind))
        assert (found, left_out) == ({"a{}": 1, "c{}": 3}, 1)


def test_long_lines_are_looked_at_a_few_at_a_time() -> None:
    page = "".join(f'a{{n="{n}",x="{"y" * 500_000}"}} 1\n' for n in range(10))
    target = ScrapedTarget(Identity({"job": "j", "instance": "i"}))
    target.begin(1)
    samples = parse(lines(page.encode()), False, target.families)
    steps = 1
    while target.take(samples, 250):
        steps += 1
    assert steps == 11
    assert target.kept == 10


@pytest.mark.parametrize("exemplar", ['{a="b",a="c"} 1', '{a="b"} 1 -5', '{a="b"} 1 1e30'])
def test_an_exemplar_that_is_none_is_left_out_and_counted(exemplar: str) -> None:
    families = Families()
    page = f"# TYPE c counter\nc_total 1 # {exemplar}\n# EOF"
    ((series, value, _, found),) = parse(page.split("\n"), True, families)
    assert (series, value, found, families.left_out) == ("c_total", 1, None, 1)
