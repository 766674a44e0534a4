"""Spans are looked over where they lie: compiled as by the twin, and as protobuf reads them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import proxy
from proxy.kernel import spanscan
from proxy.kernel.spanscan import Judge, pick, rows, select
from proxy.otlp.messages import REQUESTS
from tests.kernel import differ_spanscan
from tests.kernel.differ_spanscan import Pair, check

compiled = pytest.mark.skipif(bool(proxy.WHY_PLAIN), reason="the twin checks no bounds")

MS = 1_000_000


@given(st.binary(max_size=300), st.integers(0, 2**32))
@example(b"\x12\x00", 1)
@example(b"\x12\x02\x0a\x00", 1)
@example(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1)
@example(b"\x12\x0b\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1)
@example(b"\x12\x0c\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1)
@example(b"\x12\x04\x7a\x02\x18\x02", 1)
@example(b"\x12\x0d\x4a\x0b\x0a\x01a\x12\x06\x18\x80\x80\x80\x80\x10", 1)
@example(b"\x12\x13\x4a\x11\x0a\x01a\x12\x0c\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x30", 1)
@example(b"\x13\x12\x00", 1)
def test_any_bytes(data: bytes, seed: int) -> None:
    check(data, 0, len(data), Random(seed))
    Pair().check(data, 0, len(data))


@given(st.integers(0, 2**32))
def test_requests_with_anything_in_them(seed: int) -> None:
    differ_spanscan.once(Random(seed), Pair())


def scope(*spans: dict[str, Any]) -> Any:
    made = REQUESTS["traces"]().resource_spans.add().scope_spans.add()
    for one in spans:
        made.spans.add(**one)
    return made


def test_rows_are_what_protobuf_reads() -> None:
    made = scope(
        {"trace_id": b"t" * 16, "span_id": b"s" * 8, "name": "é", "kind": 2,
         "start_time_unix_nano": 5, "end_time_unix_nano": 2**64 - 1, "status": {"code": 2}},
        {"parent_span_id": b"p" * 8},
    )  # fmt: skip
    data = made.SerializeToString()
    first, second = rows(data, 0, len(data))
    assert first[:8] == (b"t" * 16, b"s" * 8, b"", "é".encode(), 2, 5, 2**64 - 1, 2)
    assert second[:8] == (b"", b"", b"p" * 8, b"", 0, 0, 0, 0)
    for row, span in zip((first, second), made.spans, strict=True):
        assert data[row[8] : row[9]] == span.SerializeToString()


def test_entries_of_some_traces_are_cut_out_as_they_are() -> None:
    made = scope(*({"trace_id": bytes([n % 3]) * 16, "name": str(n)} for n in range(9)))
    data = made.SerializeToString()
    cut = select(data, 0, len(data), 1, {b"\x01" * 16: None})
    assert type(made).FromString(cut).spans == [made.spans[n] for n in (1, 4, 7)]
    assert select(data, 0, len(data), 1, {}) == b""


def test_attributes_are_picked_by_their_keys() -> None:
    made = scope({})
    for key, value in {
        "text": {"string_value": "x"}, "yes": {"bool_value": True}, "no": {"bool_value": False},
        "big": {"int_value": -(2**63)}, "real": {"double_value": 0.5}, "raw": {"bytes_value": b"x"},
        "list": {"array_value": {"values": [{"int_value": 1}]}}, "none": {},
    }.items():  # fmt: skip
        made.spans[0].attributes.add(key=key, value=value)
    data = made.spans[0].SerializeToString()
    keys = ("text", "yes", "no", "big", "real", "raw", "list", "none", "nothing")
    found = pick(data, 0, len(data), 9, {key.encode(): n for n, key in enumerate(keys)})
    assert found == [b"x", True, False, -(2**63), 0.5, None, None, None, None]


def judged(judge: Judge, took: int, times: int = 1, **more: Any) -> list[bytes]:
    data = scope(
        *({"trace_id": b"%016d" % n, "name": "a", "kind": 2, "end_time_unix_nano": took, **more}
          for n in range(times))
    ).SerializeToString()  # fmt: skip
    return judge.look(data, 0, len(data))


def test_what_failed_is_worth_keeping_and_what_is_slow() -> None:
    judge = Judge()
    assert judged(judge, 10 * MS, 300) == []
    assert judged(judge, 10 * MS, 2, status={"code": 2}) == [b"%016d" % 0, b"%016d" % 1]
    assert judged(judge, 900 * MS) == [b"%016d" % 0]
    assert judged(judge, 900 * MS, kind=3) == []  # a try is not a request
    assert judged(judge, 900 * MS, name="of another name, and the first of it") == []
    assert judged(judge, 10 * MS) == []


def test_what_was_slow_may_become_usual() -> None:
    judge = Judge()
    judged(judge, 10 * MS, 300)
    judged(judge, 900 * MS, 5000)
    assert judged(judge, 900 * MS) == []


def test_spans_of_too_many_names_are_judged_by_their_status() -> None:
    judge = Judge()
    for number in range(1000):
        judged(judge, MS, name=str(number))
    judged(judge, MS, 300, name="one more")
    assert judged(judge, 900 * MS, name="one more") == []
    assert judged(judge, MS, name="one more", status={"code": 2}) == [b"%016d" % 0]


@compiled
@pytest.mark.parametrize(("begin", "end"), [(0, 4), (-1, 2), (2, 99)])
def test_they_are_read_within_the_bytes(begin: int, end: int) -> None:
    for call in (
        lambda: rows(b"\x12\x00\x12", begin, end),
        lambda: select(b"\x12\x00\x12", begin, end, 1, {}),
        lambda: pick(b"\x12\x00\x12", begin, end, 9, {}),
        lambda: Judge().look(b"\x12\x00\x12", begin, end),
    ):
        with pytest.raises(IndexError):
            call()
    assert rows(b"\x12\x00", 2, 2) == []


@compiled
def test_nothing_but_bytes_is_read() -> None:
    with pytest.raises(TypeError):
        spanscan.rows(bytearray(b"\x12\x00"), 0, 2)  # type: ignore[arg-type]
