"""A real collector that sends to ours what ours sent to it: every signal, by each transport."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from proxy.collector.batch import Batch, Signal
from tests.collector.kit import Place, batch, collecting, until
from tests.otlp.rotel import rotel

ENTRIES = {"traces": "spans", "metrics": "metrics", "logs": "log_records"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_there_and_back(protocol: Literal["grpc", "http"], tmp_path: Path) -> None:
    place = Place("receiver", "otlp")
    receiver = place.make(f'{protocol} = "127.0.0.1:0"')
    await receiver.start()
    forward_to = f"http://127.0.0.1:{receiver.addresses[protocol]}"
    signals: tuple[Signal, ...] = ("traces", "metrics", "logs")
    async with rotel(tmp_path, forward_to, protocol) as between:
        endpoint = between.grpc if protocol == "grpc" else between.http
        toml = f'[collector.exporters.otlp_{protocol}]\nendpoint = "{endpoint}"\n'
        for signal in signals:
            toml += f'[collector.pipelines.{signal}]\nreceivers = ["gateway"]\n'
            toml += f'exporters = ["otlp_{protocol}"]\n'
        async with collecting(toml) as running:
            for signal in signals:
                sent = batch(signal, 5)
                running.graph.gateway.offer_request(signal, sent.payload, 5)
            for signal in signals:
                await until(lambda s=signal: _items(place, s) == 5)
    await receiver.stop(5)
    for signal in signals:
        came = [taken for taken in place.out if taken.signal == signal]
        assert _entries(*came) == _entries(batch(signal, 5))


def _items(place: Place, signal: str) -> int:
    return sum(taken.items for taken in place.out if taken.signal == signal)


def _entries(*batches: Batch) -> list[str]:
    """Every span, record or metric with its resource; rotel makes requests of its own of them."""
    out = []
    for each in batches:
        message: Any = each.message()
        for resource in message.ListFields()[0][1]:
            for scope in resource.ListFields()[1][1]:
                entries = getattr(scope, ENTRIES[each.signal])
                out += [f"{resource.resource}{entry}" for entry in entries]
    return sorted(out)
