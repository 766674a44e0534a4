from __future__ import annotations

import io
import json
from typing import Any

import pytest

from proxy.collector.batch import Batch
from proxy.otlp.envelope import Envelope
from proxy.otlp.json import request_from_json
from proxy.otlp.wire import WireError
from tests.collector.kit import Place, batch
from tests.otlp import samples


async def shown(toml: str, *batches: Batch, **more: Any) -> tuple[str, Place]:
    stream = io.StringIO()
    place = Place("exporter", "debug", signal=batches[0].signal, console=stream, **more)
    made = place.make(toml)
    await made.start()
    for each in batches:
        assert place.send(each)
    await made.stop(1)
    return stream.getvalue(), place


@pytest.mark.parametrize(
    ("signal", "basic", "normal"),
    [
        (
            "traces",
            "traces: 1 spans, ",
            f"span {samples.TRACE.hex()} 0000000000000001 GET /x/{{id}} 20ms"
            " http.response.status_code=200\n",
        ),
        ("metrics", "metrics: 1 data points, ", "sum sample.0 n=0 0\n"),
        ("logs", "logs: 1 log records, ", "log 9 request 0\n"),
        ("profiles", "profiles: 1 profile requests, ", "profiles: 1 profile requests, 2 bytes\n"),
    ],
)
async def test_a_line_for_each_batch_or_item(signal: Any, basic: str, normal: str) -> None:
    text, place = await shown("", batch(signal, 1))
    assert text.startswith(basic)
    assert text.count("\n") == 1
    assert place.ledger.exported == 1
    text, _ = await shown('verbosity = "normal"', batch(signal, 1))
    assert text == normal


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
async def test_detailed_is_everything(signal: Any) -> None:
    one = batch(signal)
    text, _ = await shown('verbosity = "detailed"', one)
    first, _, rest = text.partition("\n")
    assert first.endswith("bytes")
    assert json.loads(rest)
    assert request_from_json(signal, rest.encode()) == one.payload


async def test_histograms_have_count_and_sum() -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="h")
    metric.histogram.data_points.add(count=2, sum=1.5)
    text, _ = await shown('verbosity = "normal"', Batch.of("metrics", request))
    assert text == "histogram h count=2 sum=1.5\n"


async def test_only_some_of_a_second_are_shown_and_all_are_counted() -> None:
    now = [0]
    stream = io.StringIO()
    place = Place("exporter", "debug", console=stream, now_ns=lambda: now[0])
    place.make("sampling_initial = 2\nsampling_thereafter = 5")
    lines = []
    for _ in range(2):
        for _ in range(12):
            place.send(batch())
        lines.append(stream.getvalue().count("\n"))
        now[0] += 1_000_000_000
    assert lines == [4, 8]  # the first two, the seventh and the twelfth of each second
    assert place.ledger.exported == 72


async def test_names_do_not_move_the_cursor() -> None:
    evil = Batch("traces", Envelope({}).request([samples.spans(1, name="a\x1b[2J\nb")]), 1)
    text, _ = await shown('verbosity = "normal"', evil)
    assert "\x1b" not in text
    assert text.count("\n") == 1


async def test_a_closed_stream_is_counted() -> None:
    stream = io.StringIO()
    stream.close()
    place = Place("exporter", "debug", console=stream)
    place.make()
    assert place.send(batch())
    assert place.ledger.dropped == {"permanent_stream_closed": 3}


async def test_garbage_is_refused() -> None:
    place = Place("exporter", "debug")
    place.make('verbosity = "normal"')
    with pytest.raises(WireError):
        place.send(Batch("traces", b"\xff" * 9, 1))
    assert place.ledger.created == 0
