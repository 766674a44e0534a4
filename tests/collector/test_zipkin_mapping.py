"""Zipkin's model and OTLP: one becomes the other and comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.formats.zipkin.from_otlp import from_otlp
from proxy.formats.zipkin.model import ListOfSpans, Span, read_json, read_proto, write_json
from proxy.formats.zipkin.to_otlp import NO_START, to_otlp
from proxy.formats.zipkin.v1 import read_json as read_old
from proxy.otlp.wire import WireError

NOW = 1_800_000_000_000_000_000

FULL = {
    "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
    "id": "00f067aa0ba902b7",
    "parentId": "0000000000000001",
    "name": "get",
    "kind": "CLIENT",
    "timestamp": 1_700_000_000_000_001,
    "duration": 1500,
    "localEndpoint": {"serviceName": "shop", "ipv4": "10.0.0.1", "port": 80},
    "remoteEndpoint": {"serviceName": "db", "ipv6": "2001:db8::1", "port": 5432},
    "annotations": [{"timestamp": 1_700_000_000_000_010, "value": "wire send"}],
    "tags": {"http.path": "/x"},
}
PROTO = ListOfSpans(
    spans=[
        {
            "trace_id": bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"),
            "id": bytes.fromhex("00f067aa0ba902b7"),
            "parent_id": bytes(7) + b"\1",
            "name": b"get",
            "kind": 1,
            "timestamp": 1_700_000_000_000_001,
            "duration": 1500,
            "local_endpoint": {"service_name": b"shop", "ipv4": bytes((10, 0, 0, 1)), "port": 80},
            "remote_endpoint": {
                "service_name": b"db",
                "ipv6": bytes.fromhex("20010db8000000000000000000000001"),
                "port": 5432,
            },
            "annotations": [{"timestamp": 1_700_000_000_000_010, "value": b"wire send"}],
            "tags": [{"key": b"http.path", "value": b"/x"}],
        }
    ]
).SerializeToString()


def spans(**more: Any) -> list[Span]:
    """One span with these fields besides its ids."""
    ids = {"traceId": "a" * 32, "id": "b" * 16, "timestamp": 1000}
    return read_json(json.dumps([{**ids, **more}]).encode())


def converted(given: list[Span], **options: bool) -> Any:
    request, taken, lost = to_otlp(given, NOW, **options)
    assert (taken, lost) == (1, {})
    return request.resource_spans[0].scope_spans[0].spans[0]


def plain(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def test_both_forms_say_the_same() -> None:
    assert read_json(json.dumps([FULL]).encode()) == read_proto(PROTO)


def test_every_field_has_its_place() -> None:
    request, _, _ = to_otlp(read_json(json.dumps([FULL]).encode()), NOW)
    (resource_spans,) = request.resource_spans
    span = resource_spans.scope_spans[0].spans[0]
    assert plain(resource_spans.resource.attributes) == {"service.name": "shop"}
    assert span.trace_id.hex() == FULL["traceId"]
    assert span.span_id.hex() == FULL["id"]
    assert span.parent_span_id == bytes(7) + b"\1"
    assert (span.name, span.kind) == ("get", 3)
    assert span.start_time_unix_nano == 1_700_000_000_000_001_000
    assert span.end_time_unix_nano == 1_700_000_000_001_501_000
    assert [(e.name, e.time_unix_nano) for e in span.events] == [
        ("wire send", 1_700_000_000_000_010_000)
    ]
    assert plain(span.attributes) == {
        "http.path": "/x",
        "network.local.address": "10.0.0.1",
        "network.local.port": 80,
        "network.peer.address": "2001:db8::1",
        "network.peer.port": 5432,
        "peer.service": "db",
    }


MORE: dict[str, dict[str, Any]] = {
    "shared": {"shared": True, "kind": "SERVER"},
    "debug": {"debug": True},
    "local": {"kind": None},
    "internal": {"kind": None, "tags": {"span.kind": "internal"}},
    "without a start": {"timestamp": None, "duration": 7},
    "failed": {"tags": {"error": "disk full", "otel.status_code": "ERROR"}},
    "failed silently": {"tags": {"error": "", "otel.status_code": "ERROR"}},
    "fine": {"tags": {"otel.status_code": "OK"}},
    "scope": {"tags": {"otel.scope.name": "lib", "otel.scope.version": "1"}},
    "resource": {"tags": {"host.name": "h", "service.version": "2", "w3c.tracestate": "a=b"}},
    "dropped": {"tags": {"otel.dropped_events_count": "3"}},
    "event": {"annotations": [{"timestamp": 5, "value": '"a \\"b\\"": {"n":1,"l":["x",null]}'}]},
    "link": {"tags": {"otlp.link.0": f'{"1" * 32}|{"2" * 16}|a=b|{{"k":"v|w"}}|4'}},
}


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_there_and_back(more: dict[str, Any]) -> None:
    given = {**FULL, **more}
    request, _, _ = to_otlp(read_json(json.dumps([given]).encode()), NOW)
    (back,) = json.loads(write_json(from_otlp(request)))
    added = {"peer.service", "network.peer.address", "network.peer.port"}
    added |= {"network.local.address", "network.local.port"}
    back["tags"] = {key: value for key, value in back["tags"].items() if key not in added}
    expected = {key: value for key, value in given.items() if value is not None}
    if not back["tags"]:
        expected.pop("tags", None)
        del back["tags"]
    assert back == expected


# tags -> status code, message, tags that stay
STATUS = [
    ({}, 0, "", []),
    ({"error": ""}, 2, "", []),
    ({"error": "true"}, 2, "", []),
    ({"error": True}, 2, "", []),
    ({"error": "boom"}, 2, "boom", []),
    ({"error": "false"}, 0, "", ["error"]),
    ({"otel.status_code": "STATUS_CODE_ERROR", "otel.status_description": "why"}, 2, "why", []),
    ({"otel.status_code": "OK", "error": "boom"}, 1, "", ["error"]),
]


@pytest.mark.parametrize(("tags", "code", "message", "left"), STATUS)
def test_status(tags: dict[str, Any], code: int, message: str, left: list[str]) -> None:
    span = converted(spans(tags=tags))
    assert (span.status.code, span.status.message) == (code, message)
    assert list(plain(span.attributes)) == left


@pytest.mark.parametrize(
    ("annotations", "start"), [([], NOW), ([{"timestamp": 9, "value": "b"}], 9000)]
)
def test_a_span_without_a_start_begins_with_what_is_known(
    annotations: list[Any], start: int
) -> None:
    span = converted(spans(timestamp=None, annotations=annotations))
    assert span.start_time_unix_nano == start
    assert plain(span.attributes) == {NO_START: True}


ANNOTATIONS = [
    ("plain", "plain", {}),
    ('"a": {"n": 1}', "a", {"n": 1}),
    ('a|{"n":1.5}|3', "a", {"n": 1.5}),
    ('"a": {broken}', '"a": {broken}', {}),
    ("a|{broken}|1", "a|{broken}|1", {}),
    ('"a": ' + '{"x":' * 5000 + "}" * 5000, None, {}),
    ('"\\ud800": {"\\udfff": "\\ud800"}', "\ufffd", {"\ufffd": "\ufffd"}),
]


@pytest.mark.parametrize(("value", "name", "attributes"), ANNOTATIONS)
def test_annotations(value: str, name: str | None, attributes: dict[str, Any]) -> None:
    (event,) = converted(spans(annotations=[{"timestamp": 1, "value": value}])).events
    assert event.name == (value if name is None else name)
    assert plain(event.attributes) == attributes


def test_tags_become_numbers_if_asked_to() -> None:
    tags = {"a": "42", "b": "-1.5", "c": "true", "d": "1e5", "e": "٣", "f": "9" * 30}
    parsed = plain(converted(spans(tags=tags), parse_tags=True).attributes)
    assert parsed == {**tags, "a": 42, "b": -1.5, "c": True}
    assert plain(converted(spans(tags=tags)).attributes) == tags


def test_spans_of_one_service_and_scope_are_together() -> None:
    given = [
        span
        for service, scope in (("a", "x"), ("b", "x"), ("a", "y"), ("a", "x"))
        for span in spans(localEndpoint={"serviceName": service}, tags={"otel.scope.name": scope})
    ]
    request, _, _ = to_otlp(given, NOW)
    seen = [
        (plain(r.resource.attributes)["service.name"], s.scope.name, len(s.spans))
        for r in request.resource_spans
        for s in r.scope_spans
    ]
    assert seen == [("a", "x", 2), ("a", "y", 1), ("b", "x", 1)]


def test_short_ids_are_padded_and_empty_ones_counted() -> None:
    given = [*spans(traceId="abc", id="d"), *spans(traceId="0" * 16), *spans(id="0")]
    request, taken, lost = to_otlp(given, NOW)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    assert (taken, lost) == (1, {"trace_id": 1, "span_id": 1})
    assert (span.trace_id.hex(), span.span_id.hex()) == ("abc".rjust(32, "0"), "d".rjust(16, "0"))


REFUSED: list[tuple[Any, str]] = [
    ({}, "Expected `array`"),
    ([1], "Expected `object`"),
    ([{**FULL, "timestamp": "soon"}], "timestamp"),
    ([{**FULL, "tags": {"a": ["b"]}}], "tags"),
    ([{**FULL, "annotations": [{"value": "x"}]}], "timestamp"),
]


@pytest.mark.parametrize(("tree", "text"), REFUSED)
def test_what_is_no_span_is_refused(tree: Any, text: str) -> None:
    with pytest.raises(WireError, match=text):
        read_json(json.dumps(tree).encode())


NAMELESS = [
    ({"id": "a"}, "trace_id"),
    ({**FULL, "traceId": "xyz"}, "trace_id"),
    ({**FULL, "traceId": "a" * 33}, "trace_id"),
    ({**FULL, "traceId": " " + "a" * 31}, "trace_id"),
    ({**FULL, "traceId": None}, "trace_id"),
    ({**FULL, "id": ""}, "span_id"),
    ({**FULL, "id": "1 2"}, "span_id"),
    ({**FULL, "id": "a" * 17}, "span_id"),
    ({"traceId": b"1" * 17, "id": b"1" * 8}, "trace_id"),
    ({"traceId": b"1" * 7, "id": b"1" * 8}, "trace_id"),
    ({"traceId": b"1" * 16, "id": b"1" * 7}, "span_id"),
    ({"traceId": b"1" * 16, "id": b"1" * 9}, "span_id"),
    ({"traceId": b"1" * 16}, "span_id"),
]


@pytest.mark.parametrize(("given", "reason"), NAMELESS)
def test_a_span_whose_ids_are_none_is_left_out(given: Any, reason: str) -> None:
    if isinstance(given.get("traceId"), bytes):
        listed = ListOfSpans(spans=[{"trace_id": given["traceId"], "id": given.get("id", b"")}])
        read = read_proto(listed.SerializeToString())
    else:
        read = read_json(json.dumps([given]).encode())
    _, taken, lost = to_otlp([*spans(), *read], NOW)
    assert (taken, lost) == (1, {reason: 1})


@pytest.mark.parametrize("more", ["", "y" * 40_000], ids=["small", "large"])
@pytest.mark.parametrize("text", [b"a\\ud83d", b"\\ude00\\ud83d", b"\xff", b"a\xf0\x9f"])
def test_a_text_that_is_none_costs_only_itself(text: bytes, more: str) -> None:
    new = {"traceId": "1" * 32, "id": "2" * 16, "name": "TEXT", "tags": {"TEXT": "TEXT"}, "x": more}
    old = {**new, "binaryAnnotations": [{"key": "TEXT", "value": "TEXT"}]}
    for tree, read in ((new, read_json), (old, read_old)):
        said = json.dumps([tree, {"traceId": "1" * 32, "id": "3" * 16}]).encode()
        request, taken, _ = to_otlp(read(said.replace(b"TEXT", text)), NOW)
        assert taken == 2
        span = request.resource_spans[0].scope_spans[0].spans[0]
        assert "\ufffd" in span.name
        assert "\ufffd" in span.attributes[0].key
        assert "\ufffd" in span.attributes[0].value.string_value


@pytest.mark.parametrize("wrong", ["a" * 17, "z", "", "0" * 16, " 1"])
def test_a_parent_that_is_none_is_no_parent(wrong: str) -> None:
    assert converted(spans(parentId=wrong)).parent_span_id == b""


@pytest.mark.parametrize(("kind", "number"), [("client", 3), ("SERVER", 2), ("LOCAL", 0)])
def test_a_kind_that_is_none_costs_only_itself(kind: str, number: int) -> None:
    assert converted(spans(kind=kind)).kind == number


PROTO_REFUSED = [
    {"trace_id": b"1" * 16, "id": b"1" * 8, "tags": [{}] * 50_000},
    {"trace_id": b"1" * 16, "id": b"1" * 8, "annotations": [{}] * 50_000},
    {"trace_id": b"1" * 16, "id": b"1" * 8, "local_endpoint": {"ipv4": b"123"}},
]


@pytest.mark.parametrize("span", PROTO_REFUSED, ids=range(len(PROTO_REFUSED)))
def test_protobuf_that_is_no_span_is_refused(span: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        read_proto(ListOfSpans(spans=[span]).SerializeToString())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*FULL, "value", "port", "ipv4", "shared"]), inner, max_size=5
        )
    ),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from([*FULL, "shared", "debug"]), JSON, max_size=4)


@pytest.mark.parametrize("read", [read_json, read_old])
@given(fields=FIELDS, tags=st.dictionaries(st.text(max_size=5), JSON, max_size=3))
@example(fields={"timestamp": 10**4000}, tags={})
@example(fields={}, tags={"a": 10**400, "b": -(10**400)})
@example(fields={}, tags={"\ud800": "\udfff"})
@example(fields={"timestamp": -5, "duration": -(10**30)}, tags={})
def test_odd_json_raises_our_error_only(
    read: Callable[[bytes], list[Span]], fields: dict[str, Any], tags: dict[str, Any]
) -> None:
    tree = [{**FULL, "tags": tags, "binaryAnnotations": [{"key": "sa"}], **fields}]
    converts_or_refuses(read, json.dumps(tree).encode())


@pytest.mark.parametrize("read", [read_json, read_old, read_proto])
@given(data=st.binary(max_size=100))
@example(data=b"[" * 100_000)
@example(data=b'[{"traceId":"\xff"}]')
def test_garbage_raises_our_error_only(read: Callable[[bytes], list[Span]], data: bytes) -> None:
    converts_or_refuses(read, data)


@given(st.data())
def test_a_changed_byte_raises_our_error_only(data: st.DataObject) -> None:
    changed = bytearray(PROTO)
    changed[data.draw(st.integers(0, len(PROTO) - 1))] = data.draw(st.integers(0, 255))
    converts_or_refuses(read_proto, bytes(changed))


def converts_or_refuses(read: Callable[[bytes], list[Span]], data: bytes) -> None:
    try:
        given = read(data)
    except WireError:
        return
    request, taken, lost = to_otlp(given, NOW, parse_tags=True)
    assert taken + sum(lost.values()) == len(given)
    assert type(request).FromString(request.SerializeToString()) == request
    assert len(read_json(write_json(from_otlp(request)))) == taken


def otlp(kind: int = 3, **attributes: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    span = resource_spans.scope_spans.add().spans.add(
        trace_id=b"\1" * 16, span_id=b"\2" * 8, kind=kind, start_time_unix_nano=1_999
    )
    span.end_time_unix_nano = 3_233
    for key, value in attributes.items():
        made = span.attributes.add(key=key.replace("__", ".")).value
        if isinstance(value, int):
            made.int_value = value
        else:
            made.string_value = value
    return request


REMOTE = [
    pytest.param(3, {}, None, id="nobody"),
    pytest.param(3, {"peer__service": "a", "server__address": "b"}, {"serviceName": "a"}, id="1"),
    pytest.param(
        3,
        {"server__address": "b", "server__port": 8, "network__peer__address": "10.0.0.1"},
        {"serviceName": "b", "port": 8, "ipv4": "10.0.0.1"},
        id="2-and-its-address",
    ),
    pytest.param(
        4, {"net__peer__name": "::1", "net__peer__port": 9}, {"ipv6": "::1", "port": 9}, id="3"
    ),
    pytest.param(
        3,
        {"network__peer__address": "10.0.0.1", "network__peer__port": 7, "db__name": "x"},
        {"ipv4": "10.0.0.1", "port": 7},
        id="4",
    ),
    pytest.param(3, {"db__name": "orders"}, {"serviceName": "orders"}, id="11"),
    pytest.param(
        2,
        {"server__address": "me", "network__peer__address": "10.0.0.1"},
        {"ipv4": "10.0.0.1"},
        id="a-server-is-not-its-own-peer",
    ),
    pytest.param(
        3, {"server__address": "b", "server__port": 99999999}, {"serviceName": "b"}, id="no-port"
    ),
]


@pytest.mark.parametrize(("kind", "attributes", "endpoint"), REMOTE)
def test_the_other_end_is_found_by_rank(
    kind: int, attributes: dict[str, Any], endpoint: dict[str, Any] | None
) -> None:
    (span,) = json.loads(write_json(from_otlp(otlp(kind, **attributes))))
    assert span.get("remoteEndpoint") == endpoint


def test_a_span_of_otlp_without_anything() -> None:
    (span,) = json.loads(write_json(from_otlp(otlp(1))))
    assert span == {
        "traceId": "01" * 16,
        "id": "02" * 8,
        "timestamp": 1,
        "duration": 1,
        "localEndpoint": {"serviceName": "unknown_service"},
        "tags": {"span.kind": "internal"},
    }


def test_tags_are_text_and_those_that_look_like_errors_go() -> None:
    request = otlp(error="false", n=7)
    values = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="l").value
    values.array_value.values.add(bool_value=True)
    (span,) = json.loads(write_json(from_otlp(request)))
    assert span["tags"] == {"n": "7", "l": "[true]"}


V1 = {"traceId": "a" * 16, "id": "b", "name": "get"}
HERE, THERE = {"serviceName": "shop"}, {"serviceName": "db", "port": 1}


def note(value: str, timestamp: int, endpoint: Any = HERE) -> dict[str, Any]:
    return {"value": value, "timestamp": timestamp, "endpoint": endpoint}


OLD = [
    pytest.param(
        {
            "annotations": [note("cs", 10), note("ws", 11), note("cr", 15)],
            "binaryAnnotations": [
                {"key": "sa", "value": True, "endpoint": THERE},
                {"key": "http.path", "value": "/x", "endpoint": HERE},
            ],
        },
        [("CLIENT", 10, 5, "shop", "db", ["ws"], {"http.path": "/x"}, None)],
        id="client",
    ),
    pytest.param(
        {"timestamp": 9, "duration": 8, "annotations": [note("sr", 10), note("ss", 15)]},
        [("SERVER", 9, 8, "shop", None, [], {}, None)],
        id="server-of-its-own",
    ),
    pytest.param(
        {"annotations": [note("sr", 10), note("ss", 15)]},
        [("SERVER", 10, 5, "shop", None, [], {}, True)],
        id="shared-server",
    ),
    pytest.param(
        {"timestamp": 9, "binaryAnnotations": [{"key": "lc", "value": "", "endpoint": HERE}]},
        [(None, 9, None, "shop", None, [], {}, None)],
        id="local",
    ),
    pytest.param(
        {
            "timestamp": 9,
            "duration": 20,
            "annotations": [
                note("cs", 9),
                note("sr", 12, THERE),
                note("ss", 14, THERE),
                note("cr", 29),
            ],
            "binaryAnnotations": [{"key": "rows", "value": 3, "endpoint": THERE}],
        },
        [
            ("CLIENT", 9, 20, "shop", None, [], {}, None),
            ("SERVER", 12, 2, "db", None, [], {"rows": 3}, True),
        ],
        id="both-sides",
    ),
]


@pytest.mark.parametrize(("fields", "expected"), OLD)
def test_v1(fields: dict[str, Any], expected: list[Any]) -> None:
    seen = [
        (
            span.kind,
            span.timestamp,
            span.duration,
            span.local_endpoint and span.local_endpoint.service_name,
            span.remote_endpoint and span.remote_endpoint.service_name,
            [annotation.value for annotation in span.annotations or ()],
            span.tags,
            span.shared,
        )
        for span in read_old(json.dumps([{**V1, **fields}]).encode())
    ]
    assert seen == expected
