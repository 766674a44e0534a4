"""What is tried again, how long that waits, and how much of it there may be."""

from __future__ import annotations

from math import inf
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model import GrpcCode, Retry
from proxy.config.units import Seconds
from proxy.errors import (
    BadResponse,
    ClientGone,
    ConnectFailed,
    ConnectRefused,
    ConnectTimeout,
    DnsFailed,
    NoEndpoint,
    NotProcessed,
    Overloaded,
    ProxyError,
    StreamReset,
    TlsFailed,
    Truncated,
    TryTimeout,
    UpstreamReset,
    UpstreamTimeout,
)
from proxy.http.grpc import NAMES
from proxy.upstream.retry import (
    FLOOR,
    GRPC_CODES,
    WINDOW,
    Budget,
    backoff,
    may_retry,
    may_retry_call,
    retry_after,
)

ON_503 = Retry(times=2, on=[503])
ON_TIMEOUT = Retry(times=2, on=[504])

OUTCOMES = [
    # policy, method, outcome, may be retried
    (Retry(), "GET", ConnectRefused(), True),
    (Retry(), "POST", ConnectRefused(), True),  # nothing was sent
    (Retry(), "POST", ConnectTimeout(), True),
    (Retry(), "PATCH", DnsFailed(), True),
    (Retry(), "POST", ConnectFailed(), True),
    (Retry(), "GET", UpstreamReset(), True),
    (Retry(), "POST", UpstreamReset(), False),
    (Retry(methods=["POST"]), "POST", UpstreamReset(), True),
    (Retry(methods=["POST"]), "GET", UpstreamReset(), False),
    (Retry(), "GET", UpstreamTimeout(), False),
    (ON_TIMEOUT, "GET", UpstreamTimeout(), True),
    (ON_TIMEOUT, "POST", UpstreamTimeout(), False),
    (Retry(), "GET", BadResponse(), False),
    (Retry(on=[502]), "GET", BadResponse(), True),
    (Retry(), "GET", Truncated(), False),
    (ON_503, "GET", NoEndpoint(), False),  # asking again finds nobody either
    (ON_503, "GET", Overloaded(), False),  # our own limit
    (ON_503, "GET", ClientGone(), False),
    (ON_503, "GET", ProxyError(), False),
    (ON_503, "GET", 503, True),
    (ON_503, "POST", 503, False),
    (ON_503, "GET", 500, False),
    (Retry(), "GET", 503, False),
    (ON_503, "GET", 200, False),
    (Retry(on=["timeout"]), "GET", UpstreamTimeout(), True),
    (Retry(on=["timeout"]), "POST", UpstreamTimeout(), False),
    (Retry(on=["timeout"]), "POST", ConnectRefused(), True),  # adds to what holds unsaid
    (Retry(on=["timeout"]), "GET", UpstreamReset(), True),
    (Retry(), "GET", TryTimeout(), True),  # else what would per_try be for?
    (Retry(), "POST", TryTimeout(), False),
    (Retry(on=["connect"]), "POST", ConnectTimeout(), True),
    (Retry(on=["connect"]), "GET", TlsFailed(), True),
    (Retry(on=["connect"]), "GET", UpstreamReset(), False),
    (Retry(on=["connect"]), "GET", StreamReset(), False),
    (Retry(on=["reset"]), "GET", UpstreamReset(), True),
    (Retry(on=["reset"]), "GET", ConnectRefused(), False),
    (Retry(on=["reset"]), "POST", DnsFailed(), False),
    (Retry(on=["reset", 502]), "GET", TlsFailed(), True),  # by its status
    (Retry(on=["connect", "reset"]), "GET", UpstreamReset(), True),
    (Retry(on=["reset"]), "POST", NotProcessed(), True),  # the upstream has done nothing
]


@pytest.mark.parametrize(("retry", "method", "outcome", "expected"), OUTCOMES)
def test_outcomes(retry: Retry, method: str, outcome: ProxyError | int, expected: bool) -> None:
    assert may_retry(retry, method, 0, outcome, True, inf) is expected
    assert not may_retry(retry, method, 0, outcome, False, inf), "a body that is gone, bytes sent"
    assert not may_retry(retry, method, 0, outcome, True, 0.0), "no time is left"
    assert not may_retry(retry, method, retry.times, outcome, True, inf), "no tries are left"


def test_times_counts_extra_tries() -> None:
    retry = Retry(times=2)
    may = [may_retry(retry, "GET", attempt, ConnectRefused(), True, 1.0) for attempt in range(4)]
    assert may == [True, True, False, False]
    assert not may_retry(Retry(times=0), "GET", 0, ConnectRefused(), True, 1.0)


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [(0, 0.025), (1, 0.05), (2, 0.1), (3, 0.2), (4, 0.25), (5, 0.25), (10**6, 0.25)],
)
def test_pauses_double_up_to_the_cap(attempt: int, longest: float) -> None:
    assert backoff(Retry(), attempt, 0.0) == 0
    assert backoff(Retry(), attempt, 0.5) == pytest.approx(longest / 2)
    assert backoff(Retry(), attempt, 0.9999999) == pytest.approx(longest)


def test_a_policy_without_pause_has_none() -> None:
    assert backoff(Retry(backoff=Seconds(0)), 3, 0.9) == 0


def taken(budget: Budget, now: float, share: float = 0.2, floor: float = FLOOR) -> int:
    return sum(budget.take(now, share, floor) for _ in range(1000))


def test_retries_are_a_share_of_requests() -> None:
    budget = Budget()
    for _ in range(100):
        budget.request(5.5)
    assert taken(budget, 5.9) == 20
    for _ in range(50):
        budget.request(6.0)
    assert taken(budget, 6.0) == 10


def test_a_quiet_gateway_may_retry_too() -> None:
    assert taken(Budget(), 100.0) == WINDOW
    assert taken(Budget(), 100.0, floor=3.0) == 3 * WINDOW


def test_a_share_of_nothing_allows_nothing() -> None:
    budget = Budget()
    budget.request(1.0)
    assert taken(budget, 1.0, share=0.0) == 0


def test_routes_with_other_shares_spend_from_the_same_budget() -> None:
    budget = Budget()
    for _ in range(100):
        budget.request(1.0)
    assert taken(budget, 1.0, share=0.3) == 30
    assert taken(budget, 1.0, share=0.2) == 0
    assert taken(budget, 1.0, share=0.5) == 20


def test_what_is_long_ago_no_longer_counts() -> None:
    budget = Budget()
    for _ in range(10):
        budget.request(1000.0)
    assert taken(budget, 1000.0 + WINDOW - 1, 0.5, 0.0) == 5
    assert taken(budget, 1000.0 + WINDOW, 0.5, 0.0) == 0
    for _ in range(10):
        budget.request(1000.0 + 2 * WINDOW)
    assert taken(budget, 1000.0 + 2 * WINDOW, 0.5, 0.0) == 5


@given(
    st.floats(0.01, 1),
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
)
def test_the_share_holds_in_every_window(share: float, steps: list[tuple[float, bool]]) -> None:
    budget, now = Budget(), 0.0
    requests: list[float] = []
    retries: list[float] = []
    for pause, is_retry in steps:
        now += pause
        if not is_retry:
            budget.request(now)
            requests.append(now)
        elif budget.take(now, share, 0.0):
            retries.append(now)
            recent = [t for t in requests if t > now - WINDOW]
            assert sum(t > now - WINDOW + 1 for t in retries) <= share * len(recent)


def test_calls_are_judged_by_their_codes() -> None:
    retry = Retry(times=2, on=[503, "unavailable", "resource-exhausted"])
    allowed = [code for code in range(17) if may_retry_call(retry, code, 0, True, inf)]
    assert allowed == [8, 14]
    assert not may_retry_call(retry, 14, 2, True, inf), "no tries are left"
    assert not may_retry_call(retry, 14, 0, False, inf), "a body that is gone"
    assert not may_retry_call(retry, 14, 0, True, 0.0), "no time is left"
    assert not may_retry_call(Retry(), 14, 0, True, inf)


def test_every_code_of_the_file_is_known() -> None:
    assert set(GRPC_CODES.values()) == set(get_args(GrpcCode))
    assert {NAMES[code].lower().replace("_", "-") for code in GRPC_CODES} == set(
        GRPC_CODES.values()
    )


NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT

AFTER = [
    (None, None),
    (b"", None),
    (b"0", 0.0),
    (b"120", 120.0),
    (b"9" * 400, inf),
    (b"-1", None),
    (b"1.5", None),
    (b"soon", None),
    (b"Sun, 06 Nov 1994 08:49:40 GMT", 3.0),
    (b"Sun, 06 Nov 1994 08:49:30 GMT", 0.0),
    (b"Sun, 31 Feb 1994 08:49:30 GMT", None),
    (b"Sun, 06 Nix 1994 08:49:30 GMT", None),
]


@pytest.mark.parametrize(("value", "expected"), AFTER)
def test_retry_after(value: bytes | None, expected: float | None) -> None:
    assert retry_after(value, NOW) == expected


@given(st.binary(max_size=40) | st.from_regex(rb"[A-Z][a-z]{2}, \d+ \w+ \d+ \d+:\d+:\d+ [-+\w]+"))
def test_retry_after_of_anything_is_a_time_or_none(value: bytes) -> None:
    said = retry_after(value, NOW)
    assert said is None or said >= 0
