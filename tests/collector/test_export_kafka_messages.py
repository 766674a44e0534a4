from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.exporters.kafka.messages import Format, by_trace, messages
from proxy.otlp import wire
from proxy.otlp.envelope import Envelope
from proxy.otlp.json import request_from_json
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import delimited
from tests.collector.kit import batch
from tests.otlp import samples

PLAIN = Format(as_json=False, by_trace=False, room=1_000_000)


def request(*traces: int, service: str = "app") -> bytes:
    """One span for each number, of the trace of that number."""
    spans = [
        delimited(2, samples.span(n, trace=trace.to_bytes(16, "big")).SerializeToString())
        for n, trace in enumerate(traces)
    ]
    return Envelope({"service.name": service}).request(spans)


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs", "profiles"])
def test_a_request_that_fits_is_a_message_as_it_is(signal: Any) -> None:
    one = batch(signal)
    (message,) = messages(signal, one.payload, one.items, PLAIN)
    assert (message.key, message.value, message.items) == (None, one.payload, one.items)


def test_json_is_otlp_json() -> None:
    one = batch()
    (message,) = messages("traces", one.payload, 3, Format(True, False, 1_000_000))
    assert request_from_json("traces", message.value) == one.payload


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_what_is_too_large_is_split_until_it_fits(signal: Any, as_json: bool) -> None:
    one = batch(signal, 100)
    room = 2000
    made = messages(signal, one.payload, 100, Format(as_json, False, room))
    assert len(made) > 1
    assert max(len(m.value) for m in made) <= room
    assert sum(m.items for m in made) == 100
    payloads = [request_from_json(signal, m.value) if as_json else m.value for m in made]
    assert sum(wire.count(signal, p) for p in payloads) == 100


def test_an_item_that_cannot_fit_is_a_message_that_does_not() -> None:
    large = Envelope({}).request([samples.spans(1, name="x" * 5000), samples.spans(2, first=1)])
    made = messages("traces", large, 3, Format(False, False, 4096))
    assert sorted(m.items for m in made if len(m.value) <= 4096) == [2]
    assert [m.items for m in made if len(m.value) > 4096] == [1]


def test_traces_have_messages_of_their_own() -> None:
    payload = request(7, 8, 7) + request(8, 9, service="other")
    made = messages("traces", payload, 5, Format(False, True, 1_000_000))
    assert [(m.key, m.items) for m in made] == [
        (b"%032x" % 7, 2),
        (b"%032x" % 8, 2),
        (b"%032x" % 9, 1),
    ]
    eight = ExportTraceServiceRequest.FromString(made[1].value)
    services = [
        resource.resource.attributes[0].value.string_value for resource in eight.resource_spans
    ]
    assert services == ["app", "other"]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_by_trace_loses_nothing(traces: list[int]) -> None:
    found = {trace_id: (part, items) for trace_id, part, items in by_trace(request(*traces))}
    assert {k: n for k, (_, n) in found.items()} == {
        t.to_bytes(16, "big"): traces.count(t) for t in traces
    }
    for trace_id, (part, items) in found.items():
        spans = ExportTraceServiceRequest.FromString(part).resource_spans[0].scope_spans[0].spans
        assert {s.trace_id for s in spans} == {trace_id}
        assert wire.count("traces", part) == items


def test_the_claimed_number_of_items_is_kept() -> None:
    payload = request(1, 2, 3)
    for claimed in (1, 3, 9):
        made = messages("traces", payload, claimed, Format(False, True, 1_000_000))
        assert sum(m.items for m in made) == claimed


@pytest.mark.parametrize(
    ("signal", "form"),
    [
        ("profiles", Format(True, False, 9999)),
        ("traces", Format(True, False, 9999)),
        ("traces", Format(False, True, 9999)),
    ],
)
def test_what_cannot_be_read_is_malformed(signal: str, form: Format) -> None:
    with pytest.raises(WireError):
        messages(signal, b"\xff" * 9, 1, form)
