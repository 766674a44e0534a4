"""The joints between stages: from receivers into pipelines, along them, and out to exporters.

They count what passes and keep the books; they change nothing. A joint costs one call a batch.
Where one way of several has no room, the others get the batch and that one's books say dropped;
only when no way has room is the sender told to come again, so that a dead exporter neither holds
up the others nor makes anybody send twice. A stage that raises what it must not (stage.py) costs
the batch, with a reason in the books, and neither its sender nor the ways beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress

from proxy.collector.batch import Batch, Signal
from proxy.collector.books import Account, Books, Ledger
from proxy.collector.condition import Condition
from proxy.collector.counters import Flow
from proxy.collector.guard import REASON, Guard
from proxy.collector.stage import Sink, Stage
from proxy.otlp.wire import WireError

NOBODY = "none"  # the exporter under which items are booked that no pipeline takes


class Step:
    """The way into one processor."""

    __slots__ = ("_account", "_condition", "flow", "stage")

    def __init__(
        self,
        stage: Stage,
        flow: Flow,
        account: Account | None = None,
        condition: Condition | None = None,
    ) -> None:
        self.stage = stage
        self.flow = flow
        self._account = account or Account()
        self._condition = condition or Condition("processor")

    def consume(self, batch: Batch) -> bool:
        items = batch.items
        before = self._account.settled()
        with Guard(self._condition, batch.signal, WireError) as guard:
            taken = self.stage.consume(batch)
        if guard.error is not None:
            self._account.make_good(items - (self._account.settled() - before), REASON)
            taken = True
        if taken:
            self.flow.accepted += items
            self.flow.batches += 1
            return True
        self.flow.refused += items
        return False


class FanOut:
    """The end of a pipeline: every exporter gets the batch."""

    __slots__ = ("_account", "_conditions", "_ways", "flow")

    def __init__(
        self,
        ways: Sequence[tuple[Stage, Ledger]],
        account: Account,
        flow: Flow,
        conditions: Sequence[Condition] = (),
    ) -> None:
        self._ways = ways
        self._account = account
        self._conditions = conditions or [Condition(f"exporter {b.exporter}") for _, b in ways]
        self.flow = flow

    def consume(self, batch: Batch) -> bool:
        items = batch.items
        batch.shared = batch.shared or len(self._ways) > 1
        refused: list[Ledger] = []
        broken: list[Ledger] = []
        error: WireError | None = None
        for (stage, ledger), condition in zip(self._ways, self._conditions, strict=True):
            before = ledger.settled + ledger.queued
            try:
                with Guard(condition, batch.signal, WireError) as guard:
                    if not stage.consume(batch):
                        refused.append(ledger)
            except WireError as wrong:
                broken.append(ledger)
                error = wrong
            if guard.error is not None:
                ledger.make_good(items - (ledger.settled + ledger.queued - before), REASON)
        for ledger in refused:
            ledger.refused += items
        if len(refused) + len(broken) == len(self._ways):
            if error is not None and not refused:
                raise error
            self._account.refusal = "queue_full"
            self.flow.refused += items
            return False
        for ledger in refused:
            ledger.drop(items, "queue_full")
        for ledger in broken:
            ledger.drop(items, "malformed")
        self.flow.accepted += items
        self.flow.batches += 1
        return True


class Entry:
    """The beginning of a pipeline: what is taken here is in the books of all its exporters."""

    __slots__ = ("_head", "account", "flow")

    def __init__(self, head: Sink, account: Account, flow: Flow) -> None:
        self._head = head
        self.account = account
        self.flow = flow

    def consume(self, batch: Batch) -> bool:
        items = batch.items
        if self._head.consume(batch):
            self.account.add(items)
            self.flow.accepted += items
            self.flow.batches += 1
            return True
        self.flow.refused += items
        return False


class Junction:
    """The Outlet of one receiver or connector; a reload gives it other pipelines.

    Pipelines that lead to nobody but `recent` look on: they get what others have taken, and what
    nobody else takes. What they hold is no reason not to have the sender come again.
    """

    __slots__ = ("_books", "_flow", "_onlookers", "_ways", "flows", "malformed")

    def __init__(self, books: Books, flow: Callable[[Signal], Flow]) -> None:
        """`flow` opens the counter of a signal."""
        self._books = books
        self._flow = flow
        self._ways: dict[Signal, tuple[Entry, ...]] = {}
        self._onlookers: dict[Signal, tuple[Entry, ...]] = {}
        self.flows: dict[Signal, Flow] = {}
        self.malformed = 0  # batches that turned out to be none

    def lead_to(
        self,
        ways: dict[Signal, tuple[Entry, ...]],
        asides: Container[Entry] = frozenset(),
    ) -> None:
        """Of these ways, those in `asides` look on where there are others."""
        self._ways, self._onlookers = {}, {}
        for signal, entries in ways.items():
            looking = self._onlookers[signal] = tuple(e for e in entries if e in asides)
            self._ways[signal] = tuple(e for e in entries if e not in asides) or looking
        self.flows = {signal: self._flow(signal) for signal in ways}

    def wants(self, signal: Signal) -> bool:
        return signal in self._ways

    def accounts(self, signal: Signal) -> list[Account]:
        """Of all pipelines that take the signal; the account of nobody if there is none."""
        ways = self._ways.get(signal)
        if ways:
            return [way.account for way in (*ways, *self._beside(signal))]
        return [Account([self._books.open(signal, NOBODY)])]

    def consume(self, batch: Batch) -> bool:
        ways = self._ways.get(batch.signal)
        if ways is None:
            return False
        flow = self.flows[batch.signal]
        items = batch.items
        beside = bool(self._beside(batch.signal))
        batch.shared = batch.shared or beside
        try:
            taken = ways[0].consume(batch) if len(ways) == 1 else self._spread(batch, ways)
        except WireError:
            self.malformed += 1
            raise
        if taken:
            flow.accepted += items
            flow.batches += 1
            if beside:
                self.show(batch)
        else:
            flow.refused += items
        return taken

    def push(self, batch: Batch) -> None:
        items = batch.items
        try:
            if self.consume(batch):
                return
            reason = ""
        except WireError:
            reason = "malformed"
        ways = self._ways.get(batch.signal)
        accounts = [way.account for way in ways] if ways else self.accounts(batch.signal)
        for account in accounts:
            account.add(items)
            account.drop(items, reason or self._why(batch.signal, account))
        if not reason and self._beside(batch.signal):  # they see it all the same
            self.show(batch)

    def show(self, batch: Batch) -> None:
        """Give it to those alone who look on."""
        for aside in self._onlookers.get(batch.signal, ()):
            with suppress(WireError):
                aside.consume(batch)

    def _beside(self, signal: Signal) -> tuple[Entry, ...]:
        """Who looks on where others decide."""
        looking = self._onlookers.get(signal, ())
        return () if looking is self._ways.get(signal) else looking

    def _why(self, signal: Signal, account: Account) -> str:
        return account.refusal if self.wants(signal) else "no_exporter"

    def _spread(self, batch: Batch, ways: tuple[Entry, ...]) -> bool:
        """Several pipelines share the batch; as long as one takes it, it is taken."""
        batch.shared = True
        items = batch.items
        left: list[tuple[Entry, str]] = []
        error: WireError | None = None
        for way in ways:
            try:
                if not way.consume(batch):
                    left.append((way, way.account.refusal))
            except WireError as wrong:
                left.append((way, "malformed"))
                error = wrong
        if len(left) == len(ways):
            if error is not None and all(reason == "malformed" for _, reason in left):
                raise error
            return False
        for way, reason in left:
            way.account.add(items)
            way.account.drop(items, reason)
        return True
