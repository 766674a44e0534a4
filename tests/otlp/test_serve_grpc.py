"""The gRPC server against odd clients: what each is told, and that it costs nobody else."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.otlp import serve_grpc
from proxy.otlp.grpc import METHODS
from proxy.otlp.inflate import ENCODINGS
from proxy.otlp.inflow import Clocks, Limits
from proxy.otlp.partial import Rejected
from proxy.otlp.rpc import serving, words
from proxy.otlp.rpc.clocks import SECOND, Act, Keepalive
from proxy.otlp.rpc.clocks import Clocks as LineClocks
from proxy.otlp.serve_grpc import Binding, GrpcServer
from tests.http import h2_frames
from tests.otlp.h2_peer import call, client, framed
from tests.otlp.test_inflate import PACKERS

MIB = 1024 * 1024
GZIP = gzip.compress(b"ab", mtime=0)
BOMB = gzip.compress(bytes(2 * MIB), mtime=0)


@dataclass
class Port:
    """A server that keeps what it took; `gate` is what its answers wait for."""

    server: GrpcServer
    took: list[tuple[str, bytes]]
    gate: asyncio.Event
    cancelled: int = 0

    @property
    def number(self) -> int:
        return self.server.port

    @property
    def held(self) -> int:
        return self.server.inflow.in_flight


@asynccontextmanager
async def serving_at(*, gated: bool = False, **more: Any) -> AsyncIterator[Port]:
    gate = asyncio.Event()
    took: list[tuple[str, bytes]] = []

    def take(signal: str, payload: bytes) -> Awaitable[Rejected | None] | None:
        took.append((signal, payload))
        return wait() if gated else None

    async def wait() -> None:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            port.cancelled += 1
            raise

    binding = replace(Binding("127.0.0.1", 0, Limits(MIB, 4 * MIB)), **more)
    port = Port(GrpcServer(binding, take), took, gate)
    await port.server.start()
    try:
        yield port
    finally:
        async with asyncio.timeout(20):
            await port.server.stop(0.2)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


# -- what is said to whom ---------------------------------------------------------------------


def test_all_that_are_offered_are_tried() -> None:
    assert {coding for coding, _ in PACKERS.values()} >= set(ENCODINGS)


@pytest.mark.parametrize("packer", [name for name in PACKERS if name not in ("identity", "none")])
@pytest.mark.parametrize("size", [10, 300_000])
async def test_every_coding(packer: str, size: int) -> None:
    coding, pack = PACKERS[packer]
    payload = bytes(range(256)) * (size // 256) + b"end"
    async with serving_at() as port, client(port.number) as peer:
        packed = framed(pack(payload), flag=1)
        answer = await peer.answer(peer.ask(call(grpc_encoding=coding), packed))
        assert (answer.code, answer.body) == (0, framed(b""))
        # An encoding is offered, and a message may go without.
        answer = await peer.answer(peer.ask(call(grpc_encoding=coding), framed(payload)))
        assert answer.code == 0
        assert port.took == [("traces", payload)] * 2
        assert port.held == 0


async def test_a_message_that_comes_byte_by_byte() -> None:
    async with serving_at() as port, client(port.number) as peer:
        stream = peer.ask(call(), b"\0", end=False)
        for byte in framed(b"telemetry")[1:]:
            peer.say(stream, bytes([byte]))
        peer.say(stream, b"", end=True)
        assert (await peer.answer(stream)).code == 0
        assert port.took == [("traces", b"telemetry")]


@pytest.mark.parametrize(
    ("fields", "body", "code", "said"),
    [
        (call(path="/a.B/C"), framed(b""), 12, "/a.B/C"),
        (call(path="/" + "x" * 500), framed(b""), 12, "no such method"),
        (call(), None, 13, "no message"),
        (call(), b"", 13, "no message"),
        (call(), framed(b"abc")[:-1], 13, "cut off"),
        (call(), b"\0\0\0", 13, "no message"),
        (call(), framed(b"a") * 2, 13, "more than one"),
        (call(), framed(b"a", flag=2), 13, "flag"),
        (call(), framed(b"a", flag=1), 13, "without grpc-encoding"),
        (call(grpc_encoding="identity"), framed(b"a", flag=1), 13, "without grpc-encoding"),
        (call(grpc_encoding="br"), framed(b"a"), 12, "'br'"),
        (call(grpc_encoding="gzip"), framed(b"no gzip", flag=1), 3, "decompressed"),
        (call(grpc_encoding="gzip"), framed(GZIP[:-3], flag=1), 3, "cut off"),
        (call(grpc_encoding="gzip"), framed(BOMB, flag=1), 8, "may have"),
        (call(), framed(b"")[:1] + (2 * MIB).to_bytes(4, "big"), 8, "may have"),
        (call(x="y" * 20_000), framed(b""), 8, "metadata"),
        (call(**{f"x{n}": "y" for n in range(600)}), framed(b""), 8, "metadata"),
    ],
)  # fmt: skip
async def test_refusals(fields: Any, body: bytes | None, code: int, said: str) -> None:
    async with serving_at() as port, client(port.number) as peer:
        answer = await peer.answer(peer.ask(fields, body))
        assert (answer.code, answer.fields[b":status"], answer.error) == (code, b"200", 0)
        assert said in answer.message
        assert (b"grpc-accept-encoding" in answer.fields) == ("'br'" in said)
        assert port.took == [] and port.held == 0
        # and the connection goes on
        assert (await peer.answer(peer.ask(call(), framed(b"next")))).code == 0


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (call(content_type="text/plain"), b"415"),
        (call(content_type="application/grpc-web+proto"), b"415"),
        (call(method="PUT"), b"405"),
        (call(content_type="application/grpc+proto"), b"200"),
        (call(content_type="Application/GRPC;a=b"), b"200"),
    ],
)
async def test_what_is_no_grpc(fields: Any, status: bytes) -> None:
    async with serving_at() as port, client(port.number) as peer:
        answer = await peer.answer(peer.ask(fields, framed(b"x")))
        assert answer.fields[b":status"] == status
        assert bool(port.took) == (status == b"200")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 505 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + bytes(99), b"HTTP/1.1 505 "),
        (b"PRI * HTTP/1.1\r\n\r\n", b"HTTP/1.1 505 "),
        (b"\x16\x03\x01\x02\x00\x01\x00", b""),
        (b"\0", b""),
    ],
)  # fmt: skip
async def test_who_does_not_speak_http_2(data: bytes, said: bytes) -> None:
    async with serving_at() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(data)
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
        assert answer.startswith(said)
        assert (b"HTTP/2" in answer) == bool(said)
        writer.close()
        await until(lambda: len(port.server) == 0)


# -- time -------------------------------------------------------------------------------------


async def test_a_message_that_does_not_come_before_the_deadline() -> None:
    async with serving_at() as port, client(port.number) as peer:
        answer = await peer.answer(peer.ask(call(grpc_timeout="10m"), b"\0", end=False))
        assert (answer.code, port.held) == (4, 0)


async def test_work_ends_with_the_deadline() -> None:
    async with serving_at(gated=True) as port, client(port.number) as peer:
        answer = await peer.answer(peer.ask(call(grpc_timeout="10m"), framed(b"x")))
        assert (answer.code, port.cancelled, port.held) == (4, 1, 0)


@pytest.mark.parametrize("clocks", [Clocks(silence=0.05), Clocks(total=0.05)])
async def test_a_message_that_comes_too_slowly(clocks: Clocks) -> None:
    async with serving_at() as port, client(port.number) as peer:
        port.server.inflow.clocks = clocks
        answer = await peer.answer(peer.ask(call(), b"\0\0", end=False))
        assert (answer.code, port.held) == (4, 0)
        assert "in time" in answer.message


async def test_a_slow_message_makes_room() -> None:
    limits = Limits(MIB, 100_000)
    async with (
        serving_at(limits=limits) as port,
        client(port.number) as slow,
        client(port.number) as quick,
    ):
        port.server.inflow.clocks = Clocks(yields=0.0)
        stream = slow.ask(call(), framed(bytes(90_000))[:60_000], end=False)
        await until(lambda: port.held == 60_000)
        assert (await quick.answer(quick.ask(call(), framed(bytes(80_000))))).code == 0
        answer = await slow.answer(stream)
        assert (answer.code, port.held) == (14, 0)
        assert b"grpc-status-details-bin" in answer.fields


async def test_no_room_is_told_with_when_to_come_again() -> None:
    async with serving_at(limits=Limits(MIB, 1000)) as port, client(port.number) as peer:
        answer = await peer.answer(peer.ask(call(), framed(bytes(2000))))
        assert (answer.code, port.held) == (14, 0)


@pytest.mark.parametrize("data", [b"", b"PRI * HTTP/2", serving.PREFACE])
async def test_a_connection_that_does_not_begin(data: bytes) -> None:
    async with serving_at(handshake=0.05) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.write(data)
        try:
            while await reader.read(1000):
                pass
        except ConnectionResetError:
            pass
        writer.close()


# -- ends -------------------------------------------------------------------------------------


async def test_a_client_that_cancels() -> None:
    async with serving_at(gated=True) as port, client(port.number) as peer:
        stream = peer.ask(call(), framed(b"x" * 1000))
        await until(lambda: port.took)
        peer.session.reset(stream, 8)
        peer.flush()
        await until(lambda: port.cancelled)
        assert port.held == 0


@pytest.mark.parametrize("whole", [False, True])
async def test_a_client_that_leaves(whole: bool) -> None:
    async with serving_at(gated=True) as port:
        async with client(port.number) as peer:
            peer.ask(call(), framed(b"x" * 1000)[: None if whole else -1], end=whole)
            await until(lambda: port.held)
        await until(lambda: not port.held and not len(port.server))
        assert port.cancelled == whole


async def test_what_was_begun_is_answered_at_the_stop() -> None:
    async with serving_at(gated=True) as port, client(port.number) as peer, client(port.number):
        begun = peer.ask(call(), framed(b"begun"))
        await until(lambda: port.took)
        stop = asyncio.get_running_loop().create_task(port.server.stop(10))
        await peer.until(lambda: peer.goaway == 0)
        port.gate.set()
        assert (await peer.answer(begun)).code == 0
        async with asyncio.timeout(5):
            await stop
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port.number)


async def test_what_is_not_answered_is_cut_off_at_the_stop() -> None:
    async with serving_at(gated=True) as port, client(port.number) as peer:
        stream = peer.ask(call(), framed(b"begun"))
        await until(lambda: port.took)
        async with asyncio.timeout(5):
            await port.server.stop(0.05)
        assert (await peer.answer(stream)).error is None
        assert (peer.is_lost, port.held, port.cancelled) == (True, 0, 1)


async def test_the_age_of_a_connection_costs_no_call() -> None:
    """grpcio as the client, which connects anew."""
    keepalive = Keepalive(age=SECOND // 10)
    async with (
        serving_at(keepalive=keepalive) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port.number}") as channel,
    ):
        seen = set()
        export: Any = channel.unary_unary(METHODS["traces"])
        async with asyncio.timeout(30):
            while len(seen) < 3:
                assert await export(b"x", timeout=20) == b""
                seen |= {id(line) for line in port.server._lines}
                await asyncio.sleep(0.01)


# -- numbers ----------------------------------------------------------------------------------


async def test_more_streams_than_allowed() -> None:
    async with serving_at(gated=True, streams=2) as port, client(port.number) as peer:
        await peer.until(lambda: peer.session.peer_streams == 2)
        streams = [peer.ask(call(), framed(b"x")) for _ in range(3)]
        await until(lambda: len(port.took) == 2)
        port.gate.set()
        assert [(await peer.answer(stream)).code for stream in streams] == [0, 0, 0]


async def test_a_connection_without_calls_makes_room() -> None:
    async with (
        serving_at(connections=2, gated=True) as port,
        client(port.number) as busy,
        client(port.number) as idle,
    ):
        stream = busy.ask(call(), framed(b"x"))
        await until(lambda: port.took)
        async with client(port.number) as third:
            second = third.ask(call(), framed(b"x"))
            await idle.until(lambda: idle.is_lost)
            await until(lambda: len(port.took) == 2)
            async with client(port.number) as fourth:  # nobody can be spared now
                await fourth.until(lambda: fourth.is_lost)
            port.gate.set()
            assert (await third.answer(second)).code == 0
        assert (await busy.answer(stream)).code == 0


async def test_who_does_not_read_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def request(number: int) -> bytes:
        block = h2_frames.literal(call(path=f"/{number:0200}"))
        return h2_frames.frame(h2_frames.HEADERS, 0x5, 2 * number + 1, block)

    async with serving_at() as port:
        with socket.create_connection(("127.0.0.1", port.number)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await until(lambda: len(port.server))
            line = next(iter(port.server._lines))
            # Answers are small: megabytes of the kernel's room would take very many of them.
            served = line.transport.get_extra_info("socket")
            served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

            async def send() -> None:
                loop = asyncio.get_running_loop()
                settings = h2_frames.frame(h2_frames.SETTINGS, 0, 0)
                await loop.sock_sendall(sock, serving.PREFACE + settings)
                for number in range(0, 10**6, 50):
                    some = b"".join(request(number + more) for more in range(50))
                    await loop.sock_sendall(sock, some)

            sending = asyncio.get_running_loop().create_task(send())
            await until(lambda: line.stalled)
            assert line.transport.get_write_buffer_size() < MIB
            async with client(port.number) as other:
                assert (await other.answer(other.ask(call(), framed(b"x")))).code == 0
            monkeypatch.setattr(serving, "UNREAD", 0)
            await until(lambda: len(port.server) == 0)
            sending.cancel()


def test_ages_are_spread() -> None:
    ages = [Keepalive(age=100).lifetime(chance) for chance in (0, 0.5, 1)]
    assert ages == [90, 100, 110]


S = SECOND


@pytest.mark.parametrize(
    ("keepalive", "heard", "has_calls", "looks"),
    [
        (Keepalive(idle=10), 0, False, [(9, Act.NOTHING), (11, Act.DRAIN)]),
        (Keepalive(idle=10), 0, True, [(11, Act.NOTHING)]),
        (Keepalive(idle=0, age=100), 0, True, [(99, Act.NOTHING), (101, Act.DRAIN)]),
        (Keepalive(idle=0, time=10, timeout=5), 0, True,
         [(9, Act.NOTHING), (11, Act.PING), (16, Act.NOTHING), (17, Act.KILL)]),
        (Keepalive(idle=0, time=10), 5, True, [(14, Act.NOTHING), (16, Act.PING)]),
        (Keepalive(idle=0), 0, False, [(10**18, Act.NOTHING)]),
    ],
)  # fmt: skip
def test_clocks(keepalive: Keepalive, heard: int, has_calls: bool, looks: Any) -> None:
    clocks = LineClocks(keepalive, 0, 0.5)
    assert [clocks.due(now, heard, has_calls) for now, _ in looks] == [act for _, act in looks]


def test_grace() -> None:
    clocks = LineClocks(Keepalive(age=100, grace=50), 0, 0.5)
    assert clocks.due(101, 0, True) is Act.DRAIN
    clocks.drains(101)
    assert [clocks.due(now, 0, True) for now in (150, 152)] == [Act.NOTHING, Act.KILL]


@pytest.mark.parametrize(
    ("keepalive", "has_calls", "pings", "nagged"),
    [
        (Keepalive(), True, [0, 1, 2], False),
        (Keepalive(), True, [0, 1, 2, 3], True),
        (Keepalive(), True, [0, 301 * S, 602 * S, 903 * S, 1204 * S], False),
        (Keepalive(), False, [0, 301 * S, 602 * S, 903 * S], True),  # 2 h, without calls
        (Keepalive(min_time=S, permit_without_stream=True), False, [0, S, 2 * S, 3 * S], False),
    ],
)  # fmt: skip
def test_pings(keepalive: Keepalive, has_calls: bool, pings: list[int], nagged: bool) -> None:
    clocks = LineClocks(keepalive, 0, 0.5)
    assert [clocks.is_nagged(now, has_calls) for now in pings][-1] == nagged
    clocks.answers()
    assert not clocks.is_nagged(pings[-1] + 1, has_calls)


# -- words ------------------------------------------------------------------------------------


@given(st.text())
def test_messages_come_back(text: str) -> None:
    value = words.percent(text)
    assert value.isascii() and not set(value) & set(range(32))
    assert words.unpercent(value) == text.encode("utf-8", "replace").decode()


@given(st.binary())
def test_words_of_strangers_never_raise(data: bytes) -> None:
    words.unpercent(data)
    words.binary(data)
    assert 0 <= words.code(data) <= 999
    assert words.timeout(data) >= 0
    assert words.binary(words.binary_text(data)) == data


@given(st.floats(0.001, 1e9))
def test_timeouts_are_rounded_up(seconds: float) -> None:
    text = words.timeout_text(seconds)
    assert len(text) <= 9
    assert 0.999 * seconds <= words.timeout(text) / 1e9 <= seconds * 1.001 + 1e-6 + 60


@pytest.mark.parametrize(
    ("value", "ns"),
    [(b"1H", 3600 * S), (b"2M", 120 * S), (b"3S", 3 * S), (b"4m", 4 * 10**6), (b"5u", 5000),
     (b"6n", 6), (b"99999999S", 99999999 * S), (b"0S", 1), (b"", 0), (b"1", 0), (b"-1S", 0),
     (b"100000000S", 0), (b"1s", 0), (b"1.5S", 0)],
)  # fmt: skip
def test_timeouts(value: bytes, ns: int) -> None:
    assert words.timeout(value) == ns


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 255), st.integers(0, 9), st.binary())))
def test_any_frames_hurt_nobody_else(frames: list[tuple[int, int, int, bytes]]) -> None:
    """After a proper begin; another connection works on, and all is given back."""
    data = b"".join(
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
        for kind, flags, stream, body in frames
    )

    async def run() -> None:
        async with serving_at() as port:
            async with client(port.number) as odd, client(port.number) as peer:
                odd.ask(call(), framed(bytes(100))[:50], end=False)
                odd.transport.write(data)
                assert (await peer.answer(peer.ask(call(), framed(b"x")))).code == 0
            await until(lambda: not len(port.server))
            assert port.held == 0

    asyncio.run(run())


def test_ticks_are_coarse() -> None:
    assert serve_grpc.TICK >= 0.25
