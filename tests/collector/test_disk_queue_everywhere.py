"""A `storage` is a `storage`, whatever the exporter and the form in which it is configured."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.collector.parts import Queue, Retry
from proxy.collector.pipeline import Pipeline
from proxy.collector.registry import COMPONENTS, Component
from proxy.collector.retry import Backoff, backoff
from proxy.config.load import loads
from proxy.config.units import Seconds
from proxy.errors import ConfigError
from tests.collector.kit import Place, batch, settings
from tests.otlp import samples
from tests.otlp.fake_collector import FakeCollector


def has_queue(component: Component) -> bool:
    fields = msgspec.structs.fields(component.settings())
    return any(field.encode_name == "sending_queue" for field in fields)


QUEUED = [c for c in COMPONENTS if c.kind == "exporter" and c.built and has_queue(c)]
each = pytest.mark.parametrize("component", QUEUED, ids=lambda c: c.type)


def example(component: Component, queue: str) -> str:
    """Settings with which nothing arrives."""
    text: str = importlib.import_module(
        f"tests.collector.components.{component.kind}_{component.type}"
    ).EXAMPLE
    return f"{text}\nsending_queue = {{ {queue} }}\n"


@each
async def test_what_was_not_delivered_is_there_after_a_restart(
    component: Component, tmp_path: Path
) -> None:
    signal: Any = component.signals[0]
    toml = example(component, f'storage = "{tmp_path}"')
    place = Place("exporter", component.type, signal=signal)
    made = place.make(toml)
    await made.start()
    assert place.send(batch(signal))
    await made.stop(0.3)
    assert place.ledger.dropped == {}
    assert place.ledger.queued == place.ledger.created > 0  # on disk
    again = Place("exporter", component.type, signal=signal)
    made = again.make(toml)
    await made.start()
    assert again.ledger.created == place.ledger.created
    await made.stop(0.05)


@each
def test_queues_are_checked(component: Component) -> None:
    with pytest.raises(ConfigError, match="a queue in memory drops the newest"):
        settings("exporter", component.type, example(component, 'drop = "oldest"'))


@pytest.mark.parametrize(
    ("retry", "storage", "elapsed"),
    [
        (Retry(), "", 300.0),
        (Retry(), "/queue", 0.0),
        (Retry(max_elapsed_time=Seconds(60)), "/queue", 60.0),
        (Retry(max_elapsed_time=Seconds(0)), "", 0.0),
        (Retry(enabled=False), "/queue", 1e-9),
    ],
)
def test_what_is_on_disk_is_not_given_up_unless_it_is_said(
    retry: Retry, storage: str, elapsed: float
) -> None:
    assert backoff(retry, Queue(storage=storage)) == Backoff(1.0, 30.0, elapsed)


async def test_the_short_form(tmp_path: Path) -> None:
    collector = FakeCollector()
    async with collector:
        pass
    toml = f'[export]\notlp = "http://localhost:{collector.port}"\nstorage = "{tmp_path}"\n'
    toml += 'storage_size = "1MiB"\nbatch_age = "1ms"\n[[route]]\nrespond = { status = 204 }\n'
    config = loads(toml, "test.toml", {}).config
    pipeline = Pipeline(config.export, {})
    await pipeline.start()
    pipeline.offer("traces", samples.spans(10), 10)
    await pipeline.stop(0.3)
    assert [ledger.dropped for ledger in pipeline.books if ledger.created] == [{}]
    async with collector:
        pipeline = Pipeline(config.export, {})
        await pipeline.start()
        await collector.wait_items("traces", 10)
        await pipeline.stop(5)
        assert pipeline.books.balanced()


def test_the_short_form_is_checked() -> None:
    with pytest.raises(ConfigError, match="NUL"):
        loads('[export]\nstorage = "a\\u0000b"', "test.toml", {})
