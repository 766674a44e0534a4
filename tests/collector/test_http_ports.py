"""What every small HTTP port does with odd and slow clients, by raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.admin.app import Admin
from proxy.formats.remote_write import snappy
from proxy.otlp.inflow import Clocks, Inflow
from tests.collector.kit import Place
from tests.otlp.test_inflate import PACKERS

PROTOBUF = "application/x-protobuf"
AUTH = 'auth = { bearer = ["token"] }'

# name -> (kind, component, settings, method, path, type, body, answer)
PORTS: dict[str, tuple[str, str, str, str, str, str, bytes, int]] = {
    "otlp": ("receiver", "otlp", 'http = "127.0.0.1:0"',
             "POST", "/v1/traces", "application/json", b"{}", 200),
    "zipkin": ("receiver", "zipkin", 'endpoint = "127.0.0.1:0"',
               "POST", "/api/v2/spans", "application/json", b"[]", 202),
    "zipkin v1": ("receiver", "zipkin", 'endpoint = "127.0.0.1:0"',
                  "POST", "/api/v1/spans", "application/json", b"[]", 202),
    "jaeger": ("receiver", "jaeger", 'thrift_http = "127.0.0.1:0"', "POST", "/api/traces",
               "application/x-thrift", b"\x0c\0\1\x0b\0\1\0\0\0\1a\0\x0f\0\2\x0c\0\0\0\0\0", 202),
    "remote write": ("receiver", "prometheus_remote_write", 'endpoint = "127.0.0.1:0"', "POST",
                     "/api/v1/write", f"{PROTOBUF}\r\nContent-Encoding: snappy",
                     snappy.compress(b""), 204),
    "sampling": ("receiver", "jaeger", 'remote_sampling = { endpoint = "127.0.0.1:0" }',
                 "GET", "/sampling?service=a", "text/plain", b"12", 200),
    "page": ("exporter", "prometheus", 'endpoint = "127.0.0.1:0"',
             "GET", "/metrics", "text/plain", b"12", 200),
    "admin": ("admin", "", "", "GET", "/live", "text/plain", b"12", 200),
}  # fmt: skip
READ = ["otlp", "zipkin", "zipkin v1", "jaeger", "remote write"]
GUARDED = {"otlp": AUTH, "remote write": AUTH, "page": AUTH}

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Port:
    """One that listens, and how to ask it."""

    def __init__(self, name: str, number: int, component: Any) -> None:
        *_, self.method, self.path, self.type, self.body, self.answer = PORTS[name]
        self.number = number
        self.component = component

    @property
    def inflow(self) -> Inflow:
        """Of who reads bodies."""
        for owner in (
            getattr(self.component, "http", None),
            getattr(self.component, "_server", None),
            *getattr(self.component, "_servers", {}).values(),
            self.component,
        ):
            found = getattr(owner, "inflow", None) or getattr(owner, "_inflow", None)
            if found is not None:
                return found  # type: ignore[no-any-return]
        raise AssertionError("nobody reads bodies here")

    def head(self, *fields: bytes, length: int | None = None, **other: str) -> bytes:
        size = len(self.body) if length is None else length
        line = f"{other.get('method', self.method)} {other.get('path', self.path)} HTTP/1.1"
        kind = other.get("type", self.type)
        given = f"{line}\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n".encode("latin-1")
        if size >= 0:
            given += b"Content-Length: %d\r\n" % size
        return given + b"".join(field + b"\r\n" for field in fields) + b"\r\n"

    async def open(self, data: bytes) -> Pair:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        writer.write(data)
        return reader, writer


async def status(pair: Pair) -> int:
    """Of the next answer, whose head is read."""
    async with asyncio.timeout(20):
        head = await pair[0].readuntil(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1])


@contextlib.asynccontextmanager
async def listening(name: str, more: str = "") -> AsyncIterator[Port]:
    kind, type, toml = PORTS[name][:3]
    if kind == "admin":
        sock = socket.create_server(("127.0.0.1", 0))
        admin = Admin(NoView(), "127.0.0.1")
        await admin.start(sock)
        try:
            yield Port(name, sock.getsockname()[1], admin)
        finally:
            await admin.stop()
        return
    component = Place(kind, type, **({"signal": "metrics"} if kind == "exporter" else {})).make(
        f"{toml}\n{more}"
    )
    await component.start()
    addresses = getattr(component, "addresses", None)
    try:
        number = next(iter(addresses.values())) if addresses else component.port
        yield Port(name, number, component)
    finally:
        async with asyncio.timeout(20):
            await component.stop(1)


class NoView:
    """The admin port is asked for nothing but whether it lives."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


# -- Expect ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue "])
async def test_who_waits_for_leave_to_send_a_body_gets_it_at_once(name: str, expect: bytes) -> None:
    async with listening(name) as port:
        pair = await port.open(port.head(b"Expect: " + expect))
        assert await status(pair) == 100
        pair[1].write(port.body)
        assert await status(pair) == port.answer
        pair[1].close()


@pytest.mark.parametrize("name", PORTS)
async def test_who_is_refused_anyway_is_told_so_before_the_body(name: str) -> None:
    async with listening(name) as port:
        for head, code in (
            (port.head(b"Expect: 100-continue", path="/nowhere"), 404),
            (port.head(b"Expect: 100-continue", method="PUT"), 405),
            (port.head(b"Expect: 200-maybe"), 417),
        ):
            pair = await port.open(head)
            async with asyncio.timeout(20):
                said = await pair[0].readuntil(b"\r\n\r\n")
            assert int(said.split(b" ", 2)[1]) == code, head
            assert b"connection: close" in said.lower()  # a body may follow, or not
            pair[1].close()


@pytest.mark.parametrize("name", READ)
async def test_who_does_not_wait_needs_no_leave(name: str) -> None:
    async with listening(name) as port:
        pair = await port.open(port.head(b"Expect: 100-continue") + port.body)
        assert await status(pair) == port.answer
        pair[1].close()
        old = port.head(b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
        pair = await port.open(old)
        pair[1].write(port.body)
        assert await status(pair) == port.answer
        pair[1].close()


# -- what is odd ----------------------------------------------------------------------------------

TAKEN_OR_4XX = [
    ("authorization", [b"Authorization: Bearer \xff"], {}),
    ("accept", [b"Accept: \xff;q=\xfe", b"Accept-Encoding: \xff"], {}),
    ("origin", [b"Origin: \xff", b"Access-Control-Request-Headers: \xff"], {}),
    ("any field", ["X-Name: ü".encode(), b"X-Other: \xff\xfe"], {}),
    ("type", [], {"type": "\xff/\xfe"}),
    ("no type", [], {"type": ""}),
    ("type without a slash", [], {"type": "json"}),
    ("type's parameter", [], {"type": 'application/json; charset="\xff'}),
    ("path", [], {"path": "/%ff%fe"}),
    ("path of UTF-8", [], {"path": "/%C3%A9"}),
    ("path with NUL", [], {"path": "/%00"}),
    ("path of half an escape", [], {"path": "/%f"}),
    ("path with two slashes", [], {"path": "//[::1"}),
    ("query", [], {"path": "/?service=%ff&x=%zz"}),
    ("absolute form", [], {"path": "http://[::1"}),
    ("port", [], {"path": "http://x:99999/v1/traces"}),
    ("asterisk", [], {"path": "*", "method": "OPTIONS"}),
    ("upgrade", [b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
                 b"Sec-WebSocket-Key: \xff"], {"method": "GET"}),
    ("upgrade to nothing", [b"Connection: upgrade", b"Upgrade: \xff"], {}),
]  # fmt: skip
REFUSED = [
    ("coding", [b"Content-Encoding: \xff"], {}),
    ("codings", [b"Content-Encoding: gzip, gzip"], {}),
    *((f"length {value!r}", [b"Content-Length: " + value], {"length": "-1"}) for value in (
        b"-1", b"1e3", b"+5", b"\xff", b"5, 5", b"9" * 30, b"0x5", b"", b"\xd9\xa3",
    )),
]  # fmt: skip


async def ask(port: Port, fields: list[bytes], other: dict[str, str]) -> int:
    length = int(other["length"]) if "length" in other else None
    more = {key: value for key, value in other.items() if key != "length"}
    pair = await port.open(port.head(*fields, length=length, **more) + port.body)
    try:
        return await status(pair)
    finally:
        pair[1].close()


@pytest.mark.parametrize("name", PORTS)
async def test_no_odd_client_is_our_fault(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(name) as port:
        for what, fields, other in TAKEN_OR_4XX:
            code = await ask(port, fields, other)
            assert code in (200, 202, 204) or 400 <= code < 500, what
        for what, fields, other in REFUSED:
            if name in READ or "length" in other:
                assert 400 <= await ask(port, fields, other) < 500, what
    shown = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not shown, shown  # and nobody fills our log


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize(
    "value", [b"Bearer \xff", b"Bearer \xc3\xa9", b"\xff", b"", b"Basic \xff\xfe", b"Bearer"]
)
async def test_odd_credentials_are_wrong_ones(name: str, value: bytes) -> None:
    async with listening(name, GUARDED[name]) as port:
        assert await ask(port, [b"Authorization: " + value], {}) == 401
        assert await ask(port, [b"Authorization: Bearer token"], {}) == port.answer


async def test_a_token_may_be_more_than_ascii() -> None:
    async with listening("otlp", 'auth = { bearer = ["schlüssel"] }') as port:
        assert await ask(port, ["Authorization: Bearer schlüssel".encode()], {}) == 200
        assert await ask(port, [b"Authorization: Bearer schlussel"], {}) == 401


# -- codings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in READ if name != "remote write"])
@pytest.mark.parametrize("packer", [packer for packer, (coding, _) in PACKERS.items() if coding])
async def test_all_codings_are_taken_everywhere(name: str, packer: str) -> None:
    coding, pack = PACKERS[packer]
    async with listening(name) as port:
        body = pack(port.body)
        head = port.head(f"Content-Encoding: {coding.upper()}".encode(), length=len(body))
        pair = await port.open(head + body)
        assert await status(pair) == port.answer
        pair[1].close()
        pair = await port.open(head + b"\xfe" * len(body))
        assert await status(pair) == 400
        pair[1].close()


# -- who is slow ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READ)
async def test_half_a_body_is_given_up(name: str) -> None:
    async with listening(name) as port:
        port.inflow.clocks = Clocks(silence=0.05)
        pair = await port.open(port.head() + port.body[:1])
        if name == "remote write":  # whose body here is one byte
            pair[1].close()
            pair = await port.open(port.head(length=9) + b"1")
        assert await status(pair) == 408
        pair[1].close()


@pytest.mark.parametrize("name", READ)
async def test_slow_senders_do_not_take_the_room_of_others(name: str) -> None:
    limit = 'max_in_flight_size = "100KB"\nmax_request_size = "50KB"'
    async with listening(name, limit) as port:
        port.inflow.clocks = Clocks(yields=0.0)
        slow = [await port.open(port.head(length=49_000) + bytes(30_000)) for _ in range(7)]
        async with asyncio.timeout(20):
            while sum(pair[0].at_eof() or bool(pair[0]._buffer) for pair in slow) < 4:  # type: ignore[attr-defined]
                await asyncio.sleep(0.005)  # some had to go for the others already
        for _ in range(5):
            assert await ask(port, [], {}) == port.answer
        for _, writer in slow:
            writer.close()
