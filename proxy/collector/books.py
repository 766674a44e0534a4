"""Books: what became of every item of telemetry, per signal and exporter.

created = exported + dropped{reason} + queued, at every instant. `queued` is not a counter that
could drift: it is asked of the places where items really are (batcher, queue, requests under
way), so that an item lost between them shows as an imbalance. Reasons for drops:

queue_full         the exporter's queue had no room; the newest goes
retry_exhausted    tried again for [export.retry] elapsed seconds
permanent_…        the collector refused it for good: permanent_http_400, permanent_grpc_internal
rejected           named in a partial success; sending it again is forbidden
too_large          more than one request may carry
malformed          not the bytes it claims to be
shutdown           still there when the time to stop had passed
no_exporter        nobody wanted this signal (exporter "none")
link_full, worker_died                lost on the way from a worker (`Pipeline.note_dropped`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.collector.batch import Signal

Place = Callable[[], int]


class Ledger:
    """The account of one signal with one exporter."""

    __slots__ = ("created", "dropped", "exported", "exporter", "places", "signal")

    def __init__(self, signal: Signal, exporter: str) -> None:
        self.signal = signal
        self.exporter = exporter
        self.created = 0
        self.exported = 0
        self.dropped: dict[str, int] = {}
        self.places: list[Place] = []  # each tells how many items it holds now

    def drop(self, items: int, reason: str) -> None:
        if items:
            self.dropped[reason] = self.dropped.get(reason, 0) + items

    @property
    def queued(self) -> int:
        return sum(place() for place in self.places)

    @property
    def balanced(self) -> bool:
        return self.created == self.exported + sum(self.dropped.values()) + self.queued

    def __repr__(self) -> str:
        drops = "".join(f" -{n} {r}" for r, n in sorted(self.dropped.items()))
        return (
            f"<Ledger {self.signal} {self.exporter}: {self.created} created,"
            f" {self.exported} exported, {self.queued} queued{drops}>"
        )


class Books:
    """All ledgers. They outlive the pipelines that write them: a reload must not reset counters."""

    __slots__ = ("_ledgers",)

    def __init__(self) -> None:
        self._ledgers: dict[tuple[Signal, str], Ledger] = {}

    def open(self, signal: Signal, exporter: str) -> Ledger:
        """The ledger of that signal and exporter, as it stands or new."""
        return self._ledgers.setdefault((signal, exporter), Ledger(signal, exporter))

    def __iter__(self) -> Iterator[Ledger]:
        return iter(self._ledgers.values())

    def balanced(self) -> bool:
        return all(ledger.balanced for ledger in self)

    def as_dict(self) -> dict[str, dict[str, dict[str, object]]]:
        """{exporter: {signal: {created, exported, dropped: {reason: n}, queued, balanced}}}."""
        out: dict[str, dict[str, dict[str, object]]] = {}
        for ledger in self:
            out.setdefault(ledger.exporter, {})[ledger.signal] = {
                "created": ledger.created,
                "exported": ledger.exported,
                "dropped": dict(ledger.dropped),
                "queued": ledger.queued,
                "balanced": ledger.balanced,
            }
        return out
