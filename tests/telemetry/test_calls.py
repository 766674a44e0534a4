"""What is told of gRPC calls: names, codes, which are errors, and what strangers may name."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.http.grpc import NAMES
from proxy.telemetry import calls, instruments
from proxy.telemetry.blocks import RouteBlocks
from proxy.telemetry.facts import Call, Exchange

from .exchanges import answered, attributes, kept, record, recorder, spans

HELLO = "helloworld.Greeter/SayHello"


def called(code: int = 0, name: str = HELLO, *, known: bool = True, error: str = "") -> Exchange:
    """A call with one attempt that ended with this code."""
    made = answered(200, method="POST", path="/" + name, version="2")
    made.call = Call(name, -1)
    made.call.status = made.attempts[0].code = code
    made.call.is_recognised = known
    made.error = error
    made.attempts[0].error = error or (NAMES[code] if code else "")
    made.route = RouteBlocks("greeter", "/helloworld.Greeter/*", {})
    return made


def test_both_spans_bear_the_method_s_name() -> None:
    for span in spans(called()):
        found = attributes(span)
        assert span.name == HELLO
        assert found["rpc.system.name"] == "grpc"
        assert found["rpc.method"] == HELLO
        assert found["rpc.response.status_code"] == "OK"
        assert found["http.request.method"] == "POST"
        assert "rpc.method_original" not in found and "error.type" not in found


@pytest.mark.parametrize(
    ("code", "is_server_error"),
    [(code, code in (2, 4, 12, 13, 14, 15)) for code in range(17)],
)
def test_which_codes_are_errors(code: int, is_server_error: bool) -> None:
    server, client = spans(called(code, error=NAMES[code] if is_server_error else ""))
    assert (server.status.code == 2) is is_server_error
    assert (client.status.code == 2) is (code != 0)
    assert attributes(client).get("error.type", "OK") == NAMES[code]
    assert attributes(server)["rpc.response.status_code"] == NAMES[code]


@pytest.mark.parametrize(
    ("name", "known", "template", "told"),
    [
        ("a.B/C", True, "/*", "a.B/C"),
        ("a.B/C", False, "/a.B/C", "a.B/C"),
        ("a.B/C", False, "/a.B/*", "_OTHER"),
        ("a.B/C", False, None, "_OTHER"),
        ("a%20b/C", True, "/*", "_OTHER"),
        ("not-a-method", True, "/*", "_OTHER"),
    ],
)
def test_only_known_methods_are_named(
    name: str, known: bool, template: str | None, told: str
) -> None:
    made = called(12, name, known=known)
    made.route = RouteBlocks("any", template, {})
    for span in spans(made):
        found = attributes(span)
        assert found["rpc.method"] == told
        assert span.name == (told if told != "_OTHER" else "grpc")
        assert found.get("rpc.method_original") == (name if told == "_OTHER" else None)


def test_a_method_that_was_known_once_stays_so() -> None:
    route = RouteBlocks("any", "/*", {})
    first, second = called(0), called(12, known=False)
    assert calls.method(route, first.call or Call("", -1)) == HELLO
    second.route = route
    server, _ = spans(second)
    assert server.name == HELLO


def test_strangers_cannot_make_names_without_end() -> None:
    route = RouteBlocks("any", "/*", {})
    for number in range(2 * calls.MOST_METHODS):
        call = Call(f"a.B/C{number}", -1)
        call.is_recognised = True
        calls.method(route, call)
    assert len(route.methods) == calls.MOST_METHODS


def test_calls_count_as_requests_and_as_calls() -> None:
    by = recorder()
    for code in (0, 14):
        made = called(code, error="UNAVAILABLE" if code else "")
        by.begin(made)
        by.finish(made)
    told = by.registry.report().histograms
    for name in (instruments.SERVER_DURATION, instruments.CLIENT_DURATION):
        assert sum(sum(point.counts) for key, point in told.items() if key[0] == name) == 2
    labels = {dict(key[1])["rpc.response.status_code"] for key in told if key[0].startswith("rpc.")}
    assert labels == {"OK", "UNAVAILABLE"}
    assert not [key for key in told if key[0].startswith("http.") and "rpc.method" in dict(key[1])]


def test_the_client_left() -> None:
    made = called(1)
    made.attempts[0].error = ""
    made.client_gone = True
    server, client = spans(made)
    for span in (server, client):
        assert attributes(span)["rpc.response.status_code"] == "CANCELLED"
        assert attributes(span)["spangate.client_gone"] is True
        assert span.status.code == Span().status.code


def test_the_access_record_has_the_status() -> None:
    by = recorder()
    made = called(5)
    by.begin(made)
    by.finish(made)
    line = json.loads(kept(by).lines.take()[0])
    assert (line["status"], line["grpc_status"], line["error"]) == (200, "NOT_FOUND", "")
    told = record(called(5))
    assert attributes(told)["rpc.response.status_code"] == "NOT_FOUND"
    assert told.severity_text == "WARN"
    assert told.body.string_value == f"{HELLO} NOT_FOUND"


def test_other_requests_say_nothing_of_it() -> None:
    for span in spans(answered(200)):
        assert not [key for key in attributes(span) if key.startswith("rpc.")]
