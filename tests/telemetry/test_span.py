"""Spans as a collector reads them: HTTP semantic conventions 1.44, http-spans.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from proxy.telemetry.facts import Exchange
from proxy.tracing.context import TraceContext

from .exchanges import (
    CALLER,
    MS,
    SERVER,
    START,
    TRACE,
    WALL,
    answered,
    attempt,
    attributes,
    caller,
    exchange,
    spans,
)

UNSET, ERROR = Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR
Outcome = tuple[str, int, object, object]  # name, status, status_code, error.type


def outcome(span: Span) -> Outcome:
    found = attributes(span)
    status = found.get("http.response.status_code")
    return span.name, span.status.code, status, found.get("error.type")


def refused() -> Exchange:
    made = exchange(503, error="connection_refused")
    attempt(made, 0, error="connection_refused", connected=0, sent=0, peer=None)
    return made


def reset() -> Exchange:
    made = exchange(502, error="connection_reset")
    attempt(made, 0, error="connection_reset")
    return made


def timed_out() -> Exchange:
    made = exchange(504, error="timeout")
    attempt(made, 0, error="timeout")
    return made


def truncated() -> Exchange:
    made = exchange(200, error="response_truncated")
    attempt(made, 200, error="response_truncated")
    return made


def left_before_the_answer() -> Exchange:
    made = exchange(0, client_gone=True)
    attempt(made, 0)
    return made


def left_during_the_answer() -> Exchange:
    return answered(200, client_gone=True)


def left_while_trying_again() -> Exchange:
    made = exchange(0, client_gone=True)
    attempt(made, 0, error="connection_reset")
    attempt(made, 0)
    return made


def retried_twice() -> Exchange:
    made = exchange(200)
    attempt(made, 0, error="connection_reset")
    attempt(made, 503, retry_reason="connection_reset")
    attempt(made, 200, retry_reason="503")
    return made


NAME = "GET /api/orders/{id}"


@pytest.mark.parametrize(
    ("make", "server", "clients"),
    [
        (answered, (NAME, UNSET, 200, None), [(NAME, UNSET, 200, None)]),
        (
            lambda: exchange(404, route=None, path="/nothing/here"),
            ("GET", UNSET, 404, None),
            [],
        ),
        (lambda: answered(404), (NAME, UNSET, 404, None), [(NAME, ERROR, 404, "404")]),
        (lambda: answered(500), (NAME, ERROR, 500, "500"), [(NAME, ERROR, 500, "500")]),
        (
            lambda: exchange(503, error="no_endpoint"),
            (NAME, ERROR, 503, "no_endpoint"),
            [],
        ),
        (
            refused,
            (NAME, ERROR, 503, "connection_refused"),
            [(NAME, ERROR, None, "connection_refused")],
        ),
        (
            reset,
            (NAME, ERROR, 502, "connection_reset"),
            [(NAME, ERROR, None, "connection_reset")],
        ),
        (timed_out, (NAME, ERROR, 504, "timeout"), [(NAME, ERROR, None, "timeout")]),
        (
            truncated,
            (NAME, ERROR, 200, "response_truncated"),
            [(NAME, ERROR, 200, "response_truncated")],
        ),
        (
            retried_twice,
            (NAME, UNSET, 200, None),
            [
                (NAME, ERROR, None, "connection_reset"),
                (NAME, ERROR, 503, "503"),
                (NAME, UNSET, 200, None),
            ],
        ),
        (left_before_the_answer, (NAME, UNSET, None, None), [(NAME, UNSET, None, None)]),
        (left_during_the_answer, (NAME, UNSET, 200, None), [(NAME, UNSET, 200, None)]),
        (
            left_while_trying_again,
            (NAME, UNSET, None, None),
            [(NAME, ERROR, None, "connection_reset"), (NAME, UNSET, None, None)],
        ),
    ],
)
def test_names_statuses_and_errors(
    make: Callable[[], Exchange], server: Outcome, clients: list[Outcome]
) -> None:
    first, *others = spans(make())

    assert (first.kind, outcome(first)) == (Span.SPAN_KIND_SERVER, server)
    assert [span.kind for span in others] == [Span.SPAN_KIND_CLIENT] * len(clients)
    assert [outcome(span) for span in others] == clients


@pytest.mark.parametrize("make", [left_before_the_answer, left_during_the_answer])
def test_a_client_that_left_is_told_apart_from_success(make: Callable[[], Exchange]) -> None:
    for span in spans(make()):
        assert attributes(span)["spangate.client_gone"] is True


def test_ids_and_times() -> None:
    server, client = spans(answered(200, context=caller(state=b"vendor=1"), flags_random=False))

    assert server.trace_id == client.trace_id == bytes.fromhex(TRACE.decode())
    assert server.parent_span_id == bytes.fromhex(CALLER.decode())
    assert server.span_id == client.parent_span_id == bytes.fromhex(SERVER.decode())
    assert client.span_id == bytes.fromhex("c0ffee0000000000")
    assert server.trace_state == client.trace_state == "vendor=1"
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (WALL, WALL + 20 * MS)
    assert client.start_time_unix_nano == WALL + 1 * MS
    assert client.end_time_unix_nano == WALL + 5 * MS


@pytest.mark.parametrize(
    ("context", "random", "server_flags", "client_flags"),
    [
        (None, True, 0x103, 0x103),  # a root has no remote parent
        (None, False, 0x101, 0x101),
        (caller(), False, 0x301, 0x101),
        (caller(), True, 0x303, 0x103),
        (TraceContext(b"", b"", True), True, 0x103, 0x103),  # B3's bare decision: no parent
    ],
)
def test_flags(
    context: TraceContext | None, random: bool, server_flags: int, client_flags: int
) -> None:
    server, client = spans(answered(200, context=context, flags_random=random))

    assert (server.flags, client.flags) == (server_flags, client_flags)
    assert bool(server.parent_span_id) == bool(server.flags & 0x200)


def test_an_untrusted_caller_is_linked_and_not_the_parent() -> None:
    foreign = TraceContext(b"f" * 32, b"e" * 16, True, random=True, state=b"them=1")
    server, client = spans(answered(200, link=foreign))

    assert server.parent_span_id == b""
    (link,) = server.links
    assert (link.trace_id, link.span_id) == (b"\xff" * 16, b"\xee" * 8)
    assert (link.trace_state, link.flags) == ("them=1", 0x303)
    assert not client.links


def test_a_retry_says_which_and_why() -> None:
    _, *tries = spans(retried_twice())

    assert [
        (a.get("http.request.resend_count"), a.get("spangate.retry.reason"))
        for a in map(attributes, tries)
    ] == [(None, None), (1, "connection_reset"), (2, "503")]
    assert len({span.span_id for span in tries}) == 3


def test_phases_add_up_to_the_duration_of_a_retried_request() -> None:
    found = attributes(spans(retried_twice())[0])
    phases = {key.rpartition(".")[2]: v for key, v in found.items() if "phase" in key}

    # three tries, each 1 ms dialling and 3 ms from head to last byte, first after 1 ms
    assert phases == {
        "queue_ms": 1.0,
        "connect_ms": 3.0,
        "first_byte_ms": 4.0,
        "overhead_ms": 20.0 - 3.0 - 9.0,
    }


def test_a_dial_that_failed_is_the_network_s_time_and_not_ours() -> None:
    found = attributes(spans(refused())[0])

    assert found["spangate.phase.connect_ms"] == 4.0
    assert found["spangate.phase.overhead_ms"] == 16.0
    assert "spangate.phase.first_byte_ms" not in found


def test_an_attempt_without_an_end_ends_with_the_exchange() -> None:
    made = answered(200)
    made.attempts[0].end = 0
    server, client = spans(made)

    assert client.end_time_unix_nano == server.end_time_unix_nano
    assert client.start_time_unix_nano - WALL == made.attempts[0].start - START
