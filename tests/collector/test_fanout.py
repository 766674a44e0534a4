"""Where ways part: who gets the batch, what the sender is told, what the books say."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.collector.batch import Batch
from proxy.collector.books import Account, Books
from proxy.collector.counters import Flow
from proxy.collector.fanout import Entry, FanOut, Junction
from proxy.otlp.wire import WireError
from tests.collector.kit import batch


class End:
    """An exporter that takes, refuses or chokes."""

    def __init__(self, mood: str = "takes") -> None:
        self.mood = mood
        self.took: list[Batch] = []

    def consume(self, given: Batch) -> bool:
        if self.mood == "chokes":
            raise WireError("no request")
        if self.mood == "refuses":
            return False
        self.took.append(given)
        return True


class Pipe:
    """A pipeline without processors, to ends of these moods."""

    def __init__(self, *moods: str, name: str = "") -> None:
        self.ends = [End(mood) for mood in moods]
        self.books = Books()
        ledgers = [self.books.open("traces", f"{name}{n}") for n in range(len(moods))]
        for ledger, end in zip(ledgers, self.ends, strict=True):
            ledger.places.append(lambda end=end: sum(b.items for b in end.took))
        self.ledgers = ledgers
        account = Account(ledgers)
        ways: Any = list(zip(self.ends, ledgers, strict=True))
        self.entry = Entry(FanOut(ways, account, Flow()), account, Flow())

    def dropped(self) -> list[dict[str, int]]:
        assert self.books.balanced(), list(self.books)
        return [ledger.dropped for ledger in self.ledgers]


@pytest.mark.parametrize(
    ("moods", "answer", "dropped"),
    [
        (["takes"], True, [{}]),
        (["takes", "takes"], True, [{}, {}]),
        (["takes", "refuses"], True, [{}, {"queue_full": 3}]),
        (["chokes", "takes"], True, [{"malformed": 3}, {}]),
        (["takes", "chokes", "refuses"], True, [{}, {"malformed": 3}, {"queue_full": 3}]),
        (["refuses"], False, [{}]),
        (["refuses", "refuses"], False, [{}, {}]),
        (["refuses", "chokes"], False, [{}, {}]),
        (["chokes"], WireError, [{}]),
        (["chokes", "chokes"], WireError, [{}, {}]),
    ],
)
def test_exporters(moods: list[str], answer: Any, dropped: list[dict[str, int]]) -> None:
    pipe = Pipe(*moods)
    if answer is WireError:
        with pytest.raises(WireError):
            pipe.entry.consume(batch())
    else:
        assert pipe.entry.consume(batch()) is answer
    assert pipe.dropped() == dropped
    created = 3 if answer is True else 0
    assert [ledger.created for ledger in pipe.ledgers] == [created] * len(moods)
    refused = [3 if mood == "refuses" else 0 for mood in moods]
    assert [ledger.refused for ledger in pipe.ledgers] == refused


@pytest.mark.parametrize("moods", [["takes"], ["takes", "takes"]])
def test_who_shares_knows_it(moods: list[str]) -> None:
    pipe, given = Pipe(*moods), batch()
    pipe.entry.consume(given)
    assert given.shared == (len(moods) > 1)


def junction(*pipes: Pipe) -> Junction:
    made = Junction(pipes[0].books, lambda signal: Flow())
    made.lead_to({"traces": tuple(pipe.entry for pipe in pipes)})
    return made


@pytest.mark.parametrize(
    ("moods", "answer", "dropped"),
    [
        (["takes", "takes"], True, [{}, {}]),
        (["takes", "refuses"], True, [{}, {"queue_full": 3}]),
        (["takes", "chokes"], True, [{}, {"malformed": 3}]),
        (["refuses", "refuses"], False, [{}, {}]),
        (["refuses", "chokes"], False, [{}, {}]),
        (["chokes", "chokes"], WireError, [{}, {}]),
    ],
)
def test_pipelines(moods: list[str], answer: Any, dropped: list[dict[str, int]]) -> None:
    pipes = [Pipe(mood) for mood in moods]
    way = junction(*pipes)
    given = batch()
    if answer is WireError:
        with pytest.raises(WireError):
            way.consume(given)
    else:
        assert way.consume(given) is answer
    assert [pipe.dropped()[0] for pipe in pipes] == dropped
    assert given.shared
    flow = way.flows["traces"]
    assert (flow.accepted, flow.refused) == ((3, 0) if answer is True else (0, 3 * (not answer)))


@pytest.mark.parametrize(
    ("mood", "dropped"),
    [("takes", {}), ("refuses", {"queue_full": 3}), ("chokes", {"malformed": 3})],
)
def test_what_cannot_come_again_is_dropped(mood: str, dropped: dict[str, int]) -> None:
    pipe = Pipe(mood)
    junction(pipe).push(batch())
    assert pipe.dropped() == [dropped]
    assert pipe.ledgers[0].created == 3


def test_what_nobody_wants() -> None:
    books = Books()
    way = Junction(books, lambda signal: Flow())
    assert not way.wants("logs")
    assert not way.consume(batch("logs"))
    way.push(batch("logs"))
    assert books.as_dict()["none"]["logs"]["dropped"] == {"no_exporter": 3}
    assert books.balanced()


@pytest.mark.parametrize(
    ("mood", "pushed", "taken", "dropped", "seen"),
    [
        ("takes", False, True, {}, 1),
        ("takes", True, True, {}, 1),
        ("refuses", False, False, {}, 0),  # the sender comes again, and it is seen then
        ("refuses", True, False, {"queue_full": 3}, 1),  # this one's cannot
        ("chokes", True, False, {"malformed": 3}, 0),
    ],
)
def test_who_looks_on_changes_nothing(
    mood: str, pushed: bool, taken: bool, dropped: dict[str, int], seen: int
) -> None:
    ahead, looks = Pipe(mood), Pipe("takes", name="looks")
    way = Junction(ahead.books, lambda signal: Flow())
    way.lead_to({"traces": (ahead.entry, looks.entry)}, {looks.entry})
    given = batch()
    if pushed:
        way.push(given)
    else:
        assert way.consume(given) == taken
    assert (ahead.dropped(), looks.dropped()) == ([dropped], [{}])
    assert len(looks.ends[0].took) == seen


def test_where_nobody_else_is_who_looks_on_takes() -> None:
    looks = Pipe("takes")
    way = Junction(looks.books, lambda signal: Flow())
    way.lead_to({"traces": (looks.entry,)}, {looks.entry})
    assert way.consume(batch())
    way.push(batch())
    assert way.wants("traces") and len(looks.ends[0].took) == 2
    assert looks.books.balanced()
