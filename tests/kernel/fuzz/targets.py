"""What the kernel is fuzzed by: each public function here takes any bytes and must not fail.

AddressSanitizer finds accesses outside of what is theirs. What else is asserted is what must hold
for any input; whether the answers are right is for the twins to say (tests/kernel/differ_*.py).
"""

from __future__ import annotations

import proxy.http.h1  # it tells the scanner which names and methods there are
from proxy.kernel import chunks, hexes, scan, write
from proxy.kernel.otlpjson import Reader
from proxy.kernel.walk import Tree
from proxy.kernel.wire import survey
from proxy.otlp.schema import SCHEMAS

assert proxy.http.h1.__name__
_SCHEMAS = list(SCHEMAS.values())
_ADDED = ([], [(b"via", b"1.1 x")], [(b"x-%d" % n, b"v" * n) for n in range(40)])


def request(data: bytes) -> None:
    lines = scan.scan_request(data)
    if lines is not None:
        _written(lines, data, write.request_start(lines.method, lines.target.decode("latin-1"), ""))


def response(data: bytes) -> None:
    lines = scan.scan_response(data)
    if lines is not None:
        _written(lines, data, b"HTTP/1.1 200 OK\r\n")


def _written(lines: scan.Lines, data: bytes, start: bytes) -> None:
    """Lines lie behind each other up to the end, and are written with any kind of edit."""
    at = 0
    for first, name_end, value, value_end, end, _ in lines.places():
        assert (not at or first == at) and first < name_end < value <= value_end <= end - 2
        assert data[end - 2 : end] == b"\r\n"
        at = end
    assert not at or data[at:] == b"\r\n"
    names = [name.lower() for name, _ in lines.pairs()]
    few = frozenset(names[: len(data) % 4])
    for removed in (None, few, frozenset(names)):
        for added in _ADDED:
            made = write.write_head(start, lines, removed, added, [], b"content-length: 3\r\n")
            assert made.startswith(start) and made.endswith(b"\r\n\r\n")
    for name in names[:3]:
        assert lines.each(name)
    lines.drop_underscores()
    lines.remove(few)
    assert not few & {name.lower() for name, _ in lines.pairs()}


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
    assert chunks.chunk(data[:1], data, bool(step & 1))


def trace(data: bytes) -> None:
    hexes.split_parent(data)
    assert hexes.is_hex(data, len(data)) in (False, True)
    if len(data) == 32:
        hexes.reaches(data, data[::-1])
    if len(data) == 48:
        hexes.traceparent(data[:32], data[32:], 1)


def protobuf(data: bytes) -> None:
    if data:
        survey(_SCHEMAS[data[0] % len(_SCHEMAS)], data[1:], 1000)


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
