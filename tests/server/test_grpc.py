"""gRPC calls that go wrong: what clients are told, how long they wait, what is tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from proxy.http.grpc import parse_timeout
from tests.harness import Backend, Gateway, gateway
from tests.server.grpc_kit import SERVICE, Caller, calling, channel, file
from tests.server.h2_backend import H2Backend, Stream
from tests.server.h2_kit import H2Client, h2_client
from tests.server.kit import check_shape, eventually, number, refusing, trace, traces

GRPC = ("content-type", "application/grpc")
MESSAGE = b"\0\0\0\0\2hi"
CALL = ((b"te", b"trailers"), (b"content-type", b"application/grpc+proto"))


async def failing(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def asked(
    gate: Gateway, path: str = f"/{SERVICE}/UnaryCall", *more: tuple[bytes, bytes]
) -> Any:
    """A unary call by a client that shows all that it got."""
    client: H2Client = await h2_client(gate)
    stream = client.ask("POST", path, *CALL, *more, end=False)
    client.data(stream, MESSAGE, end=True)
    return await client.answer(stream)


# errors of ours

REFUSED: dict[str, tuple[str, int, str, str | None]] = {
    # route, grpc-status, message, error.type of the SERVER span
    "no route": ("path = '/other'", 12, "no route", "UNIMPLEMENTED"),
    "no route for the method": ("when.method = ['GET']", 12, "no route", "UNIMPLEMENTED"),
    "denied": ("", 7, "nobody", None),
    "denied without a word": ("", 16, "Unauthorized", None),
    "not now": ("", 14, "later", "UNAVAILABLE"),
}
RESPOND = {
    "denied": "{ status = 403, body = 'nobody' }",
    "denied without a word": "401",
    "not now": "{ status = 503, body = 'later' }",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_the_gateway_refuses(name: str) -> None:
    route, code, message, error = REFUSED[name]
    config = file("http://127.0.0.1:9", route)
    if name in RESPOND:
        config = config.replace('to = "b"', f"respond = {RESPOND[name]}")
        config = config[: config.index("[upstream.b]")]
    if "path" in route:
        config = config.replace('path = "/*"\n', "", 1)
    async with gateway(config) as gate:
        got = await asked(gate)
        assert got.status == 200 and got.body == b"" and got.trailers == []
        assert (got["grpc-status"], got["content-type"]) == (str(code), "application/grpc")
        assert message in got["grpc-message"]
        assert got["proxy-status"].startswith("spangate; error=")
        seen = await trace(gate)
        assert seen.about["http.response.status_code"] == 200
        assert seen.about.get("error.type") == error
        assert seen.about["rpc.method"] == "_OTHER"
        assert seen.about["rpc.method_original"] == f"{SERVICE}/UnaryCall"


async def test_a_message_that_is_too_large() -> None:
    async with calling("body_limit = '100B'") as by:
        error = await failing(by.unary()(bytes(200)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details() == "the request body is too large"
        assert "error.type" not in (await trace(by.gate)).about


async def test_other_requests_are_answered_as_ever() -> None:
    async with gateway(file("http://127.0.0.1:9", path="/other")) as gate:
        client = await h2_client(gate)
        got = await client.get("/x")
        assert got.status == 404 and json.loads(got.body)["status"] == 404
        seen = await trace(gate)
        assert not [key for key in seen.about if key.startswith("rpc.")]


async def test_nobody_to_ask() -> None:
    with refusing() as url:
        async with gateway(file(url)) as gate, channel(gate) as made:
            error = await failing(made.unary_unary(f"/{SERVICE}/UnaryCall")(b""))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert error.details() == "connection refused"
            seen = await trace(gate)
            assert seen.about["error.type"] == "connection_refused"
            assert seen.tried[0]["rpc.response.status_code"] == "UNAVAILABLE"
            assert "http.response.status_code" not in seen.tried[0]


@pytest.mark.parametrize("protocol", ["h1", "auto"])
async def test_a_server_that_is_asked_by_http_1(protocol: str) -> None:
    async with Backend() as backend:
        config = file(backend.url).replace('"h2"', f'"{protocol}"')
        async with gateway(config) as gate, channel(gate) as made:
            error = await failing(made.unary_unary(f"/{SERVICE}/UnaryCall")(b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            assert error.details() == "gRPC needs HTTP/2, and this upstream is asked by HTTP/1.1"
            seen = await trace(gate)
            assert seen.about["error.type"] == seen.tried[0]["error.type"] == "http2_required"
            assert backend.heads == []
            pools = gate.worker._pools.values()
            await eventually(lambda: all(pool.open == 0 for pool in pools))


# (what the server does, what the client is told: code, messages, error.type of both spans)
Odd = Callable[[Stream], object]
ODD: dict[str, tuple[Odd, int, str]] = {
    "reset": (lambda s: s.rst(2), 13, "stream_reset"),
    "cancelled": (lambda s: s.rst(8), 1, "stream_reset"),
    "too much": (lambda s: s.rst(11), 8, "calm_asked"),
    "closed": (lambda s: s.line.transport.abort(), 14, "connection_reset"),
    "malformed": (lambda s: s.head(200, ("connection", "x")), 14, "bad_response"),
}
CUT: dict[str, tuple[Odd, int]] = {
    "reset": (lambda s: s.rst(2), 13),
    "cancelled": (lambda s: s.rst(8), 1),
    "closed": (lambda s: s.line.transport.abort(), 14),
}


def doing(odd: Odd) -> Callable[[Stream], Any]:
    async def handle(stream: Stream) -> None:
        await stream.body()
        odd(stream)

    return handle


@pytest.mark.parametrize(("odd", "code", "error"), ODD.values(), ids=ODD.keys())
async def test_no_answer(odd: Odd, code: int, error: str) -> None:
    async with H2Backend(doing(odd)) as backend, gateway(file(backend.url)) as gate:
        got = await asked(gate)
        assert (got.status, got["grpc-status"], got.reset) == (200, str(code), None)
        seen = await trace(gate)
        assert seen.about["error.type"] == seen.tried[-1]["error.type"] == error
        assert seen.about["rpc.response.status_code"] == seen.tried[-1]["rpc.response.status_code"]


@pytest.mark.parametrize(("odd", "code"), CUT.values(), ids=CUT.keys())
async def test_an_answer_that_breaks_off_ends_with_a_status(odd: Odd, code: int) -> None:
    arrived = asyncio.Event()

    async def handle(stream: Stream) -> None:
        stream.head(200, GRPC)
        stream.data(MESSAGE)
        await arrived.wait()
        odd(stream)

    async with H2Backend(handle) as backend, gateway(file(backend.url)) as gate:
        client = await h2_client(gate)
        call = client.ask("POST", f"/{SERVICE}/UnaryCall", *CALL, end=True)
        await client.until(lambda: client.got[call].body == MESSAGE)
        arrived.set()
        got = await client.answer(call)
        assert (got.body, got.reset) == (MESSAGE, None)
        assert dict(got.trailers)[b"grpc-status"] == str(code).encode()
        seen = await trace(gate)
        assert seen.about["error.type"] == seen.tried[0]["error.type"] == "response_truncated"
        assert seen.about["rpc.method"] == f"{SERVICE}/UnaryCall"


ANSWERS: dict[str, tuple[Odd, str, str | None]] = {
    # an answer, the code that is told of it, error.type of the SERVER span
    "no status": (lambda s: s.ok(b"ok"), "UNKNOWN", "UNKNOWN"),
    "a status that is none": (
        lambda s: s.head(200, GRPC, ("grpc-status", "99"), end=True),
        "UNKNOWN",
        "UNKNOWN",
    ),
    "a page": (lambda s: s.head(503, end=True), "UNAVAILABLE", "UNAVAILABLE"),
    "not found": (lambda s: s.head(404, end=True), "UNIMPLEMENTED", "UNIMPLEMENTED"),
    "trailers-only": (
        lambda s: s.head(200, GRPC, ("grpc-status", "5"), ("grpc-message", "no%20such"), end=True),
        "NOT_FOUND",
        None,
    ),
}


@pytest.mark.parametrize(("odd", "code", "error"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_answers_pass_as_they_are(odd: Odd, code: str, error: str | None) -> None:
    async with H2Backend(doing(odd)) as backend, gateway(file(backend.url)) as gate:
        got = await asked(gate)
        if code == "NOT_FOUND":
            assert (got["grpc-status"], got["grpc-message"], got.trailers) == ("5", "no%20such", [])
        seen = await trace(gate)
        assert seen.about["rpc.response.status_code"] == code
        assert seen.tried[0]["rpc.response.status_code"] == code
        assert seen.about.get("error.type") == error


# deadlines


@pytest.mark.parametrize(
    ("route", "said", "most"),
    [
        ("", b"2S", 2.0),
        ("timeout = '1s'", b"2S", 1.0),
        ("timeout = '5s'", b"2S", 2.0),
        ("timeout = '5s'", None, 5.0),
        ("", b"99999999H", 2.31e9),
        ("", None, None),
        ("", b"2s", None),  # malformed: ignored
        ("timeout = '5s'", b"123456789m", 5.0),
    ],
)
async def test_each_try_is_told_what_is_left(
    route: str, said: bytes | None, most: float | None
) -> None:
    async def handle(stream: Stream) -> None:
        await stream.body()
        stream.head(200, GRPC, ("grpc-status", "0"), end=True)

    async with H2Backend(handle) as backend, gateway(file(backend.url, route)) as gate:
        more = [] if said is None else [(b"grpc-timeout", said)]
        await asked(gate, "/a.B/C", *more)
        told = backend.streams[0]["grpc-timeout"]
        if most is None:
            assert told == ""
        else:
            assert most * 0.5e9 < parse_timeout(told.encode()) <= most * 1e9


async def test_the_client_s_deadline_ends_the_call() -> None:
    async def handle(stream: Stream) -> None:
        await stream.closed.wait()

    async with H2Backend(handle) as backend, gateway(file(backend.url)) as gate:
        got = await asked(gate, "/a.B/C", (b"grpc-timeout", b"50m"))
        assert got["grpc-status"] == "4"
        await eventually(lambda: backend.streams[0].reset == 8)
        seen = await trace(gate)
        assert seen.about["error.type"] == seen.tried[0]["error.type"] == "timeout"
        assert seen.about["rpc.response.status_code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("over", [(b"grpc-timeout", b"0m"), (b"x-request-deadline", b"0")])
async def test_a_deadline_that_is_over_asks_nobody(over: tuple[bytes, bytes]) -> None:
    async def handle(stream: Stream) -> None:
        stream.head(200, GRPC, ("grpc-status", "0"), end=True)

    trust = "[forwarding]\ntrust = ['127.0.0.1']"
    async with H2Backend(handle) as backend, gateway(file(backend.url, top=trust)) as gate:
        got = await asked(gate, "/a.B/C", over)
        assert got["grpc-status"] == "4"
        assert not backend.streams
        assert (await trace(gate)).about["error.type"] == "deadline_exceeded"


async def test_a_trusted_callers_deadline_becomes_the_calls() -> None:
    async def handle(stream: Stream) -> None:
        stream.head(200, GRPC, ("grpc-status", "0"), end=True)

    trust = "[forwarding]\ntrust = ['127.0.0.1']"
    async with H2Backend(handle) as backend, gateway(file(backend.url, top=trust)) as gate:
        await asked(gate, "/a.B/C", (b"x-request-deadline", b"3.5"))
        told = backend.streams[0]
        assert 0 < parse_timeout(told["grpc-timeout"].encode()) <= 3.5e9
        assert told["x-request-deadline"] == ""


# retries

TWICE = "retry = { times = 2, on = ['unavailable'], backoff = '1ms' }"


@pytest.mark.parametrize(
    ("route", "failures", "pushback", "code", "tries"),
    [
        (TWICE, 1, None, "OK", 2),
        (TWICE, 2, None, "OK", 3),
        (TWICE, 3, None, "UNAVAILABLE", 3),
        (TWICE, 1, "300", "OK", 2),
        (TWICE, 1, "-1", "UNAVAILABLE", 1),
        (TWICE, 1, "soon", "UNAVAILABLE", 1),
        (TWICE.replace("unavailable", "internal"), 1, None, "UNAVAILABLE", 1),
        ("retry = 2", 1, None, "UNAVAILABLE", 1),
        ("", 1, None, "UNAVAILABLE", 1),
    ],
)
async def test_retries(
    route: str, failures: int, pushback: str | None, code: str, tries: int
) -> None:
    async with calling(route) as by:
        by.service.failures, by.service.pushback = failures, pushback
        call = by.unary()(b"hello", timeout=20)
        assert (await call.code()).name == code
        if code == "OK":
            assert await call == b"hello"
        seen = await trace(by.gate)
        check_shape(seen)
        codes = [tried["rpc.response.status_code"] for tried in seen.tried]
        assert codes == ["UNAVAILABLE"] * (tries - 1) + [code]
        reasons = [tried.get("spangate.retry.reason") for tried in seen.tried]
        assert reasons == [None] + ["UNAVAILABLE"] * (tries - 1)
        before = [said.get("grpc-previous-rpc-attempts") for said in by.service.seen]
        assert before == [None, "1", "2"][:tries]
        waited = int(pushback) / 1000 if code == "OK" and pushback else 0.0
        for number, left in enumerate(by.service.times):
            assert 0 < left <= 20.2 - number * waited, "the deadline stays where it was"


async def test_each_try_is_told_the_time_that_is_left_then() -> None:
    async def handle(stream: Stream) -> None:
        await stream.body()
        stream.head(200, GRPC, ("grpc-status", "14"), end=True)

    async with H2Backend(handle) as backend, gateway(file(backend.url, TWICE)) as gate:
        await asked(gate, f"/{SERVICE}/UnaryCall", (b"grpc-timeout", b"20S"))
        told = [parse_timeout(stream["grpc-timeout"].encode()) for stream in backend.streams]
        assert len(told) == 3 and told == sorted(told, reverse=True)


async def test_nothing_is_tried_again_once_messages_have_come() -> None:
    async def handle(stream: Stream) -> None:
        await stream.body()
        stream.head(200, GRPC)
        stream.data(MESSAGE)
        stream.end(("grpc-status", "14"))

    async with H2Backend(handle) as backend, gateway(file(backend.url, TWICE)) as gate:
        got = await asked(gate)
        assert dict(got.trailers) == {b"grpc-status": b"14"}
        assert len(backend.streams) == 1


# routes


async def test_routes_by_service_and_method() -> None:
    config = """
[export]
otlp = "http://127.0.0.1:1"
[[route]]
path = "/grpc.testing.TestService/UnaryCall"
respond = { status = 403, body = "method" }
[[route]]
path = "/grpc.testing.TestService/*"
respond = { status = 403, body = "service" }
[[route]]
path = "/*"
when = { grpc = true }
respond = { status = 403, body = "any call" }
[[route]]
path = "/*"
respond = "a page"
"""
    async with gateway(config) as gate:
        for path, told in (
            (f"/{SERVICE}/UnaryCall", "method"),
            (f"/{SERVICE}/Other", "service"),
            ("/a.B/C", "any call"),
        ):
            assert (await asked(gate, path))["grpc-message"] == told
        client = await h2_client(gate)
        assert (await client.get("/a.B/C")).body == b"a page"
        seen = await traces(gate, 4)
        assert [s.server.name for s in seen[:3]] == [f"{SERVICE}/UnaryCall", "grpc", "grpc"]


# numbers and records


async def test_what_is_counted() -> None:
    async with calling(top="[access_log]\nstdout = true") as by:
        await by.unary()(b"")
        await failing(by.unary()(b"", metadata=(("x-code", "5"),)))
        await traces(by.gate, 2)
        await eventually(lambda: number(by.gate, "rpc.server.call.duration") == 2 or None)
    check_numbers(by)


def check_numbers(by: Caller) -> None:
    for name in ("rpc.server.call.duration", "rpc.client.call.duration"):
        for code in ("OK", "NOT_FOUND"):
            labels = {"rpc_method": f"{SERVICE}/UnaryCall", "rpc_response_status_code": code}
            assert number(by.gate, name, **labels) == 1
    assert number(by.gate, "http.server.request.duration") == 2


# health, said by the gateway

HEALTH = """
[export]
otlp = "http://127.0.0.1:1"
[[route]]
path = "/grpc.health.v1.Health/*"
respond = { grpc_health = true }
[[route]]
path = "/a"
to = "b"
[upstream.b]
servers = ["http://127.0.0.1:9"]
"""


@pytest.mark.parametrize(
    ("method", "message", "code", "answer"),
    [
        ("Check", b"", 0, b"\x08\x01"),
        ("Check", b"\x0a\x00", 0, b"\x08\x01"),
        ("Check", b"\x0a\x01b", 0, b"\x08\x01"),
        ("Check", b"\x0a\x01c", 5, None),
        ("Check", b"\x0a\x05b", 3, None),
        ("Check", b"\xff\xff", 3, None),
        ("Watch", b"", 12, None),
    ],
)
async def test_health_of_the_gateway(
    method: str, message: bytes, code: int, answer: bytes | None
) -> None:
    async with gateway(HEALTH) as gate, channel(gate) as made:
        call = made.unary_unary(f"/grpc.health.v1.Health/{method}")(message)
        if answer is not None:
            assert await call == answer
        else:
            assert (await failing(call)).code().value[0] == code
        seen = await trace(gate)
        assert seen.clients == []
        assert seen.about["http.route"] == "/grpc.health.v1.Health/*"


async def test_health_of_an_upstream_that_is_down() -> None:
    async with gateway(HEALTH) as gate, channel(gate) as made:
        state = gate.worker.upstreams.get("b")
        assert state is not None
        state.update("http://127.0.0.1:9", up=False)
        assert await made.unary_unary("/grpc.health.v1.Health/Check")(b"\x0a\x01b") == b"\x08\x02"


async def test_health_checks_by_others_than_grpc() -> None:
    async with gateway(HEALTH) as gate:
        answer = await gate.get("/grpc.health.v1.Health/Check")
        assert answer.status == 415
