"""Jaeger's wire forms say the same thing, and bytes that are none of them are refused."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.formats.jaeger.model import Batch
from proxy.formats.jaeger.proto import PostSpansRequest, read_request
from proxy.formats.jaeger.thrift import read_batch, read_emit
from proxy.formats.jaeger.thrift_protocols import MAX_DEPTH, Binary, Compact
from proxy.formats.jaeger.to_otlp import to_otlp
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import delimited
from tests.collector.jaeger_samples import BATCH, BINARY_BATCH, BINARY_EMIT, COMPACT_EMIT, PROTO

Read = Callable[[bytes], list[Batch]]

READERS: dict[str, tuple[Read, bytes]] = {
    "http": (lambda data: [read_batch(Binary(data))], BINARY_BATCH),
    "binary": (lambda data: [read_emit(Binary(data))], BINARY_EMIT),
    "compact": (lambda data: [read_emit(Compact(data))], COMPACT_EMIT),
    "grpc": (read_request, PROTO),
}
THRIFT = [name for name in READERS if name != "grpc"]


@pytest.mark.parametrize("name", READERS)
def test_all_forms_say_the_same(name: str) -> None:
    read, data = READERS[name]
    assert read(data) == [BATCH]


@pytest.mark.parametrize("name", THRIFT)
def test_every_cut_is_noticed(name: str) -> None:
    read, data = READERS[name]
    for size in range(len(data)):
        with pytest.raises(WireError):
            read(data[:size])


@pytest.mark.parametrize("name", THRIFT)
def test_what_follows_is_no_part_of_it(name: str) -> None:
    read, data = READERS[name]
    with pytest.raises(WireError, match="too many"):
        read(data + b"\0")


@pytest.mark.parametrize("name", READERS)
@given(data=st.binary(max_size=200))
@example(data=b"\x0f" * 100)
@example(data=b"\xff" * 100)
def test_garbage_raises_our_error_only(name: str, data: bytes) -> None:
    refuses_or_converts(READERS[name][0], data)


@pytest.mark.parametrize("name", READERS)
@given(st.data())
def test_a_changed_byte_raises_our_error_only(name: str, data: st.DataObject) -> None:
    read, good = READERS[name]
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    refuses_or_converts(read, bytes(changed))


def refuses_or_converts(read: Read, data: bytes) -> None:
    try:
        batches = read(data)
    except WireError:
        return
    request, spans, lost = to_otlp(batches)
    assert spans + sum(lost.values()) == sum(len(group[1]) for group in batches)
    assert type(request).FromString(request.SerializeToString()) == request


NESTED = [
    pytest.param(b"\x0c\x00\x09" * 1000, Binary, id="binary-structs"),
    pytest.param(b"\x0f\x00\x09" + b"\x0f\x00\x00\x00\x01" * 1000, Binary, id="binary-lists"),
    pytest.param(b"\x1c" * 1000, Compact, id="compact-structs"),
    pytest.param(b"\x99" + b"\x19" * 1000, Compact, id="compact-lists"),
]


@pytest.mark.parametrize(("data", "protocol"), NESTED)
def test_nesting_is_bounded(data: bytes, protocol: type[Binary] | type[Compact]) -> None:
    with pytest.raises(WireError, match="too deeply"):
        read_batch(protocol(data))


def test_as_deep_as_allowed_is_skipped() -> None:
    deep = b"\x0c\x00\x09" * MAX_DEPTH + b"\0" * MAX_DEPTH
    with pytest.raises(WireError, match="Batch without its field 1"):
        read_batch(Binary(deep + b"\0"))


CLAIMS = [
    pytest.param(b"\x0f\x00\x02\x0c\x7f\xff\xff\xff", Binary, id="a list of two thousand millions"),
    pytest.param(b"\x0f\x00\x02\x0c\xff\xff\xff\xff", Binary, id="a list of minus one"),
    pytest.param(b"\x0b\x00\x09\x7f\xff\xff\xff", Binary, id="a long text"),
    pytest.param(b"\x0b\x00\x09\xff\xff\xff\xff", Binary, id="a text of minus one"),
    pytest.param(b"\x0d\x00\x09\x0b\x0b\x7f\xff\xff\xff", Binary, id="a large map"),
    pytest.param(b"\x29\xfc\xff\xff\xff\xff\x07", Compact, id="a long list"),
    pytest.param(b"\x98\xff\xff\xff\xff\x07", Compact, id="a long compact text"),
    pytest.param(b"\x9b\xff\xff\xff\xff\x07\x88", Compact, id="a large compact map"),
    pytest.param(b"\x98" + b"\xff" * 11, Compact, id="a varint without an end"),
    pytest.param(b"\x0f\x00\x02\x0a\x00\x00\x00\x01" + b"\0" * 9, Binary, id="spans as numbers"),
]


@pytest.mark.parametrize(("data", "protocol"), CLAIMS)
def test_claims_are_not_believed(data: bytes, protocol: type[Binary] | type[Compact]) -> None:
    with pytest.raises(WireError):
        read_batch(protocol(data))


def test_other_calls_of_the_agent_are_refused() -> None:
    with pytest.raises(WireError, match="emitZipkin"):
        read_emit(Compact(COMPACT_EMIT.replace(b"\x09emitBatch", b"\x0femitZipkinBatch")))


def test_a_message_of_the_older_binary_form_is_read() -> None:
    """Without a version: name, type, sequence number."""
    old = struct.pack(">i", 9) + b"emitBatch" + b"\x04" + bytes(4)
    assert read_emit(Binary(old + BINARY_EMIT[21:])) == BATCH


def test_unknown_fields_are_passed_over() -> None:
    unknown = b"\x0d\x00\x63\x0b\x0f\x00\x00\x00\x01" + b"\0\0\0\1k" + b"\x02\0\0\0\2\1\0"
    assert read_batch(Binary(unknown + BINARY_BATCH)) == BATCH


def test_a_span_of_another_process_is_told_apart() -> None:
    request = PostSpansRequest.FromString(PROTO)
    other = request.batch.spans.add()
    other.CopyFrom(request.batch.spans[0])
    other.process.service_name = b"other"
    same = request.batch.spans.add()
    same.CopyFrom(request.batch.spans[0])
    same.process.CopyFrom(request.batch.process)
    groups = read_request(request.SerializeToString())
    assert [(process.service, len(spans)) for process, spans in groups] == [
        ("shop", 2),
        ("other", 1),
    ]


def test_a_text_that_is_no_text_loses_only_its_bad_bytes() -> None:
    ((process, _),) = READERS["http"][0](BINARY_BATCH.replace(b"shop", b"sh\xffp"))
    assert process.service == "sh\ufffdp"


SMALL = [
    pytest.param(delimited(1, b"\x0a\x00" * 50_000), id="spans"),
    pytest.param(delimited(1, delimited(1, b"\x42\x00" * 50_000)), id="tags"),
    pytest.param(delimited(1, delimited(1, b"\x4a\x00" * 50_000)), id="logs"),
    pytest.param(
        delimited(1, delimited(1, delimited(9, b"\x12\x00" * 50_000))), id="fields-of-a-log"
    ),
    pytest.param(delimited(1, delimited(1, b"\x22\x00" * 50_000)), id="references"),
    pytest.param(delimited(1, delimited(2, b"\x12\x00" * 50_000)), id="tags-of-a-process"),
    pytest.param(
        delimited(1, delimited(1, delimited(10, b"\x12\x00" * 50_000))), id="of-its-own-process"
    ),
]


@pytest.mark.parametrize("payload", SMALL)
def test_crowds_of_empty_messages_are_refused(payload: bytes) -> None:
    """They would be a hundred times larger in memory."""
    with pytest.raises(WireError, match=r"too many parts|too many spans"):
        read_request(payload)


@pytest.mark.parametrize("size", [0, 7, 9, 15, 17, 40])
def test_a_span_with_an_id_of_another_length_is_left_out(size: int) -> None:
    request = PostSpansRequest.FromString(PROTO)
    before = sum(len(spans) for _, spans in read_request(PROTO))
    request.batch.spans[0].trace_id = b"\1" * size
    _, taken, lost = to_otlp(read_request(request.SerializeToString()))
    assert (taken, lost) == (before - 1, {"trace_id": 1})
