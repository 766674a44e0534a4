"""What a trace says about each way in which a request can go."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.harness import OK, Answer, Backend, gateway, routes
from tests.server.kit import (
    CLIENT,
    ERROR,
    SERVER,
    UNSET,
    Gate,
    attributes,
    check_shape,
    reply,
    script,
    send,
    trace,
    traces,
)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT}-01"
NOT_SAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT}-00"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


# who is whose parent


async def test_each_attempt_is_a_client_span_whose_id_its_backend_got() -> None:
    answers = script(reply(503), reply(503), reply(200))
    retrying = "retry = { times = 2, on = [503], backoff = '1ms' }"
    async with Backend(answers) as backend, gateway(routes(backend, route=retrying)) as gate:
        assert (await gate.get("/x", SAMPLED)).status == 200
        seen = await trace(gate)
    check_shape(seen)
    assert seen.server.trace_id.hex() == TRACE_ID
    assert seen.server.parent_span_id.hex() == PARENT
    told = [head.lower().split(b"traceparent: ")[1][:55].decode() for head in backend.heads]
    assert told == [f"00-{TRACE_ID}-{c.span_id.hex()}-01" for c in seen.clients]
    assert [t.get("http.request.resend_count") for t in seen.tried] == [None, 1, 2]
    assert [t.get("spangate.retry.reason") for t in seen.tried] == [None, "503", "503"]
    assert [c.status.code for c in seen.clients] == [ERROR, ERROR, UNSET]
    assert seen.server.status.code == UNSET


# formats

IN = {
    "w3c": [SAMPLED],
    "b3": [f"b3: {TRACE_ID}-{PARENT}-1"],
    "b3multi": [f"X-B3-TraceId: {TRACE_ID}", f"X-B3-SpanId: {PARENT}", "X-B3-Sampled: 1"],
}


def received(backend: Backend, out: str) -> tuple[str, str, str]:
    """(trace id, span id, sampled) as the backend was told in one format."""
    if out == "w3c":
        parts = (backend.field("traceparent") or "").split("-")
        return parts[1], parts[2], str(int(parts[3], 16) & 1)
    if out == "b3":
        trace_id, span_id, state = (backend.field("b3") or "").split("-")
        return trace_id, span_id, state
    said = [backend.field(f"x-b3-{n}") or "" for n in ("traceid", "spanid", "sampled")]
    assert backend.field("x-b3-parentspanid") is None
    return said[0], said[1], said[2]


@pytest.mark.parametrize("out", IN)
@pytest.mark.parametrize("come", IN)
async def test_any_format_comes_in_and_any_goes_out(come: str, out: str) -> None:
    formats = f'[tracing]\nextract = ["{come}"]\ninject = ["{out}"]'
    async with Backend() as backend, gateway(routes(backend, formats)) as gate:
        await gate.get("/x", *IN[come])
        seen = await trace(gate)
    assert seen.server.parent_span_id.hex() == PARENT
    assert received(backend, out) == (TRACE_ID, seen.clients[0].span_id.hex(), "1")
    for other in IN.keys() - {out}:
        name = {"w3c": "traceparent", "b3": "b3", "b3multi": "x-b3-traceid"}[other]
        assert backend.field(name) is None


async def test_the_first_valid_format_in_the_configured_order_wins_and_all_are_written() -> None:
    other = "1" * 32
    formats = '[tracing]\nextract = ["b3", "w3c"]\ninject = ["w3c", "b3", "b3multi"]'
    async with Backend() as backend, gateway(routes(backend, formats)) as gate:
        await gate.get("/x", SAMPLED, f"b3: {other}-{PARENT}-1", "b3: nonsense")
        await gate.get("/x", SAMPLED, f"b3: {other}-{PARENT}-1")
        first, second = await traces(gate, 2)
    assert first.server.trace_id.hex() == TRACE_ID  # doubled b3 is no valid one
    assert second.server.trace_id.hex() == other
    told = {received(backend, out) for out in IN}
    assert told == {(other, second.clients[0].span_id.hex(), "1")}


async def test_tracestate_is_passed_on_by_w3c_and_recorded() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x", SAMPLED, "tracestate: a=1, b=2", "tracestate: c=3")
        seen = await trace(gate)
    assert (backend.field("tracestate") or "").replace(" ", "") == "a=1,b=2,c=3"
    assert seen.server.trace_state.replace(" ", "") == "a=1,b=2,c=3"
    assert seen.clients[0].trace_state == seen.server.trace_state


# trust


async def test_a_stranger_gets_a_new_trace_linked_to_his_own() -> None:
    stranger = "[tracing]\ntrust = []"
    async with Backend() as backend, gateway(routes(backend, stranger)) as gate:
        await gate.get("/x", NOT_SAMPLED, "tracestate: a=1", "baggage: k=v")
        seen = await trace(gate)
    check_shape(seen)
    assert seen.server.trace_id.hex() != TRACE_ID and not seen.server.parent_span_id
    (link,) = seen.server.links
    assert (link.trace_id.hex(), link.span_id.hex(), link.trace_state) == (TRACE_ID, PARENT, "a=1")
    assert received(backend, "w3c") == (
        seen.server.trace_id.hex(),
        seen.clients[0].span_id.hex(),
        "1",
    )
    assert backend.field("tracestate") is None and backend.field("baggage") is None


async def test_a_strangers_context_may_be_dropped_altogether() -> None:
    stranger = '[tracing]\ntrust = []\nuntrusted = "drop"'
    async with Backend() as backend, gateway(routes(backend, stranger)) as gate:
        await gate.get("/x", SAMPLED)
        seen = await trace(gate)
    assert seen.server.trace_id.hex() != TRACE_ID and not seen.server.links


async def test_trusted_baggage_is_passed_on_unless_configured_otherwise() -> None:
    for setting, expected in (("true", "k=v"), ("false", None)):
        more = f"[tracing]\nbaggage = {setting}"
        async with Backend() as backend, gateway(routes(backend, more)) as gate:
            await gate.get("/x", "baggage: k=v")
        assert backend.field("baggage") == expected


# sampling

SAMPLING = [
    # sampler, sample, caller, recorded
    ("parent", 1.0, None, True),
    ("parent", 0.0, None, False),
    ("parent", 0.0, SAMPLED, True),
    ("parent", 1.0, NOT_SAMPLED, False),
    ("ratio", 1.0, NOT_SAMPLED, True),
    ("ratio", 0.0, SAMPLED, False),
    ("always", 0.0, NOT_SAMPLED, True),
    ("never", 1.0, SAMPLED, False),
    ("never", 1.0, f"b3: {TRACE_ID}-{PARENT}-d", True),  # debug is an order
]


@pytest.mark.parametrize(("sampler", "sample", "caller", "recorded"), SAMPLING)
@pytest.mark.parametrize("where", ["tracing", "route"])
async def test_the_flag_sent_on_says_whether_spans_are_recorded(
    where: str, sampler: str, sample: float, caller: str | None, recorded: bool
) -> None:
    said = f'sampler = "{sampler}"\nsample = {sample}'
    more = (
        f"[tracing]\n{said}" if where == "tracing" else '[tracing]\nsampler = "ratio"\nsample = 0.5'
    )
    route = "" if where == "tracing" else f"trace = {{ {said.replace(chr(10), ', ')} }}"
    async with Backend() as backend, gateway(routes(backend, more, route)) as gate:
        await gate.get("/x", *([caller] if caller else []))
        await gate.recorded.collect()
    assert len(gate.recorded.spans) == (2 if recorded else 0)
    assert received(backend, "w3c")[2] == ("1" if recorded else "0")
    assert backend.field("traceparent") is not None  # the trace goes on even unrecorded


UNTRACED_CALLERS = [
    None,
    SAMPLED,
    NOT_SAMPLED,
    f"b3: {TRACE_ID}-{PARENT}-d",
    "b3: d",
    "X-B3-Flags: 1",
]


@pytest.mark.parametrize("caller", UNTRACED_CALLERS)
async def test_an_untraced_path_is_never_traced_whoever_asks(caller: str | None) -> None:
    more = '[tracing]\nuntraced = ["/healthz"]\ninject = ["w3c", "b3"]'
    always = 'trace = { sampler = "always" }'
    async with Backend() as backend, gateway(routes(backend, more, always)) as gate:
        await gate.get("/healthz", *([caller] if caller else []))
        await gate.get("/healthz/not", *([caller] if caller else []))
        await gate.recorded.collect()
    assert [attributes(s)["url.path"] for s in gate.recorded.spans if s.kind == SERVER] == [
        "/healthz/not"
    ]
    sampled = [h.lower().split(b"traceparent: ")[1][53:55] for h in backend.heads]
    assert [int(flags, 16) & 1 for flags in sampled] == [0, 1]
    assert b"-0\r\n" in backend.heads[0].split(b"b3: ")[1]


# time


async def test_both_spans_end_with_the_body_and_not_with_the_head() -> None:
    handler = Gate(HALF, b"longer")
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await client.head()
        await gate.recorded.collect()
        assert gate.recorded.spans == []
        before = time.time_ns()
        handler.go.set()
        assert await client.reader.readexactly(10) == b"halflonger"
        await client.close()
        seen = await trace(gate)
    check_shape(seen)
    for span in (seen.server, seen.clients[0]):
        assert span.start_time_unix_nano < before < span.end_time_unix_nano


async def test_waiting_for_the_upstream_is_not_called_the_gateways_own_time() -> None:
    handler = Gate(b"", OK)
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        await handler.reached.wait()
        before = time.monotonic_ns()
        await asyncio.sleep(0.02)  # time to account for, not to wait for anything
        waited = (time.monotonic_ns() - before) / 1e6
        handler.go.set()
        await client.answer()
        await client.close()
        seen = await trace(gate)
    total = (seen.server.end_time_unix_nano - seen.server.start_time_unix_nano) / 1e6
    own, first_byte = (seen.about[f"spangate.phase.{n}_ms"] for n in ("overhead", "first_byte"))
    assert isinstance(first_byte, float) and isinstance(own, float)
    assert first_byte >= waited
    assert own <= total - waited + 1e-6


async def test_a_warm_connection_costs_no_connecting() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/1")
        await gate.get("/2")
        cold, warm = await traces(gate, 2)
    assert cold.about["spangate.phase.connect_ms"] > 0
    assert warm.about["spangate.phase.connect_ms"] == 0
    assert len(backend.peers) == 1


async def test_spans_of_one_connection_do_not_mix() -> None:
    """Pipelined requests on one connection: each has its own trace, and its parent's."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for i in range(3):
            send(client, "GET", f"/{i}", f"traceparent: 00-{i + 1:032x}-{i + 1:016x}-01")
        answers: list[Answer] = [await client.answer() for _ in range(3)]
        await client.close()
        found = await traces(gate, 3)
    assert [a.status for a in answers] == [200] * 3
    assert [int(t.server.trace_id.hex(), 16) for t in found] == [1, 2, 3]
    assert [int(t.server.parent_span_id.hex(), 16) for t in found] == [1, 2, 3]
    assert all(c.kind == CLIENT for t in found for c in t.clients)
