"""What is done to a gateway while its turns are watched: one function for each case of stalls.

Each gets the gateway, does its harm for a bounded time, and returns a note for the table.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import resource
import select
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import bombs, collector_ends, fixed, proc
from benchmarks.stalls_bed import P256, RSA, Gateway, Options

SECONDS = 5.0  # of harm, where it has no end of its own
PATIENCE = 60.0  # seconds for what has one
SERIES = 2000  # routes of the cases at the cap of series
IDLE = 10_000
SHAKING = 500
CHUNKS = 1_000_000
BOMB_CHUNKS = 256 * 1024
TARGETS = b"GET %b HTTP/1.1\r\nHost: stalls.test\r\n\r\n"

PLAIN = Options()


def nothing(_: Gateway) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table. `before` is done before the watch begins."""

    name: str
    play: Callable[[Gateway], str]
    options: Options = PLAIN
    before: Callable[[Gateway], str] = nothing


def reload(gateway: Gateway, routes: int) -> str:
    """HUP, and until the worker answers by the new file; three times."""
    times = []
    for number in range(3):
        version = f"version {number}"
        gateway.write(routes, version)
        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGHUP)
        with contextlib.suppress(TimeoutError):
            proc.wait_until(lambda v=version: gateway.version() == v, PATIENCE, "reload")  # type: ignore[misc]
        times.append(time.monotonic() - begun)
    return f"in force after {max(times):.2f} s"


def idle(gateway: Gateway) -> str:
    """Ten thousand clients that have asked once and stay."""
    with held(gateway.port, IDLE):
        time.sleep(2 * SECONDS)
    return ""


@contextlib.contextmanager
def held(port: int, number: int) -> Iterator[None]:
    """So many connections, each of which has had one answer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(number):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            link.sendall(TARGETS % b"/ping")
            link.recv(65536)
        yield


def touch(gateway: Gateway) -> str:
    """Each route once, so that it has its series at both sides."""
    requests = [TARGETS % f"/r{n}/1".encode() for n in range(SERIES)]
    fixed.run(gateway.port, requests, SERIES)
    return ""


def scrape(gateway: Gateway) -> str:
    """/metrics, five times."""
    times = []
    for _ in range(5):
        begun = time.monotonic()
        page = gateway.get(gateway.admin, "/metrics")
        times.append(time.monotonic() - begun)
    return f"a page of {len(page) / 1e6:.1f} MB in {max(times):.2f} s"


def view(gateway: Gateway) -> str:
    """Four people who look at /stats all the time."""
    seen = itertools.count()

    def look() -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            gateway.get(gateway.admin, "/stats")
            next(seen)

    _together(look for _ in range(4))
    return f"{next(seen)} pages"


def throw(gateway: Gateway, bomb: bombs.Bomb) -> str:
    """One bomb at the receiver `otlp`, until it is answered."""
    link = http.client.HTTPConnection("127.0.0.1", gateway.otlp, timeout=PATIENCE)
    begun = time.monotonic()
    try:
        link.request("POST", bomb.path, bomb.body, bomb.headers)
        answer = str(link.getresponse().status)
    except OSError as error:
        answer = type(error).__name__
    finally:
        link.close()
    return f"{answer} after {time.monotonic() - begun:.2f} s"


def chunks() -> bombs.Bomb:
    """256 KiB in chunks of one byte."""
    headers = {"Content-Type": "application/x-protobuf", "Transfer-Encoding": "chunked"}
    return bombs.Bomb(
        "chunks of one byte", "/v1/traces", headers, b"1\r\n\0\r\n" * BOMB_CHUNKS + b"0\r\n\r\n"
    )


def pipeline(gateway: Gateway, reads: bool) -> str:
    """As many requests for 4 kB of `respond` as the connection takes, from one client."""
    block = (TARGETS % b"/large") * 2000
    sent = read = 0
    with socket.create_connection(("127.0.0.1", gateway.port)) as link:
        link.setblocking(False)
        until = time.monotonic() + SECONDS
        rest = memoryview(block)
        while time.monotonic() < until:
            readable, writable, _ = select.select([link] if reads else [], [link], [], 0.1)
            if writable:
                size = link.send(rest)
                sent += size
                rest = rest[size:] or memoryview(block)
            if readable:
                read += len(link.recv(1 << 20))
    return f"{sent / 1e6:.0f} MB sent, {read / 1e6:.0f} MB read"


def download(gateway: Gateway, path: bytes, seconds: float) -> str:
    """Read the answer to `path` until it ends, `seconds` at most."""
    until = time.monotonic() + seconds
    got, tail = 0, b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=1) as link:
        link.sendall(TARGETS % path)
        begun = time.monotonic()
        while time.monotonic() < until and not tail.endswith(b"\r\n0\r\n\r\n"):
            with contextlib.suppress(TimeoutError):
                piece = link.recv(1 << 20)
                if not piece:
                    break
                got, tail = got + len(piece), (tail + piece)[-7:]
    return f"{got / 1e6:.1f} MB in {time.monotonic() - begun:.1f} s"


def upload(gateway: Gateway) -> str:
    """A million chunks of one byte from a client."""
    head = b"POST /upload HTTP/1.1\r\nHost: stalls.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as link:
        try:
            link.sendall(head + b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n")
            answer = link.recv(65536)[9:12].decode() or "closed"
        except OSError as error:
            answer = type(error).__name__
    return f"{answer} after {time.monotonic() - begun:.1f} s"


def handshakes(gateway: Gateway) -> str:
    """Five hundred clients at a time that send a ClientHello at once, read what comes, and go."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    hello = out.read()
    longest = bursts = 0.0
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with ExitStack() as stack:
            links = [
                stack.enter_context(socket.create_connection(("127.0.0.1", gateway.tls)))
                for _ in range(SHAKING)
            ]
            begun = time.monotonic()
            for link in links:
                link.sendall(hello)
            for link in links:
                link.settimeout(PATIENCE)
                if link.recv(3)[:2] != b"\x16\x03":
                    raise ValueError("no ServerHello")
            longest = max(longest, time.monotonic() - begun)
            bursts += 1
    return f"{bursts:.0f} bursts, the longest {longest:.2f} s"


def work(gateway: Gateway) -> str:
    """Spans from an application, and requests through the gateway: what an exporter is for."""
    body = collector_ends.request(100)
    post = (
        b"POST /v1/traces HTTP/1.1\r\nHost: stalls.test\r\nContent-Type: application/x-protobuf"
        b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    posted, asked = itertools.count(), itertools.count()

    def repeat(port: int, request: bytes, count: Iterator[int]) -> None:
        until = time.monotonic() + 2 * SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(fixed.Failed):  # a full queue: 503, come again
                fixed.run(port, [request], 20, connections=4)
            next(count)

    _together(
        [
            lambda: repeat(gateway.otlp, post, posted),
            lambda: repeat(gateway.port, TARGETS % b"/order", asked),
        ]
    )
    return f"{next(posted) * 2000:,} spans offered, {next(asked) * 20:,} requests"


def _together(plays: Iterator[Callable[[], None]] | list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=play) for play in plays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def thrown() -> Iterator[Case]:
    """A case for each bomb."""
    for bomb in (*bombs.bombs(), chunks()):
        if bomb.receiver == "otlp":
            yield Case(f"bomb: {bomb.name}", lambda g, bomb=bomb: throw(g, bomb))  # type: ignore[misc]


CASES = (
    Case("reload at 1,000 routes", lambda g: reload(g, 1000), Options(routes=1000)),
    Case("reload at 10,000 routes", lambda g: reload(g, 10_000), Options(routes=10_000)),
    Case("10,000 idle connections", idle),
    Case("/metrics at 2,000 routes", scrape, Options(routes=SERIES), touch),
    Case("4 viewers of /stats", view, Options(routes=SERIES), touch),
    *thrown(),
    Case("pipelined, client reads", lambda g: pipeline(g, True)),
    Case("pipelined, client does not", lambda g: pipeline(g, False)),
    Case("1xx without end", lambda g: download(g, b"/informed/1", SECONDS)),
    Case("1-byte chunks, upstream", lambda g: download(g, b"/dribble/1", PATIENCE)),
    Case("1-byte chunks, client", upload),
    Case("500 handshakes at once, P-256", handshakes, Options(key=P256)),
    Case("500 handshakes at once, RSA-2048", handshakes, Options(key=RSA)),
    Case("slow disk", work, Options(slow=True)),
    Case("slow exporter", work, Options(delay=2.0)),
)
