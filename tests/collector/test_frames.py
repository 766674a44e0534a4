"""What hub and collector tell one another comes out as it went in, and cannot be anything else."""

from __future__ import annotations

import msgspec
import pytest

from proxy.collector import frames
from proxy.collector.books import Standing
from proxy.collector.registry import Component
from proxy.config.load import loads
from proxy.errors import Problem
from proxy.telemetry.instruments import INSTRUMENTS, SERVER_DURATION, Instrument, Kind
from proxy.telemetry.metrics import Exemplar, Point, Series
from tests.collector.test_contract import BUILT, example, name

ROUTE = "[[route]]\nrespond = { status = 204 }\n"


@pytest.mark.parametrize("component", BUILT, ids=name)
def test_the_settings_of_every_component(component: Component) -> None:
    table = f'[collector.{component.kind}s."{component.type}/x"]\n{example(component)}\n'
    config = loads(table, "test.toml", {}).config
    assert config.collector is not None
    sent = frames.setup(config, {"service.name": "gate", "process.pid": 7})
    got = frames.decode_setup(frames.encode(sent))
    assert got == sent
    assert got.collector == config.collector


def test_the_short_form_and_units() -> None:
    text = '[export]\notlp = ["grpc://a:1"]\nheaders = { authorization = "secret" }\n'
    text += 'batch_age = "250ms"\nqueue_bytes = "1MiB"\n'
    config = loads(text + ROUTE, "test.toml", {}).config
    got = frames.decode_setup(frames.encode(frames.setup(config, {})))
    assert got.export == config.export
    assert type(got.export.batch_age) is type(config.export.batch_age)
    assert got.collector is None and got.patience == config.drain_timeout


def test_series_are_cut_into_slices() -> None:
    counter = Instrument("a.b", Kind.COUNTER, "s", "What.", divisor=1000)
    point = Point((1, 2, 0), 17, (None, Exemplar(b"a" * 32, b"b" * 16, 3, 4), None))
    given = [Series(counter, (("x", n), ("y", "z"), ("t", True)), n) for n in range(600)]
    given.append(Series(INSTRUMENTS[SERVER_DURATION], (), point))
    tables = [frames.decode_series(payload) for payload in frames.slices(given, 5, 6)]
    assert [s for table in tables for s in table.series()] == given
    assert len(tables) == 3 and all(len(t.rows) <= frames.SLICE for t in tables)
    assert {(t.started, t.now) for t in tables} == {(5, 6)}


def test_books_and_problems() -> None:
    standing = Standing("traces", "http://x", 3, 1, {"sampled": 1}, 1)
    assert frames.decode_standings(frames.encode([standing])) == [standing]
    problem = Problem("export.otlp", "no", "yes", 3, "routes.toml")
    assert frames.decode_problems(frames.encode([problem])) == [problem]


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"\x93\x01\x02\x03", msgspec.msgpack.encode("x")])
def test_junk_is_refused(junk: bytes) -> None:
    for decode in (frames.decode_series, frames.decode_standings, frames.decode_problems):
        with pytest.raises(msgspec.DecodeError):
            decode(junk)
