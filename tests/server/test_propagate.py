"""What of a caller's context a backend is told: flags, and what `propagate` keeps from it."""

from __future__ import annotations

import pytest

from tests.harness import Backend, gateway, routes
from tests.server.kit import reply, script, trace

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
STATE, BAGGAGE = "tracestate: a=1", "baggage: k=v"
RANDOM = 2  # Span.flags

# flags that come -> those that leave, without and with random_flag; "" = no context comes
FLAGS = [
    ("", "01", "03"),
    ("00", "00", "00"),
    ("01", "01", "01"),
    ("02", "00", "02"),
    ("03", "01", "03"),
    ("ff", "01", "03"),
]


@pytest.mark.parametrize(("come", "plain", "random"), FLAGS)
@pytest.mark.parametrize("switched_on", [False, True])
async def test_the_random_flag_is_sent_only_where_it_is_switched_on(
    come: str, plain: str, random: str, switched_on: bool
) -> None:
    more = "[tracing]\nrandom_flag = true" if switched_on else ""
    lines = [f"traceparent: 00-{TRACE_ID}-{PARENT}-{come}"] if come else []
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        await gate.get("/x", *lines)
        told = backend.field("traceparent") or ""
        assert told[-2:] == (random if switched_on else plain)
        if int(plain):
            seen = await trace(gate)
            recorded = {span.flags & RANDOM for span in (seen.server, *seen.clients)}
            assert recorded == {int(random, 16) & RANDOM}  # as the trace id is, whatever is sent


ALL = {"traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "baggage"}
NO_STATE, NO_BAGGAGE, NO_CONTEXT = ALL - {"tracestate"}, ALL - {"baggage"}, {"baggage"}

# what route and upstream say -> the fields that the backend gets
SAID = [
    ("", "", ALL),
    ("baggage = false", "", NO_BAGGAGE),
    ("", "baggage = false", NO_BAGGAGE),
    ("tracestate = false", "", NO_STATE),
    ("", "tracestate = false", NO_STATE),
    ('context = "drop"', "", NO_CONTEXT),
    ("", 'context = "drop"', NO_CONTEXT),
    ('baggage = false, tracestate = false, context = "drop"', "", set()),
    ('context = "pass"', 'context = "drop"', ALL),
    ("baggage = true, tracestate = true", "baggage = false, tracestate = false", ALL),
    ("baggage = true", 'tracestate = false, context = "drop"', NO_CONTEXT),
    ("tracestate = false", "baggage = false", NO_STATE & NO_BAGGAGE),
]


@pytest.mark.parametrize(("route", "upstream", "fields"), SAID)
@pytest.mark.parametrize("body", [b"", b"12345"])
async def test_what_propagate_keeps_from_a_backend(
    route: str, upstream: str, fields: set[str], body: bytes
) -> None:
    more = '[tracing]\ninject = ["w3c", "b3", "b3multi"]'
    text = routes(backend := Backend(), more, f"propagate = {{ {route} }}" if route else "")
    async with backend:
        text = text.replace("127.0.0.1:0", f"127.0.0.1:{backend.port}")
        text += f"propagate = {{ {upstream} }}" if upstream else ""
        async with gateway(text) as gate:
            client = await gate.connect()
            lines = [f"traceparent: 00-{TRACE_ID}-{PARENT}-01", STATE, BAGGAGE]
            head = ["POST /x HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *lines, "", ""]
            client.write("\r\n".join(head).encode() + body)
            assert (await client.answer()).status == 200
            seen = await trace(gate)
            await client.close()
    told = {line.partition(b":")[0].decode().lower() for line in backend.heads[0].splitlines()}
    assert told & (ALL | {"x-b3-flags"}) == fields
    # What is not sent is recorded nevertheless.
    assert seen.server.trace_id.hex() == TRACE_ID and seen.clients[0].trace_state == "a=1"


async def test_a_route_may_pass_baggage_on_where_the_rest_does_not() -> None:
    text = "[tracing]\nbaggage = false"
    async with (
        Backend() as backend,
        gateway(routes(backend, text, "propagate.baggage = true")) as gate,
    ):
        await gate.get("/x", BAGGAGE)
    assert backend.field("baggage") == "k=v"


async def test_a_strangers_baggage_is_not_passed_on_whatever_a_route_says() -> None:
    text = "[tracing]\ntrust = []"
    async with (
        Backend() as backend,
        gateway(routes(backend, text, "propagate.baggage = true")) as gate,
    ):
        await gate.get("/x", BAGGAGE)
    assert backend.field("baggage") is None


async def test_a_try_that_is_repeated_keeps_it_too() -> None:
    drop = 'propagate.context = "drop"\nretry = { times = 1, on = [503], backoff = "1ms" }'

    async with Backend(script(reply(503))) as backend, gateway(routes(backend, route=drop)) as gate:
        await gate.get("/x", BAGGAGE)
    assert [b"traceparent" in head for head in backend.heads] == [False, False]
