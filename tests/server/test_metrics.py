"""The numbers that go up are the numbers of what was done."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from proxy.rest import REST
from proxy.server import frames
from proxy.telemetry.metrics import Point
from tests.harness import OK, Backend, Gateway, Peer, gateway, routes
from tests.server.kit import (
    CLIENT,
    SERVER,
    Gate,
    ask,
    eventually,
    eventually_collected,
    is_settled,
    number,
    refusing,
    reply,
    request,
    routing,
    script,
    send,
    series,
    traces,
)

DURATION = "http.server.request.duration"
CLIENT_DURATION = "http.client.request.duration"


async def test_every_request_is_counted_by_route_status_and_error() -> None:
    async def by_path(peer: Peer) -> None:
        while True:
            head, _ = await request(peer)
            status = int(head.split()[1].rpartition(b"/")[2])
            if status == 0:
                peer.reset()
                return
            peer.write(reply(status))

    config = """
[[route]]
name = "numbers"
path = "/n/{status}"
to = "b"
labels = { tier = "gold" }
[[route]]
name = "down"
path = "/down"
to = "nobody"
[[route]]
name = "pong"
path = "/pong"
respond = { body = "pong" }
"""
    asked = Counter(
        {"/n/200": 7, "/n/404": 3, "/n/500": 2, "/n/0": 4, "/down": 2, "/pong": 5, "/": 1}
    )
    with refusing() as nobody:
        async with Backend(by_path) as backend:
            upstreams = {"b": [backend.url], "nobody": [nobody]}
            async with gateway(routing(upstreams, config)) as gate:
                for path in asked.elements():
                    await gate.get(path)
                await gate.recorded.collect()
                found = {
                    (
                        k.get("spangate.route"),
                        k["http.response.status_code"],
                        k.get("error.type"),
                    ): v
                    for k, v in counts(gate, DURATION)
                }
                inner = {
                    (
                        k["spangate.upstream"],
                        k.get("http.response.status_code"),
                        k.get("error.type"),
                    ): v
                    for k, v in counts(gate, CLIENT_DURATION)
                }
                labels = {k["tier"] for k, _ in counts(gate, DURATION) if "tier" in k}
                templates = {k.get("http.route") for k, _ in counts(gate, DURATION)}
    assert found == {
        ("numbers", 200, None): 7,
        ("numbers", 404, None): 3,
        ("numbers", 500, "500"): 2,
        ("numbers", 502, "connection_reset"): 4,
        ("down", 503, "connection_refused"): 2,
        ("pong", 200, None): 5,
        (None, 404, None): 1,
    }
    # a reset of a warm connection was tried once more on a fresh one
    resets = inner.pop(("b", None, "connection_reset"))
    assert 4 <= resets <= 8
    assert inner == {
        ("b", 200, None): 7,
        ("b", 404, "404"): 3,
        ("b", 500, "500"): 2,
        ("nobody", None, "connection_refused"): 2,
    }
    assert labels == {"gold"} and templates == {"/n/{status}", "/down", "/pong", None}


def counts(gate: Gateway, name: str) -> list[tuple[dict[str, object], int]]:
    found = series(gate, name).items()
    return [(dict(key), sum(p.counts)) for key, p in found if isinstance(p, Point)]


async def test_a_request_is_active_until_its_answer_has_ended() -> None:
    handler = Gate(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok")
    async with Backend(handler) as backend, gateway(routes(backend)) as gate:
        clients = [await gate.connect() for _ in range(3)]
        for client in clients:
            send(client, "GET", "/x")
            await client.head()
        await gate.recorded.collect()
        assert number(gate, "http.server.active_requests") == 3
        assert number(gate, "spangate.downstream.connections.open") == 3
        assert number(gate, "http.client.open_connections", http_connection_state="active") == 3
        assert number(gate, DURATION) == 0
        clients.pop().vanish()
        await eventually_collected(gate, lambda: number(gate, "http.server.active_requests") == 2)
        handler.go.set()
        for client in clients:
            await client.reader.readexactly(2)
            await client.close()
        await eventually(lambda: is_settled(gate))
        await gate.recorded.collect()
        assert number(gate, "http.server.active_requests") == 0
        assert number(gate, "spangate.downstream.connections.open") == 0
        assert number(gate, "spangate.downstream.connections") == 3
        assert number(gate, "http.client.open_connections", http_connection_state="active") == 0
        assert number(gate, "http.client.open_connections", http_connection_state="idle") == 2
        assert number(gate, "spangate.upstream.connections.created") == 3
        assert number(gate, DURATION) == 3


async def test_reused_connections_are_counted() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for _ in range(5):
            await ask(client, "GET", "/x")
        await client.close()
        await gate.recorded.collect()
        assert number(gate, "spangate.upstream.connections.created") == 1
        assert number(gate, "spangate.upstream.connections.reused", spangate_upstream="b") == 4


REFUSED = [
    (b"NOT HTTP\r\n\r\n", "400"),
    (b"GET / HTTP/1.1\r\n\r\n", "400"),
    (b"GET / HTTP/2.0\r\nHost: g\r\n\r\n", "505"),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: g\r\n\r\n", "414"),
    (b"GET / HTTP/1.1\r\nHost: g\r\n" + b"A: b\r\n" * 101 + b"\r\n", "431"),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED)
async def test_what_never_became_a_request_is_counted_apart(data: bytes, reason: str) -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        for _ in range(2):
            assert (await gate.exchange(data)).split()[1] == reason.encode()
        await gate.recorded.collect()
        assert number(gate, "spangate.rejected", spangate_reason=reason) == 2
        assert number(gate, "spangate.rejected") == 2
        assert number(gate, DURATION) == 0 and not gate.recorded.spans


@pytest.mark.parametrize("recorded", [True, False])
async def test_exemplars_point_to_recorded_requests_only(recorded: bool) -> None:
    flag = "01" if recorded else "00"
    async with Backend() as backend, gateway(routes(backend)) as gate:
        for i in range(3):
            await gate.get("/x", f"traceparent: 00-{i + 1:032x}-{i + 1:016x}-{flag}")
        await gate.recorded.collect()
        spans = {s.span_id.hex().encode(): s for s in gate.recorded.spans}
        for name, kind in ((DURATION, SERVER), (CLIENT_DURATION, CLIENT)):
            (point,) = series(gate, name).values()
            assert isinstance(point, Point) and sum(point.counts) == 3
            exemplars = [e for e in point.exemplars if e is not None]
            assert bool(exemplars) is recorded
            for exemplar in exemplars:
                span = spans[exemplar.span_id]
                assert (span.kind, span.trace_id.hex().encode()) == (kind, exemplar.trace_id)
                took = span.end_time_unix_nano - span.start_time_unix_nano
                assert exemplar.value == took


async def test_a_histograms_sum_is_that_of_the_spans() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        for _ in range(5):
            await gate.get("/x")
        found = await traces(gate, 5)
        (point,) = series(gate, DURATION).values()
    assert isinstance(point, Point)
    assert point.sum == sum(
        t.server.end_time_unix_nano - t.server.start_time_unix_nano for t in found
    )


async def test_unsampled_and_untraced_requests_are_counted_all_the_same() -> None:
    more = '[tracing]\nsampler = "never"'
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        for path in ("/x", "/healthz"):
            await gate.get(path)
        await gate.recorded.collect()
        assert number(gate, DURATION) == 2 and not gate.recorded.spans


async def test_body_sizes_are_measured_where_asked_for() -> None:
    for asked in (True, False):
        more = f"[metrics]\nbody_sizes = {str(asked).lower()}"
        answers = script(reply(200, b"x" * 300))
        async with Backend(answers) as backend, gateway(routes(backend, more)) as gate:
            client = await gate.connect()
            await ask(client, "POST", "/x", body=b"b" * 1000)
            await client.close()
            await gate.recorded.collect()
            sums = [
                [p.sum for p in series(gate, f"http.server.{n}.body.size").values()]  # type: ignore[union-attr]
                for n in ("request", "response")
            ]
        assert sums == ([[1000], [300]] if asked else [[], []])


async def test_clients_can_make_only_so_many_series() -> None:
    """Methods and schemes are chosen by clients; series are for ever."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for i in range(50):
            client.write(
                f"M{i} /{i} HTTP/1.1\r\nHost: h{i}\r\nX-Forwarded-Proto: s{i}\r\n"
                f"User-Agent: u{i}\r\n\r\n".encode()
            )
            assert (await client.answer()).status == 200
        await client.close()
        await gate.recorded.collect()
        assert len(series(gate, DURATION)) == 1
        assert len(series(gate, CLIENT_DURATION)) == 1
        assert len(series(gate, "http.server.active_requests")) <= 2


async def test_records_beyond_what_the_ring_holds_are_dropped_and_counted() -> None:
    """Nobody reads them, and requests go on."""
    async with Backend(script(OK)) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        long = "x" * 6000
        gate.recorded.reads = False
        spans, logs = gate.worker._ring.spans, gate.worker._ring.logs
        gate.recorded.reads = False
        requests = 0
        while not spans.dropped:
            for _ in range(5):
                send(client, "GET", f"/{long}?{long[:1500]}")
            for _ in range(5):
                assert (await client.answer()).status == 200
            requests += 5
        await client.close()
        gate.recorded.reads = True
        await gate.recorded.collect()
        assert spans.created == len(gate.recorded.spans) + spans.dropped == 2 * requests
        assert logs.created == len(gate.recorded.logs) + logs.dropped == requests
        assert (await gate.get("/after")).status == 200
        assert len(await gate.spans(spans.created - spans.dropped)) == spans.created - spans.dropped


async def test_a_question_is_answered_after_everything_counted_before_it() -> None:
    """Also when a pass over hundreds of series is going on, and when questions come together."""
    async with Backend() as backend, gateway(many_routes(backend, 600)) as gate:
        client = await gate.connect()
        for route in range(600):
            await ask(client, "GET", f"/r{route}")
        for route in range(5):
            gate.worker.reports.begin()
            await ask(client, "GET", f"/r{route}")
            await asyncio.gather(gate.recorded.collect(), gate.recorded.collect())
            assert number(gate, DURATION) == 601 + route
        await client.close()


async def test_reports_come_in_slices() -> None:
    async with Backend() as backend, gateway(many_routes(backend, 600)) as gate:
        await gate.recorded.collect()
        gate.recorded.events.clear()
        client = await gate.connect()
        for route in range(600):
            await ask(client, "GET", f"/r{route}")
        await client.close()
        await gate.recorded.collect()
        assert gate.recorded.events.count(frames.METRICS) >= 4


def many_routes(backend: Backend, number: int) -> str:
    found = [f'[[route]]\nname = "r{n}"\npath = "/r{n}"\nto = "b"' for n in range(number)]
    return f"""
{chr(10).join(found)}
[upstream.b]
servers = ["{backend.url}"]
"""


async def test_what_nobody_touches_is_forgotten_and_starts_anew() -> None:
    async with Backend() as backend:
        quick, never = (routes(backend, f"[metrics]\nforget = {t}") for t in ('"50ms"', "0"))
        async with gateway(quick) as gate:
            await gate.get("/x")
            await gate.recorded.until(lambda: bool(series(gate, CLIENT_DURATION)))
            await eventually_collected(gate, lambda: not series(gate, DURATION))
            await eventually_collected(gate, lambda: not series(gate, CLIENT_DURATION))
            await gate.reload(never)
            for asked in (1, 2):
                await gate.get("/x")
                await gate.recorded.collect()
                assert number(gate, DURATION) == number(gate, CLIENT_DURATION) == asked
            assert number(gate, "spangate.downstream.connections") == 3, "one of its kind stays"


async def test_the_loop_of_a_worker_is_watched() -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        time.sleep(3 * REST)  # the long turn itself, of a process that rests
        await eventually_collected(
            gate, lambda: number(gate, "spangate.loop.lag", spangate_process="worker") >= 100e6
        )
        await client.close()
