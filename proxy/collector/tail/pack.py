"""Pack: traces that may go, as batches of a size that exporters like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from proxy.collector.batch import Batch
from proxy.collector.tail.frames import Frame
from proxy.collector.tail.waiting import Part
from proxy.tracing.sampling import with_threshold
from proxy.tracing.w3c import member

# Below gRPC's customary 4 MiB; the batch processor's own default.
MOST_BYTES = 3 * 1024 * 1024
MOST_SPANS = 8192


class Pack:
    """Joins what has the same frame and note; a trace is never cut."""

    __slots__ = ("_groups", "_receipts", "_size", "spans")

    def __init__(self) -> None:
        self._groups: dict[tuple[Frame, bytes], list[bytes]] = {}
        self._receipts: list[object] = []
        self._size = 0
        self.spans = 0

    def add(
        self, parts: list[Part], note: bytes = b"", receipts: Iterable[object] = ()
    ) -> Iterator[Batch]:
        """Yields what was packed before if these parts do not fit in; iterate over it."""
        size = sum(len(data) for _, data, _ in parts)
        spans = sum(amount for _, _, amount in parts)
        if self.spans and (self._size + size > MOST_BYTES or self.spans + spans > MOST_SPANS):
            yield self.take()
        self._receipts += receipts
        for frame, data, _ in parts:
            entries = self._groups.get((frame, note))
            if entries is None:
                entries = self._groups[frame, note] = []
                self._size += frame.size
            entries.append(data)
        self._size += size
        self.spans += spans

    def take(self) -> Batch:
        """All of it; only if there are `spans`."""
        requests = [frame.request(entries, note) for (frame, note), entries in self._groups.items()]
        receipt = tuple({id(r): r for r in self._receipts}.values()) or None
        batch = Batch("traces", b"".join(requests), self.spans, receipt)
        self._groups = {}
        self._receipts = []
        self._size = self.spans = 0
        return batch


def weighted(decoded: list[tuple[Frame, Any]], th: str) -> list[Part]:
    """The same spans with `th` in their tracestate, where they have none that is higher.

    A downstream stage may only raise the threshold (trace/tracestate-probability-sampling.md).
    """
    parts: list[Part] = []
    for frame, scope in decoded:
        for span in scope.spans:
            state = span.trace_state.encode()
            if _threshold(state) < th:
                span.trace_state = with_threshold(state, th.encode()).decode()
        parts.append((frame, scope.SerializeToString(), len(scope.spans)))
    return parts


def _threshold(state: bytes) -> str:
    """`th` without trailing zeros, which compares as text in the order of the numbers."""
    for entry in member(state, b"ot").split(b";"):
        if entry.startswith(b"th:"):
            return entry[3:].decode()
    return ""
