from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from proxy.otlp import status
from proxy.otlp.status import Verdict

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def details(*messages: object) -> bytes:
    made = Status(code=14)
    for message in messages:
        packed = Any()
        packed.Pack(message)
        made.details.append(packed)
    return made.SerializeToString()


def retry(seconds: int, nanos: int = 0) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.seconds, info.retry_delay.nanos = seconds, nanos
    return info


RETRYABLE_GRPC = {1: "cancelled", 4: "deadline_exceeded", 10: "aborted", 11: "out_of_range",
                  14: "unavailable", 15: "data_loss"}  # fmt: skip


@pytest.mark.parametrize("code", [*range(100, 200, 51), *range(300, 600)])
def test_http_statuses(code: int) -> None:
    outcome = status.from_http(code, "7", "because", NOW)
    if code in (429, 502, 503, 504):
        assert (outcome.verdict, outcome.delay) == (Verdict.RETRY, 7.0)
    else:
        assert (outcome.verdict, outcome.delay) == (Verdict.PERMANENT, None)
    assert outcome.reason == f"http_{code}"


@pytest.mark.parametrize("code", range(1, 18))
def test_grpc_codes(code: int) -> None:
    outcome = status.from_grpc(code, b"", "because")
    expected = Verdict.RETRY if code in RETRYABLE_GRPC else Verdict.PERMANENT
    assert outcome.verdict is expected
    if code in RETRYABLE_GRPC:
        assert outcome.reason == f"grpc_{RETRYABLE_GRPC[code]}"


@pytest.mark.parametrize(
    ("code", "trailer", "verdict", "delay"),
    [
        (8, b"", Verdict.PERMANENT, None),
        (8, details(retry(3)), Verdict.RETRY, 3.0),
        (8, details(RetryInfo()), Verdict.RETRY, 0.0),
        (8, details(BadRequest()), Verdict.PERMANENT, None),
        (8, b"\xff\xff", Verdict.PERMANENT, None),
        (14, details(BadRequest(), retry(1, 500_000_000)), Verdict.RETRY, 1.5),
        (14, details(retry(-5)), Verdict.RETRY, 0.0),
        (14, b"nonsense", Verdict.RETRY, None),
        (3, details(retry(3)), Verdict.PERMANENT, 3.0),
    ],
)
def test_retry_info(code: int, trailer: bytes, verdict: Verdict, delay: float | None) -> None:
    outcome = status.from_grpc(code, trailer, "")
    assert outcome.verdict is verdict
    if verdict is Verdict.RETRY:
        assert outcome.delay == delay


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 3 ", 3.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),  # in the past: now
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
        ("Tue, 99 Nov 2023 22:13:10 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert status.parse_retry_after(value, NOW) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_is_a_delay_or_nothing(value: str) -> None:
    delay = status.parse_retry_after(value, NOW)
    assert delay is None or delay >= 0


@pytest.mark.parametrize(
    ("claimed", "believed"), [(0, 0), (3, 3), (10, 10), (11, 10), (-1, 0), (10**18, 10)]
)
def test_no_more_items_are_rejected_than_were_sent(claimed: int, believed: int) -> None:
    outcome = status.partial(claimed, "quota", 10)
    assert outcome.verdict is Verdict.ACCEPTED
    assert outcome.rejected == believed


def test_an_acceptance_with_a_strange_body_is_an_acceptance() -> None:
    outcome = status.accepted(b"<html>", 10)
    assert outcome.verdict is Verdict.ACCEPTED
    assert outcome.rejected == 0
