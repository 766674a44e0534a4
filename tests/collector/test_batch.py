from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.collector.batch import SIGNALS, Batch, Signal
from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import WireError, count
from tests.collector.kit import batch
from tests.otlp import samples


def names(given: Batch) -> list[str]:
    message: Any = given.message()
    return [s.name for r in message.resource_spans for c in r.scope_spans for s in c.spans]


def renamed(given: Batch, name: str) -> Batch:
    message: Any = given.edit()
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                span.name = name
    return Batch.of(given.signal, message)


def test_decoded_once() -> None:
    given = batch()
    assert given.message() is given.message()


@pytest.mark.parametrize("signal", [s for s in SIGNALS if s != "profiles"])
def test_a_message_counts_its_items(signal: Signal) -> None:
    made = Batch.of(signal, batch(signal, 7).message())
    assert made.items == count(signal, made.payload) == 7


def test_entries_get_their_envelope_when_bytes_are_asked_for() -> None:
    envelope = Envelope({"service.name": "gate"})
    made = Batch.open("traces", samples.spans(4), 4, envelope)
    assert made.opened() == (samples.spans(4), envelope)
    assert made.size == len(made.payload)
    assert len(names(made)) == count("traces", made.payload) == 4


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("decoded", [False, True])
def test_an_edit_leaves_the_batch_as_it_was(shared: bool, decoded: bool) -> None:
    given = batch()
    payload = given.payload
    if decoded:
        given.message()
    given.shared = shared
    assert names(renamed(given, "new")) == ["new"] * 3
    assert (given.payload, given.items) == (payload, 3)
    assert names(given) == ["GET /x/{id}"] * 3


def test_what_nobody_else_sees_is_not_copied() -> None:
    message = batch().message()
    made = Batch.of("traces", message)
    assert made.edit() is message


def test_what_others_see_is_copied() -> None:
    message = batch().message()
    made = Batch.of("traces", message)
    made.shared = True
    assert names(renamed(made, "new")) == ["new"] * 3
    assert names(made) == ["GET /x/{id}"] * 3


def test_several_edits_in_a_row_cost_no_bytes() -> None:
    made = renamed(renamed(batch(), "a"), "b")
    assert names(made) == ["b"] * 3
    assert ExportTraceServiceRequest.FromString(made.payload) == made.message()


def test_garbage_cannot_be_decoded() -> None:
    with pytest.raises(WireError):
        Batch("traces", b"\xff\xff", 3).message()
    with pytest.raises(WireError):
        Batch("logs", b"\xff\xff", 3).edit()


def test_what_waits_is_bytes_alone() -> None:
    made = Batch.of("traces", batch().message())
    first = made.message()
    made.forget()
    assert made.message() is not first
    assert made.message() == first
