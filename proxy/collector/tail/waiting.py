"""Waiting: traces that are not complete yet, as bytes, in the order in which they are due.

It keeps count of the bytes it holds, objects included, and knows nothing of why traces wait or
what becomes of them. Every trace waits equally long, and equally long after its root, so that two
queues in order of arrival are all that is needed to know who is due.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

from proxy.collector.tail.cut import Piece
from proxy.collector.tail.frames import Frame, Frames

Part = tuple[Frame, bytes, int]  # entries of one frame, and how many spans they are

# Bytes of objects, CPython 3.11 (tracemalloc): a trace with its dict entry and list; a part with
# its tuple, bytes object and place in the list.
TRACE_OVERHEAD = 400
PART_OVERHEAD = 140
ROOT_OVERHEAD = 120


class Pending:
    """One trace."""

    __slots__ = ("due", "parts", "receipts", "rooted", "size", "spans", "trace_id")

    def __init__(self, trace_id: bytes, due: float) -> None:
        self.trace_id = trace_id
        self.due = due  # seconds
        self.parts: list[Part] = []
        self.receipts: list[object] = []  # of the batches that the parts came with
        self.spans = 0
        self.size = 0  # bytes of entries
        self.rooted = False


class Waiting:
    """`wait` after its first span a trace is due, or `after_root` (0 = off) after its root came."""

    __slots__ = ("_after_root", "_roots", "_wait", "frames", "spans", "traces", "weight")

    def __init__(self, wait: float, after_root: float = 0.0) -> None:
        self._wait = wait
        self._after_root = after_root
        self._roots: deque[tuple[float, bytes]] = deque()
        self.frames = Frames()
        # A plain dict keeps holes where its first entries were, and walks over them to find the
        # next one: draining 50,000 traces would take a second.
        self.traces: OrderedDict[bytes, Pending] = OrderedDict()
        self.spans = 0
        self.weight = 0

    @property
    def memory(self) -> int:
        """Bytes held, with the objects around them."""
        return self.weight + self.frames.size

    def __len__(self) -> int:
        return len(self.traces)

    def add(self, piece: Piece, now: float, receipt: object = None) -> Pending:
        """`now` in seconds, and never falling."""
        pending = self.traces.get(piece.trace_id)
        if pending is None:
            pending = self.traces[piece.trace_id] = Pending(piece.trace_id, now + self._wait)
            self.weight += TRACE_OVERHEAD
        size = len(piece.data)
        frame = self.frames.take(piece.resource, piece.scope)
        pending.parts.append((frame, piece.data, piece.spans))
        if receipt is not None:
            pending.receipts.append(receipt)
        pending.spans += piece.spans
        pending.size += size
        self.spans += piece.spans
        self.weight += size + PART_OVERHEAD
        if piece.root and self._after_root and not pending.rooted:
            pending.rooted = True
            self._roots.append((now + self._after_root, piece.trace_id))
            self.weight += ROOT_OVERHEAD
        return pending

    def next_due(self) -> float:
        """When the next trace is due; infinity if none waits."""
        first = next(iter(self.traces.values()), None)
        due = first.due if first is not None else math.inf
        return min(due, self._next_root())

    def pop_due(self, now: float) -> Pending | None:
        """A trace that is due, the longest waiting first."""
        first = next(iter(self.traces.values()), None)
        if first is not None and first.due <= now:
            return self.pop(first)
        if self._next_root() <= now:
            return self.pop(self.traces[self._roots[0][1]])
        return None

    def oldest(self) -> Pending:
        return next(iter(self.traces.values()))

    def pop(self, pending: Pending) -> Pending:
        """Let a trace go; its frames are still in use, until `forget`."""
        del self.traces[pending.trace_id]
        self.spans -= pending.spans
        self.weight -= TRACE_OVERHEAD + pending.size + PART_OVERHEAD * len(pending.parts)
        self._next_root()
        return pending

    def forget(self, parts: list[Part]) -> None:
        """These parts are in nobody's hands any more."""
        for frame, _, _ in parts:
            self.frames.give_back(frame)

    def _next_root(self) -> float:
        """The first root's time whose trace still waits."""
        roots = self._roots
        while roots:
            due, trace_id = roots[0]
            pending = self.traces.get(trace_id)
            if pending is not None and pending.rooted:
                return due
            roots.popleft()
            self.weight -= ROOT_OVERHEAD
        return math.inf
