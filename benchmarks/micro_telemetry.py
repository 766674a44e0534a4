"""Time of one `Recorder.finish`: `python -m benchmarks.micro_telemetry`.

The exchange is what a gateway sees most: a trusted parent, one attempt over a warm connection,
one label, with and without a query. "new client" is the worst case for the encoders' memory:
every request comes from another port.
"""

from __future__ import annotations

import itertools
import time
import timeit
from collections.abc import Callable

from proxy.config.model import Config
from proxy.ring import HEAD, LANE, LANES, TAIL
from proxy.server.ring import Ring, memory_only
from proxy.telemetry.blocks import RouteBlocks
from proxy.telemetry.facts import Attempt, Exchange
from proxy.telemetry.recorder import Recorder
from proxy.tracing.context import TraceContext

CALLS = 10_000
TRACE = b"0af7651916cd43dd8448eb211c80319c"
AGENT = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0"


def exchange(query: str = "", sampled: bool = True) -> Exchange:
    made = Exchange(1_000_000_000, 1_790_000_000_000_000_000)
    made.end = made.start + 12_345_678
    made.method, made.path, made.query = "GET", "/api/orders/1234", query
    made.host, made.host_port, made.user_agent = "shop.example", 8080, AGENT
    made.client, made.peer, made.peer_port = "192.0.2.7", "10.0.0.9", 43210
    made.request_id = TRACE
    made.route = RouteBlocks("orders", "/api/orders/{id}", {"team": "shop"})
    made.trace_id, made.span_id, made.sampled = TRACE, b"b7ad6b7169203331", sampled
    made.context = TraceContext(TRACE, b"00f067aa0ba902b7", sampled)
    made.status, made.head_sent, made.body_out = 200, True, 901
    made.attempts.append(_attempt(made.start))
    return made


def _attempt(start: int) -> Attempt:
    made = Attempt(start + 50_000, b"b7ad6b7169203332", 0)
    made.upstream, made.address = "orders", "10.0.0.1:8000"
    made.host, made.port, made.peer = "10.0.0.1", 8000, ("10.0.0.1", 8000)
    made.reused, made.connected = True, start + 50_000
    made.sent, made.first_byte = start + 70_000, start + 9_000_000
    made.end, made.status = start + 12_000_000, 200
    return made


def recorder(spans: bool, logs: bool = False, lines: bool = False) -> Recorder:
    made = Recorder(Config(), Ring(memory_only(64 * 1024 * 1024)))
    made.spans, made.logs, made.lines = spans, logs, lines
    return made


def microseconds(by: Recorder, act: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(7):
        best = min(best, timeit.timeit(act, timer=time.process_time, number=CALLS))
        release(by)
    return best / CALLS * 1e6


def release(by: Recorder) -> None:
    """As a collector does: everything is safe."""
    assert isinstance(by.sink, Ring)
    for lane in LANES:
        by.sink.cells[lane * LANE + TAIL] = by.sink.cells[lane * LANE + HEAD]


def finishing(by: Recorder, made: Exchange) -> Callable[[], None]:
    return lambda: by.finish(made)


def from_new_ports(by: Recorder, made: Exchange) -> Callable[[], None]:
    ports = itertools.cycle(range(1024, 65536))

    def act() -> None:
        made.peer_port = next(ports)
        by.finish(made)

    return act


def main() -> None:
    query = "page=2&sort=price"
    cases = {
        "unsampled": (recorder(False), exchange(sampled=False), finishing),
        "unsampled, OTLP log": (recorder(False, logs=True), exchange(sampled=False), finishing),
        "unsampled, JSON line": (recorder(False, lines=True), exchange(sampled=False), finishing),
        "sampled": (recorder(True), exchange(), finishing),
        "sampled, query": (recorder(True), exchange(query), finishing),
        "sampled, query, new client": (recorder(True), exchange(query), from_new_ports),
        "sampled, query, OTLP log": (recorder(True, logs=True), exchange(query), finishing),
        "sampled, query, both logs": (recorder(True, True, True), exchange(query), finishing),
    }
    print("µs of CPU per finish(), one SERVER and one CLIENT span where sampled")
    for name, (by, made, how) in cases.items():
        print(f"{name:<30}{microseconds(by, how(by, made)):>8.2f}")


if __name__ == "__main__":
    main()
