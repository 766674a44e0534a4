"""OTLP over WebSocket, both ways: our own receiver, and servers that answer as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from proxy.collector.batch import Batch, Signal
from proxy.errors import ConfigError
from proxy.otlp.endpoint import parse
from proxy.otlp.refusal import MALFORMED, OVERLOADED, Reason, status_bytes
from proxy.otlp.status import Verdict
from proxy.otlp.transport import Options
from proxy.otlp.websocket_send import WebSocketTransport
from proxy.tasks import spawn
from tests.collector.kit import Place, batch, settings, until

QUICK = 'retry_on_failure = { initial_interval = "1ms", max_interval = "5ms" }\n'
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs", "profiles")
OK = b"\x00"


@asynccontextmanager
async def receiving(more: str = "") -> AsyncIterator[tuple[Place, str]]:
    """Our receiver: what it passed on, and its URL."""
    place = Place("receiver", "otlp")
    receiver = place.make('http = "127.0.0.1:0"\n' + more)
    await receiver.start()
    try:
        yield place, f"ws://127.0.0.1:{receiver.addresses['http']}"
    finally:
        async with asyncio.timeout(20):
            await receiver.stop(1)


Talk = Callable[["Server", web.WebSocketResponse], Awaitable[None]]


class Server:
    """Conversations by script, one for each connection; the last one again and again."""

    def __init__(self, *talks: Talk) -> None:
        self._talks = list(talks)
        self.requests: list[web.BaseRequest] = []
        self.messages: list[bytes] = []
        self.protocols: tuple[str, ...] = ("otlp.v1",)
        self.statuses: list[web.Response] = []  # to say instead of an upgrade
        self.url = ""
        self.released = asyncio.Event()

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if self.statuses:
            return self.statuses.pop(0)
        socket = web.WebSocketResponse(protocols=self.protocols, timeout=0.1, max_msg_size=0)
        await socket.prepare(request)
        talk = self._talks.pop(0) if len(self._talks) > 1 else self._talks[0]
        await talk(self, socket)
        return socket

    async def hear(self, socket: web.WebSocketResponse, messages: int = 1) -> None:
        for _ in range(messages):
            self.messages.append(await socket.receive_bytes())


async def agree(server: Server, socket: web.WebSocketResponse) -> None:
    async for message in socket:
        server.messages.append(message.data)
        await socket.send_bytes(OK)


def says(answer: bytes | str) -> Talk:
    """Answer the first message so, and take the others."""

    async def talk(server: Server, socket: web.WebSocketResponse) -> None:
        await server.hear(socket)
        await (socket.send_str if isinstance(answer, str) else socket.send_bytes)(answer)  # type: ignore[arg-type]
        await agree(server, socket)

    return talk


def refuses(reason: Reason) -> Talk:
    return says(bytes((reason.grpc,)) + status_bytes(reason, "because"))


async def disconnect(server: Server, socket: web.WebSocketResponse) -> None:
    await server.hear(socket)
    assert server.requests[-1].transport is not None
    server.requests[-1].transport.abort()


async def hang(server: Server, socket: web.WebSocketResponse) -> None:
    await server.hear(socket)
    await server.released.wait()


@asynccontextmanager
async def serving(*talks: Talk) -> AsyncIterator[Server]:
    server = Server(*talks)
    runner = web.ServerRunner(web.Server(server.take), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/prefix"
    try:
        yield server
    finally:
        server.released.set()
        await runner.cleanup()


@asynccontextmanager
async def exporting(url: str, more: str = "", signal: Signal = "traces") -> AsyncIterator[Place]:
    """A started exporter; `place.send` offers to it. Its books are balanced at the end."""
    place = Place("exporter", "otlp_websocket", signal=signal)
    head = "" if "retry_on_failure" in more else QUICK
    exporter = place.make(f'endpoint = "{url}"\n{head}{more}')
    await exporter.start()
    try:
        yield place
    finally:
        async with asyncio.timeout(20):
            await exporter.stop(5)
        assert place.ledger.balanced
        assert place.ledger.queued == 0


async def deliver(url: str, *batches: Batch, more: str = "") -> Place:
    async with exporting(url, more, batches[0].signal) as place:
        for one in batches:
            assert place.send(one)
    return place


# -- our receiver -----------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate", "zstd"])
@pytest.mark.parametrize("signal", SIGNALS)
async def test_our_receiver_gets_the_same_bytes(signal: Signal, compression: str) -> None:
    sent = [batch(signal, items) for items in (3, 1, 4, 1, 5)]
    async with receiving() as (there, url):
        more = f'compression = "{compression}"\nsending_queue = {{ num_consumers = 1 }}'
        place = await deliver(url, *sent, more=more)
    assert [one.payload for one in there.out] == [one.payload for one in sent]
    assert place.ledger.exported == sum(one.items for one in sent)
    assert place.ledger.dropped == {}


async def test_large_messages_with_several_under_way() -> None:
    sent = [batch("traces", 2000 + n) for n in range(12)]
    async with receiving() as (there, url):
        place = await deliver(url, *sent, more='compression = "zstd"')
    assert sorted(one.items for one in there.out) == [one.items for one in sent]
    assert place.ledger.exported == sum(one.items for one in sent)


async def test_tls_and_credentials(tmp_path: Path) -> None:
    ca = trustme.CA()
    pair = ca.issue_cert("127.0.0.1")
    cert, key, root = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    pair.cert_chain_pems[0].write_to_path(cert)
    pair.private_key_pem.write_to_path(key)
    ca.cert_pem.write_to_path(root)
    guarded = f'tls = {{ cert = "{cert}", key = "{key}" }}\nauth = {{ bearer = ["s3cret"] }}'
    async with receiving(guarded) as (there, url):
        url = url.replace("ws:", "wss:")
        more = f'tls = {{ ca = "{root}" }}\n'
        known = more + 'headers = { authorization = "Bearer s3cret" }'
        place = await deliver(url, batch(), more=known)
        assert place.ledger.exported == there.items == 3
        stranger = await deliver(url, batch(), more=more)
        assert stranger.ledger.dropped == {"permanent_http_401": 3}
        once = "retry_on_failure = { enabled = false }"
        distrustful = await deliver(url, batch(), more=once)
        assert distrustful.ledger.dropped == {"retry_exhausted": 3}


async def test_no_room_now_means_that_it_is_sent_again() -> None:
    async with receiving() as (there, url), exporting(url) as place:
        there.room = False
        assert place.send(batch())
        await until(lambda: "no room now" in place.context.condition.error)
        there.room = True
        await until(lambda: place.ledger.exported == 3)
    assert there.items == 3


async def test_what_is_no_request_is_dropped() -> None:
    async with receiving() as (there, url):
        place = await deliver(url, Batch("traces", b"\xff" * 5, 2), batch())
    assert place.ledger.dropped == {"permanent_grpc_invalid_argument": 2}
    assert there.items == place.ledger.exported == 3


@pytest.mark.parametrize("spans", [100, 50_000], ids=["small", "large"])
async def test_a_message_larger_than_the_receiver_takes_is_dropped_alone(spans: int) -> None:
    """It ends the connection: those beside it are sent again."""
    async with receiving('max_request_size = "4KiB"') as (there, url), exporting(url) as place:
        for one in (batch(), batch("traces", spans), batch("traces", 4)):
            assert place.send(one)
        await until(lambda: place.ledger.queued == 0)
    assert place.ledger.dropped == {"permanent_too_large": spans}
    assert place.ledger.exported == 7
    assert sorted({one.items for one in there.out}) == [3, 4]


async def test_a_receiver_that_comes_back_is_found_again() -> None:
    async with receiving() as (_, url):
        pass
    async with exporting(url) as place:
        assert place.send(batch())
        await until(lambda: place.context.condition.error)
        for total in (3, 6):
            receiver = Place("receiver", "otlp").make(f'http = "{url.removeprefix("ws://")}"')
            await receiver.start()
            if total == 6:
                assert place.send(batch())
            await until(lambda total=total: place.ledger.exported == total)
            await receiver.stop(1)


# -- a server by script -----------------------------------------------------------------------


async def test_what_is_asked_for_when_connecting() -> None:
    async with serving(agree) as server:
        more = 'compression = "gzip"\nheaders = { x-tenant = "7" }'
        await deliver(server.url, batch("metrics"), batch("metrics"), more=more)
    (request,) = server.requests  # one connection for both
    assert request.path == "/prefix/v1/metrics"
    assert request.headers["Sec-WebSocket-Protocol"] == "otlp.v1"
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["x-tenant"] == "7"
    assert request.headers["b3"] == "0"  # our own export is not to be traced
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert len(server.messages) == 2


async def test_as_many_messages_under_way_as_there_are_consumers() -> None:
    answers: list[bytes] = []

    async def talk(server: Server, socket: web.WebSocketResponse) -> None:
        await server.hear(socket, 3)  # which would never end if one waited for the other
        answers.extend((OK, bytes((3,)), OK))
        for answer in answers:
            await socket.send_bytes(answer)
        await agree(server, socket)

    async with serving(talk) as server:
        more = "sending_queue = { num_consumers = 3 }"
        place = await deliver(server.url, *(batch("traces", n) for n in (1, 20, 300)), more=more)
    assert [len(one) for one in server.messages] == sorted(len(one) for one in server.messages)
    assert place.ledger.exported == 301
    assert place.ledger.dropped == {"permanent_grpc_invalid_argument": 20}


@pytest.mark.parametrize(
    ("answer", "exported", "dropped", "requests"),
    [
        (refuses(OVERLOADED), 3, {}, 1),
        (refuses(MALFORMED), 0, {"permanent_grpc_invalid_argument": 3}, 1),
        (says(b"\x00\x0a\x05\x08\x02\x12\x01x"), 1, {"rejected": 2}, 1),
        (says(b"\x00nonsense"), 3, {}, 1),
        (says(b"\xc8"), 0, {"permanent_grpc_unknown": 3}, 1),
        (says(b""), 3, {}, 2),
        (says("text"), 3, {}, 2),
        (says(b"\x00" * (5 << 20)), 0, {"permanent_response_too_large": 3}, 1),
        (disconnect, 3, {}, 2),
    ],
    ids=["busy", "malformed", "partial", "odd", "code", "empty", "text", "huge", "disconnect"],
)
async def test_answers(answer: Talk, exported: int, dropped: dict[str, int], requests: int) -> None:
    async with serving(answer, agree) as server:
        place = await deliver(server.url, batch())
        assert len(server.requests) == requests
    assert (place.ledger.exported, place.ledger.dropped) == (exported, dropped)


async def test_an_answer_to_nothing_ends_the_connection() -> None:
    async def chatter(server: Server, socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(OK)
        await server.hear(socket)

    async with serving(chatter, agree) as server:
        place = await deliver(server.url, batch())
    assert len(server.requests) == 2
    assert place.ledger.exported == 3


@pytest.mark.parametrize("code", [1001, 1011])
async def test_a_server_that_closes_is_asked_again(code: int) -> None:
    async def leave(server: Server, socket: web.WebSocketResponse) -> None:
        await server.hear(socket, 2)
        await socket.send_bytes(OK)
        await socket.close(code=code)

    async with serving(leave, agree) as server:
        place = await deliver(server.url, batch(), batch())
    assert len(server.messages) == 3  # the one that was answered is not sent again
    assert place.ledger.exported == 6


async def test_no_answer_in_time_means_another_connection() -> None:
    async with serving(hang, agree) as server:
        place = await deliver(server.url, batch(), more='timeout = "2s"')
        assert len(server.requests) == 2
    assert "no answer in 2 s" in place.context.condition.error
    assert place.ledger.exported == 3


async def test_a_server_that_does_not_even_read_is_left() -> None:
    async def deaf(server: Server, socket: web.WebSocketResponse) -> None:
        transport: Any = server.requests[-1].transport
        transport.pause_reading()
        await server.released.wait()

    async with serving(deaf, agree) as server:
        big = batch("traces", 60_000)  # more than the kernel's buffers take
        place = await deliver(server.url, big, batch(), more='timeout = "2s"')
        assert len(server.requests) == 2
    assert place.ledger.exported == 60_003


async def test_an_answer_that_is_late_is_not_taken_for_another() -> None:
    """The first message is given up; the second, on the same connection, is still answered."""

    async def slow(server: Server, socket: web.WebSocketResponse) -> None:
        await server.hear(socket, 2)
        await server.released.wait()
        await socket.send_bytes(bytes((3,)))
        await socket.send_bytes(OK)
        await agree(server, socket)

    async with serving(slow) as server:
        transport = WebSocketTransport(parse(server.url.replace("ws", "http", 1)), Options())
        await transport.start()
        first = spawn(transport.send("traces", b"\x0a\x00", 1), "first")
        await until(lambda: len(server.messages) == 1)
        second = spawn(transport.send("traces", b"\x0a\x00", 1), "second")
        await until(lambda: len(server.messages) == 2)
        first.cancel()
        server.released.set()
        assert (await second).verdict is Verdict.ACCEPTED
        await transport.close()


@pytest.mark.parametrize(
    ("response", "exported", "dropped"),
    [
        (web.Response(status=503), 3, {}),
        (web.Response(status=404), 0, {"permanent_http_404": 3}),
        (web.Response(status=200), 0, {"permanent_http_200": 3}),
        (web.Response(status=307, headers={"Location": "/x"}), 0, {"permanent_http_307": 3}),
    ],
    ids=["busy", "missing", "no upgrade", "redirect"],
)
async def test_servers_that_do_not_upgrade(
    response: web.Response, exported: int, dropped: dict[str, int]
) -> None:
    async with serving(agree) as server:
        server.statuses.append(response)
        place = await deliver(server.url, batch())
    assert (place.ledger.exported, place.ledger.dropped) == (exported, dropped)


async def test_a_server_of_another_protocol_is_sent_nothing() -> None:
    async with serving(agree) as server, exporting(server.url) as place:
        server.protocols = ()
        assert place.send(batch())
        await until(lambda: "does not speak otlp.v1" in place.context.condition.error)
        assert server.messages == []
        server.protocols = ("otlp.v1",)
        await until(lambda: place.ledger.exported == 3)


async def test_a_stop_ends_although_the_server_hangs() -> None:
    async with serving(hang) as server:
        place = Place("exporter", "otlp_websocket")
        exporter = place.make(f'endpoint = "{server.url}"')
        await exporter.start()
        assert place.send(batch())
        await until(lambda: server.messages)
        async with asyncio.timeout(20):
            await exporter.stop(0.05)
    assert place.ledger.dropped == {"shutdown": 3}


async def test_an_outage_is_bridged_by_the_disk(tmp_path: Path) -> None:
    """Never given up, since nothing else was said."""
    queue = f'sending_queue = {{ storage = "{tmp_path}" }}\n'
    place = Place("exporter", "otlp_websocket")
    exporter = place.make('endpoint = "ws://127.0.0.1:1"\n' + QUICK + queue)
    await exporter.start()
    assert place.send(batch())
    await until(lambda: place.context.condition.error)
    await exporter.stop(0.05)
    assert place.ledger.dropped == {}
    async with receiving() as (there, url):
        await deliver(url, batch("traces", 2), more=queue)
    assert [one.items for one in there.out] == [3, 2]


@pytest.mark.parametrize("endpoint", ["grpc://a:1", "http+json://a:1", "localhost:4318"])
def test_endpoints_are_checked(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        settings("exporter", "otlp_websocket", f'endpoint = "{endpoint}"')


@pytest.mark.parametrize("endpoint", ["ws://a:1", "WSS://a/x", "http://a", "https://a"])
def test_endpoints_that_will_do(endpoint: str) -> None:
    found: Any = settings("exporter", "otlp_websocket", f'endpoint = "{endpoint}"')
    assert found.url.startswith("http")
