from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.otlp.envelope import Envelope
from proxy.otlp.json import REQUESTS, request_from_json, request_to_json, to_dict
from proxy.otlp.wire import WireError
from tests.otlp import samples

# The shape of `examples/trace.json` in opentelemetry-proto, with the traps put in.
TRACE = {
    "resourceSpans": [
        {
            "resource": {
                "attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]
            },
            "scopeSpans": [
                {
                    "scope": {"name": "my.library", "version": "1.0.0"},
                    "spans": [
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "parentSpanId": "eee19b7ec3c1b173",
                            "name": "I'm a server span",
                            "kind": 2,
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": "1544712661000000000",
                            "attributes": [
                                {"key": "b", "value": {"bytesValue": "AQID"}},
                                {"key": "no", "value": {"boolValue": False}},
                                {"key": "i", "value": {"intValue": "9007199254740993"}},
                                {"key": "d", "value": {"doubleValue": "NaN"}},
                                {
                                    "key": "list",
                                    "value": {"arrayValue": {"values": [{"stringValue": "x"}, {}]}},
                                },
                            ],
                            "flags": 257,
                            "status": {"code": 2},
                        }
                    ],
                }
            ],
        }
    ]
}


def test_traces_are_read_and_written_as_the_specification_says() -> None:
    payload = request_from_json("traces", json.dumps(TRACE).encode())
    span = ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert span.attributes[0].value.bytes_value == b"\1\2\3"
    assert span.attributes[2].value.int_value == 2**53 + 1
    assert json.loads(request_to_json("traces", payload)) == TRACE


def test_numbers_come_in_either_form_and_unknown_fields_are_ignored() -> None:
    text = {
        "resourceSpans": [
            {
                "newField": [1, {"a": 2}],
                "resource_ignored": 1,
                "resource": None,
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "startTimeUnixNano": 1544712660000000000,
                                "kind": 2,
                                "start_time_unix_nano": "1",
                            }
                        ]
                    }
                ],
            }
        ]
    }
    payload = request_from_json("traces", json.dumps(text).encode())
    span = ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.start_time_unix_nano == 1544712660000000000


def test_metrics_keep_infinities_and_zeroes() -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    point = metric.histogram.data_points.add(count=3, sum=float("inf"), max=float("-inf"))
    point.bucket_counts.extend([1, 2])
    point.explicit_bounds.append(0.5)
    point.exemplars.add(span_id=b"\1" * 8, trace_id=b"\2" * 16, as_double=0.25)
    other = request.resource_metrics.add().scope_metrics.add().metrics.add(name="zero")
    other.gauge.data_points.add(as_int=0)
    tree = json.loads(request_to_json("metrics", request.SerializeToString()))
    data = tree["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"][0]
    assert data["sum"] == "Infinity"
    assert data["max"] == "-Infinity"
    assert data["bucketCounts"] == ["1", "2"]
    assert data["explicitBounds"] == [0.5]
    assert data["exemplars"] == [{"spanId": "01" * 8, "traceId": "02" * 16, "asDouble": 0.25}]
    zero = tree["resourceMetrics"][1]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"][0]
    assert zero == {"asInt": "0"}
    again = request_from_json("metrics", json.dumps(tree).encode())
    assert ExportMetricsServiceRequest.FromString(again) == request


def test_log_records_round_trip() -> None:
    payload = Envelope({"service.name": "gate"}).request([samples.logs(3)])
    text = request_to_json("logs", payload)
    assert b'"severityNumber":9' in text
    assert ExportLogsServiceRequest.FromString(
        request_from_json("logs", text)
    ) == ExportLogsServiceRequest.FromString(payload)


@pytest.mark.parametrize(
    ("signal", "field", "said", "read"),
    [
        ("traces", "kind", 2, 2),
        ("traces", "kind", 2.0, 2),
        ("traces", "kind", "2", 2),
        ("traces", "kind", "SPAN_KIND_SERVER", 2),
        ("traces", "kind", None, 0),
        ("traces", "kind", 99, 99),
        ("traces", "flags", "257", 257),
        ("traces", "startTimeUnixNano", 1544712660000000000, 1544712660000000000),
        ("traces", "startTimeUnixNano", "1544712660000000000", 1544712660000000000),
        ("traces", "startTimeUnixNano", 1.5e18, 1500000000000000000),
        ("traces", "startTimeUnixNano", "1.5e18", 1500000000000000000),
        ("traces", "startTimeUnixNano", None, 0),
        ("logs", "severityNumber", 9, 9),
        ("logs", "severityNumber", "SEVERITY_NUMBER_INFO", 9),
        ("logs", "severityNumber", "9", 9),
    ],
)
def test_numbers_are_read_as_peers_read_them(
    signal: str, field: str, said: object, read: int
) -> None:
    words = {"traces": ("Spans", "spans"), "logs": ("Logs", "logRecords")}[signal]
    item = {"unknown": {"a": [1]}, field: said}
    tree = {f"resource{words[0]}": [{f"scope{words[0]}": [{words[1]: [item]}]}]}
    made = to_dict(
        REQUESTS[signal].FromString(request_from_json(signal, json.dumps(tree).encode()))
    )
    found = made[f"resource{words[0]}"][0][f"scope{words[0]}"][0][words[1]][0]
    assert int(found.get(field, 0)) == read
    assert "unknown" not in found


@pytest.mark.parametrize("code", [2, "2", "STATUS_CODE_ERROR"])
def test_a_status_too(code: object) -> None:
    tree = {"resourceSpans": [{"scopeSpans": [{"spans": [{"status": {"code": code}}]}]}]}
    request = request_from_json("traces", json.dumps(tree).encode())
    span = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans[0]
    assert span.status.code == 2


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"resourceSpans": {}}',
        b'{"resourceSpans": [1]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": "SPAN_KIND_MIDDLE"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": true}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": "1_0"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": ""}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "0x1"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": 1.5}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "-1"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 7}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"droppedLinksCount": 1e30}]}]}]}',
    ],
)
def test_what_is_not_otlp_is_refused(text: bytes) -> None:
    with pytest.raises(WireError):
        request_from_json("traces", text)


def test_nesting_has_an_end() -> None:
    value: object = {"stringValue": "x"}
    for _ in range(300):
        value = {"arrayValue": {"values": [value]}}
    tree = {"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": value}]}}]}
    with pytest.raises(WireError):
        request_from_json("traces", json.dumps(tree).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["resourceSpans", "scopeSpans", "spans", "traceId", "attributes", "kind", "value",
             "arrayValue", "values", "events", "name", "flags", "status", "code", "bytesValue"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_any_json_is_read_or_refused(tree: object) -> None:
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [tree]}]}]}).encode()
    try:
        payload = request_from_json("traces", text)
    except WireError:
        return
    REQUESTS["traces"].FromString(payload)


def test_a_payload_that_is_not_protobuf_is_refused() -> None:
    with pytest.raises(WireError):
        request_to_json("traces", b"\x0a\xff")
