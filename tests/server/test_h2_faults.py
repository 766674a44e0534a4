"""HTTP/2 towards upstreams that fail, refuse, break the rules or never stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from proxy.http import h2
from proxy.http.h2 import Rules
from tests.harness import DEADLINE, gateway
from tests.http.h2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
)
from tests.server.h2_backend import H2Backend, Line, Stream, routes, say_ok
from tests.server.kit import ask, check_shape, eventually, is_settled, trace, traces
from tests.server.wire import get, raw

RETRY = "retry = { times = 1, backoff = '1ms' }"

# how one exchange ends


class First:
    """Does something odd with the first requests, and says ok to the others."""

    def __init__(self, odd: Callable[[Stream], object], times: int = 1) -> None:
        self.odd = odd
        self.left = times

    async def __call__(self, stream: Stream) -> None:
        await stream.body()
        if self.left:
            self.left -= 1
            self.odd(stream)
        else:
            stream.ok()


@dataclass(frozen=True)
class Case:
    """What the upstream does, and what becomes of it: of POST where nothing is said."""

    id: str
    odd: Callable[[Stream], object]
    status: int
    errors: tuple[str | None, ...]  # error.type of each attempt
    reasons: tuple[str | None, ...] = (None,)
    times: int = 1
    lines: int = 1  # connections, with that of another request afterwards; 0 = it depends
    route: str = ""
    method: str = "POST"


def rst(code: int) -> Callable[[Stream], object]:
    return lambda stream: stream.rst(code)


AGAIN = (None, "not_processed")
CASES = [
    Case("refused", rst(h2.REFUSED_STREAM), 200, ("not_processed", None), AGAIN, lines=2),
    Case(
        "always refused", rst(h2.REFUSED_STREAM), 503, ("not_processed",) * 4,
        (None, *["not_processed"] * 3), 4, lines=0,
    ),
    Case("cancelled", rst(h2.CANCEL), 502, ("stream_reset",)),
    Case("cancelled, and a GET", rst(h2.CANCEL), 502, ("stream_reset",), method="GET"),
    Case("failed", rst(h2.INTERNAL_ERROR), 502, ("stream_reset",)),
    Case(
        "failed, and tried again by policy", rst(h2.INTERNAL_ERROR), 200, ("stream_reset", None),
        (None, "stream_reset"), route=RETRY, method="GET",
    ),
    Case("failed, and not tried again", rst(2), 502, ("stream_reset",), route=RETRY),
    Case("our fault", rst(h2.PROTOCOL_ERROR), 502, ("stream_reset",)),
    Case("a code that nobody knows", rst(4711), 502, ("stream_reset",)),
    Case("nothing, without an error", rst(0), 502, ("stream_reset",)),
    Case("too much", rst(h2.ENHANCE_YOUR_CALM), 503, ("calm_asked",), lines=2, route=RETRY),
    Case(
        "HTTP/1.1 required", rst(h2.HTTP_1_1_REQUIRED), 200, ("http_1_1_required", None),
        (None, "http_1_1_required"), lines=2,
    ),
    Case(
        "going away, and it was not processed", lambda s: s.line.goaway(0), 200,
        ("not_processed", None), AGAIN, lines=2,
    ),
    Case(
        "going away with a fault, and it was not processed", lambda s: s.line.goaway(0, 2), 200,
        ("not_processed", None), AGAIN, lines=2,
    ),
    Case(
        "going away ten times in a row", lambda s: s.line.goaway(0), 200,
        (*["not_processed"] * 10, None), (None, *["not_processed"] * 10), 10, lines=11,
    ),
    Case(
        "always going away", lambda s: s.line.goaway(0), 503, ("not_processed",) * 17,
        (None, *["not_processed"] * 16), 17, lines=18,
    ),
    Case("closed", lambda s: s.line.transport.close(), 502, ("connection_reset",), lines=2),
    Case("reset", lambda s: s.line.reset(), 502, ("connection_reset",), lines=2),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_an_exchange_that_fails_before_its_answer(case: Case) -> None:
    first = First(case.odd, case.times)
    async with H2Backend(first) as backend, gateway(routes(backend, route=case.route)) as gate:
        client = await gate.connect()
        body = b"pay" if case.method == "POST" else b""
        answer = await ask(client, case.method, "/x", body=body)
        assert answer.status == case.status
        seen = await trace(gate)
        check_shape(seen)
        assert tuple(t.get("error.type") for t in seen.tried) == case.errors
        assert tuple(t.get("spangate.retry.reason") for t in seen.tried) == case.reasons
        assert all(s.got == body for s in backend.streams)
        # the client's connection is in order, and others are served
        assert (await ask(client, "GET", "/again")).body == b"ok"
        assert len(backend.lines) == case.lines or not case.lines
        await client.close()
        await eventually(lambda: is_settled(gate))


async def test_a_body_that_cannot_be_sent_again_is_not() -> None:
    async with (
        H2Backend(First(rst(h2.REFUSED_STREAM))) as backend,
        gateway(routes(backend)) as gate,
    ):
        client = await gate.connect()
        assert (await ask(client, "POST", "/x", body=bytes(100_000))).status == 503
        assert len(backend.streams) == 1


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 502)])
async def test_a_warm_connection_that_ends(method: str, status: int) -> None:
    left = [say_ok]

    async def handler(stream: Stream) -> None:
        await stream.body()
        if len(backend.lines) == 1 and not left:
            stream.line.transport.close()
        else:
            await say_ok(stream)
            left.clear()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "GET", "/1")).status == 200
        assert (await ask(client, method, "/2", body=b"x" if method == "POST" else b"")).status == (
            status
        )
        seen = (await traces(gate, 2))[1]
        reasons = [t.get("spangate.retry.reason") for t in seen.tried]
        assert reasons == [None, "stale_connection"][: 2 if status == 200 else 1]


ENDS: dict[str, Callable[[Stream], object]] = {
    "cancelled": rst(h2.CANCEL),
    "not an error, they say": rst(0),
    "connection closed": lambda s: s.line.transport.close(),
    "connection reset": lambda s: s.line.reset(),
    "shorter than announced": lambda s: s.end(),
    "longer than announced": lambda s: s.data(b"12345678"),
    "malformed trailers": lambda s: s.end(("connection", "x")),
    "pseudo-field in trailers": lambda s: s.end((":status", "200")),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_an_answer_that_is_cut_off_is_seen_to_be(end: Callable[[Stream], object]) -> None:
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        stream.head(200, ("content-length", "10"))
        stream.data(b"abc")
        await go.wait()
        end(stream)

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get())
        await client.until(b"abc")
        go.set()
        got = await client.end()
        assert got.startswith(b"HTTP/1.1 200 OK\r\n") and got.endswith(b"\r\n\r\nabc")
        seen = await trace(gate)
        assert seen.about["error.type"] == "response_truncated"
        assert [t["error.type"] for t in seen.tried] == ["response_truncated"]


# malformed heads (RFC 9113 §8.1 to §8.3)

STATUS = (b":status", b"200")
MALFORMED = {
    "no status": [(b"a", b"b")],
    "two": [STATUS, STATUS],
    "status of two digits": [(b":status", b"20")],
    "status that is none": [(b":status", b"abc")],
    "status 600": [(b":status", b"600")],
    "status 099": [(b":status", b"099")],
    "101": [(b":status", b"101")],
    "late pseudo-field": [STATUS, (b"a", b"b"), (b":status", b"200")],
    "a request's pseudo-field": [STATUS, (b":path", b"/")],
    "connection": [STATUS, (b"connection", b"close")],
    "keep-alive": [STATUS, (b"keep-alive", b"timeout=5")],
    "proxy-connection": [STATUS, (b"proxy-connection", b"close")],
    "transfer-encoding": [STATUS, (b"transfer-encoding", b"chunked")],
    "upgrade": [STATUS, (b"upgrade", b"websocket")],
    "upper case": [STATUS, (b"X-A", b"b")],
    "space in a name": [STATUS, (b"x a", b"b")],
    "colon in a name": [STATUS, (b"x:a", b"b")],
    "no name": [STATUS, (b"", b"b")],
    "line end in a value": [STATUS, (b"x-a", b"b\r\nx-b: c")],
    "NUL in a value": [STATUS, (b"x-a", b"b\0c")],
    "blank before a value": [STATUS, (b"x-a", b" b")],
    "two lengths": [STATUS, (b"content-length", b"2"), (b"content-length", b"2")],
    "length +2": [STATUS, (b"content-length", b"+2")],
    "length of what is not there": [STATUS, (b"content-length", b"2")],
    "64 KiB": [STATUS, *[(b"x-%d" % n, bytes(1024).replace(b"\0", b"a")) for n in range(66)]],
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_head(fields: list[tuple[bytes, bytes]]) -> None:
    def odd(stream: Stream) -> None:
        stream.line.write(head_frames(stream.number, fields, END_STREAM))

    async with H2Backend(First(odd)) as backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        answer = await ask(client, "GET", "/x")
        assert (answer.status, answer["x-b"]) == (502, "")
        seen = await trace(gate)
        assert [t["error.type"] for t in seen.tried] == ["bad_response"]
        assert (await ask(client, "GET", "/again")).body == b"ok"
        assert len(backend.lines) == 1


def head_frames(stream: int, fields: list[tuple[bytes, bytes]], flags: int = 0) -> bytes:
    """HEADERS and as many CONTINUATIONs as it takes."""
    block = literal(fields)
    parts = [block[at : at + 16384] for at in range(0, len(block), 16384)] or [b""]
    frames = [frame(CONTINUATION if n else HEADERS, 0, stream, p) for n, p in enumerate(parts)]
    flags |= 0 if len(parts) > 1 else END_HEADERS
    frames[0] = frame(HEADERS, flags, stream, parts[0])
    if len(parts) > 1:
        frames[-1] = frame(CONTINUATION, END_HEADERS, stream, parts[-1])
    return b"".join(frames)


# floods

BIG = [STATUS, *[(b"x-%d" % n, b"a" * 1024) for n in range(300)]]
FLOODS: dict[str, Callable[[Stream], bytes]] = {
    "a head of 300 KiB": lambda s: head_frames(s.number, BIG),
    "many fields": lambda s: head_frames(s.number, [STATUS, *[(b"a", b"")] * 3000]),
    "a bomb of indexed fields": lambda s: frame(
        HEADERS, END_HEADERS, s.number,
        b"\x88\x40\x01a\x7f\x81\x1f" + b"b" * 4096 + b"\xbe" * 4000,
    ),
    "CONTINUATION without end": lambda s: frame(HEADERS, 0, s.number, b"\x88")
    + frame(CONTINUATION, 0, s.number) * 5000,
    "PING": lambda s: frame(PING, 0, 0, bytes(8)) * 20_000,
    "SETTINGS": lambda s: frame(SETTINGS, 0, 0) * 20_000,
    "WINDOW_UPDATE": lambda s: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 20_000,
    "empty DATA": lambda s: head_frames(s.number, [STATUS])
    + frame(DATA, 0, s.number) * 20_000,
    "a frame larger than may be": lambda s: frame(DATA, 0, s.number, bytes(70_000)),
    "nothing of HTTP/2": lambda s: b"\0\0\x01\x63\0\0\0\0\0\0" + b"what?" * 4000,
}  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_ends_the_connection(flood: Callable[[Stream], bytes]) -> None:
    async def handler(stream: Stream) -> None:
        if len(backend.lines) == 1:
            stream.line.write(flood(stream))
        else:
            stream.ok()

    async with H2Backend(handler) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get())
        async with asyncio.timeout(DEADLINE):
            await eventually(lambda: backend.lines)
            await backend.lines[0].gone.wait()
        await eventually(lambda: b"HTTP/1.1 " in client.received)
        seen = await trace(gate)
        assert seen.tried[0]["error.type"] in ("bad_response", "response_truncated")
        assert (await gate.get("/again")).body == b"ok"


async def test_a_flood_of_interim_answers_ends_the_exchange() -> None:
    def odd(stream: Stream) -> None:
        for _ in range(40):
            stream.head(103, ("link", "</a>"))

    async with H2Backend(First(odd)) as backend, gateway(routes(backend)) as gate:
        client = await raw(gate, get())
        await client.until(b"HTTP/1.1 502")
        assert client.received.count(b"HTTP/1.1 103") == 32
        assert (await gate.get("/again")).body == b"ok"
        assert len(backend.lines) == 1


# limits, and who waits


async def test_no_more_streams_than_the_upstream_takes() -> None:
    async def slowly(stream: Stream) -> None:
        await asyncio.sleep(0.001)
        stream.ok()

    backend = H2Backend(slowly, Rules(streams=2))
    async with backend, gateway(routes(backend)) as gate:
        assert (await gate.get("/first")).status == 200
        answers = await asyncio.gather(*[gate.get(f"/{n}") for n in range(20)])
        assert {a.status for a in answers} == {200}
        assert max(line.most for line in backend.lines) <= 2
        assert len(backend.lines) <= 10
        assert len(backend.streams) == 21
        await eventually(lambda: is_settled(gate))


async def test_what_was_sent_before_the_limit_was_known_is_sent_again() -> None:
    backend = H2Backend(rules=Rules(streams=1))
    async with backend, gateway(routes(backend)) as gate:
        answers = await asyncio.gather(*[gate.get(f"/{n}") for n in range(10)])
        assert {a.status for a in answers} == {200}
        assert max(line.most for line in backend.lines) == 1


async def test_an_upstream_that_takes_two_requests_on_each_connection() -> None:
    """And leaves out the others that are on their way: some meet that five times in a row."""

    async def handler(stream: Stream) -> None:
        if stream.number == 3:
            stream.line.goaway(3)
        if stream.number <= 3:
            stream.ok()

    backend = H2Backend(handler, rules=Rules(streams=4))
    async with backend, gateway(routes(backend)) as gate:
        answers = await asyncio.gather(*[gate.get(f"/{n}") for n in range(100)])
        assert {a.status for a in answers} == {200}
        seen = await traces(gate, 100)
        failed = {t.get("error.type") for s in seen for t in s.tried}
        assert failed == {None, "not_processed"}
        await eventually(lambda: is_settled(gate))


async def test_an_upstream_that_takes_none() -> None:
    limited = "connect_timeout = '300ms'"
    backend = H2Backend(rules=Rules(streams=0))
    async with backend, gateway(routes(backend, upstream=limited)) as gate:
        assert (await gate.get("/x")).status in (503, 504)
        assert (await gate.get("/x")).status in (503, 504)
        seen = await traces(gate, 2)
        assert {s.tried[-1]["error.type"] for s in seen} <= {"not_processed", "connect_timeout"}
        await eventually(lambda: is_settled(gate))


async def test_a_window_of_one_byte() -> None:
    backend = H2Backend(rules=Rules(stream_window=1, connection_window=65535))
    async with backend, gateway(routes(backend)) as gate:
        client = await gate.connect()
        assert (await ask(client, "POST", "/x", body=bytes(300))).body == b"ok"
        assert backend.streams[0].got == bytes(300)


async def test_an_upstream_that_says_nothing() -> None:
    backend = H2Backend(speaks=False)
    async with backend, gateway(routes(backend, route="first_byte_timeout = '200ms'")) as gate:
        assert (await gate.get("/x")).status == 504
        assert (await trace(gate)).tried[0]["error.type"] == "timeout"


async def test_who_is_going_away_finishes_what_it_took() -> None:
    def greet(line: Line) -> None:
        lines.append(line)

    lines: list[Line] = []
    go = asyncio.Event()

    async def handler(stream: Stream) -> None:
        if stream[":path"] == "/slow":
            stream.line.goaway(2**31 - 1)
            stream.head(200)
            await go.wait()
            stream.data(b"done", True)
        else:
            stream.ok()

    async with H2Backend(handler, greet=greet) as backend, gateway(routes(backend)) as gate:
        slow = await raw(gate, get(target=b"/slow"))
        await slow.until(b"200 OK")
        assert (await gate.get("/other")).body == b"ok"
        assert len(lines) == 2
        go.set()
        await slow.until(b"done")
        async with asyncio.timeout(DEADLINE):
            await lines[0].gone.wait()
        assert not lines[1].gone.is_set()
