"""What docs/telemetry.md says of spans, statuses and records is what a running gateway tells.

The tables of the page are the expectation: a row without a situation that shows it fails, and so
does an attribute that the page does not name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.http import h2
from proxy.server import endpoints, frames
from tests.harness import OK, Backend, Client, Gateway, Peer, gateway, routes
from tests.http.test_proxy_header import tlv, v2
from tests.server.kit import (
    ERROR,
    SERVER,
    UNSET,
    attributes,
    blackhole,
    eventually,
    eventually_collected,
    number,
    refusing,
    reply,
    request,
    script,
    traces,
)
from tests.server.tls_kit import connect, leaf, listening, secured, trusting, write_ca

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text()


def rows(head: str) -> list[list[str]]:
    """The cells of the table whose first line begins so."""
    lines = iter(PAGE.splitlines())
    assert any(line.startswith(head) for line in lines), head
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# situations: what a client asks, and what its backend does

Handler = Callable[[Peer], Awaitable[None]]
Ask = Callable[[Gateway, Backend], Awaitable[bytes]]


def get(path: str = "/x", *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: h.test:81", "Connection: close", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def asks(wire: bytes) -> Ask:
    async def ask(gate: Gateway, backend: Backend) -> bytes:
        return await gate.exchange(wire)

    return ask


plainly = asks(get())


async def leaves(gate: Gateway, backend: Backend) -> bytes:
    client = await until_asked(gate, backend)
    client.vanish()
    return b""


async def drains(gate: Gateway, backend: Backend) -> bytes:
    client = await until_asked(gate, backend)
    gate.worker.drain()
    return await client.read_all()


async def is_second(gate: Gateway, backend: Backend) -> bytes:
    await until_asked(gate, backend)
    return await gate.exchange(get())


async def until_asked(gate: Gateway, backend: Backend) -> Client:
    client = await gate.connect()
    client.write(get())
    await eventually(lambda: backend.heads)
    return client


async def finds_none(gate: Gateway, backend: Backend) -> bytes:
    """The upstream's only server has gone."""
    gone = endpoints.encode({"b": {backend.url: endpoints.Change(removed=True)}})
    gate.recorded.send(frames.ENDPOINTS, gone)
    await gate.recorded.collect()  # frames act in their order
    return await gate.exchange(get())


async def quits(peer: Peer) -> None:
    await request(peer)


async def silent(peer: Peer) -> None:
    await peer.head()
    await peer.reader.read(-1)


async def breaks_off(peer: Peer) -> None:
    await request(peer)
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


@dataclass(frozen=True)
class Situation:
    """`server`: makes the URL of an upstream that takes the backend's place."""

    ask: Ask = plainly
    backend: Handler | None = None
    route: str = ""
    more: str = ""
    server: Callable[[], contextlib.AbstractContextManager[str]] | None = None
    upstream: str = ""  # more keys of it


def at(url: str) -> Situation:
    return Situation(server=lambda: contextlib.nullcontext(url))


@contextlib.contextmanager
def shakes_no_hands() -> Iterator[str]:
    """Where connections are taken by the system, and nobody says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.contextmanager
def without_tls() -> Iterator[str]:
    """Where somebody closes each connection, whatever is said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def resetting(code: int) -> Situation:
    """A server of HTTP/2 that ends each exchange so; -1: by a GOAWAY that leaves it out."""

    @contextlib.contextmanager
    def server() -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        link = listening.accept()[0]
                        threading.Thread(target=_reset_all, args=(link, code), daemon=True).start()

            thread = threading.Thread(target=serve)
            thread.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()

    return Situation(server=server, upstream='protocol = "h2"')


def _reset_all(link: socket.socket, code: int) -> None:
    session = h2.Session(True, h2.Rules())
    with link, contextlib.suppress(OSError):
        link.settimeout(60)
        while not session.closed:
            while out := session.take():
                link.sendall(out)
            if not (data := link.recv(65536)):
                return
            for event in session.receive(data, 0):
                if isinstance(event, h2.RequestReceived) and code >= 0:
                    session.reset(event.stream_id, code)
                elif isinstance(event, h2.RequestReceived):
                    link.sendall(b"\0\0\x08\x07" + bytes(13))


def switches(version: str = "13", to: str = "websocket") -> Ask:
    lines = ["GET /x HTTP/1.1", "Host: h.test:81", "Connection: upgrade", f"Upgrade: {to}"]
    lines += [f"Sec-WebSocket-Version: {version}", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    return asks("\r\n".join([*lines, "", ""]).encode())


CONNECT = b"CONNECT h.test:80 HTTP/1.1\r\nHost: h.test:80\r\n\r\n"
WRONG_ACCEPT = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
WRONG_ACCEPT += b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOx=\r\n\r\n"


def posts(*lines: str, body: bytes = b"") -> Ask:
    return asks(get("/x", *lines, method="POST", body=body))


BROKEN = '[[route]]\npath = "/broken"\nrespond.status = 500'
MOVED = '[[route]]\npath = "/moved"\nredirect.to = "/x"'
ELSEWHERE = 'host = "other.test"'
PER_TRY = 'retry = { times = 0, per_try = "100ms" }'
SLOW = Situation(backend=silent, route='first_byte_timeout = "100ms"')

# by the first cell of a row
NO_REDIS = '[redis]\nurl = "unix:///nowhere"\nwhen_down = "closed"\n'
LIMITED = Situation(route='rate = { limit = "1/d", scope = "shared" }', more=NO_REDIS)
GUARD = '[auth.a]\n{}\n[defaults]\nauth = "a"\n'
UNKNOWN = Situation(more=GUARD.format('jwt = { jwks = "https://127.0.0.1:9/" }'))
DENIED = Situation(route='deny = "127.0.0.1"')
UNJUDGED = Situation(more=GUARD.format('forward = { to = "http://127.0.0.1:9/" }'))
CROWDED = Situation(is_second, silent, upstream="limits = { requests = 1 }")

SITUATIONS: dict[str, list[Situation]] = {
    "answer 1xx to 3xx": [Situation(), Situation(backend=script(reply(301)))],
    "answer 4xx": [Situation(backend=script(reply(404))), Situation(backend=script(reply(429)))],
    "answer 5xx": [Situation(backend=script(reply(500))), Situation(backend=script(reply(503)))],
    "connection refused": [Situation(server=refusing)],
    "name not found": [at("http://x.invalid:80")],
    "no route to the host and the like": [at("http://255.255.255.255:80")],
    "no connection within `connect_timeout`": [
        Situation(server=blackhole, route='connect_timeout = "100ms"')
    ],
    "no TLS handshake within `tls_timeout`": [
        Situation(server=shakes_no_hands, route='tls_timeout = "100ms"')
    ],
    "the TLS handshake failed, or a certificate was not taken": [Situation(server=without_tls)],
    "closed or reset before a complete head": [Situation(backend=quits)],
    "the exchange was reset before that, by HTTP/2": [resetting(h2.INTERNAL_ERROR)],
    "the same with `ENHANCE_YOUR_CALM`": [resetting(h2.ENHANCE_YOUR_CALM)],
    "refused by HTTP/2 (`REFUSED_STREAM`), and so were three more tries": [
        resetting(h2.REFUSED_STREAM)
    ],
    "left out by a GOAWAY, and so were sixteen more tries": [resetting(-1)],
    "the answer is not HTTP": [Situation(backend=script(b"HELLO\r\n\r\n"))],
    "`first_byte_timeout`, `idle_timeout`, `timeout`": [
        SLOW,
        Situation(backend=silent, route='timeout = "100ms"'),
    ],
    "`stream_timeout`, of what is no tunnel": [
        Situation(backend=silent, route='stream_timeout = "100ms"')
    ],
    "no time was left for a try: the caller's deadline was over": [
        Situation(
            asks(get("/x", "X-Request-Deadline: 0")), more="[forwarding]\ntrust = ['127.0.0.1']"
        )
    ],
    "`retry.per_try`": [Situation(backend=silent, route=PER_TRY)],
    "the body broke off": [Situation(backend=breaks_off)],
    "the client left": [Situation(leaves, silent)],
    "no server of the upstream is up": [Situation(finds_none)],
    "there is no server of the upstream at all, and `empty_status` is 500": [
        Situation(finds_none, upstream="\nempty_status = 500")
    ],
    "no route": [Situation(route=ELSEWHERE)],
    "routes, but none for the method": [Situation(route='when.method = "PUT"')],
    "more requests than a [rate limit](traffic-rate-limits.md) lets in": [LIMITED],
    "no credentials, or none that are good ([access](access.md))": [UNKNOWN],
    "an address that may not come in, or a client that may not do this": [DENIED],
    "a browser that must log in first (`forward`, `oidc`)": [
        Situation(
            backend=script(reply(302, b"", "Location: /login")),
            more=GUARD.format('forward = { to = "http://b/" }'),
        )
    ],
    "nobody knows whether it may come in": [UNJUDGED],
    "as much is under way at the upstream as its [limits](traffic-overload.md) allow": [CROWDED],
    "the route is under [maintenance](traffic-errors.md#maintenance)": [
        Situation(route="maintenance = true"),
        Situation(more="[errors]\nmaintenance = true\n"),
    ],
    "redirect, fixed answer": [
        Situation(asks(get("/broken")), more=BROKEN),
        Situation(asks(get("/moved")), more=MOVED),
    ],
    "an `Upgrade` to a protocol that the route does not allow, another version of WebSocket": [
        Situation(switches(to="other")),
        Situation(switches("12")),
    ],
    "`CONNECT` where no route allows it": [Situation(asks(CONNECT))],
    "a 101 to another protocol than was asked for, or with the wrong `Sec-WebSocket-Accept`": [
        Situation(switches(), script(WRONG_ACCEPT))
    ],
    "`OPTIONS` and `TRACE` that are not forwarded": [
        Situation(asks(get("*", method="OPTIONS"))),
        Situation(asks(get(method="TRACE"))),
    ],
    "the request went in circles (`Via`)": [
        Situation(asks(get("/x", "Via: " + ", ".join(["1.1 spangate"] * 10))))
    ],
    "cut off at the end of a drain": [Situation(drains, silent, more='drain_timeout = "100ms"')],
    "malformed, too large or stalled request body": [
        Situation(posts("Transfer-Encoding: chunked", body=b"zz\r\n"), silent),
        Situation(posts("Content-Length: 9"), silent, 'body_limit = "5B"'),
        Situation(posts("Content-Length: 9"), silent, 'idle_timeout = "100ms"'),
    ],
    "malformed request head": [
        Situation(asks(get("/x", "a b: c"))),
        Situation(asks(get()[:-2]), more='[limits]\nheader_timeout = "100ms"'),
        Situation(asks(get("/" + "x" * 9000))),
        Situation(asks(get("/x", "Expect: more"))),
        Situation(asks(get("/x", "a: " + "x" * 70000))),
        Situation(asks(get().replace(b"HTTP/1.1", b"HTTP/3.0"))),
    ],
}
ROWS = {row[0]: row for row in rows("| what happened |")}


@contextlib.asynccontextmanager
async def running(situation: Situation) -> AsyncIterator[tuple[Gateway, bytes]]:
    """A gateway, and what its client got."""
    async with contextlib.AsyncExitStack() as stack:
        backend = await stack.enter_async_context(Backend(situation.backend))
        top, tables = ("", situation.more) if situation.more[:1] == "[" else (situation.more, "")
        text = f"{top}\n{routes(backend, tables, situation.route)}{situation.upstream}\n"
        if situation.server is not None:
            text = text.replace(backend.url, stack.enter_context(situation.server()))
        gate = await stack.enter_async_context(gateway(text))
        yield gate, await situation.ask(gate, backend)


CASES = [
    pytest.param(row, situation, id=f"{what}-{number}")
    for what, row in ROWS.items()
    for number, situation in enumerate(SITUATIONS[what])
]


def test_every_row_about_statuses_is_tried() -> None:
    assert SITUATIONS.keys() == ROWS.keys()


@pytest.mark.parametrize(("row", "situation"), CASES)
async def test_what_the_page_says_of_a_situation(row: list[str], situation: Situation) -> None:
    _, client, server_span, client_span = row
    async with running(situation) as (gate, got):
        status = int(got.split()[1]) if got else 0
        if re.match(r"[0-9]", client):
            assert str(status) in re.findall("[0-9]{3}", client)
        if "no span" in server_span:
            await eventually_collected(
                gate, lambda: number(gate, "spangate.rejected", spangate_reason=str(status))
            )
            assert gate.made == 0
            return
        (seen,) = await traces(gate)
    as_told(server_span, seen.server, status)
    if client_span == "none":
        assert not seen.clients
    elif client_span != "as far as it came":
        as_told(server_span if client_span == "the same" else client_span, seen.clients[0], status)
    assert ("http.route" in seen.about) == ("no `http.route`" not in server_span)


def as_told(cell: str, span: Span, status: int) -> None:
    """Whether a span's status, error and marks are those of a cell."""
    about = attributes(span)
    if cell.startswith("as by its status"):
        cell = "Error, `error.type` = the status" if status >= 500 else "unset"
    gone = "`spangate.client_gone`" in cell
    assert about.get("spangate.client_gone", False) is gone
    if cell.startswith("unset, `error.type`"):
        assert (span.status.code, about["error.type"]) == (UNSET, named(cell)[1])
    elif cell.startswith("unset"):
        assert (span.status.code, "error.type" in about) == (UNSET, False)
    else:
        error = str(status) if "= the status" in cell else named(cell)[0]
        assert (span.status.code, about["error.type"]) == (ERROR, error)
    if "no status code" in cell or gone:
        assert "http.response.status_code" not in about
    elif "with the status that was sent" in cell or span.kind == SERVER:
        assert about["http.response.status_code"] == status


# attributes

HASH = 'balance = { policy = "hash", on = "client" }'
EVERYTHING = """
[tracing]
request_headers = ["x-asked"]
response_headers = ["x-told"]
[labels]
zone = "a"
"""
RETRY = """
rewrite = { path = "/inner" }
retry = { times = 1, on = [503], backoff = "1ms" }
headers.response.set.x-told = "1"
"""


@dataclass
class Told:
    """Attributes of all SERVER spans, CLIENT spans and log records, and the keys of lines."""

    server: set[str] = field(default_factory=set)
    client: set[str] = field(default_factory=set)
    log: set[str] = field(default_factory=set)
    line: set[tuple[str, ...]] = field(default_factory=set)

    async def add(self, gate: Gateway, number: int) -> None:
        await traces(gate, number)
        for span in gate.recorded.spans:
            (self.server if span.kind == SERVER else self.client).update(attributes(span))
        for log in gate.recorded.logs:
            self.log.update(attributes(log))
        self.line.update(tuple(json.loads(line)) for line in gate.recorded.lines)


PAGED = '[errors]\npages = { "503" = { upstream = "b" } }\n'


async def told() -> Told:
    """Of a few requests that have everything between them."""
    seen = Told()
    more = f"{EVERYTHING}[access_log]\nstdout = true"
    answers = Backend(script(reply(503), OK))
    async with answers as backend, gateway(routes(backend, more, RETRY)) as gate:
        await gate.exchange(get("/x?q=1", "X-Asked: 1", "User-Agent: a"))
        await gate.exchange(get("/x", method="BREW"))
        await seen.add(gate, 2)
    async with running(Situation(leaves, silent)) as (gate, _):
        await seen.add(gate, 1)
    for situation in (LIMITED, CROWDED, DENIED):
        async with running(situation) as (gate, _):
            await seen.add(gate, 1)
    async with running(Situation(backend=quits)) as (gate, _):
        await seen.add(gate, 1)
    async with running(Situation(upstream=HASH)) as (gate, _):
        await gate.exchange(get())
        await seen.add(gate, 1)
    async with answers as backend, gateway(routes(backend, PAGED, "maintenance = true")) as gate:
        await gate.exchange(get())
        await seen.add(gate, 1)
    trusting = "[forwarding]\ntrust = ['127.0.0.1']"
    async with running(Situation(more=trusting)) as (gate, _):
        await gate.exchange(get("/x", "X-Request-Deadline: soon"))
        await seen.add(gate, 1)
    await seen_by_contexts(seen)
    await seen_by_tls(seen)
    await seen_by_unix_sockets(seen)
    for names in (seen.server, seen.client, seen.log):
        names.remove("zone")  # a label
    return seen


async def seen_by_contexts(seen: Told) -> None:
    """Callers that say something unusual of their trace, and an upstream that is told nothing."""
    trusting = "[forwarding]\ntrust = ['127.0.0.1']\n[tracing]\nsampler = 'always'"
    ids = f"{'a' * 32}-{'b' * 16}"
    told_nothing = Situation(more=trusting, route="propagate = { context = 'drop' }")
    async with running(told_nothing) as (gate, _):
        await gate.exchange(get("/x", "traceparent: 00-0"))
        await gate.exchange(get("/x", f"b3: {ids}-0", "baggage: a=1", "X-Request-Id: 7"))
        await seen.add(gate, 3)


async def seen_by_tls(seen: Told) -> None:
    """A client that shows a certificate, and a server with TLS."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ca, here = write_ca(folder), leaf("127.0.0.1", "spiffe://mesh/b")
        listener = listening(folder, f', client_ca = "{ca}"')
        async with Backend() as backend, secured(backend, here) as url:
            text = routes(backend, listener).replace(backend.url, url)
            tls = f'ca = "{ca}", identities = ["spiffe://mesh/b"]'
            async with gateway(f"{text}tls = {{ {tls} }}\n") as gate:
                context = trusting(shows=here)
                context.set_alpn_protocols(["http/1.1"])
                client = await connect(gate, context)
                client.write(get())
                await client.answer()
                await seen.add(gate, 1)


async def seen_by_unix_sockets(seen: Told) -> None:
    """A client of a load balancer, and a server whose answer is compressed, by Unix sockets."""
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as sock:
        server = await asyncio.start_unix_server(answers_at_length, f"{name}/b")
        sock.bind(f"{name}/gw")
        sock.listen()
        listener = f'[[listen]]\naddress = "unix:{name}/gw"\nproxy_protocol = true\n'
        text = routes(Backend(), listener, "compress = true")
        text = text.replace(Backend().url, f"unix:{name}/b")
        async with gateway(text, sock=sock.dup()) as gate:
            client = Client(*await asyncio.open_unix_connection(f"{name}/gw"))
            client.write(v2(0x31, bytes(216), tlv(5, b"id")) + get("/x", "Accept-Encoding: br"))
            assert await client.read_all()
            await seen.add(gate, 1)
        server.close()


async def answers_at_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(reply(200, b"x" * 2000, "Content-Type: text/plain"))
    writer.close()


def documented(side: int) -> set[str]:
    """The attributes of one kind of span; `<name>` is that of the captured fields above."""
    names = {n for row in rows("| attribute |") if row[side] == "●" for n in named(row[0])}
    concrete = {"request": "x-asked", "response": "x-told"}
    return {re.sub(r"(request|response)(.*)<name>", _concrete(concrete), n) for n in names}


def _concrete(names: dict[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: f"{match[1]}{match[2]}{names[match[1]]}"


async def test_the_attributes_on_the_page_are_those_of_spans_and_records() -> None:
    seen = await told()
    of_tunnels = {n for n in documented(1) if n.startswith(("spangate.tunnel.", "websocket."))}
    assert seen.server == documented(1) - of_tunnels  # which test_websocket.py sees to
    others = {"spangate.mirror", "spangate.hedge.lost", "spangate.auth.check"}
    assert seen.client == documented(2) - others  # as with these
    more = PAGE.split("As OTLP log records", 1)[1].split("severity INFO", 1)[0]
    left_out = (".header.", "spangate.phase.", "spangate.peer.", "tls.")
    left_out += ("network.transport", "spangate.proxy_protocol.", "spangate.compression")
    left_out += ("spangate.denied.", "spangate.deadline.", "spangate.overload.", "spangate.check")
    left_out += ("spangate.chosen_by", "spangate.trace_context.", "spangate.baggage")
    kept = {n for n in seen.server if not any(part in n for part in left_out)}
    assert seen.log == kept | {n for n in named(more) if "." in n}
    (keys,) = seen.line
    example = re.search(r"```json\n(.*?)\n```", PAGE)
    assert example is not None and list(keys) == list(json.loads(example[1]))
    assert set(keys) == {n for row in rows("| key | |") for n in named(row[0])}
