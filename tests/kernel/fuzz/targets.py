"""What the kernel is fuzzed by: each public function here takes any bytes and must not fail.

AddressSanitizer finds accesses outside of what is theirs. What else is asserted is what must hold
for any input; whether the answers are right is for the twins to say (tests/kernel/differ_*.py).
"""

from __future__ import annotations

from contextlib import suppress
from json import loads as reads

import proxy.http.h1  # it tells the scanner which names and methods there are
from proxy.kernel import chunks, ends, hexes, lines, pen, scan, tally, write
from proxy.kernel.otlpjson import Reader
from proxy.kernel.params import Names
from proxy.kernel.walk import Tree
from proxy.kernel.wire import survey
from proxy.kernel.wire_error import WireError
from proxy.otlp.schema import SCHEMAS

assert proxy.http.h1.__name__
_TRACE, _SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
_PEN, _KEY = pen.Pen(), pen.TextAttribute(9, "k")
_LINES, _QUERY = lines.Lines(_PEN), Names(["token", "X-Amz-Signature"])
_DIGEST = tally.Digest((b"http.route", b"k"), 1e6, (1 << 62, 1 << 55), len)
_SCHEMAS = list(SCHEMAS.values())
_ADDED = ([], [(b"via", b"1.1 x")], [(b"x-%d" % n, b"v" * n) for n in range(40)])


def request(data: bytes) -> None:
    found = data.find(b"\r\n\r\n", 1)
    assert ends.find_blank(data, ends.BLANK, 1) == found
    head = scan.scan_request(data)
    if head is not None:
        _written(head, data, write.request_start(head.method, head.target.decode("latin-1"), ""))


def response(data: bytes) -> None:
    head = scan.scan_response(data)
    if head is not None:
        _written(head, data, b"HTTP/1.1 200 OK\r\n")


def _written(head: scan.Lines, data: bytes, start: bytes) -> None:
    """Lines lie behind each other up to the end, and are written with any kind of edit."""
    at = 0
    for first, name_end, value, value_end, end, _ in head.places():
        assert (not at or first == at) and first < name_end < value <= value_end <= end - 2
        assert data[end - 2 : end] == b"\r\n"
        at = end
    assert not at or data[at:] == b"\r\n"
    names = [name.lower() for name, _ in head.pairs()]
    few = frozenset(names[: len(data) % 4])
    for removed, added in zip((None, few, frozenset(names)), _ADDED, strict=True):
        made = write.write_head(start, head, removed, added, [], b"content-length: 3\r\n")
        assert made.startswith(start) and made.endswith(b"\r\n\r\n")
    for name in names[:1]:
        assert head.each(name)
    head.drop_underscores()
    head.remove(few)
    assert not few & {name.lower() for name, _ in head.pairs()}


def body(data: bytes) -> None:
    """A body in chunks, in parts whose size the first byte says."""
    if not data:
        return
    step = data[0] >> 1 or len(data)
    decoder = chunks.ChunkedDecoder(padded=bool(data[0] & 1))
    got = 0
    try:
        for at in range(1, len(data), step):
            got += sum(map(len, decoder.feed(data[at : at + step])))
            while decoder.has_more:
                got += sum(map(len, decoder.feed(b"")))
            if decoder.done:
                break
    except chunks.ChunkedError:
        pass
    assert got <= len(data)
    assert write.chunk(data[:1], data, bool(step & 1))


def record(data: bytes) -> None:
    """A span and an access line with the bytes in each place where a client's may come."""
    text = data.decode("utf-8", "surrogateescape")
    path, _, query = text.partition("?")
    _QUERY.may_be_in(query)
    _PEN.span(_TRACE, _SPAN, b"", 1, 2, 3)
    _PEN.text(_KEY, text)
    _PEN.text(_KEY, data)
    _PEN.url(_KEY, data[:20], path, query)
    _PEN.end()
    assert pen.text(data) in _PEN.take()
    _PEN.clear()
    _LINES.begin(len(data), path[:9], path, query)
    _LINES.outcome(len(data) * 1000, query, path, 1)
    _LINES.caller(0, len(data), text, path, data)
    _LINES.end(data, _TRACE, _SPAN, True)
    line = _PEN.take()
    _PEN.clear()
    assert line.isascii() and reads(line)["query"] == pen.text(query).decode()


def trace(data: bytes) -> None:
    hexes.split_parent(data)
    assert hexes.is_hex(data, len(data)) in (False, True)
    if len(data) == 32:
        hexes.reaches(data, data[::-1])
    if len(data) == 48:
        hexes.parent_fields(data[:32], data[32:], 1, data)


def protobuf(data: bytes) -> None:
    if data:
        survey(_SCHEMAS[data[0] % len(_SCHEMAS)], data[1:], 1000)


def spans(data: bytes) -> None:
    known: dict[bytes, tally.Tally] = {}

    def opened(key: bytes, begin: int, end: int) -> tally.Tally:
        assert 0 <= begin <= end <= len(data)
        made = known[key] = tally.Tally()
        made.durations, made.exemplars = tally.Buckets([1.0, 10.0]), []
        return made

    with suppress(WireError):
        _DIGEST.count(data, (0, len(data)), known, 1, opened)


def json(data: bytes) -> None:
    if not data:
        return
    reader = Reader(_SCHEMAS[data[0] % len(_SCHEMAS)], data[1:])
    while not (said := reader.step(data[0] // len(_SCHEMAS) + 1)):
        pass
    if said > 0:
        reader.result()


def path(data: bytes) -> None:
    """A tree of the lines but the last, and the walk along the last."""
    *paths, last = data.decode("utf-8", "surrogateescape").split("\n")
    tree = Tree()
    for number, text in enumerate(paths[:40]):
        segments = [None if part == "*" else part for part in text.split("/")]
        tree.put(segments, number, bool(number & 1))
    tree.first(last)
    tree.all(last)
