"""Exchanges as the server leaves them, and the decoders that collectors use."""

from __future__ import annotations

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from proxy.config.model import Config
from proxy.config.observe import AccessLog, Export
from proxy.telemetry.blocks import RouteBlocks
from proxy.telemetry.facts import Attempt, Exchange
from proxy.telemetry.recorder import Recorder
from proxy.tracing.context import TraceContext

MS = 1_000_000
START = 5_000 * MS  # monotonic
WALL = 1_790_000_000_123_000_000  # 2026-09-21T14:13:20.123Z
TRACE = b"0af7651916cd43dd8448eb211c80319c"
SERVER = b"b7ad6b7169203331"
CALLER = b"00f067aa0ba902b7"

Plain = str | int | float | bool | list[str]


def recorder(config: Config | None = None) -> Recorder:
    """One that makes all there is."""
    everything = Config(export=Export(otlp=["grpc://x:4317"]), access_log=AccessLog(stdout=True))
    return Recorder(config or everything, Kept())


class Lane:
    """Keeps what it is given until it is taken."""

    window = None

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._items = 0

    def write(self, entries: bytes, items: int) -> None:
        self._entries.append(entries)
        self._items += items

    def take(self) -> tuple[bytes, int]:
        taken = b"".join(self._entries), self._items
        self._entries, self._items = [], 0
        return taken


class Kept:
    """A recorder.Sink in memory."""

    def __init__(self) -> None:
        self.spans, self.logs, self.lines = Lane(), Lane(), Lane()


def kept(by: Recorder) -> Kept:
    """What it has recorded."""
    assert isinstance(by.sink, Kept)
    return by.sink


def orders() -> RouteBlocks:
    """A route like the server's; a new one each time, as blocks belong to one Recorder."""
    return RouteBlocks("orders", "/api/orders/{id}", {"team": "shop"})


def exchange(status: int = 200, **facts: object) -> Exchange:
    """A request of 20 ms to the orders, sampled, without attempts; `facts` are set on it."""
    made = Exchange(START, WALL)
    made.end = START + 20 * MS
    made.method = "GET"
    made.path = "/api/orders/42"
    made.host = "shop.example"
    made.host_port = 8080
    made.user_agent = b"curl/8.5"
    made.client = "192.0.2.7"
    made.peer = "10.0.0.9"
    made.peer_port = 43210
    made.route = orders()
    made.trace_id = TRACE
    made.span_id = SERVER
    made.sampled = True
    made.status = status
    made.head_sent = status != 0
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def attempt(on: Exchange, status: int = 200, **facts: object) -> Attempt:
    """Adds one try of 4 ms (1 ms dialling, 2 ms to the answer) to `on`."""
    ordinal = len(on.attempts)
    start = START + (1 + 5 * ordinal) * MS
    made = Attempt(start, b"c0ffee000000000%d" % ordinal, ordinal)
    made.upstream = "orders"
    made.address = "orders.internal:8000"
    made.host = "orders.internal"
    made.port = 8000
    made.peer = ("10.1.0.1", 8000)
    made.connected = start + 1 * MS
    made.cost_connect = 1 * MS
    made.sent = start + 1 * MS
    made.first_byte = start + 3 * MS if status else 0
    made.end = start + 4 * MS
    made.status = status
    made.error = str(status) if status >= 400 else ""
    for name, value in facts.items():
        setattr(made, name, value)
    on.attempts.append(made)
    return made


def answered(status: int = 200, **facts: object) -> Exchange:
    """An exchange whose one attempt got `status`, which the client was given."""
    made = exchange(status, **facts)
    attempt(made, status)
    return made


def caller(**parts: object) -> TraceContext:
    return TraceContext(TRACE, CALLER, True, **parts)  # type: ignore[arg-type]


def spans(made: Exchange, by: Recorder | None = None) -> list[Span]:
    """What a collector reads of the exchange's spans: SERVER first, then CLIENT by attempt."""
    by = by or recorder()
    by.finish(made)
    entries, count = kept(by).spans.take()
    decoded = list(ScopeSpans.FromString(entries).spans)
    assert len(decoded) == count
    return decoded


def record(made: Exchange, by: Recorder | None = None) -> LogRecord:
    by = by or recorder()
    by.finish(made)
    entries, count = kept(by).logs.take()
    (decoded,) = ScopeLogs.FromString(entries).log_records
    assert count == 1
    return decoded


def attributes(of: Span | LogRecord | Span.Link) -> dict[str, Plain]:
    """Attributes as a dict; that keys are unique (common.proto demands it) is asserted."""
    found = {pair.key: value(pair) for pair in of.attributes}
    assert len(found) == len(of.attributes), "an attribute came twice"
    return found


def value(pair: KeyValue) -> Plain:
    kind = pair.value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_string(item) for item in pair.value.array_value.values]
    found: Plain = getattr(pair.value, kind)
    return found


def _string(item: AnyValue) -> str:
    assert item.WhichOneof("value") == "string_value"
    return str(item.string_value)
