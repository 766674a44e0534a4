"""A receipt lives exactly as long as something that came with it is in somebody's hands."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from proxy.collector.batch import Batch, Signal
from proxy.collector.join import cut, join
from proxy.collector.registry import Component
from tests.collector.kit import Place, batch, collecting, until
from tests.collector.test_contract import CASES, name, place
from tests.otlp.fake_collector import FakeCollector


class Slip:
    """A receipt that can be watched."""


def marked(signal: Signal = "traces", items: int = 3) -> tuple[Batch, weakref.ref[Slip]]:
    made = batch(signal, items)
    slip = Slip()
    made.receipt = slip
    return made, weakref.ref(slip)


def send(found: Place, signal: Signal) -> weakref.ref[Slip]:
    made, slip = marked(signal)
    assert found.send(made)
    return slip


@pytest.mark.parametrize(("component", "signal"), CASES, ids=name)
async def test_it_is_kept_while_its_items_are_and_no_longer(
    component: Component, signal: Signal
) -> None:
    found, made = place(component, signal)
    await made.start()
    slip = send(found, signal)
    if made.held(signal):
        assert slip() is not None
    await made.stop(0.0)
    if component.kind == "processor" and found.out:
        assert slip() is not None, "what was passed on has lost its receipt"
    found.out.clear()
    found.lost.clear()
    if component.kind == "exporter":  # that a delivery was cut off, threads and circles must see
        await until(lambda: gc.collect() >= 0 and slip() is None)
    assert slip() is None, "somebody holds a batch that is done with"


async def test_a_batch_that_was_delivered_is_let_go_before_the_next_one_comes() -> None:
    async with FakeCollector() as collector:
        found = Place("exporter", "otlp_http/backend")
        made = found.make(f'endpoint = "http://127.0.0.1:{collector.port}"')
        await made.start()
        slip = send(found, "traces")
        await until(lambda: found.ledger.exported == 3)
        await until(lambda: slip() is None)
        await made.stop(1)


async def test_what_is_on_disk_is_safe(tmp_path: Any) -> None:
    found = Place("exporter", "otlp_http/backend")
    made = found.make(
        f'endpoint = "http://127.0.0.1:1"\nsending_queue = {{ storage = "{tmp_path}" }}'
    )
    slip = None
    await made.start()
    for _ in range(6):  # more than are being sent at a time
        slip = send(found, "traces")
    assert slip is not None and slip() is None
    assert found.ledger.queued == 18
    await made.stop(0)


async def test_a_whole_pipeline_carries_it_from_receiver_to_exporter() -> None:
    async with FakeCollector() as collector:
        collector.script()
        text = f"""
        [collector.processors.batch]
        timeout = "1h"
        [collector.processors.resource]
        attributes = [{{ key = "a", value = "b", action = "upsert" }}]
        [collector.exporters.otlp_http]
        endpoint = "http://127.0.0.1:{collector.port}"
        [collector.connectors.forward]
        [collector.pipelines.traces]
        receivers = ["gateway"]
        processors = ["resource"]
        exporters = ["forward"]
        [collector.pipelines."traces/two"]
        receivers = ["forward"]
        processors = ["batch"]
        exporters = ["otlp_http"]
        """
        async with collecting(text) as pipeline:
            slips = []
            for _ in range(3):
                slip = Slip()
                pipeline.offer("traces", b"\x12\x03\x2a\x01s", 1, slip)
                slips.append(weakref.ref(slip))
                del slip
            assert all(slip() is not None for slip in slips)
        assert collector.items("traces") == 3
        assert all(slip() is None for slip in slips)


def test_joined_and_cut_batches_have_the_receipts_of_all_their_parts() -> None:
    first, one = marked(items=50)
    second, two = marked()
    whole = join("traces", [first, second])
    del first, second
    assert one() is not None and two() is not None
    parts = cut(whole, 1000)
    assert len(parts) > 1
    del whole
    assert one() is not None
    last = parts.pop()
    parts.clear()
    assert one() is not None and two() is not None
    del last
    assert one() is None and two() is None
