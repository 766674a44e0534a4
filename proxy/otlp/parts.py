"""A request of any size checked, counted and cut, in steps that are short whatever it holds.

The C library does a whole request in one go, during which nothing else happens, and makes a
message of a hundred bytes from each two on the wire. So it gets a request in parts, which are
requests of their own: they repeat what encloses their items. What has more structure than
telemetry can have in so few bytes is refused where that shows. Texts that are not UTF-8 and ids
that are none are mended (`texts.py`, `ids.py`), so that they cost nobody but their sender.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from proxy.kernel.wire import survey
from proxy.otlp import ids, texts
from proxy.otlp.messages import REQUESTS, amount_in
from proxy.otlp.schema import SCHEMAS
from proxy.otlp.wire import PATHS, Field, Path, WireError, count, fields
from proxy.telemetry.protobuf import DELIMITED, varint

PART = 256 * 1024  # bytes: 800 ordinary spans; of empty messages 10 ms to decode
# Resources, scopes, metrics and items: the smallest that say something have 12 bytes.
FREE, LEAST = 4096, 12
FRAMES = 256 * 1024  # bytes of what encloses an item: resource, scope, a metric's name…
DEEP = 65_536  # fields inside of one item that is larger than a part
ITEM = 8 * 1024 * 1024  # bytes of one item; copied and decoded in one go
_STEP = 8192  # fields between two chances for others

Around = tuple[tuple[int, bytes], ...]  # field in the parent, and what else the parent has

_NOTHING: Mapping[str, int] = MappingProxyType({})


class Unreadable(WireError):
    """The library refuses it; with its texts mended it may not."""


class Checked(NamedTuple):
    """A request that is valid, which may have been mended for that."""

    payload: bytes
    items: int
    lost: Mapping[str, int] = _NOTHING  # items that were left out, by reason


Check = Callable[[str, bytes], Checked]


class Part(NamedTuple):
    """Some fields of one message in a request, with what encloses them, the innermost first."""

    request: bytes
    runs: list[tuple[int, int]]
    frame: bytes  # what else is in their message
    around: Around
    items: int = 0
    lost: Mapping[str, int] = _NOTHING
    mended: bytes | None = None  # in the place of what the request says

    def payload(self) -> bytes:
        """A serialised request; each byte is copied once."""
        if self.mended is not None:
            return self.mended
        view = memoryview(self.request)
        body: list[bytes | memoryview] = [self.frame]
        body += [view[start:end] for start, end in self.runs]
        size = sum(map(len, body))
        for number, frame in self.around:
            head = varint(number << 3 | DELIMITED) + varint(size)
            body[:0] = (frame, head)
            size += len(frame) + len(head)
        return b"".join(body)


def checked(signal: str, request: bytes) -> Checked:
    """A request that is not much larger than a part; raises WireError, first of all Unreadable."""
    # What has no fault is not decoded: a sixth of the cost (benchmarks.micro_otlp).
    items = survey(SCHEMAS[signal], request, FREE + len(request) // LEAST)
    return Checked(request, items) if items >= 0 else judged(signal, request)


def judged(signal: str, request: bytes) -> Checked:
    """The same by the library, which is what counts."""
    try:
        message = REQUESTS[signal].FromString(request)
    except DecodeError as error:
        raise Unreadable(str(error)) from None
    items = _amount(signal, message, FREE + len(request) // LEAST)
    changed, lost = ids.mend(signal, message)
    if not changed:
        return Checked(request, items)
    return Checked(message.SerializeToString(), amount_in(signal, message), lost)


def framed(signal: str, request: bytes) -> Checked:
    """Counted, but not looked into; raises WireError."""
    return Checked(request, count(signal, request))


def parts(signal: str, request: bytes, check: Check = checked) -> Generator[None, None, list[Part]]:
    """All of it, valid and without empty envelopes; raises WireError, as `check` may."""
    found: list[Part] = []
    walk = _Walk(signal, request)
    for part in walk.cut(0, len(request), PATHS[signal], ()):
        yield
        if part is None:
            continue
        payload = part.payload()
        if len(payload) > PART * 8:
            yield
        made = yield from made_good(signal, payload, check)
        if made.items or made.lost:
            mended = None if made.payload is payload else made.payload
            found.append(part._replace(items=made.items, lost=made.lost, mended=mended))
    return found


def made_good(signal: str, payload: bytes, check: Check) -> Generator[None, None, Checked]:
    """One part checked, with its texts mended if that was needed."""
    try:
        return check(signal, payload)
    except Unreadable:
        payload = yield from texts.mended(signal, payload)
        return check(signal, payload)


def _amount(signal: str, request: Any, most: int) -> int:
    """Items; raises WireError if they and what encloses them are more than `most`."""
    outer, inner = _NAMES[signal]
    level = [field[1] for field in request.ListFields()[:1]]
    items = total = _within(sum(map(len, level)), most)
    for name in (outer, inner):
        level = [getattr(one, name) for many in level for one in many]
        items = sum(map(len, level))
        total = _within(total + items, most)
    if signal == "metrics":
        items = sum(_points(metric) for many in level for metric in many)
        _within(total + items, most)
    return items


_NAMES = {
    "traces": ("scope_spans", "spans"),
    "metrics": ("scope_metrics", "metrics"),
    "logs": ("scope_logs", "log_records"),
}


def _points(metric: Any) -> int:
    kind = metric.WhichOneof("data")
    return len(getattr(metric, kind).data_points) if kind else 0


def _within(total: int, most: int) -> int:
    if total > most:
        raise WireError("too many parts for so few bytes")
    return total


class _Walk:
    """The way down through one request."""

    __slots__ = ("_buf", "_item")

    def __init__(self, signal: str, request: bytes) -> None:
        self._buf = request
        self._item = _item(signal)

    def cut(self, start: int, end: int, path: Path, around: Around) -> Iterator[Part | None]:
        """Parts of the message in [start:end]; None is a pause."""
        level = _Level(self._buf, path[0], sum(len(frame) for _, frame in around))
        for _ in level.scan(start, end):
            yield None
        frame = bytes(level.frame)
        for runs in level.runs or ([] if level.large else [[]]):
            yield Part(self._buf, runs, frame, around)
        for number, _, tag, begin, stop in level.large:
            if len(path) > 1:
                yield from self.cut(begin, stop, path[1:], ((number, frame), *around))
            else:
                yield from self._deep(begin, stop)
                yield Part(self._buf, [(tag, stop)], frame, around)

    def _deep(self, start: int, end: int) -> Iterator[None]:
        """Look through an item that is larger than a part."""
        if end - start > ITEM:
            raise WireError(f"one item of more than {ITEM} bytes")
        seen = 0
        ahead = [(start, end, self._item)]
        while ahead:
            start, end, message = ahead.pop()
            for number, kind, _, begin, stop in fields(self._buf, start, end):
                seen += 1
                if seen > DEEP:
                    raise WireError("too many parts in one item")
                if seen % _STEP == 0:
                    yield
                field = message.fields_by_number.get(number)
                if kind == DELIMITED and field is not None and field.message_type is not None:
                    ahead.append((begin, stop, field.message_type))


def _item(signal: str) -> Any:
    message: Any = REQUESTS[signal].DESCRIPTOR
    for numbers in PATHS[signal]:
        # Points of all kinds of metrics hold the same: attributes and exemplars.
        message = message.fields_by_number[min(numbers)].message_type
    return message


class _Level:
    """The fields of one message: those that lead to items, in runs, and what else there is."""

    __slots__ = ("_buf", "_fields", "_outside", "_tags", "frame", "large", "runs")

    def __init__(self, buf: bytes, numbers: frozenset[int], outside: int) -> None:
        self._buf = buf
        self._tags = frozenset(number << 3 | DELIMITED for number in numbers)
        self._outside = outside  # bytes of the frames around this one
        self._fields = 0  # seen
        self.runs: list[list[tuple[int, int]]] = []
        self.large: list[Field] = []
        self.frame = bytearray()

    def scan(self, pos: int, end: int) -> Iterator[None]:
        """Look at all fields; yields after each few."""
        begun = pos
        while pos < end:
            pos = self._steps(pos, end)
            if self._fields > FREE + (pos - begun) // LEAST:
                raise WireError("too many parts for so few bytes")
            if self._outside + len(self.frame) > FRAMES:
                raise WireError(f"more than {FRAMES} bytes enclose an item")
            yield

    def _steps(self, pos: int, end: int) -> int:
        """The next few fields, which make one part; returns where they end."""
        buf, tags = self._buf, self._tags
        runs: list[tuple[int, int]] = []
        run = pos
        # Large frames are not to be repeated often.
        last = min(end, pos + max(PART, 2 * (self._outside + len(self.frame))))
        seen = 0
        while pos < last and seen < _STEP:
            seen += 1
            # Most have a tag of one byte and a length of two; without a call it takes 0.15 µs.
            if pos + 2 < end and buf[pos] in tags and buf[pos + 1] > 0x7F > buf[pos + 2]:
                stop = pos + 3 + (buf[pos + 1] & 0x7F | buf[pos + 2] << 7)
                if stop <= end:
                    pos = stop
                    continue
            field = next(fields(buf, pos, end))
            if not self._leads_on(field):
                runs.append((run, pos))
                run = field[4]
            pos = field[4]
        runs.append((run, pos))
        self._fields += seen
        if any(stop > start for start, stop in runs):
            self.runs.append(runs)
        return pos

    def _leads_on(self, field: Field) -> bool:
        """Whether a field is part of a run; if not, it is put where it belongs."""
        number, kind, tag, start, stop = field
        if kind != DELIMITED or number << 3 | DELIMITED not in self._tags:
            self.frame += self._buf[tag:stop]
            return False
        if stop - start > PART:
            self.large.append(field)
            return False
        return True
