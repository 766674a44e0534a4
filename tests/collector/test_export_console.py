from __future__ import annotations

import asyncio
import os
from io import StringIO

import pytest

from proxy.collector.batch import Batch
from proxy.collector.books import Books, Ledger
from proxy.collector.exporters.console.exporter import MAX_SPANS, ConsoleExporter
from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import WireError
from proxy.telemetry.protobuf import delimited
from tests.otlp import samples


def batch(*spans: bytes, items: int | None = None) -> Batch:
    payload = Envelope({"service.name": "gate"}).request(list(spans))
    return Batch("traces", payload, len(spans) if items is None else items)


def entry(number: int, trace: bytes, name: str = "GET /") -> bytes:
    return delimited(2, samples.span(number, trace=trace, name=name).SerializeToString())


class Terminal(StringIO):
    """Tells of each flush."""

    def __init__(self, tty: bool = False) -> None:
        super().__init__()
        self.flushed = asyncio.Event()
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def flush(self) -> None:
        self.flushed.set()


def exporter(stream: StringIO, quiet: float = 0.01) -> tuple[ConsoleExporter, Ledger]:
    ledger = Books().open("traces", "console")
    made = ConsoleExporter(stream, ledger, quiet=quiet)
    ledger.places.append(lambda: made.held("traces"))
    return made, ledger


async def test_a_trace_is_assembled_from_several_batches() -> None:
    stream = Terminal()
    console, ledger = exporter(stream)
    await console.start()
    for number in range(6):
        ledger.created += 1
        assert console.consume(batch(entry(number, samples.TRACE)))
    assert ledger.balanced
    async with asyncio.timeout(20):
        await stream.flushed.wait()
    assert "6 spans" in stream.getvalue()
    assert (ledger.exported, ledger.balanced) == (6, True)
    await console.stop(1)


async def test_traces_are_kept_apart_and_stop_prints_what_is_left() -> None:
    stream = Terminal()
    console, ledger = exporter(stream, quiet=3600)
    await console.start()
    ledger.created += 4
    first, second = os.urandom(16), os.urandom(16)
    console.consume(batch(*(entry(n, t) for n in range(2) for t in (first, second))))
    assert (ledger.queued, stream.getvalue()) == (4, "")
    await console.stop(1)
    for trace in (first, second):
        assert f"trace {trace.hex()}  2 spans" in stream.getvalue()
    assert (ledger.exported, ledger.balanced) == (4, True)
    assert not console.consume(batch(entry(0, first)))


async def test_memory_is_bounded() -> None:
    console, ledger = exporter(Terminal(), quiet=3600)
    await console.start()
    whole = batch(*(entry(n, samples.TRACE) for n in range(100)))
    for _ in range(MAX_SPANS // 100):
        assert console.consume(whole)
    assert not console.consume(whole)
    assert (ledger.queued, ledger.dropped) == (MAX_SPANS, {})
    await console.stop(1)


@pytest.mark.parametrize("items", [0, 1, 5])
async def test_a_wrong_count_does_not_unbalance_the_books(items: int) -> None:
    console, ledger = exporter(Terminal(), quiet=3600)
    await console.start()
    ledger.created += items
    console.consume(batch(entry(0, samples.TRACE), entry(1, samples.TRACE), items=items))
    assert ledger.balanced
    await console.stop(1)
    assert (ledger.exported, ledger.balanced) == (2, True)


async def test_garbage_is_refused() -> None:
    console, ledger = exporter(Terminal())
    await console.start()
    with pytest.raises(WireError):
        console.consume(Batch("traces", b"\xff\xff", 3))
    assert (ledger.dropped, ledger.queued) == ({}, 0)
    await console.stop(1)


async def test_a_closed_stream_loses_traces_but_nothing_else() -> None:
    stream = StringIO()
    stream.close()
    ledger = Books().open("traces", "console")
    with pytest.raises(ValueError, match="closed"):
        stream.isatty()
    stream = StringIO()
    console = ConsoleExporter(stream, ledger, quiet=3600)
    await console.start()
    ledger.created += 1
    console.consume(batch(entry(0, samples.TRACE)))
    stream.close()
    await console.stop(1)
    assert ledger.dropped == {"permanent_stream_closed": 1}


@pytest.mark.parametrize(("tty", "no_color", "coloured"), [(True, "", True), (True, "1", False),
                                                          (False, "", False)])  # fmt: skip
async def test_colour(
    tty: bool, no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal(tty)
    console, _ = exporter(stream)
    await console.start()
    console.consume(batch(entry(0, samples.TRACE)))
    await console.stop(1)
    assert ("\x1b[" in stream.getvalue()) == coloured


async def test_names_cannot_move_the_cursor() -> None:
    stream = Terminal()
    console, _ = exporter(stream)
    await console.start()
    console.consume(batch(entry(0, samples.TRACE, name="a\x1b[2Jb\nc")))
    await console.stop(1)
    assert "\x1b" not in stream.getvalue()
    assert "a?[2Jb?c" in stream.getvalue()


async def test_a_kind_that_does_not_exist_is_shown_as_none() -> None:
    stream, ledger = StringIO(), Books().open("traces", "console")
    exporter = ConsoleExporter(stream, ledger, quiet=0.01)
    span = samples.span(1)
    span.kind = -7  # type: ignore[assignment]
    given = batch(delimited(2, span.SerializeToString()))
    assert exporter.consume(given)
    await exporter.stop(1)
    assert (ledger.exported, ledger.dropped) == (1, {})
