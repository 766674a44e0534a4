"""Spans, log records, lines and numbers of exchanges against those of the sources, over and over.

    python -m tests.kernel.differ_spans --seconds 60 [--cases 0] [--seed 1]

Exchanges as strange as they come: retries, links, captured fields, texts that are no text, huge
numbers, queries with secrets. The compiled recorder writes into the memory of a ring, that of the
sources into another, and both are read; now and then the numbers are compared, forgotten, or the
configuration is changed. Whatever differs is printed, and the end is 1 if anything did.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

import proxy.collector.ring
import proxy.config.model
import proxy.config.observe
import proxy.config.units
import proxy.server.ring
import proxy.telemetry.recorder
import proxy.tracing.context
from proxy.ring import LEAST
from tests.kernel.twins import plain

Facts = dict[str, Any]

TEXTS = (
    "", "a", "/api/orders/42", "x" * 120, "y" * 127, "z" * 200, "\x7f\x00\"\\\n\r\t\b\f\x1b",
    "é", "€" * 1365, "€" * 1366, "x" * 4094 + "€", "x" * 4095 + "€", "x" * 4096, "x" * 4097,
    "\ud800", "a\udfff" * 50, "\U0001f600" * 20, "ÿ" * 3000, "\u2028", "%", "=", "&",
)  # fmt: skip
RAW = (
    b"", b"curl/8.5", b"Mozilla/5.0 (X11; Linux x86_64)" * 3, b"\xff\xfe" * 3000, b"\x80",
    b"x" * 4096, b"x" * 4099 + b"\xe2\x82", b"x" * 4095 + b"\xe2\x82\xac", b"x" * 5000 + b"\xff",
    b"\"\\\x7f\x00", "€uro".encode(), b"x" * 4100 + b"\xff",
)  # fmt: skip
QUERIES = (
    "", "a=1", "a=1&b=2", "sig=SECRET", "a=1&sig=x&b", "s%69g=x", "sig", "=", "&&=&", "é=1&sig=x",
    "x" * 4090 + "&sig=SECRET", "x" * 5000 + "&sig=SECRET", "X-Amz-Signature=a=b", "sigh=1&si=2",
)  # fmt: skip
ADDRESSES = ("", "192.0.2.7", "2001:db8::1", "10.0.0.1")
PORTS = (0, 1, 80, 127, 128, 16383, 16384, 65535, 65536, 70000, 2**40)
ERRORS = ("", "", "", "connection_reset", "404", "503", "timeout", "client_gone")
STATUSES = (200, 200, 200, 0, 101, 304, 404, 499, 500, 503)
NUMBERS = (0, 1, 127, 128, 2047, 2048, 10**6, 2**31, 2**40, 2**62, 2**63 - 1)
WALLS = (0, 1, 999_999, 1_790_000_000_123_000_000, 1_790_000_000_999_999_999, 4_000_000_000 * 10**9)
PASSED = (0, 1, 499, 500, 1500, 2500, 12_345_678, 500_500, 2**50 - 1, 2**50, 2**50 + 500, 10**17)
DIGITS = "0123456789abcdef"


def text(random: Random) -> str:
    if random.random() < 0.7:
        return random.choice(TEXTS)
    spread = random.choice((0x7F, 0x800, 0x10FFFF))
    return "".join(
        chr(random.randrange(spread + 1)) for _ in range(random.choice((3, 3, 20, 20, 100)))
    )


def raw(random: Random) -> bytes:
    return random.choice(RAW) if random.random() < 0.7 else random.randbytes(random.randrange(300))


def digits(random: Random, count: int) -> bytes:
    return "".join(random.choices(DIGITS, k=count)).encode()


def passed(random: Random) -> int:
    """ns between two events."""
    return random.choice(PASSED) if random.random() < 0.5 else random.randrange(10**10)


def context(random: Random) -> Facts:
    return {
        "trace_id": digits(random, 32),
        "span_id": random.choice((b"", digits(random, 16))),
        "sampled": random.choice((True, False, None)),
        "random": random.random() < 0.5,
        "state": random.choice((b"", b"a=1,b=2", raw(random))),
    }


def some_exchange(random: Random) -> Facts:
    """The facts of an exchange; those of its attempts, contexts and route are facts too."""
    start = random.choice((1, 10**9, 10**15))
    facts: Facts = {
        "start": start,
        "wall_ns": random.choice(WALLS),
        "end": start + passed(random) - random.choice((0, 0, 0, 10)),
        "method": random.choice(("GET", "GET", "POST", "BREW", "", text(random))),
        "scheme": random.choice(("http", "http", "https", "gopher")),
        "path": text(random),
        "query": random.choice((*QUERIES, text(random))),
        "sent_path": random.choice(("", "", text(random))),
        "host": text(random),
        "host_port": random.choice(PORTS),
        "version": random.choice(("1.1", "1.1", "2")),
        "user_agent": raw(random),
        "client": random.choice((*ADDRESSES, text(random))),
        "peer": random.choice(ADDRESSES),
        "peer_port": random.choice(PORTS),
        "request_id": random.choice((digits(random, 32), raw(random))),
        "trace_id": digits(random, 32),
        "span_id": digits(random, 16),
        "sampled": random.random() < 0.8,
        "flags_random": random.random() < 0.8,
        "status": random.choice(STATUSES),
        "error": random.choice(ERRORS),
        "why": random.choice(("", "", text(random))),
        "client_gone": random.random() < 0.05,
        "body_in": random.choice(NUMBERS),
        "body_out": random.choice(NUMBERS),
        "captured": [_captured(random) for _ in range(random.choice((0, 0, 0, 1, 4)))],
        "route": random.randrange(-1, len(ROUTES)),
        "attempts": [
            _attempt(random, start, ordinal) for ordinal in range(random.choice((0, 1, 1, 1, 2, 9)))
        ],
    }
    for name in ("context", "link"):
        facts[name] = context(random) if random.random() < 0.3 else None
    if not facts["sampled"] and random.random() < 0.3:
        facts["trace_id"] = facts["span_id"] = b""
    return facts


def _captured(random: Random) -> tuple[str, str]:
    keys = ("http.request.header.x", "http.response.header.y", "tenant", text(random))
    return random.choice(keys), text(random)


def _attempt(random: Random, start: int, ordinal: int) -> Facts:
    begun = start + passed(random)
    return {
        "start": begun,
        "span_id": digits(random, 16),
        "ordinal": ordinal,
        "retry_reason": random.choice(("", "503", "timeout")),
        "upstream": random.choice(("orders", text(random))),
        "address": random.choice(("10.0.0.1:8000", "u:p@[::1]:80", text(random))),
        "scheme": random.choice(("http", "https")),
        "host": random.choice(("10.0.0.1", "::1")),
        "port": random.choice((80, 8000)),
        "version": "1.1",
        "error": random.choice(ERRORS),
        "why": random.choice(("", "", text(random))),
        "peer": random.choice((None, (random.choice(ADDRESSES), random.choice(PORTS)))),
        "reused": random.random() < 0.5,
        "connected": random.choice((0, begun, begun + passed(random))),
        "sent": random.choice((0, begun + passed(random))),
        "first_byte": random.choice((0, begun + passed(random))),
        "cost_connect": random.choice((0, passed(random))),
        "end": random.choice((0, begun + passed(random))),
        "status": random.choice(STATUSES),
    }


ROUTES = (
    ("orders", "/api/orders/{id}", {"team": "shop"}, None),
    ("odd\x7f", "/é/{\ud800}", {"a": "\x00\"€\x7f"}, "/{other}"),
    ("", None, {}, None),
)  # fmt: skip


class Side:
    """The compiled code, or the sources."""

    def __init__(self, load: Callable[[str], Any]) -> None:
        self._facts = load("proxy.telemetry.facts")
        self._blocks = load("proxy.telemetry.blocks")
        self._context = load("proxy.tracing.context").TraceContext
        self._config = load("proxy.config.model").Config
        self._observe = load("proxy.config.observe")
        self._seconds = load("proxy.config.units").Seconds
        rings = load("proxy.server.ring")
        memory = rings.memory_only(16 * LEAST)
        self._ring = rings.Ring(memory)
        self._lanes = load("proxy.collector.ring").lanes_of(memory)
        self._routes: list[Any] = []
        self._recorder = load("proxy.telemetry.recorder").Recorder(self._config(), self._ring)
        self.configure(True, True)

    @property
    def spans(self) -> int:
        """That were kept."""
        created: int = self._ring.spans.created - self._ring.spans.dropped
        return created

    def configure(self, sizes: bool, json: bool) -> None:
        observe = self._observe
        config = self._config(
            export=observe.Export(otlp=["grpc://x:4317"]),
            access_log=observe.AccessLog(stdout=True),
            metrics=observe.Metrics(body_sizes=sizes, forget=self._seconds(5), series=50),
            tracing=observe.Tracing(redact_query=["sig", "X-Amz-Signature", "é"]),
        )
        self._recorder.configure(config, json=json)
        self._routes = [self._blocks.RouteBlocks(*route) for route in ROUTES]

    def finish(self, facts: Facts) -> object:
        """All that is recorded of it, or the kind of its refusal."""
        exchange = self._exchange(facts)
        try:
            self._recorder.begin(exchange)
            self._recorder.finish(exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, both must say it
            return type(error).__name__, self._read()
        return self._read()

    def _read(self) -> list[object]:
        runs = [lane.read(lane.head) for lane in self._lanes]
        found: list[object] = [run and (bytes(run.entries), run.items) for run in runs]
        lanes = (self._ring.spans, self._ring.logs, self._ring.lines)
        found.append([(lane.created, lane.dropped) for lane in lanes])
        del runs  # which releases them
        return found

    def numbers(self, now: float) -> object:
        """What a pass over them reports."""
        found = []
        for report in self._recorder.reports(now):
            points = {key: _bare(point) for key, point in report.histograms.items()}
            found.append((report.numbers, points, report.forgotten))
        return found

    def _exchange(self, facts: Facts) -> Any:
        made = self._facts.Exchange(facts["start"], facts["wall_ns"])
        for name, value in facts.items():
            if name not in ("route", "context", "link", "attempts", "captured"):
                setattr(made, name, value)
        made.captured = list(facts["captured"])
        made.route = self._routes[facts["route"]] if facts["route"] >= 0 else None
        for name in ("context", "link"):
            if facts[name] is not None:
                setattr(made, name, self._context(**facts[name]))
        for attempt in facts["attempts"]:
            tried = self._facts.Attempt(attempt["start"], attempt["span_id"], attempt["ordinal"])
            for name, value in attempt.items():
                setattr(tried, name, value)
            made.attempts.append(tried)
        return made


def _bare(value: Any) -> object:
    """Of classes of either side only what is in them."""
    if isinstance(value, tuple):
        return tuple(map(_bare, value))
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cases", type=int, default=0, help="stop after so many exchanges")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if proxy.WHY_PLAIN:
        print("nothing is compiled:", proxy.WHY_PLAIN)
        return 2
    random = Random(options.seed)
    one, other = Side(sys.modules.__getitem__), Side(plain)
    began = time.monotonic()
    number = differing = 0
    while time.monotonic() - began < options.seconds:
        for _ in range(200):
            facts = some_exchange(random)
            made, wanted = one.finish(facts), other.finish(facts)
            if made != wanted:
                differing += 1
                print(f"{facts!r:.3000}\n  gives {made!r:.3000}\n  not   {wanted!r:.3000}\n")
        number += 200
        if random.random() < 0.5:
            made, wanted = one.numbers(float(number)), other.numbers(float(number))
            if made != wanted:
                differing += 1
                print(f"numbers {made!r:.3000}\n  not   {wanted!r:.3000}\n")
        if random.random() < 0.2:
            sizes, json = random.random() < 0.5, random.random() < 0.8
            one.configure(sizes, json)
            other.configure(sizes, json)
        if options.cases and number >= options.cases:
            break
    took = time.monotonic() - began
    print(
        f"{number} exchanges, {one.spans} spans that were kept, in {took:.0f} s"
        f" ({number / took:.0f} a second), seed {options.seed}: {differing} disagreements"
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
