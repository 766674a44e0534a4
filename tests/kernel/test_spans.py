"""What the compiled recorder writes is what the sources write, byte by byte."""

from __future__ import annotations

import sys
from random import Random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import proxy
from proxy.kernel import counts, lane, lines, params, pen
from proxy.telemetry import instruments
from tests.kernel.differ_spans import QUERIES, Side, some_exchange
from tests.kernel.twins import plain

TEXT = st.text(st.characters(), max_size=200) | st.sampled_from(
    ["x" * 4095 + "€", "x" * 4096, "x" * 5000, "\ud800" * 4097, '"\\\x00\x7f\n', ""]
)
BYTES = st.binary(max_size=200) | st.sampled_from(
    [b"x" * 4095 + b"\xe2\x82\xac", b"x" * 4097, b"x" * 4098 + b"\xff", b"\xff" * 4100, b""]
)
WHOLE = st.integers(0, 2**63 - 1) | st.sampled_from([127, 128, 16383, 16384, 2047, 2048])


PENS, LINES, COUNTS, LANES, PARAMS = (
    (module, plain(module.__name__)) for module in (pen, lines, counts, lane, params)
)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_whole_exchanges(seed: int) -> None:
    random = Random(seed)
    one, other = Side(sys.modules.__getitem__), Side(plain)
    for number in range(20):
        facts = some_exchange(random)
        assert one.finish(facts) == other.finish(facts)
        if not number % 7:
            assert one.numbers(number * 2.0) == other.numbers(number * 2.0)
    assert one.spans


@settings(deadline=None)
@given(TEXT | BYTES, TEXT, TEXT, WHOLE, st.floats(allow_nan=False))
def test_attributes(value: str | bytes, path: str, query: str, number: int, real: float) -> None:
    written = []
    for pens in PENS:
        made, long = pens.Pen(), "k" * 150
        made.span(b"0af7651916cd43dd8448eb211c80319c", b"B7AD6B7169203331", b"", 1, 2, 3)
        for key in ("url.path", long):
            made.text(pens.TextAttribute(9, key), value)
            made.url(pens.TextAttribute(9, key), "é".encode(), path, query)
            made.url(pens.TextAttribute(9, key), b"http://a", path, query)
            made.doubles(pens.Doubles(9, key, "b"), real, 2.0)
        made.number(pens.IntAttribute(6, "url.port"), number)
        made.end()
        encoded = pens.TextAttribute(9, "x" * 200).encode(pens.text(value))
        written.append((made.take(), pens.text(value), pens.varint(number), encoded))
    assert written[0] == written[1]


@pytest.mark.parametrize("size", [0, 1, 50, 126, 127, 128, 129, 16383, 16384, 70_000])
def test_entries_of_every_length(size: int) -> None:
    written = []
    for pens in PENS:
        made = pens.Pen()
        for _ in range(3):
            made.record(1, 2, 3, b"x" * size)
            made.trace(b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331")
            made.end()
        written.append(made.take())
    assert written[0] == written[1]


@settings(deadline=None)
@given(st.text(st.characters(), max_size=40) | st.binary(max_size=16), st.booleans())
def test_what_is_no_id_is_refused(said: str | bytes, as_trace: bool) -> None:
    wrong = said.encode("utf-8", "replace") if isinstance(said, str) else said
    ids = (wrong, b"b7ad6b7169203331") if as_trace else (b"0" * 32, wrong)
    written: list[object] = []
    for pens in PENS:
        made = pens.Pen()
        try:
            made.span(*ids, b"", 1, 2, 3)
            made.end()
            written.append(made.take())
        except ValueError:
            written.append(None)
    if len(wrong) == (32 if as_trace else 16):  # of others the sources take what has digits alone
        assert written[0] == written[1]


@settings(deadline=None)
@given(TEXT, BYTES, st.integers(-(2**62), 2**62), WHOLE, WHOLE)
def test_lines(said: str, agent: bytes, time: int, took: int, count: int) -> None:
    written = []
    for pens, makers in zip(PENS, LINES, strict=True):
        made = pens.Pen()
        line = makers.Lines(made)
        for at in (time, abs(time)):
            line.begin(at, said, said, said)
            line.outcome(took, said, said, count)
            line.outcome(took // 10**6 * 1000 + 500, "", "", 0)  # a tie
            line.caller(count, took, said, said, agent)
            line.end(agent, b"1" * 32, b"2" * 16, count % 2 == 0)
        written.append((made.take(), makers.quote(said), makers.quote(agent)))
    assert written[0] == written[1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**63 - 2) | st.integers(0, 11 * 10**9), max_size=60))
def test_histograms(values: list[int]) -> None:
    boundaries = instruments.DURATIONS
    made = [module.Histogram(boundaries) for module in COUNTS]
    for histogram in made:
        for value in (*values, *boundaries):
            histogram.record(value)
            histogram.record_traced(value + 1, b"t", b"%d" % value, value)
    one, other = ((h.counts, h.count, h.sum, h.exemplars, h.boundaries) for h in made)
    assert one == other


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "sig", "s%69g", "é", "=", "&", "x" * 70, "%"]), max_size=12))
def test_a_query_that_is_not_looked_into_hides_nothing(parts: list[str]) -> None:
    assert not any(module.Names(["sig"]).may_be_in("a&sig") for module in PARAMS)
    names = ["sig", "é", "x" * 70]
    usual, other = (load("proxy.telemetry.redact").Redactor(names) for load in (_loaded, plain))
    for query in ("".join(parts), *QUERIES):
        assert usual.query(query) == other.query(query)


def _loaded(name: str) -> ModuleType:
    return sys.modules[name]


def test_a_window_writes_nowhere_else() -> None:
    """Whatever it is told about the block that is being filled."""
    for module in LANES:
        memory = bytearray(64)
        window = module.Window(memory, 0)
        assert not window.write(b"x", 1), "no block yet"
        window.at, window.end = 8, 16
        assert not window.write(b"12345678", 1), "it would fill the block"
        assert window.write(b"1234567", 1)
        assert window.position == 1 << 32 | 7
        assert memory == (1 << 32 | 7).to_bytes(8, "little") + b"1234567" + bytes(49)


@pytest.mark.skipif(bool(proxy.WHY_PLAIN), reason="Python's slices look themselves")
@pytest.mark.parametrize(("at", "end"), [(0, 1000), (-8, 30), (60, 65)])
def test_a_compiled_window_does_not_believe_its_lane(at: int, end: int) -> None:
    window = lane.Window(bytearray(64), 0)
    window.at, window.end = at, end
    assert not window.write(b"x", 1)


@pytest.mark.skipif(bool(proxy.WHY_PLAIN), reason="Python's slices look themselves")
def test_a_head_lies_within_the_memory() -> None:
    with pytest.raises(ValueError, match="no cell"):
        lane.Window(bytearray(64), 8)
