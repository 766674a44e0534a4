"""Maintenance: who is turned away, who passes, and what goes on."""

from __future__ import annotations

import json

import pytest

from proxy.server import frames
from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import Gate, ask, eventually, number, reply, routing, script, send, traces

ON = "[errors]\nmaintenance = true\n"
DETAILS = 'spangate; error=proxy_internal_response; details="maintenance"'


async def test_a_route_under_maintenance() -> None:
    async with Backend() as backend, gateway(routes(backend, route="maintenance = true")) as gate:
        client = await gate.connect()
        for _ in range(2):
            answer = await ask(client, "POST", "/x", body=b"given")
            assert (answer.status, answer["retry-after"]) == (503, "60")
            assert answer["proxy-status"] == DETAILS
            told = json.loads(answer.body)
            assert told["detail"] == "the service is under maintenance" and told["trace_id"]
        for seen in await traces(gate, 2):
            assert seen.about["error.type"] == "maintenance" and not seen.clients
            assert seen.server.status.code == 2
        assert not backend.peers
        asked = {"http_route": "/*", "error_type": "maintenance"}
        assert number(gate, "http.server.request.duration", **asked) == 2


async def test_all_routes_to_upstreams_and_no_others() -> None:
    more = f"""
{ON}
[[route]]
path = "/healthz"
respond = "up"
[[route]]
path = "/moved"
redirect = "/new"
[[route]]
path = "/open"
to = "b"
maintenance = false
[[route]]
path = "/closed"
respond = "up"
maintenance = true
[[route]]
path = "/app"
to = "b"
"""
    async with Backend() as backend, gateway(routing({"b": [backend.url]}, more)) as gate:
        paths = ("/healthz", "/moved", "/open", "/closed", "/app", "/nowhere")
        got = [(await gate.get(path)).status for path in paths]
        assert got == [200, 308, 200, 503, 503, 404]


@pytest.mark.parametrize(
    ("allow", "trust", "lines", "status"),
    [
        ('["127.0.0.0/8"]', "[]", [], 200),
        ('["10.0.0.0/8"]', "[]", [], 503),
        ('["10.0.0.0/8"]', "[]", ["X-Forwarded-For: 10.1.2.3"], 503),
        ('["10.0.0.0/8"]', '["127.0.0.1"]', ["X-Forwarded-For: 10.1.2.3"], 200),
        ('["127.0.0.1"]', '["127.0.0.1"]', ["X-Forwarded-For: 10.1.2.3"], 503),
        ("[]", "[]", [], 503),
    ],
)
async def test_whose_requests_pass(allow: str, trust: str, lines: list[str], status: int) -> None:
    more = f"[forwarding]\ntrust = {trust}\n"
    more += f'[errors]\nmaintenance = {{ on = true, allow = {allow}, retry_after = "0s" }}\n'
    async with Backend() as backend, gateway(routes(backend, more)) as gate:
        answer = await gate.get("/", *lines)
        assert (answer.status, answer["retry-after"]) == (status, "")


async def test_the_hubs_word_switches_it_on_and_off_between_requests() -> None:
    """As the configuration says it, or not: either is enough."""
    async with Backend() as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        for word, on in ((b"1", True), (b"1", True), (b"", False), (b"1", True)):
            gate.recorded.send(frames.MAINTAIN, word)
            await eventually(lambda on=on: gate.worker.in_maintenance is on)
            assert (await ask(client, "GET", "/")).status == (503 if on else 200)
        await gate.reload(routes(backend))
        assert (await ask(client, "GET", "/")).status == 503  # the switch outlives a reload
        gate.recorded.send(frames.MAINTAIN, b"")
        await eventually(lambda: not gate.worker.in_maintenance)
        await gate.reload(routes(backend, ON))
        assert (await ask(client, "GET", "/")).status == 503
        await gate.reload(routes(backend))
        assert (await ask(client, "GET", "/")).status == 200


async def test_requests_that_run_go_on() -> None:
    half = Gate(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", b"cd")
    async with Backend(half) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        send(client, "GET", "/")
        await half.reached.wait()
        await gate.reload(routes(backend, ON))
        half.go.set()
        assert (await client.answer()).body == b"abcd"
        assert (await ask(client, "GET", "/")).status == 503


async def test_a_websocket_goes_on_and_no_new_one_begins() -> None:
    switched = reply(101, b"", "Connection: upgrade", "Upgrade: x").replace(
        b"Content-Length: 0\r\n", b""
    )
    asks = ("Connection: upgrade", "Upgrade: x")

    async def echoes(peer: Peer) -> None:
        await peer.head()
        peer.write(switched)
        while data := await peer.reader.read(100):
            peer.write(data)

    text = 'upgrade = ["x"]'
    async with Backend(echoes) as backend, gateway(routes(backend, route=text)) as gate:
        client = await gate.connect()
        send(client, "GET", "/", *asks)
        assert (await client.answer()).status == 101
        await gate.reload(routes(backend, ON, text))
        client.write(b"ping")
        assert await client.reader.readexactly(4) == b"ping"
        other = await gate.connect()
        send(other, "GET", "/", *asks)
        assert (await other.answer()).status == 503


async def test_a_limit_counts_nothing_that_maintenance_turns_away() -> None:
    limit = 'rate = "1/d"'
    async with Backend(script(OK)) as backend, gateway(routes(backend, ON, limit)) as gate:
        for _ in range(3):
            assert (await gate.get("/")).status == 503
        await gate.reload(routes(backend, "", limit))
        assert [(await gate.get("/")).status for _ in range(2)] == [200, 429]
