"""The chunk scanner and its twin: the same content, piece by piece, and the same refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.kernel import chunks as kernel
from proxy.kernel import write
from tests.http.test_chunked import MUTATED, REFUSED, cut, streams
from tests.kernel.twins import plain

twin = plain("proxy.kernel.chunks")
plain_write = plain("proxy.kernel.write")


def told(module: Any, parts: list[bytes], padded: bool) -> list[object]:
    """What a decoder says after each part; ends with a refusal or at the end of the body."""
    decoder = module.ChunkedDecoder(padded=padded)
    said: list[object] = []
    for part in parts:
        feed = part
        while True:
            try:
                pieces = decoder.feed(feed)
            except module.ChunkedError as error:
                return [*said, str(error)]
            said.append((pieces, decoder.done, decoder.has_more, decoder.rest, decoder.trailers[:]))
            said.append(decoder._line)
            feed = b""
            if not decoder.has_more:
                break
        if decoder.done:
            break
    return said


def agree(parts: list[bytes]) -> None:
    for padded in (False, True):
        assert told(kernel, parts, padded) == told(twin, parts, padded)


TINY = st.lists(st.integers(1, 15), max_size=40).map(
    lambda sizes: b"".join(b"%x\r\n%b\r\n" % (n, b"\r\n1\r\n0\r\nabcdefgh"[:n]) for n in sizes)
)
CUTS = st.lists(st.integers(0, 2**16), max_size=12)


@given(TINY, streams(), CUTS, st.binary(max_size=9))
def test_streams(tiny: bytes, stream: tuple[bytes, bytes], places: list[int], after: bytes) -> None:
    agree(cut(tiny + stream[0] + after, places))


@given(TINY, streams(), CUTS, st.lists(st.tuples(MUTATED, st.integers(0, 2**16)), max_size=3))
def test_spoilt_streams(
    tiny: bytes,
    stream: tuple[bytes, bytes],
    places: list[int],
    changes: list[tuple[bytes, int]],
) -> None:
    wire = tiny + stream[0]
    for byte, place in changes:
        at = place % len(wire)
        wire = wire[:at] + byte + wire[at + place % 2 :]
    agree(cut(wire, places))


@given(st.lists(st.text("0123aF;\r\n \t:x\x00\x7f\xff", max_size=20), max_size=6))
@example(["\r\n"])
@example(["3\r", "\nabc\r", "\n0\r\n\r", "\n"])
def test_soup(parts: list[str]) -> None:
    agree([part.encode("latin-1") for part in parts])


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(wire: bytes) -> None:
    for step in (len(wire), 1, 7):
        agree([wire[start : start + step] for start in range(0, len(wire), step)])


@pytest.mark.parametrize(
    "wire",
    [
        b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n",
        b"01\r\na\r\n" * 5_000,
        (b"f\r\n" + b"a" * 15 + b"\r\n") * 4_096 + b"0\r\n\r\nrest",
        (b"1\r\na\r\n" * 4_095 + b"10\r\n" + b"a" * 16 + b"\r\n") * 5,
        (b"1\r\na\r\n" + b"2000\r\n" + b"a" * 8_192 + b"\r\n") * 200,
        b"ffffffffffffffff\r\n" + b"a" * 70_000,
        b"2" + b" " * 4_000 + b"\r\nok\r\n" + b"2;" + b"x" * 255 + b"\r\nok\r\n",
        (b"ffff;" + b"x" * 200 + b"\r\n" + b"a" * 65_535 + b"\r\n") * 100,
    ],
    ids=range(8),
)
def test_many_and_large_chunks(wire: bytes) -> None:
    agree([wire])
    agree([wire[start : start + 65_536] for start in range(0, len(wire), 65_536)])


def test_a_piece_that_is_all_of_the_data_is_not_copied() -> None:
    decoder = kernel.ChunkedDecoder()
    assert decoder.feed(b"ffff\r\n") == []
    data = b"a" * 1000
    assert decoder.feed(data)[0] is data


SIZES = [0, 1, 15, 16, 4095, 4096, 65_535, 65_536]


@given(st.binary(max_size=40), st.binary(max_size=40), st.booleans())
def test_a_chunk(before: bytes, data: bytes, last: bool) -> None:
    assert write.chunk(before, data, last) == plain_write.chunk(before, data, last)


@pytest.mark.parametrize("size", SIZES)
def test_a_chunk_of_any_size(size: int) -> None:
    for last in (False, True):
        made = write.chunk(b"head\r\n\r\n", b"a" * size, last)
        assert made == plain_write.chunk(b"head\r\n\r\n", b"a" * size, last)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=9), CUTS)
def test_what_is_written_is_read(pieces: list[bytes], places: list[int]) -> None:
    last = len(pieces) - 1
    wire = b"".join(write.chunk(b"", piece, n == last) for n, piece in enumerate(pieces))
    decoder = kernel.ChunkedDecoder()
    got = b"".join(piece for part in cut(wire, places) for piece in decoder.feed(part))
    assert decoder.done and got == b"".join(pieces)
