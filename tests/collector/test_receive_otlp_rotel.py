"""A real collector that sends to ours what ours sent to it: both sides, every signal."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.collector.batch import Signal
from tests.collector.kit import Place, batch, collecting, until
from tests.otlp.rotel import rotel


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_there_and_back(protocol: str, tmp_path: Path) -> None:
    place = Place("receiver", "otlp")
    receiver = place.make('http = "127.0.0.1:0"')
    await receiver.start()
    forward_to = f"http://127.0.0.1:{receiver.addresses['http']}"
    signals: tuple[Signal, ...] = ("traces", "metrics", "logs")
    async with rotel(tmp_path, forward_to) as between:
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


def _items(place: Place, signal: str) -> int:
    return sum(taken.items for taken in place.out if taken.signal == signal)
