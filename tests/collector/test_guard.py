"""Exceptions that nobody expected: they cost a batch at most, and the books say which."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.collector.batch import Batch
from proxy.collector.books import Account, Books
from proxy.collector.condition import Condition
from proxy.collector.counters import Flow
from proxy.collector.exporters.console.exporter import ConsoleExporter
from proxy.collector.exporters.delivery import OtlpExporter
from proxy.collector.fanout import Entry, FanOut, Step
from proxy.collector.guard import REASON, Guard, keep
from proxy.collector.queues.memory import Queue
from proxy.collector.retry import Backoff
from proxy.otlp.status import Outcome, Verdict
from tests.collector.kit import Place, batch, collecting, until
from tests.otlp import samples

QUICK = Backoff(0.01, 0.02, 0.0)
MISTAKES = [KeyError("x"), RecursionError(), MemoryError(), asyncio.CancelledError()]


class Transport:
    """Fails so often as it is told, with that exception, and takes what comes then."""

    def __init__(self, times: int, error: BaseException) -> None:
        self.times = times
        self.error = error
        self.taken: list[int] = []

    async def start(self) -> None:
        return None

    async def send(self, signal: str, payload: bytes, items: int) -> Outcome:
        if self.times > 0:
            self.times -= 1
            raise self.error
        self.taken.append(items)
        return Outcome(Verdict.ACCEPTED)

    async def close(self) -> None:
        return None


def exporter(transport: Any, queue: Any = None) -> tuple[Place, OtlpExporter]:
    place = Place("exporter", "otlp_http")
    queue = Queue(1 << 20) if queue is None else queue
    made = OtlpExporter(transport, queue, QUICK, place.context, concurrency=1)
    place._stage = made
    place.ledger.places.append(lambda: made.held("traces"))
    return place, made


@pytest.mark.parametrize("error", MISTAKES, ids=repr)
async def test_what_fails_once_is_sent_again(error: BaseException) -> None:
    transport = Transport(1, error)
    place, made = exporter(transport)
    await made.start()
    assert place.send(batch())
    await until(lambda: place.ledger.exported == 3)
    await made.stop(1)
    assert place.context.condition.unexpected == 1
    assert place.ledger.balanced and not place.ledger.dropped


@pytest.mark.parametrize("error", MISTAKES, ids=repr)
async def test_what_fails_again_and_again_is_given_up_and_the_next_is_sent(
    error: BaseException,
) -> None:
    transport = Transport(3, error)
    place, made = exporter(transport)
    await made.start()
    assert place.send(batch()) and place.send(batch(items=5))
    await until(lambda: place.ledger.exported == 5)
    await made.stop(1)
    assert place.ledger.dropped == {REASON: 3}
    assert (place.ledger.balanced, place.ledger.queued) == (True, 0)
    assert transport.taken == [5]


class Clumsy(Queue):
    """A queue that fails at what it is told, once."""

    __slots__ = ("at",)

    def __init__(self, at: str) -> None:
        super().__init__(1 << 20)
        self.at = at

    def _stumble(self, at: str) -> None:
        if self.at == at:
            self.at = ""
            raise ValueError(at)

    def put(self, batch: Batch) -> bool:
        self._stumble("put")
        return super().put(batch)

    async def get(self) -> Batch | None:
        self._stumble("get")
        return await super().get()

    def done(self, batch: Batch) -> None:
        self._stumble("done")
        super().done(batch)


@pytest.mark.parametrize(("at", "exported", "dropped"), [("get", 8, {}), ("done", 5, {REASON: 3})])
async def test_a_queue_that_fails_costs_no_sender(
    monkeypatch: pytest.MonkeyPatch, at: str, exported: int, dropped: dict[str, int]
) -> None:
    monkeypatch.setattr("proxy.collector.guard.PAUSE", 0.01)
    place, made = exporter(Transport(0, ValueError()), Clumsy(at))
    await made.start()
    assert place.send(batch()) and place.send(batch(items=5))
    await until(lambda: place.ledger.exported == exported)
    await made.stop(1)
    assert (place.ledger.dropped, place.ledger.balanced) == (dropped, True)


class Stage:
    """Takes `first` items into its hands, then fails; what it never had is not its business."""

    def __init__(self, first: int = 0, error: Exception | None = None) -> None:
        self.first = first
        self.error = error
        self.items = 0

    def consume(self, given: Batch) -> bool:
        self.items += self.first if self.error else given.items
        if self.error is not None:
            raise self.error
        return True


@pytest.mark.parametrize("taken", [0, 1, 3, 7])
def test_a_way_that_fails_costs_no_other_way(taken: int) -> None:
    books = Books()
    ends = [Stage(taken, ValueError("x")), Stage()]
    ledgers = [books.open("traces", name) for name in ("bad", "good")]
    for end, ledger in zip(ends, ledgers, strict=True):
        ledger.places.append(lambda end=end: end.items)
    account = Account(ledgers)
    ways: Any = list(zip(ends, ledgers, strict=True))
    entry = Entry(FanOut(ways, account, Flow()), account, Flow())
    assert entry.consume(batch()) is True
    assert books.balanced(), list(books)
    assert ledgers[0].dropped == ({REASON: 3 - taken} if taken < 3 else {})
    assert ends[1].items == 3


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_processor_that_fails_drops_what_it_lost(taken: int) -> None:
    books = Books()
    stage = Stage(taken, ValueError("x"))
    ledgers = [books.open("traces", name) for name in ("one", "two")]
    for ledger in ledgers:
        ledger.places.append(lambda: stage.items)
    account = Account(ledgers)
    condition = Condition("processor x")
    step: Any = Step(stage, Flow(), account, condition)  # type: ignore[arg-type]
    assert Entry(step, account, Flow()).consume(batch()) is True
    assert books.balanced(), list(books)
    assert account.dropped == ({REASON: 3 - taken} if taken < 3 else {})
    assert condition.unexpected == 1 and condition.troubled


async def test_the_batch_processor_goes_on_after_pieces_that_cannot_be_joined() -> None:
    place = Place("processor", "batch")
    made = place.make('timeout = "10ms"')
    await made.start()
    broken = batch()
    broken._payload = None  # what should not be
    assert place.send(batch(items=2))
    made._pieces.append(broken)
    made._held += broken.items
    place.account.add(broken.items)
    await until(lambda: made.held("traces") == 0)
    assert place.send(batch(items=4))
    await until(lambda: place.items == 9)
    await made.stop(1)
    assert place.context.condition.unexpected == 1
    assert place.ledger.balanced and not place.ledger.dropped


async def test_a_trace_that_cannot_be_drawn_is_not_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import io

    from proxy.collector.exporters.console import exporter as console

    drawn: list[int] = []

    def draw(spans: Any, **_: Any) -> str:
        drawn.append(len(spans))
        if len(drawn) == 1:
            raise KeyError("colour")
        return "tree"

    monkeypatch.setattr(console, "render", draw)
    ledger = Books().open("traces", "console")
    made = ConsoleExporter(io.StringIO(), ledger, quiet=0.01)
    ledger.places.append(lambda: made.held("traces"))
    await made.start()
    for number in range(2):
        given = batch(items=1 + number)
        assert made.consume(given)
        ledger.create(given.items)
        await until(lambda: made.held("traces") == 0)
    await made.stop(1)
    assert ledger.balanced
    assert (ledger.exported, ledger.dropped) == (2, {REASON: 1})


async def test_a_stop_that_fails_stops_no_other() -> None:
    toml = """
    [collector.exporters.debug]
    [collector.exporters."debug/2"]
    [collector.pipelines.traces]
    receivers = ["gateway"]
    exporters = ["debug", "debug/2"]
    """
    async with collecting(toml) as pipeline:
        pipeline.offer("traces", samples.spans(2), 2)
        first, second = (pipeline.graph.nodes["exporter", id] for id in ("debug", "debug/2"))

        async def fail(deadline: float) -> None:
            raise ValueError("no")

        first.stage.stop = fail
        await pipeline.stop(1)
        assert first.condition.state == second.condition.state == "stopped"
        assert first.condition.unexpected == 1


async def test_a_loop_that_fails_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.collector.guard.PAUSE", 0.0)
    rounds = 0

    async def run() -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 3:
            raise OSError("no")

    condition = Condition("x")
    await keep(run, condition, "x")
    assert (rounds, condition.unexpected) == (3, 2)


async def test_a_task_that_is_cancelled_ends() -> None:
    condition = Condition("x")

    async def run() -> None:
        await asyncio.Event().wait()

    task = keep(run, condition, "x")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert condition.unexpected == 0


def test_what_was_agreed_on_passes() -> None:
    with pytest.raises(KeyError), Guard(Condition("x"), "traces", KeyError):
        raise KeyError("x")
