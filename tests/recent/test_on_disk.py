"""What has left the memory and lies on disk is answered by every API."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import TypeVar

import pytest

from proxy.recent.desk import Desk
from proxy.recent.ring import Ring, Stored
from proxy.recent.view import Piece
from tests.recent.samples import NOW, SECOND, ask, demo, ring, trace_id

_Result = TypeVar("_Result")


def done(result: _Result) -> Future[_Result]:
    future: Future[_Result] = Future()
    future.set_result(result)
    return future


class OneRun:
    """All batches of another ring, in one piece."""

    def __init__(self, batches: list[Stored]) -> None:
        self._batches = batches
        self.first, self.last = batches[0].at, batches[-1].at

    def fetch(self, at: int) -> Future[Piece]:
        return done((self._batches, 0))


class Disk:
    """An Archive that has what an earlier process has stored."""

    def __init__(self, earlier: Ring) -> None:
        self._batches = earlier.batches()

    def has(self, number: int) -> bool:
        return False

    def runs(self, below: int) -> Sequence[OneRun]:
        return [OneRun(self._batches)]

    def find(self, ids: Collection[bytes], below: int) -> Future[list[Stored]]:
        found = (stored.only(dict.fromkeys(ids)) for stored in self._batches)
        return done([only for only in found if only is not None])


def desk() -> Desk:
    """The second trace is in memory, the first one on disk."""
    earlier, now = ring(), ring()
    demo(earlier, 1, error=True, at=NOW - 3600 * SECOND)
    demo(now, 2)
    made = Desk(now)
    made.archive = Disk(earlier)
    return made


ON_DISK = trace_id(1).hex()


@pytest.mark.parametrize(
    "target",
    [
        "/api/traces?error=true",
        f"/api/traces/{ON_DISK}",
        "/jaeger/api/traces?service=spangate&tags=error:true",
        f"/jaeger/api/traces?traceID={ON_DISK}",
        f"/jaeger/api/traces/{ON_DISK}",
        "/jaeger/api/v3/trace-summaries?query.attributes=error:true",
        "/jaeger/api/v3/traces?query.attributes=error:true",
        f"/jaeger/api/v3/traces/{ON_DISK}",
        "/zipkin/api/v2/traces?annotationQuery=error",
        f"/zipkin/api/v2/traceMany?traceIds={ON_DISK}",
        f"/zipkin/api/v2/trace/{ON_DISK}",
        "/tempo/api/search?q=%7Bstatus%3Derror%7D",
    ],
)
def test_traces_on_disk_are_found_and_told(target: str) -> None:
    reply = ask(desk(), target)
    assert reply.status == 200
    assert ON_DISK.encode() in reply.body
    assert trace_id(2).hex().encode() not in reply.body


def test_their_spans_are_told_too() -> None:
    assert (
        ask(desk(), f"/tempo/api/traces/{ON_DISK}", "application/protobuf").body.count(trace_id(1))
        == 6
    )
    found = ask(desk(), "/tempo/api/search?q=%7Bstatus%3Derror%7D").body
    assert b'"matched":2' in found
    assert b'"orphanSpanCount":0' in ask(
        desk(), "/jaeger/api/v3/trace-summaries?query.attributes=error:true"
    ).body.replace(b" ", b"")
