"""The calls that `sections` counts, in a process under callgrind; speaks with it over its pipes.

A section is measured if its functions are there and may be called as here; otherwise a line says
so, and it is a part of the rest. "begin" and "end NUMBER NAME" go out, and each is answered by an
empty line when callgrind has been told.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from benchmarks import backend, micro_exchange, workload
from benchmarks.micro_telemetry import release
from proxy.http.framing import frame_response
from proxy.http.h1 import RequestReader, ResponseReader
from proxy.http.receive import receive
from proxy.server import added, answering, outbound
from proxy.server.serve import tell
from proxy.telemetry.facts import Attempt
from proxy.tracing import ids

CONFIG = """
[export]
otlp = "http://127.0.0.1:9"
signals = ["traces"]
[access_log]
stdout = false
[[route]]
name = "orders"
path = "/api/v1/orders/{id}"
to   = "backend"
[[route]]
name = "chunked"
path = "/chunked/*"
to   = "backend"
[upstream.backend]
servers = { "http://127.0.0.1:9000" = 1 }
"""
CALLS = 200
HEAD = backend.SIZED[: -len(workload.BODY)]

Call = Callable[[], object]


class Bench:
    """A worker over stubs, and a request half-way through it."""

    told: Any = None  # the last story

    async def prepare(self) -> None:
        self.worker: Any
        self.client: Any
        self.upstream: Any
        self.worker, self.client, self.upstream = await micro_exchange.prepare(CONFIG, self._tell)
        self.requests = [workload.request(one) for one in workload.trace_ids(CALLS)]
        self.at = 0
        self.whole()
        self.x = self.told.x  # of a whole exchange
        self.reader = RequestReader()
        self.answers = ResponseReader()
        self.head = self.received()
        self.story: Any = tell(self.worker, self.client, self.head)
        self.described()
        self.entry, self.captures = self.worker.snapshot.match(self.head, self.host)
        self.story.x.route = self.entry.blocks
        self.target = self.story.target = self.entry.pick(0.5)
        self.lines = self.traced()
        self.answer = self.read()
        spans = self.worker.recorder.sink.spans
        before = spans.position
        self.recorded()
        self.entries = bytes((spans.position - before) & 0xFFFF)

    def _tell(self, *facts: Any) -> Any:
        self.told = tell(*facts)
        return self.told

    def request(self) -> bytes:
        self.at = (self.at + 1) % CALLS
        return self.requests[self.at]

    def whole(self) -> None:
        self.client.data_received(self.request())
        self.worker.outbox.flush()
        self.upstream.data_received(backend.SIZED)
        self.worker.outbox.flush()

    def driven(self) -> None:
        """What `whole` has of this file and of the stubs, and a worker has not."""
        self.request()
        for _ in range(2):
            self.upstream.transport.is_closing()
            self.upstream.transport.write(HEAD)
            self.nothing(HEAD)
            self.nothing(HEAD)

    def nothing(self, data: bytes) -> None: ...

    def received(self) -> Any:
        return receive(self.reader, self.request(), self.worker.snapshot, self.worker.authorities)

    def described(self) -> None:
        x = self.story.x
        self.host = outbound.describe(x, self.head, self.client, self.worker.snapshot)
        x.request_id = outbound.request_id(self.story)

    def traced(self) -> Any:
        """The context of a caller in, our own ids, and both on towards the upstream."""
        answering.trace(self.story, self.entry)
        x = self.story.x
        inject = self.target.injector.inject
        return inject(x.trace_id, x.span_id, x.sampled, x.flags_random, x.context)

    def read(self) -> Any:
        head = self.answers.read(HEAD)
        frame_response(head, "GET")
        return head

    def bare(self) -> dict[str, Call]:
        """Calls whose arguments are at hand: looking them up costs as much as a compiled call."""
        story, entry, head, lines = self.story, self.entry, self.head, self.lines
        x, client, upstream, answer = story.x, self.client, self.upstream, self.answer
        snapshot, flush, host = self.worker.snapshot, self.worker.outbox.flush, self.host
        random, getrandbits = self.worker.random, self.worker.getrandbits
        match, inject, pick = snapshot.match, self.target.injector.inject, entry.pick
        context = (x.trace_id, x.span_id, x.sampled, x.flags_random, x.context)
        captures, edits, now = self.captures, entry.response_edits, x.start
        choose = self.target.state.balancer.pick
        pool = self.worker.pool_of(choose(now, None, None))
        take, give, start, put = pool.take, pool.give, upstream.start, client.send_data
        begin = client.begin_answer

        def described() -> None:
            outbound.describe(x, head, client, snapshot)
            outbound.request_id(story)

        def routed() -> None:
            match(head, host)
            pick(random())

        def traced() -> None:
            answering.trace(story, entry)
            inject(*context)

        def chosen() -> None:
            choose(now, None, None)
            Attempt(now, ids.span_id(getrandbits), 0)
            give(take(False), now)

        def sent() -> None:
            start(story, head, outbound.request(story, entry, snapshot, captures), lines)
            flush()

        def answered() -> None:
            begin(answer, edits, added.lines(x, snapshot, edits, answer))
            put(workload.BODY, True)
            flush()

        return {
            "facts of the request, X-Request-Id": described,
            "routing": routed,
            "trace context in and out": traced,
            "pool, balance, attempt": chosen,
            "head to the upstream: edits, forwarding": sent,
            "answer's head in": self.read,
            "answer's head and body out": answered,
        }

    def recorded(self) -> None:
        self.worker.recorder.begin(self.x)
        self.worker.recorder.finish(self.x)

    def counted(self) -> None:
        self.x.sampled = False
        self.recorded()
        self.x.sampled = True

    def ringed(self) -> None:
        self.worker.recorder.sink.spans.write(self.entries, 2)


def tell_outside(word: str) -> None:
    print(word, flush=True)
    sys.stdin.readline()


def count(name: str, call: Call) -> None:
    """Have `CALLS` calls counted."""
    try:
        for _ in range(60):
            call()
    except (AttributeError, TypeError) as error:
        print(f"not measured alone: {name}: {error}", flush=True)
        return
    tell_outside("begin")
    for _ in range(CALLS):
        call()
    tell_outside(f"end {CALLS} {name}")


async def main() -> None:
    """Count every section."""
    bench = Bench()
    await bench.prepare()
    gc.freeze()  # as a worker does
    calls: dict[str, Call] = {
        "empty": lambda: None,
        "whole exchange, no sockets": bench.whole,
        "driver": bench.driven,
        "request head: scan, limits, framing, target": bench.received,
        **bench.bare(),
        "metrics": bench.counted,
        "metrics, spans, ring": bench.recorded,
        "ring": bench.ringed,
    }
    for name, call in calls.items():
        release(bench.worker.recorder)
        count(name, call)


if __name__ == "__main__":
    uvloop.run(main())
