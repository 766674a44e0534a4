"""Which requests are tried again, how often, where, and what is told about it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import OK, Backend, Peer, gateway, routes
from tests.server.kit import (
    ask,
    eventually,
    is_settled,
    number,
    refusing,
    reply,
    request,
    routing,
    script,
    send,
    trace,
    traces,
)

TWICE = "retry = { times = 2, on = [503], backoff = '1ms' }"


async def reset(peer: Peer) -> None:
    await request(peer)
    peer.reset()


async def silent(peer: Peer) -> None:
    await request(peer)
    await peer.reader.read(-1)


def later(when: str) -> bytes:
    return reply(503, b"ok", f"Retry-After: {when}")


# request, what the backend does each time, the route's retry -> status, tries, reasons
CASES: dict[str, tuple[str, Any, str, int, int, str]] = {
    "first answer is good": ("GET", script(OK), TWICE, 200, 1, ""),
    "second answer is good": ("GET", script(reply(503), OK), TWICE, 200, 2, "503"),
    "third answer is good": ("GET", script(reply(503), reply(503), OK), TWICE, 200, 3, "503"),
    "no answer is good": ("GET", script(reply(503)), TWICE, 503, 3, "503"),
    "the last one counts": ("GET", script(reply(503), reply(500)), TWICE, 500, 2, "503"),
    "not on that status": ("GET", script(reply(502)), TWICE, 502, 1, ""),
    "no retry configured": ("GET", script(reply(503)), "", 503, 1, ""),
    "PUT is idempotent": ("PUT", script(reply(503), OK), TWICE, 200, 2, "503"),
    "POST is not": ("POST", script(reply(503), OK), TWICE, 503, 1, ""),
    "POST where it is said to be": (
        "POST",
        script(reply(503), OK),
        "retry = { times = 2, on = [503], methods = ['POST'], backoff = '1ms' }",
        200,
        2,
        "503",
    ),
    "reset": ("GET", reset, TWICE, 502, 3, "connection_reset"),
    "reset of a POST": ("POST", reset, TWICE, 502, 1, ""),
    "bad answer": ("GET", script(b"HELLO\r\n\r\n"), TWICE, 502, 1, ""),
    "bad answer where 502 is listed": (
        "GET",
        script(b"HELLO\r\n\r\n", OK),
        "retry = { times = 1, on = [502], backoff = '1ms' }",
        200,
        2,
        "bad_response",
    ),
    "timeout": ("GET", silent, f"{TWICE}\nfirst_byte_timeout = '50ms'", 504, 1, ""),
    "timeout where 504 is listed": (
        "GET",
        silent,
        "retry = { times = 2, on = [504], backoff = '1ms' }\nfirst_byte_timeout = '50ms'",
        504,
        3,
        "timeout",
    ),
    "timeout where it is named": (
        "GET",
        silent,
        "retry = { times = 1, on = ['timeout'], backoff = '1ms' }\nfirst_byte_timeout = '50ms'",
        504,
        2,
        "timeout",
    ),
    "timeout of a try": (
        "GET",
        script(b"", OK),
        "retry = { times = 2, per_try = '1s', backoff = '1ms' }",
        200,
        2,
        "per_try_timeout",
    ),
    "timeout of each try": (
        "GET",
        silent,
        "retry = { times = 2, per_try = '50ms', backoff = '1ms' }",
        504,
        3,
        "per_try_timeout",
    ),
    "timeout of a POST": ("POST", silent, "retry = { per_try = '50ms' }", 504, 1, ""),
    "reset where connect alone is named": (
        "GET",
        reset,
        "retry = { times = 2, on = ['connect'], backoff = '1ms' }",
        502,
        1,
        "",
    ),
    "reset where it is named": (
        "GET",
        reset,
        "retry = { times = 1, on = ['reset'], backoff = '1ms' }",
        502,
        2,
        "connection_reset",
    ),
    "Retry-After of no time": ("GET", script(later("0"), OK), TWICE, 200, 2, "503"),
    "Retry-After of too long a time": ("GET", script(later("3600")), TWICE, 503, 1, ""),
    "Retry-After of a date that has passed": (
        "GET",
        script(later("Sun, 06 Nov 1994 08:49:37 GMT"), OK),
        TWICE,
        200,
        2,
        "503",
    ),
    "Retry-After of nonsense": ("GET", script(later("soon"), OK), TWICE, 200, 2, "503"),
    "Retry-After beyond the time that is left": (
        "GET",
        script(later("5")),
        f"{TWICE}\ntimeout = '3s'",
        503,
        1,
        "",
    ),
    "a body that is kept": (
        "PUT",
        script(reply(503), OK),
        "retry = { times = 2, on = [503], backoff = '1ms', keep = '5B' }",
        200,
        2,
        "503",
    ),
    "a body that is too long to keep": (
        "PUT",
        script(reply(503), OK),
        "retry = { times = 2, on = [503], backoff = '1ms', keep = '4B' }",
        503,
        1,
        "",
    ),
    "none of its retries within the budget": (
        "GET",
        script(reply(503)),
        "retry = { times = 2, on = [503], budget = 0.0 }",
        503,
        1,
        "",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_how_often_a_request_is_tried(case: str) -> None:
    method, handler, route, status, tries, reason = CASES[case]
    async with Backend(handler) as backend, gateway(routes(backend, route=route)) as gate:
        client = await gate.connect()
        answer = await ask(client, method, "/x", body=b"hello" if method != "GET" else b"")
        seen = await trace(gate)
        retried = number(gate, "spangate.retries", spangate_retry_reason=reason)
        await client.close()
        await eventually(lambda: is_settled(gate))
    assert (answer.status, len(seen.clients)) == (status, tries)
    assert seen.about["http.response.status_code"] == status
    assert [t.get("http.request.resend_count") for t in seen.tried] == [None, 1, 2][:tries]
    assert [t.get("spangate.retry.reason") for t in seen.tried] == [None, *[reason] * (tries - 1)]
    assert retried == tries - 1
    assert len(backend.heads) == tries
    if method != "GET":
        assert [h.count(b"content-length: 5") for h in backend.heads] == [1] * tries


# where


async def test_another_endpoint_is_chosen_for_the_next_try() -> None:
    async with Backend(script(reply(503))) as bad, Backend() as good:
        config = routing({"b": [bad.url, good.url]}, f'[[route]]\nto = "b"\n{TWICE}')
        async with gateway(config) as gate:
            answers = [await gate.get("/x") for _ in range(6)]
            found = await traces(gate, 6)
    assert [a.status for a in answers] == [200] * 6
    for seen in found:
        ports = [t["server.port"] for t in seen.tried]
        assert ports in ([bad.port, good.port], [good.port])
    assert any(len(seen.clients) == 2 for seen in found)


async def test_the_last_failure_decides_the_answer() -> None:
    """503 by a backend, then nobody listens: the client hears of the second."""
    with refusing() as nobody:
        async with Backend(script(reply(500))) as bad:
            config = routing(
                {"b": [bad.url, nobody]},
                "[[route]]\nto = 'b'\nretry = { times = 1, on = [500], backoff = '1ms' }",
            )
            async with gateway(config) as gate:
                answer = await gate.get("/x")
                seen = await trace(gate)
    assert answer.status == 503 and "connection_refused" in answer["proxy-status"]
    assert [t["error.type"] for t in seen.tried] == ["500", "connection_refused"]
    assert seen.about["error.type"] == "connection_refused"


# bodies


async def test_a_post_is_tried_elsewhere_when_connecting_fails() -> None:
    with refusing() as nobody:
        async with Backend(script(OK)) as backend:
            config = routing({"b": [nobody, backend.url]}, f"[[route]]\nto = 'b'\n{TWICE}")
            async with gateway(config) as gate:
                client = await gate.connect()
                answer = await ask(client, "POST", "/x", body=b"hello")
                seen = await trace(gate)
                await client.close()
    assert answer.status == 200
    assert [t.get("error.type") for t in seen.tried] == ["connection_refused", None]
    assert seen.tried[1]["spangate.retry.reason"] == "connection_refused"


SIZES = [(1, 2), (65_536, 2), (65_537, 1), (1_000_000, 1)]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "tries"), SIZES)
async def test_a_body_is_sent_again_up_to_64_kib(size: int, tries: int, chunked: bool) -> None:
    body = bytes(i * 7 % 251 for i in range(size))
    bodies: list[bytes] = []
    answers = [reply(503), OK]

    async def keep(peer: Peer) -> None:
        while True:
            bodies.append((await request(peer))[1])
            peer.write(answers.pop(0))

    async with Backend(keep) as backend, gateway(routes(backend, route=TWICE)) as gate:
        client = await gate.connect()
        if chunked:
            send(client, "PUT", "/x", "Transfer-Encoding: chunked")
            for start in range(0, size, 30_000):
                piece = body[start : start + 30_000]
                client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.write(b"0\r\n\r\n")
        else:
            send(client, "PUT", "/x", body=body)
        answer = await client.answer()
        await client.close()
    assert answer.status == (200 if tries == 2 else 503)
    assert bodies == [body] * tries


async def test_a_body_that_still_comes_is_sent_to_the_next_try_from_its_beginning() -> None:
    """The first backend refuses before it has the whole body."""

    async def early(peer: Peer) -> None:
        await peer.head()
        await peer.body(4)
        peer.write(reply(503))
        await peer.reader.read(-1)

    bodies: list[bytes] = []

    async def late(peer: Peer) -> None:
        bodies.append((await request(peer))[1])
        peer.write(OK)

    async with Backend(early) as first, Backend(late) as second:
        config = routing({"b": [first.url, second.url]}, f"[[route]]\nto = 'b'\n{TWICE}")
        async with gateway(config) as gate:
            client = await gate.connect()
            send(client, "PUT", "/x", "Content-Length: 10")
            client.write(b"12345")
            await eventually(lambda: second.peers)
            client.write(b"67890")
            answer = await client.answer()
            await client.close()
            await eventually(lambda: is_settled(gate))
    assert answer.status == 200 and bodies == [b"1234567890"]


# limits


async def test_retries_are_a_share_of_the_requests() -> None:
    """Ten are free in ten seconds; after that, 20 % of the requests' number."""
    route = "retry = { times = 1, on = [503], budget = 0.2, backoff = '1ms' }"
    async with (
        Backend(script(reply(503))) as backend,
        gateway(routes(backend, route=route)) as gate,
    ):
        client = await gate.connect()
        for _ in range(100):
            assert (await ask(client, "GET", "/x")).status == 503
        await client.close()
    assert 100 + 18 <= len(backend.heads) <= 100 + 21


async def test_no_pause_begins_that_would_outlast_the_request() -> None:
    retry = "retry = { times = 50, on = [503], backoff = '1000s', budget = 1.0 }"
    route = f"{retry}\ntimeout = '150ms'"  # a random part of 1000 s is longer
    async with (
        Backend(script(reply(503))) as backend,
        gateway(routes(backend, route=route)) as gate,
    ):
        answer = await gate.get("/x")
        seen = await trace(gate)
    assert answer.status == 503 and seen.about["error.type"] == "503"  # what there is, at once
    assert [t["error.type"] for t in seen.tried] == ["503"]


async def test_a_client_that_leaves_during_the_pause_ends_the_tries() -> None:
    route = "retry = { times = 50, on = [503], backoff = '1000s', budget = 1.0 }"
    async with (
        Backend(script(reply(503))) as backend,
        gateway(routes(backend, route=route)) as gate,
    ):
        client = await gate.connect()
        send(client, "GET", "/x")
        await eventually(lambda: backend.heads)
        client.vanish()
        seen = await trace(gate)
        await eventually(lambda: is_settled(gate))
    assert seen.about["spangate.client_gone"] is True and "error.type" not in seen.about
