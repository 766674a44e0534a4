"""Books: what became of every item of telemetry, per signal and exporter.

created = exported + dropped{reason} + queued, at every instant. An item is created in the ledger
of each exporter that its pipeline leads to when the pipeline takes it, so that what processors
hold and drop is in the books too. `queued` is not a counter that could drift: it is asked of the
places where items really are (processors, queue, requests under way), so that an item lost between
them shows as an imbalance. Reasons for drops:

queue_full         the exporter's queue had no room; the newest goes
retry_exhausted    tried again for [export.retry] elapsed seconds
permanent_…        the collector refused it for good: permanent_http_400, permanent_grpc_internal
rejected           named in a partial success; sending it again is forbidden
too_large          more than one request may carry
malformed          not the bytes it claims to be
shutdown           still there when the time to stop had passed
no_exporter        nobody wanted this signal (exporter "none")
link_full, worker_died                lost on the way from a worker (`Pipeline.note_dropped`)
memory_limit       refused to a receiver whose sender cannot come again
sampled, filtered, …                  what a processor was told to do
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from proxy.collector.batch import Signal

Place = Callable[[], int]


class Ledger:
    """The account of one signal with one exporter."""

    __slots__ = (
        "created",
        "dropped",
        "exported",
        "exporter",
        "failed",
        "places",
        "refused",
        "signal",
    )

    def __init__(self, signal: Signal, exporter: str) -> None:
        self.signal = signal
        self.exporter = exporter
        self.created = 0
        self.exported = 0
        self.failed = 0  # dropped by the exporter itself
        self.refused = 0  # for want of room: dropped as well, unless the sender was told
        self.dropped: dict[str, int] = {}
        self.places: list[Place] = []  # each tells how many items it holds now

    def drop(self, items: int, reason: str) -> None:
        """By the exporter."""
        self.failed += items
        self.lose(items, reason)

    def lose(self, items: int, reason: str) -> None:
        """On the way to the exporter."""
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


class Shelf(Mapping[Signal, Ledger]):
    """The ledgers of one exporter, opened when first asked for."""

    __slots__ = ("_books", "_exporter", "_opened")

    def __init__(self, books: Books, exporter: str) -> None:
        self._books = books
        self._exporter = exporter
        self._opened: dict[Signal, Ledger] = {}

    def __getitem__(self, signal: Signal) -> Ledger:
        ledger = self._opened.get(signal)
        if ledger is None:
            ledger = self._opened[signal] = self._books.open(signal, self._exporter)
        return ledger

    def __iter__(self) -> Iterator[Signal]:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)


class Account:
    """The ledgers of all exporters that one pipeline leads to, written together."""

    __slots__ = ("dropped", "ledgers", "refusal")

    def __init__(self, ledgers: Iterable[Ledger] = ()) -> None:
        self.ledgers = tuple(ledgers)
        self.refusal = "queue_full"  # why the last batch was refused
        self.dropped: dict[str, int] = {}  # in this pipeline

    def add(self, items: int) -> None:
        """Items that are new: received, or made by a processor."""
        for ledger in self.ledgers:
            ledger.created += items

    def drop(self, items: int, reason: str) -> None:
        """Items that a processor gives up: `reason` is one word, of few: "sampled"."""
        if items:
            self.dropped[reason] = self.dropped.get(reason, 0) + items
        for ledger in self.ledgers:
            ledger.lose(items, reason)

    def seat(self, place: Place) -> None:
        for ledger in self.ledgers:
            ledger.places.append(place)

    def unseat(self, place: Place) -> None:
        for ledger in self.ledgers:
            ledger.places.remove(place)


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
