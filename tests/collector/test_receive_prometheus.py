"""Scraping: good targets, bad ones, and those that come and go."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.collector.receivers.prometheus.relabel import relabelling
from proxy.collector.receivers.prometheus.settings import Group, Relabel, Scrape
from proxy.collector.receivers.prometheus.targets import TargetFiles, places
from proxy.config.load import loads
from proxy.errors import ConfigError
from tests.collector.kit import Place, settings
from tests.collector.prometheus_samples import flat, numbers

TEXT = "text/plain; version=0.0.4"
MODERN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def target(handler: Handler) -> AsyncIterator[int]:
    """A server that answers as it likes; its port."""
    runner = web.ServerRunner(web.Server(handler, access_log=None), handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        runner._shutdown_timeout = 0.0
        await runner.cleanup()


def answering(body: str, kind: str = TEXT, **headers: str) -> Handler:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body.encode(), headers={"Content-Type": kind, **headers})

    return handle


class Scraping:
    """A receiver with one job, and what came of it."""

    def __init__(self, job: str = "", top: str = "") -> None:
        self.place = Place("receiver", "prometheus", random=lambda: 0.0)
        top = f'scrape_interval = "500ms"\n{top}'
        toml = f"{top}\n[[collector.receivers.prometheus.scrape_configs]]"
        self.receiver = self.place.make(f'{toml}\njob_name = "job"\n{job}')

    async def wait(self, check: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not check():
                await asyncio.sleep(0.005)  # the other side decides when

    @property
    def failures(self) -> dict[str, int]:
        """{reason: times}"""
        return {
            str(dict(attributes)["reason"]): int(str(value))
            for instrument, attributes, value, _ in self.place.counters.series()
            if instrument.name == "spangate.prometheus.scrape.failures"
        }

    async def __aenter__(self) -> Scraping:
        await self.receiver.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.receiver.stop(1)


def static(port: int, more: str = "") -> str:
    return f'static_configs = [{{ targets = ["127.0.0.1:{port}"]{more} }}]'


@pytest.mark.parametrize(
    ("kind", "body"), [(TEXT, "a 1\n"), ("text/plain", "a 1"), (MODERN, "a 1\n# EOF\n")]
)
async def test_a_target_is_scraped_again_and_again(kind: str, body: str) -> None:
    async with target(answering(body, kind)) as port:
        scraping = Scraping(static(port, ', labels = { env = "prod" }'))
        async with scraping:
            await scraping.wait(lambda: len(scraping.place.out) >= 3)
        found = numbers(scraping.place.out)
        assert found["a", (("env", "prod"),)] == 1
        assert found["up", (("env", "prod"),)] == 1
        request: Any = scraping.place.out[0].message()
        resource = request.resource_metrics[0].resource.attributes
        known = {a.key: a.value.string_value or a.value.int_value for a in resource}
        assert known == {
            "service.name": "job",
            "service.instance.id": f"127.0.0.1:{port}",
            "server.address": "127.0.0.1",
            "server.port": port,
            "url.scheme": "http",
        }
        assert scraping.failures == {}


async def test_one_bad_series_costs_itself_and_not_the_target() -> None:
    page = (
        '# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket 2\nh_bucket{le="+Inf"} 3\n'
        "h_sum 4\nh_count 3\ngood 1\n"
    )
    async with target(answering(page)) as port:
        scraping = Scraping(static(port))
        async with scraping:
            await scraping.wait(lambda: len(scraping.place.out) >= 2)
        found = numbers(scraping.place.out)
        assert (found["good", ()], found["up", ()]) == (1, 1)
        (point,) = [p for n, _, p, _ in flat(scraping.place.out[:1]) if n == "h"]
        assert (list(point.bucket_counts), point.count) == ([1, 2], 3)
        assert scraping.failures == {}
        dropped = {
            series.value
            for series in scraping.place.counters.series()
            if series.instrument.name == "spangate.prometheus.samples.dropped"
        }
        assert dropped == {len([1 for n, *_ in flat(scraping.place.out) if n == "up"])}
        assert "h_bucket: it has no le" in scraping.place.context.condition.error


async def test_what_a_target_is_asked_for() -> None:
    seen: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request)
        return await answering("a 1\n")(request)

    async with target(handle) as port:
        job = (
            'metrics_path = "/m"\nparams = { module = ["x y", "z"] }\nheaders = { x-own = "1" }\n'
            'basic_auth = { username = "u", password = "p" }\n'
        )
        async with Scraping(job + static(port)) as scraping:
            await scraping.wait(lambda: seen)
        request = seen[0]
        assert request.path_qs == "/m?module=x+y&module=z"
        assert request.headers["Authorization"] == "Basic dTpw"
        assert request.headers["X-Own"] == "1"
        assert request.headers["b3"] == "0"
        assert "openmetrics" in request.headers["Accept"]


@pytest.mark.parametrize(
    ("reason", "handler"),
    [
        ("content_type", answering("a 1\n", "text/html")),
        ("content_type", answering("a 1\n", "application/json")),
        ("content_type", answering("a 1\n", "application/openmetrics-text; version=9")),
        ("malformed", answering("<html>", TEXT)),
        ("malformed", answering("a 1\n", MODERN)),
        ("malformed", answering("a 1\n", TEXT, **{"Content-Encoding": "gzip"})),
        ("content_encoding", answering("a 1\n", TEXT, **{"Content-Encoding": "br"})),
        ("too_large", answering("a 1\n" * 400, TEXT)),
        ("limit", answering("a 1\nb 1\nc 1\nd 1\n", TEXT)),
    ],
)
async def test_a_target_that_lies_is_refused_and_counted(reason: str, handler: Handler) -> None:
    async with target(handler) as port:
        job = 'body_size_limit = "1KB"\nsample_limit = 3\n'
        async with Scraping(job + static(port)) as scraping:
            await scraping.wait(lambda: scraping.place.out)
            assert scraping.failures.keys() == {reason}
            assert scraping.place.context.condition.troubled
            found = numbers(scraping.place.out)
            assert found["up", ()] == 0
            assert not any(name == "a" for name, _ in found)


async def test_other_failures_are_counted_too() -> None:
    async def missing(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=404)

    async with target(missing) as port, Scraping(static(port)) as scraping:
        await scraping.wait(lambda: scraping.failures.get("http_status"))
    async with Scraping(static(1)) as scraping:
        await scraping.wait(lambda: scraping.failures.get("connect"))


async def test_a_scrape_that_never_ends_is_ended() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": TEXT})
        await response.prepare(request)
        while True:
            await response.write(b"a 1\n")
            await asyncio.sleep(0.005)  # slower than any limit of size

    top = 'scrape_timeout = "15ms"'
    async with target(endless) as port, Scraping(static(port), top) as scraping:
        await scraping.wait(lambda: scraping.failures.get("timeout", 0) >= 2)


async def test_a_bomb_is_not_blown_up() -> None:
    bomb = gzip.compress(bytes(50_000_000))

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = {"Content-Type": TEXT, "Content-Encoding": "gzip"}
        return web.Response(body=bomb, headers=headers)

    async with target(handle) as port:
        job = 'body_size_limit = "64KiB"\nscrape_interval = "10s"\n'
        async with Scraping(job + static(port)) as scraping:
            await scraping.wait(lambda: scraping.failures.get("too_large"))


async def test_series_become_stale_when_they_go() -> None:
    body = ["a 1\nb 1\n"]

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await answering(body[0])(request)

    async with target(handle) as port, Scraping(static(port)) as scraping:
        await scraping.wait(lambda: scraping.place.out)
        body[0] = "a 1\n"
        await scraping.wait(lambda: numbers(scraping.place.out)["b", ()] is None)
        body[0] = "nonsense"
        await scraping.wait(lambda: numbers(scraping.place.out)["a", ()] is None)
        assert sum(n == "b" and p.flags for n, _, p, _ in flat(scraping.place.out)) == 1


@pytest.mark.parametrize("ending", ["json", "toml"])
async def test_files_of_targets_are_followed(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"targets.{ending}"

    def write(port: int | None, name: str) -> None:
        groups = [{"targets": [f"127.0.0.1:{port}"], "labels": {"name": name}}] if port else []
        if ending == "json":
            text = json.dumps(groups)
        else:
            tables = [
                f"[[static_configs]]\ntargets = {json.dumps(g['targets'])}\n"
                f'labels = {{ name = "{name}" }}\n'
                for g in groups
            ]
            text = "".join(tables)
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").replace(file)

    async with target(answering("a 1\n")) as port:
        write(port, "one")
        pattern = f'files = ["{tmp_path}/*.{ending}"], refresh_interval = "10ms"'
        job = f"file_sd_configs = [{{ {pattern} }}]"
        async with Scraping(job) as scraping:
            one, two = ("a", (("name", "one"),)), ("a", (("name", "second"),))
            await scraping.wait(lambda: numbers(scraping.place.out).get(one))
            write(port, "second")
            await scraping.wait(lambda: numbers(scraping.place.out).get(two))
            await scraping.wait(lambda: numbers(scraping.place.out)[one] is None)
            assert numbers(scraping.place.out)["up", (("name", "one"),)] is None
            file.write_text("{ not a list of targets")
            await scraping.wait(lambda: scraping.failures.get("target_file"))
            before = len(scraping.place.out)
            await scraping.wait(lambda: len(scraping.place.out) > before + 2)
            assert numbers(scraping.place.out)[two] == 1


def test_a_file_that_is_gone_takes_its_targets_with_it(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text('[{"targets": ["a:1"]}]')
    files = TargetFiles([str(file), str(tmp_path / "none.json")], pytest.fail)
    assert files.read()
    assert [group.targets for group in files.groups()] == [["a:1"]]
    assert not files.read()
    file.unlink()
    assert files.read()
    assert list(files.groups()) == []


def job(**more: Any) -> Scrape:
    return Scrape(job_name="j", **more)


def test_targets_can_be_relabelled() -> None:
    steps = [
        Relabel(action="drop", source_labels=["__address__"], regex="bad.*"),
        Relabel(source_labels=["__address__"], regex="([^:]+):.*", target_label="instance"),
        Relabel(
            source_labels=["__address__"], target_label="__param_target", replacement="http://$1"
        ),
        Relabel(target_label="__address__", replacement="prober:9115"),
        Relabel(target_label="__metrics_path__", replacement="/probe"),
        Relabel(action="labelmap", regex="__meta_(.+)"),
    ]
    groups = [Group(targets=["bad:1", "good:2", "good:2"], labels={"__meta_zone": "eu"})]
    (place,) = places(job(relabel_configs=steps), groups)
    assert place.url == "http://prober:9115/probe?target=http%3A%2F%2Fgood%3A2"
    assert dict(place.labels) == {"job": "j", "instance": "good", "zone": "eu"}


@pytest.mark.parametrize("address", ["", "a b", "a/b", "u@h:1", "h:port", "h:99999", "[::1"])
def test_what_is_no_address_is_left_out(address: str) -> None:
    good = places(job(), [Group(targets=["ok:1"])])
    assert places(job(), [Group(targets=[address, "ok:1"])]) == good


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"action": "keep", "source_labels": ["a", "b"], "regex": "1;2"}, {"a": "1", "b": "2"}),
        ({"action": "keep", "source_labels": ["a"], "regex": "2|3"}, None),
        ({"action": "drop", "source_labels": ["a"], "regex": "1"}, None),
        ({"action": "drop", "source_labels": ["a"], "regex": ""}, {"a": "1", "b": "2"}),
        ({"target_label": "a", "replacement": ""}, {"b": "2"}),
        (
            {"source_labels": ["b"], "regex": "(?P<x>.)", "target_label": "c_${x}"},
            {"a": "1", "b": "2", "c_2": "2"},
        ),
        (
            {"source_labels": ["b"], "target_label": "c", "replacement": "$$${1}0$2"},
            {"a": "1", "b": "2", "c": "$20"},
        ),
        ({"source_labels": ["b"], "target_label": "not a name"}, {"a": "1", "b": "2"}),
        (
            {"action": "labelmap", "regex": "(a)", "replacement": "x_$1"},
            {"a": "1", "b": "2", "x_a": "1"},
        ),
        ({"action": "labeldrop", "regex": "a"}, {"b": "2"}),
        ({"action": "labelkeep", "regex": "a"}, {"a": "1"}),
    ],
)
def test_relabelling(step: dict[str, Any], expected: dict[str, str] | None) -> None:
    relabel = relabelling([Relabel(**step)])
    assert relabel is not None
    before = {"a": "1", "b": "2"}
    assert relabel(before) == expected
    assert before == {"a": "1", "b": "2"}


def test_the_examples_of_the_documentation_work() -> None:
    for page in ("prometheus", "hostmetrics"):
        text = (Path(__file__).parents[2] / f"docs/collector/{page}.md").read_text()
        examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
        assert examples
        for example in examples:
            loads(example, "example.toml", {})  # raises ConfigError


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("scrape_configs = []\nscrape_intervall = 3", "scrape_interval"),
        ('scrape_configs = [{ job_name = "" }]', "a name that no other has"),
        ('scrape_configs = [{ job_name = "a" }, { job_name = "a" }]', "no other has"),
        ('scrape_configs = [{ job_name = "a", metrics_path = "m" }]', "begins with /"),
        ('scrape_configs = [{ job_name = "a", scrape_interval = "0s" }]', "more than 0"),
        ('scrape_configs = [{ job_name = "a", scrape_timeout = "2m" }]', "longer than"),
        ('scrape_configs = [{ job_name = "a", file_sd_configs = [{ files = ["x"] }] }]', ".toml"),
        (
            'scrape_configs = [{ job_name = "a", relabel_configs = [{ regex = "(" }] }]',
            "regular expression",
        ),
        (
            'scrape_configs = [{ job_name = "a", relabel_configs = '
            '[{ target_label = "b", replacement = "$2" }] }]',
            "no group 2",
        ),
        ('scrape_configs = [{ job_name = "a", relabel_configs = [{ action = "keep" }] }]', "needs"),
        (
            'scrape_configs = [{ job_name = "a", static_configs = '
            '[{ targets = [], labels = { "a-b" = "1" } }] }]',
            "not a label name",
        ),
    ],
)
def test_settings_that_cannot_be(toml: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings("receiver", "prometheus", toml)
    assert words in str(caught.value)
