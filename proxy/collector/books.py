"""Books: what became of every item of telemetry, per signal and exporter.

created = exported + dropped{reason} + queued, at every instant. An item is created in the ledger
of each exporter that its pipeline leads to when the pipeline takes it, so that what processors
hold and drop is in the books too. `queued` is not a counter that could drift: it is asked of the
places where items really are (processors, queue, requests under way), so that an item lost between
them shows as an imbalance.

The numbers are on a page (page.py) that a collector's death does not touch. What a dead one held is
`owed`: it is queued until it comes again, from the workers' rings or from queues on disk, and
then it is not created once more; what has not come when the books are settled is lost. Reasons for
drops:

queue_full         the exporter's queue had no room; the newest goes
retry_exhausted    tried again for [export.retry] elapsed seconds
permanent_…        the collector refused it for good: permanent_http_400, permanent_grpc_internal
rejected           named in a partial success; sending it again is forbidden
too_large          more than one request may carry
malformed          not the bytes it claims to be
unwanted           the other side does not take that signal, so that it was not sent
internal_error     an exception that nobody expected, tried again in vain where that makes sense
shutdown           still there when the time to stop had passed
no_exporter        nobody wanted this signal (exporter "none")
ring_full          a worker found no room in its ring (`Pipeline.note_dropped`)
collector_died     a collector that was killed had it in memory alone
memory_limit       refused to a receiver whose sender cannot come again
sampled, filtered, …                  what a processor was told to do
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from proxy.collector.batch import Signal
from proxy.collector.page import CREATED, EXPORTED, FAILED, REFUSED, Page, Row, alone

Place = Callable[[], int]


class Ledger:
    """The account of one signal with one exporter."""

    __slots__ = ("_row", "exporter", "owed", "places", "signal")

    def __init__(self, signal: Signal, exporter: str, row: Row | None = None) -> None:
        self.signal = signal
        self.exporter = exporter
        self.places: list[Place] = []  # each tells how many items it holds now
        self._row = alone() if row is None else row
        self.owed = self.created - self.exported - sum(self.dropped.values())
        if self.owed < 0:  # killed between delivering and noting what was delivered
            self.created -= self.owed
            self.owed = 0

    @property
    def created(self) -> int:
        return self._row.cells[CREATED]

    @created.setter
    def created(self, items: int) -> None:
        self._row.cells[CREATED] = items

    @property
    def exported(self) -> int:
        return self._row.cells[EXPORTED]

    @exported.setter
    def exported(self, items: int) -> None:
        self._row.cells[EXPORTED] = items

    @property
    def failed(self) -> int:
        """Dropped by the exporter itself."""
        return self._row.cells[FAILED]

    @failed.setter
    def failed(self, items: int) -> None:
        self._row.cells[FAILED] = items

    @property
    def refused(self) -> int:
        """For want of room: dropped as well, unless the sender was told."""
        return self._row.cells[REFUSED]

    @refused.setter
    def refused(self, items: int) -> None:
        self._row.cells[REFUSED] = items

    @property
    def dropped(self) -> dict[str, int]:
        """Items by reason; to be read only."""
        return self._row.dropped

    def create(self, items: int) -> None:
        """Items that are taken, unless they are what a dead collector had taken."""
        self.created += items - self.claim(items)

    def claim(self, items: int) -> int:
        """How many of these are in the books already."""
        known = min(items, self.owed)
        self.owed -= known
        return known

    def settle(self) -> None:
        """What is owed will not come any more."""
        owed, self.owed = self.owed, 0
        self.lose(owed, "collector_died")

    def drop(self, items: int, reason: str) -> None:
        """By the exporter."""
        self.failed += items
        self.lose(items, reason)

    def lose(self, items: int, reason: str) -> None:
        """On the way to the exporter."""
        if items:
            self._row.drop(items, reason)

    def make_good(self, items: int, reason: str) -> None:
        """So many are in no place and no counter; of less than none there are more than came."""
        if items > 0:
            self.drop(items, reason)
        else:
            self.created -= items

    @property
    def settled(self) -> int:
        """What has left: exported or dropped."""
        return self.exported + sum(self.dropped.values())

    @property
    def queued(self) -> int:
        return self.owed + sum(place() for place in self.places)

    @property
    def balanced(self) -> bool:
        return self.created == self.settled + self.queued

    def __repr__(self) -> str:
        drops = "".join(f" -{n} {r}" for r, n in sorted(self.dropped.items()))
        return (
            f"<Ledger {self.signal} {self.exporter}: {self.created} created,"
            f" {self.exported} exported, {self.queued} queued{drops}>"
        )


class Standing(NamedTuple):
    """How a ledger stood at one instant."""

    signal: str
    exporter: str
    created: int
    exported: int
    dropped: dict[str, int]
    queued: int

    @property
    def balanced(self) -> bool:
        return self.created == self.exported + sum(self.dropped.values()) + self.queued


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
            ledger.create(items)

    def drop(self, items: int, reason: str) -> None:
        """Items that a processor gives up: `reason` is one word, of few: "sampled"."""
        if items:
            self.dropped[reason] = self.dropped.get(reason, 0) + items
        for ledger in self.ledgers:
            ledger.lose(items, reason)

    def make_good(self, items: int, reason: str) -> None:
        """As of a ledger."""
        if items > 0:
            self.drop(items, reason)
        else:
            self.add(-items)

    def settled(self) -> int:
        """What is accounted for, whatever way it went; the ledgers agree in how much is added."""
        return self.ledgers[0].settled + self.ledgers[0].queued if self.ledgers else 0

    def seat(self, place: Place) -> None:
        for ledger in self.ledgers:
            ledger.places.append(place)

    def unseat(self, place: Place) -> None:
        for ledger in self.ledgers:
            ledger.places.remove(place)


class Books:
    """All ledgers. They outlive the pipelines that write them: a reload must not reset counters.

    Those that are on `page` already are taken over from a collector that died.
    """

    __slots__ = ("_ledgers", "_page")

    def __init__(self, page: Page | None = None) -> None:
        self._page = page
        self._ledgers: dict[tuple[Signal, str], Ledger] = {}
        for signal, exporter, row in page or ():
            known = cast(Signal, signal)
            self._ledgers[known, exporter] = Ledger(known, exporter, row)

    def open(self, signal: Signal, exporter: str) -> Ledger:
        """The ledger of that signal and exporter, as it stands or new."""
        ledger = self._ledgers.get((signal, exporter))
        if ledger is None:
            row = self._page.open(signal, exporter) if self._page is not None else None
            ledger = self._ledgers[signal, exporter] = Ledger(signal, exporter, row)
        return ledger

    def settle(self) -> None:
        """What a dead collector held and nobody brought again is lost."""
        for ledger in self:
            ledger.settle()

    def __iter__(self) -> Iterator[Ledger]:
        return iter(self._ledgers.values())

    def balanced(self) -> bool:
        return all(ledger.balanced for ledger in self)

    def standings(self) -> list[Standing]:
        """All ledgers, read in one go."""
        return [
            Standing(b.signal, b.exporter, b.created, b.exported, dict(b.dropped), b.queued)
            for b in self
        ]

    def as_dict(self) -> dict[str, dict[str, dict[str, object]]]:
        """See the function of that name."""
        return as_dict(self.standings())


def left_behind(page: Page) -> list[Standing]:
    """The books of a collector that is dead: what it held is queued, for it may come again."""
    found = []
    for signal, exporter, row in page:
        created, exported, dropped = row.cells[CREATED], row.cells[EXPORTED], dict(row.dropped)
        done = exported + sum(dropped.values())
        found.append(
            Standing(
                signal, exporter, max(created, done), exported, dropped, max(0, created - done)
            )
        )
    return found


def losses(standings: Iterable[Standing]) -> list[dict[str, object]]:
    """What was dropped, most first: {exporter, signal, reason, items}."""
    found: list[tuple[int, Standing, str]] = [
        (items, book, reason) for book in standings for reason, items in book.dropped.items()
    ]
    found.sort(key=lambda one: -one[0])
    return [
        {"exporter": book.exporter, "signal": book.signal, "reason": reason, "items": items}
        for items, book, reason in found
    ]


_CONDITION = ("healthy", "paused", "last_error", "last_error_seconds_ago")


def as_dict(
    standings: Iterable[Standing], view: Mapping[str, Any] | None = None
) -> dict[str, dict[str, dict[str, object]]]:
    """{exporter: {signal: {created, exported, dropped: {reason: n}, queued, balanced}}}.

    With the `view` of the same collector each has its condition too: healthy, paused, last_error.
    """
    exporters = (view or {}).get("exporters", {})
    out: dict[str, dict[str, dict[str, object]]] = {}
    for book in standings:
        out.setdefault(book.exporter, {})[book.signal] = {
            "created": book.created,
            "exported": book.exported,
            "dropped": dict(book.dropped),
            "queued": book.queued,
            "balanced": book.balanced,
        }
        told = exporters.get(book.exporter, {}).get("signals", {}).get(book.signal, {})
        out[book.exporter][book.signal].update((k, told[k]) for k in _CONDITION if k in told)
    return out
