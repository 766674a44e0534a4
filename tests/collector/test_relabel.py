"""Relabelling, as a real Prometheus does it; and what `check` says of steps that it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.collector.receivers.prometheus.relabel import relabelling
from proxy.collector.receivers.prometheus.settings import Relabel
from proxy.errors import ConfigError
from tests.collector.kit import settings
from tests.collector.prometheus_server import prometheus

# Series that go through all of the steps; `n` tells them apart, and has to stay.
SERIES = (
    {"n": "0", "a": "x", "b": "x", "c": "MiXed"},
    {"n": "1", "a": "x", "b": "y", "c": "ümlaut"},
    {"n": "2", "a": "10.0.0.1:80", "b": "", "c": "lower"},
    {"n": "3", "meta_zone": "eu", "meta_a": "z", "a": "UP"},
)

STEPS: list[list[dict[str, Any]]] = [
    [{"action": "keepequal", "source_labels": ["a"], "target_label": "b"}],
    [{"action": "dropequal", "source_labels": ["a"], "target_label": "b"}],
    [{"action": "keepequal", "source_labels": ["missing"], "target_label": "b"}],
    [{"action": "dropequal", "source_labels": ["b", "a"], "target_label": "c"}],
    [{"action": "lowercase", "source_labels": ["c"], "target_label": "c"}],
    [{"action": "uppercase", "source_labels": ["c"], "target_label": "upper"}],
    [{"action": "lowercase", "source_labels": ["a", "c"], "separator": "-", "target_label": "d"}],
    [{"action": "uppercase", "source_labels": ["missing"], "target_label": "a"}],
    [{"action": "hashmod", "source_labels": ["a"], "modulus": 8, "target_label": "shard"}],
    [{"action": "hashmod", "source_labels": ["a", "b"], "modulus": 1000, "target_label": "shard"}],
    [{"action": "hashmod", "source_labels": ["missing"], "modulus": 97, "target_label": "shard"}],
    [
        {"action": "hashmod", "source_labels": ["a"], "modulus": 3, "target_label": "shard"},
        {"action": "keep", "source_labels": ["shard"], "regex": "1"},
    ],
    [{"action": "labelmap", "regex": "meta_(.+)"}],
    [{"action": "labelmap", "regex": "meta_(.+)", "replacement": "was_${1}_x"}],
    [{"action": "labeldrop", "regex": "meta_.*|a"}],
    [{"action": "labelkeep", "regex": "__name__|job|instance|n|a"}],
    [{"action": "drop", "source_labels": ["a", "b"], "regex": "x;y"}],
    [{"source_labels": ["a"], "regex": "([^:]+):(.*)", "target_label": "host"}],
    [{"source_labels": ["a"], "regex": "(.*)", "target_label": "b", "replacement": ""}],
    [{"source_labels": ["b"], "regex": "x?", "target_label": "${1}", "replacement": "v"}],
    [
        {"source_labels": ["n"], "target_label": "meta_b", "replacement": ""},
        {"source_labels": ["n"], "target_label": "meta_a", "replacement": ""},
        {"action": "labelmap", "regex": "meta_(.+)"},
    ],
]


def ours(steps: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    relabel = relabelling([Relabel(**step) for step in steps])
    assert relabel is not None
    found = {}
    for series in SERIES:
        labels = {key: value for key, value in series.items() if value}
        changed = relabel({"__name__": "m", "job": "j", "instance": "i", **labels})
        if changed is not None:
            left = {k: v for k, v in changed.items() if k not in ("__name__", "job", "instance")}
            found[left["n"]] = left
    return found


@asynccontextmanager
async def page() -> AsyncIterator[int]:
    lines = [
        "m{" + ",".join(f'{k}="{v}"' for k, v in series.items()) + "} 1\n" for series in SERIES
    ]

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="".join(lines))

    runner = web.ServerRunner(web.Server(handle, access_log=None), handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_the_same_comes_of_it_in_prometheus(tmp_path: Path) -> None:
    theirs: list[dict[str, dict[str, str]]] = [{} for _ in STEPS]
    async with page() as port:
        jobs = [
            {
                "job_name": str(number),
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                "metric_relabel_configs": steps,
            }
            for number, steps in enumerate(STEPS)
        ]
        # JSON is YAML.
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        async with prometheus(tmp_path, text=json.dumps(config)) as server:
            await server.wait("sum(up)", lambda found: found == [len(STEPS)])
            for key in await server.query("m"):
                labels = dict(key)
                number = int(labels.pop("job"))
                del labels["instance"], labels["__name__"]
                theirs[number][labels["n"]] = labels
    for number, steps in enumerate(STEPS):
        assert ours(steps) == theirs[number], steps


WRONG = [
    ('action = "hashmod", source_labels = ["a"], target_label = "b"', "modulus"),
    ('action = "hashmod", source_labels = ["a"], modulus = 8', "target_label"),
    ('action = "lowercase", source_labels = ["a"]', "target_label"),
    ('action = "uppercase", source_labels = ["a"], target_label = "1"', "label name"),
    ('action = "keepequal", source_labels = ["a"], target_label = "b", regex = "x"', "regex"),
    ('action = "dropequal", source_labels = ["a"]', "target_label"),
    ('action = "replace", target_label = "a", modulus = 8', "modulus"),
]


@pytest.mark.parametrize(("step", "word"), WRONG)
def test_what_prometheus_refuses_is_told(step: str, word: str) -> None:
    job = f'job_name = "a", metric_relabel_configs = [{{ {step} }}]'
    with pytest.raises(ConfigError) as error:
        settings("receiver", "prometheus", f"scrape_configs = [{{ {job} }}]")
    assert word in str(error.value)
