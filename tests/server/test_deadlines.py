"""Deadlines that travel, the limits of handshakes and streams, and tries that are not begun."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import (
    Gate,
    ask,
    eventually,
    is_settled,
    reply,
    request,
    script,
    send,
    trace,
)
from tests.server.test_websocket import dialled, serving

NAME = "x-request-deadline"
TRUST = "[forwarding]\ntrust = ['127.0.0.0/8']\n"
STRANGER = "[forwarding]\ntrust = []\n"
OFF = "[forwarding]\ntrust = ['127.0.0.0/8']\ndeadline = false\n"

# what the file says, its route, the fields that came -> the most that the upstream is told
TOLD: dict[str, tuple[str, str, list[str], float]] = {
    "a limit": (STRANGER, "timeout = '5s'", [], 5),
    "a stream's": (STRANGER, "stream_timeout = '5s'", [], 5),
    "the shorter of both": (STRANGER, "timeout = '9s'\nstream_timeout = '5s'", [], 5),
    "a caller's": (TRUST, "", ["3.5"], 3.5),
    "a caller's is shorter": (TRUST, "timeout = '9s'", ["3.5"], 3.5),
    "a caller's is longer": (TRUST, "timeout = '2s'", ["3.5"], 2),
    "a stranger's": (STRANGER, "timeout = '5s'", ["0.001"], 5),
    "one that is malformed": (TRUST, "timeout = '5s'", ["soon"], 5),
    "two": (TRUST, "timeout = '5s'", ["1", "2"], 5),
}


@pytest.mark.parametrize("case", TOLD)
async def test_an_upstream_is_told_what_is_left(case: str) -> None:
    more, route, came, most = TOLD[case]
    async with Backend() as backend, gateway(routes(backend, more, route)) as gate:
        assert (await gate.get("/x", *[f"X-Request-Deadline: {v}" for v in came])).status == 200
        assert 0 < float(backend.field(NAME) or 0) <= most
        told = (await trace(gate)).about.get("spangate.deadline.malformed")
        assert (told is not None) == ("malformed" in case or case == "two")


async def test_a_point_in_time_is_understood() -> None:
    async with Backend() as backend, gateway(routes(backend, TRUST)) as gate:
        await gate.get("/x", f"X-Request-Deadline: {time.time() + 60:.3f}")
        assert 0 < float(backend.field(NAME) or 0) < 61


# what the file says, what came -> what the upstream sees where the route has no limit
QUIET = {
    "no limit": (TRUST, [], None),
    "a stranger's": (STRANGER, ["X-Request-Deadline: 5"], None),
    "malformed": (TRUST, ["X-Request-Deadline: soon"], None),
    "switched off": (OFF, [], None),
    "switched off, a trusted peer's": (OFF, ["X-Request-Deadline: 5"], "5"),
}


@pytest.mark.parametrize("case", QUIET)
async def test_nothing_is_written_where_there_is_no_limit(case: str) -> None:
    more, lines, seen = QUIET[case]
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        assert (await gate.get("/x", *lines)).status == 200
        assert backend.field(NAME) == seen


@pytest.mark.parametrize("value", ["0", "-3", "1000000000.5"])
async def test_a_deadline_that_is_over_asks_nobody(value: str) -> None:
    async with Backend() as backend, gateway(routes(backend, TRUST)) as gate:
        answer = await gate.get("/x", f"X-Request-Deadline: {value}")
        assert (answer.status, answer["proxy-status"]) == (
            504,
            "spangate; error=http_response_timeout",
        )
        assert not backend.peers
        seen = await trace(gate)
        assert not seen.clients and seen.about["error.type"] == "deadline_exceeded"
        await eventually(lambda: is_settled(gate))


async def silent(peer: Peer) -> None:
    await request(peer)
    await peer.reader.read(-1)


async def test_a_callers_deadline_ends_a_request() -> None:
    config = "timeout = '60s'"
    async with Backend(silent) as backend, gateway(routes(backend, TRUST, config)) as gate:
        assert (await gate.get("/x", "X-Request-Deadline: 0.1")).status == 504
        assert (await trace(gate)).about["error.type"] == "timeout"
        await eventually(lambda: is_settled(gate))


async def test_each_try_is_told_what_is_left_then() -> None:
    retry = "timeout = '9s'\nretry = { times = 1, on = [503], backoff = '1ms' }"
    handler = script(reply(503), OK)
    async with Backend(handler) as backend, gateway(routes(backend, route=retry)) as gate:
        assert (await gate.get("/x")).status == 200
    first, second = (float(backend.field(NAME, i) or 0) for i in (0, 1))
    assert 0 < second <= first <= 9


PAUSES = {
    "Retry-After": "retry = { times = 2, on = [503] }",
    "backoff": "retry = { times = 2, on = [503], backoff = '100000h' }",
}


@pytest.mark.parametrize("case", PAUSES)
async def test_no_pause_begins_that_would_not_end_in_time(case: str) -> None:
    """The deadline is the caller's, and the answer comes long before it."""
    later = ["Retry-After: 9"] if case == "Retry-After" else []
    config, handler = PAUSES[case], script(reply(503, b"no", *later))
    async with Backend(handler) as backend, gateway(routes(backend, TRUST, config)) as gate:
        assert (await gate.get("/x", "X-Request-Deadline: 5")).status == 503
        assert len((await trace(gate)).clients) == 1


async def test_a_tunnel_is_told_no_deadline_and_outlives_timeout() -> None:
    async with serving(route="timeout = '1s'") as gate, dialled(gate) as client:
        await asyncio.sleep(1.4)  # longer than `timeout`: that is what this is about
        await client.send("x")
        assert await client.recv() == "x"


async def test_a_stream_timeout_ends_a_tunnel() -> None:
    async with serving(route="stream_timeout = '1s'") as gate:
        async with dialled(gate) as client:
            await client.wait_closed()
        about = (await trace(gate)).about
        assert about["spangate.tunnel.end"] == "stream_timeout" and "error.type" not in about
        await eventually(lambda: is_settled(gate))


async def trickle(peer: Peer) -> None:
    """Never silent for long, and never at an end."""
    await request(peer)
    peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not peer.writer.transport.is_closing():
        peer.write(b"1\r\nx\r\n")
        await asyncio.sleep(0.02)


async def test_a_stream_timeout_cuts_an_answer_that_goes_on() -> None:
    route = "stream_timeout = '1s'\nidle_timeout = '5s'\ntimeout = '30s'"
    async with Backend(trickle) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError, ValueError)):
            await client.answer()
        assert (await trace(gate)).about["error.type"] == "stream_timeout"
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_a_stream_timeout_before_the_head_is_504() -> None:
    route = "stream_timeout = '100ms'\nretry = { times = 2, on = ['timeout'] }"
    async with Backend(silent) as backend, gateway(routes(backend, route=route)) as gate:
        answer = await gate.get("/x")
        assert (answer.status, answer["proxy-status"]) == (
            504,
            "spangate; error=http_response_timeout",
        )
        seen = await trace(gate)
        assert [t["error.type"] for t in seen.tried] == ["stream_timeout"]


async def deaf(peer: Peer) -> None:
    """Accepts, and never shakes hands."""
    await peer.reader.read(-1)


@pytest.mark.parametrize("protocol", ["h1", "auto", "h2"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_handshake_has_its_own_limit(protocol: str, method: str) -> None:
    """It may be tried again whatever the method: nothing was asked."""
    route = '[[route]]\nto = "b"\ntls_timeout = "50ms"\nretry = { times = 1, backoff = "1ms" }'
    async with Backend(deaf) as backend:
        url = f"https://127.0.0.1:{backend.port}"
        async with gateway(_upstream(url, route, protocol)) as gate:
            client = await gate.connect()
            answer = await ask(client, method, "/x", body=b"hello" if method == "POST" else b"")
            assert (answer.status, answer["proxy-status"]) == (
                504,
                "spangate; error=connection_timeout",
            )
            seen = await trace(gate)
            assert [t["error.type"] for t in seen.tried] == ["tls_timeout"] * 2
            await client.close()
            await eventually(lambda: all(p.open == 0 for p in gate.worker._pools.values()))


def _upstream(url: str, route: str, protocol: str) -> str:
    upstream = f'[upstream.b]\nservers = ["{url}"]\nprotocol = "{protocol}"\n'
    return f'[export]\notlp = "http://127.0.0.1:1"\n{route}\n{upstream}'


async def test_dialling_that_never_shakes_hands_is_bounded_without_it_too() -> None:
    async with Backend(deaf) as backend:
        url = f"https://127.0.0.1:{backend.port}"
        route = '[[route]]\nto = "b"\nconnect_timeout = "50ms"\ntls_timeout = "9s"'
        async with gateway(_upstream(url, route, "auto")) as gate:
            assert (await gate.get("/x")).status == 504
            assert (await trace(gate)).tried[0]["error.type"] == "connect_timeout"


async def test_a_body_that_stalls_within_a_callers_deadline() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    async with Backend(Gate(half, b"")) as backend, gateway(routes(backend, TRUST)) as gate:
        client = await gate.connect()
        send(client, "GET", "/x", "X-Request-Deadline: 0.2")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError, ValueError)):
            await client.answer()
        assert (await trace(gate)).about["error.type"] == "timeout"
        await client.close()
