"""What passes between a hub and its collector: kinds of frames (proxy/frames.py), and payloads.

Payloads are msgpack, decoded into declared types: nothing that comes from a process which reads
strangers' bytes can execute here. Secrets of exporters are in a Setup, and pass nowhere else.

down  START      Setup            first of all
      PREPARE    Setup            build and start it beside what runs
      ADOPT      -                bring into force what was prepared
      ABANDON    -                stop it again
      REPORT     a SeriesTable    of the gateway's own metrics, for the pipelines that take them
      COLLECT    -                answer with SERIES, STANDINGS, VIEW, then COLLECTED
      STOP       seconds          read what the workers left, deliver, end
      ASK        [target, accept] answer with ANSWER; items = a number for it
      TAP        a query          tell with TAPPED; items = a number for who watches. The hub has
                                  read it: it is good
      UNTAP      -                no more for that one
up    DONE       -                START, PREPARE, ADOPT or ABANDON has succeeded; items = its kind
      FAILED     list[Problem]    it has not, and nothing has changed; items = its kind
      SERIES     a SeriesTable    one slice of what the collector counts
      STANDINGS  list[Standing]   the books
      VIEW       a map            for /pipelines
      COLLECTED  nanoseconds      items = the number that came with COLLECT; how late its loop was
      FINISHED   -                items = the number of a ring of which everything is safe
      ANSWER     an Answer        a piece of the answer to that ASK
      TAPPED     [lines, missed]  requests for who watches, and how many were left out

Beside the link there is a socket for rings alone: each message is a u32 number with two
descriptors, the ring's memory and the pipe that wakes its reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from proxy.collector import registry
from proxy.collector.books import Standing
from proxy.config.model import Config
from proxy.config.observe import Collector, Export, Log
from proxy.config.see_model import Recent
from proxy.config.units import Seconds, Share, Size
from proxy.errors import Problem
from proxy.recent.desk import About
from proxy.telemetry.instruments import Instrument
from proxy.telemetry.metrics import Attributes, Point, Series

START, PREPARE, ADOPT, ABANDON, REPORT, COLLECT, STOP, ASK, TAP, UNTAP = range(1, 11)
DONE, FAILED, SERIES, STANDINGS, VIEW, COLLECTED, FINISHED, ANSWER, TAPPED = range(32, 41)

RING = struct.Struct("<I")  # the number that comes with a ring's descriptors
PIECE = 256 * 1024  # bytes of an answer in one frame
SLICE = 256  # series of one frame, so that nobody's turn is long

Resource = Mapping[str, str | int]

_SECTIONS = (
    ("receivers", "receiver"),
    ("processors", "processor"),
    ("exporters", "exporter"),
    ("connectors", "connector"),
)


class Setup(msgspec.Struct, frozen=True):
    """What a collector goes by."""

    export: Export
    collector: Collector | None
    resource: dict[str, str | int]
    patience: float  # seconds that workers have to end when the hub is gone
    log: Log = Log()
    recent: Recent = Recent()
    trace_url: str = ""
    w3c_sent: bool = True  # whether upstreams are sent W3C trace context
    takes_logs: bool = True  # whether access records go to the pipelines that take logs

    @property
    def about(self) -> About:
        """What who answers questions must know of it."""
        pipelines = self.collector.pipelines if self.collector is not None else {}
        receives = any(
            set(pipeline.receivers) - {"gateway"}
            for name, pipeline in pipelines.items()
            if name.partition("/")[0] == "traces"
        )
        return About(self.trace_url, self.w3c_sent, receives)


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """A piece of an answer: the body of all of them together is the answer's."""

    status: int  # of HTTP
    content_type: str
    body: bytes
    is_last: bool


def pieces(status: int, content_type: str, body: bytes) -> Iterator[bytes]:
    """Answers of at most PIECE bytes each."""
    for at in range(0, max(len(body), 1), PIECE):
        is_last = at + PIECE >= len(body)
        yield encode(Answer(status, content_type, body[at : at + PIECE], is_last))


class SeriesTable(msgspec.Struct, frozen=True, array_like=True):
    """Series, each naming its instrument by place; times in Unix ns, of a REPORT."""

    instruments: list[Instrument]
    rows: list[tuple[int, Attributes, int | Point]]
    started: int = 0
    now: int = 0

    def series(self) -> Iterator[Series]:
        for instrument, attributes, value in self.rows:
            yield Series(self.instruments[instrument], attributes, value)


def setup(config: Config, resource: Resource) -> Setup:
    return Setup(
        config.export,
        config.collector,
        dict(resource),
        config.drain_timeout,
        config.log,
        config.recent,
        config.ui.trace_url,
        "w3c" in config.tracing.inject,
        config.access_log.otlp,
    )


def encode(value: Any) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=_plain)


def decode_setup(payload: bytes) -> Setup:
    """Components are told apart by their ids, as in the file."""
    from proxy.collector.shortform import type_of  # the hub, which only encodes, needs no more

    raw = msgspec.msgpack.decode(payload)
    if raw["collector"] is not None:
        for section, kind in _SECTIONS:
            table = raw["collector"].get(section, {})  # what is empty is left out
            for id, settings in table.items():
                component = registry.find(kind, type_of(id))
                assert component is not None, id
                table[id] = msgspec.convert(settings, component.settings(), dec_hook=_unit)
    return msgspec.convert(raw, Setup, dec_hook=_unit)


def decode_standings(payload: bytes) -> list[Standing]:
    return msgspec.msgpack.decode(payload, type=list[Standing])


def decode_problems(payload: bytes) -> list[Problem]:
    return msgspec.msgpack.decode(payload, type=list[Problem])


def decode_lag(payload: bytes) -> int:
    return msgspec.msgpack.decode(payload, type=int)


def decode_answer(payload: bytes) -> Answer:
    return msgspec.msgpack.decode(payload, type=Answer)


def decode_question(payload: bytes) -> tuple[str, str]:
    return msgspec.msgpack.decode(payload, type=tuple[str, str])


def decode_tapped(payload: bytes) -> tuple[list[str], int]:
    return msgspec.msgpack.decode(payload, type=tuple[list[str], int])


def decode_series(payload: bytes) -> SeriesTable:
    return msgspec.msgpack.decode(payload, type=SeriesTable)


def slices(series: Iterable[Series], started: int = 0, now: int = 0) -> Iterator[bytes]:
    """SeriesTables of SLICE series each."""
    rest = iter(series)
    while part := list(islice(rest, SLICE)):
        places: dict[str, int] = {}
        table = SeriesTable([], [], started, now)
        for instrument, attributes, value, _ in part:
            if instrument.name not in places:
                places[instrument.name] = len(table.instruments)
                table.instruments.append(instrument)
            table.rows.append((places[instrument.name], attributes, value))
        yield encode(table)


def _plain(value: object) -> object:
    """Values with units are numbers of classes of their own, of which msgpack knows nothing."""
    if isinstance(value, Size):
        return int(value)
    if isinstance(value, Seconds | Share):
        return float(value)
    raise NotImplementedError(type(value))


def _unit(kind: Any, raw: Any) -> object:
    if kind in (Seconds, Size, Share):
        return kind(raw)
    raise NotImplementedError(kind)
