"""What spans tell of a trace context that is not the ordinary one, and of what is sent on."""

from __future__ import annotations

import pytest

from tests.harness import Backend, gateway, routes
from tests.server.kit import trace

IDS = f"{'a' * 32}-{'b' * 16}"
SAMPLED, CLEARED = f"traceparent: 00-{IDS}-01", f"traceparent: 00-{IDS}-00"
TOLD = ("spangate.trace_context", "spangate.baggage", "spangate.request_id")
RESULT, FORMAT = "spangate.trace_context.result", "spangate.trace_context.format"
ALWAYS = '[tracing]\nsampler = "always"'
TRUSTING = '[forwarding]\ntrust = ["127.0.0.1"]'


@pytest.mark.parametrize(
    ("more", "lines", "told"),
    [
        ("", [], {}),
        ("", [SAMPLED, "tracestate: a=1"], {}),
        ("", ["traceparent: 00-1-2-3"], {RESULT: "invalid"}),
        ("", ["b3: x"], {RESULT: "invalid", FORMAT: "b3"}),
        ("", [f"b3: {IDS}-1"], {FORMAT: "b3"}),
        ('[tracing]\nextract = ["w3c"]', [f"b3: {IDS}-1"], {FORMAT: "b3"}),
        (ALWAYS, [SAMPLED], {}),
        (ALWAYS, [CLEARED], {"spangate.trace_context.sampled": False}),
        ("", ["baggage: a=1"], {"spangate.baggage": True}),
        ("[tracing]\nbaggage = false", ["baggage: a=1"], {"spangate.baggage": False}),
        (TRUSTING, ["X-Request-Id: mine"], {"spangate.request_id": "mine"}),
        ('[forwarding]\ntrust = ["10.0.0.1"]', ["X-Request-Id: a-stranger-s"], {}),
    ],
)
async def test_a_server_span_tells_what_is_out_of_the_ordinary(
    more: str, lines: list[str], told: dict[str, object]
) -> None:
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        await gate.get("/x", *lines)
        about = (await trace(gate)).about
    assert {key: value for key, value in about.items() if key.startswith(TOLD)} == told


async def test_a_request_id_that_is_made_ends_with_the_id_of_the_server_span() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        await gate.get("/x")
        made = backend.field("x-request-id") or ""
        assert len(made) == 32
        assert made[16:] == (await trace(gate)).server.span_id.hex()


@pytest.mark.parametrize(
    ("route", "withheld"),
    [
        ("", None),
        ("propagate = { tracestate = false }", "tracestate"),
        ("propagate = { context = 'drop' }", "all"),
    ],
)
async def test_a_client_span_tells_what_was_not_sent_on(route: str, withheld: str | None) -> None:
    async with Backend() as backend, gateway(routes(backend, "", route)) as gate:
        await gate.get("/x", SAMPLED, "tracestate: a=1")
        seen = await trace(gate)
    assert seen.server.trace_state == "a=1"
    assert seen.clients[0].trace_state == "a=1"
    assert seen.tried[0].get("spangate.trace_context.withheld") == withheld
