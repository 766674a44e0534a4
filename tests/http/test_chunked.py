"""The chunked coding: what goes in comes out, however it is cut, and nothing else passes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel.chunks import ChunkedDecoder, ChunkedError
from tests.http import chunked_before
from tests.kernel.twins import plain

EXTENSION = st.sampled_from([b"", b";a", b";a=b", b' ;a="b c"', b"\t; x=\xe9"])
SIZE = st.sampled_from([b"%x", b"%X", b"%05x", b"%016x"])
TRAILERS = st.lists(st.sampled_from([b"X: y\r\n", b"Content-Length: 9\r\n", b"a:\r\n"]), max_size=5)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """(wire bytes, content)"""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=12))
    wire = b"".join(
        draw(SIZE) % len(piece) + draw(EXTENSION) + b"\r\n" + piece + b"\r\n" for piece in pieces
    )
    last = draw(st.sampled_from([b"0", b"000"])) + draw(EXTENSION) + b"\r\n"
    return wire + last + b"".join(draw(TRAILERS)) + b"\r\n", b"".join(pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(streams(), st.lists(st.integers(0, 2**16), max_size=20), st.binary(max_size=20))
def test_any_cut_of_a_stream_gives_its_content(
    stream: tuple[bytes, bytes], places: list[int], after: bytes
) -> None:
    wire, content = stream
    decoder = ChunkedDecoder()
    got = b""
    for part in cut(wire + after, places):
        rest = decoder.rest
        for piece in decoder.feed(part):
            assert piece
            got += piece
        decoder.rest = rest + decoder.rest if decoder.done and rest else decoder.rest
    assert decoder.done
    assert got == content
    assert decoder.rest == after


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.text(" \t", max_size=9)), max_size=9),
    st.text(" \t", min_size=1, max_size=9),
    st.lists(st.integers(0, 2**16), max_size=20),
)
def test_blanks_behind_a_size_are_taken_in_answers_alone(
    chunks: list[tuple[bytes, str]], last: str, places: list[int]
) -> None:
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(c), pad.encode(), c) for c, pad in chunks)
    wire += b"0" + last.encode() + b"\r\n\r\n"
    lenient, strict = ChunkedDecoder(padded=True), ChunkedDecoder()
    got = b"".join(piece for part in cut(wire, places) for piece in lenient.feed(part))
    assert lenient.done and got == b"".join(content for content, _ in chunks)
    with pytest.raises(ChunkedError):
        for part in cut(wire, places):
            strict.feed(part)


def test_padding_may_go_on_for_ever_and_an_abuse_may_not() -> None:
    chunk = b"2       \r\nok\r\n"
    decoder = ChunkedDecoder(padded=True)
    assert b"".join(b"".join(decoder.feed(chunk * 100)) for _ in range(100)) == b"ok" * 10_000
    with pytest.raises(ChunkedError):
        for _ in range(10):
            decoder.feed(b"2" + b" " * 4000 + b"\r\nok\r\n")


@pytest.mark.parametrize(
    "line", [b" 3", b"3\v", b"3\f", b"3 a", b"3\xa0", b"3" + b" " * 4097, b" "]
)
def test_other_oddities_are_refused_in_answers_too(line: bytes) -> None:
    with pytest.raises(ChunkedError):
        ChunkedDecoder(padded=True).feed(line + b"\r\nabc\r\n")


@given(streams(), st.integers(0, 2**16))
def test_every_beginning_of_a_stream_is_accepted_and_unfinished(
    stream: tuple[bytes, bytes], place: int
) -> None:
    wire, content = stream
    decoder = ChunkedDecoder()
    got = b"".join(decoder.feed(wire[: place % len(wire)]))
    assert content.startswith(got)
    assert not decoder.done


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_raise_only_our_error(parts: list[bytes]) -> None:
    decoder = ChunkedDecoder()
    try:
        for part in parts:
            decoder.feed(part)
    except ChunkedError:
        return
    assert len(decoder._line) < 9000


MUTATED = st.sampled_from([b"\n", b"\r", b" ", b"\x00", b"g", b";", b"-", b"_", b"\x0b", b"\xff"])


@given(streams(), MUTATED, st.integers(0, 2**16))
def test_the_verdict_does_not_depend_on_the_cuts(
    stream: tuple[bytes, bytes], byte: bytes, place: int
) -> None:
    wire = stream[0]
    at = place % len(wire)
    wire = wire[:at] + byte + wire[at:]
    assert _verdict([wire]) == _verdict([wire[i : i + 1] for i in range(len(wire))])


def _verdict(parts: list[bytes]) -> bytes | None:
    decoder = ChunkedDecoder()
    got = b""
    try:
        for part in parts:
            if not decoder.done:
                got += b"".join(decoder.feed(part))
    except ChunkedError:
        return None
    return got if decoder.done else b"unfinished"


REFUSED = {
    "no size": b"\r\n",
    "sign": b"+3\r\n",
    "prefix": b"0x3\r\n",
    "underscore": b"1_0\r\n",
    "space before": b" 3\r\n",
    "space after": b"3 \r\n",
    "tab after": b"3\t\r\n",
    "17 digits": b"00000000000000003\r\n",
    "not hexadecimal": b"3g\r\n",
    "LF": b"3\nabc\r\n",
    "CR": b"3\rabc\r\n",
    "LF in an extension": b"3;\nabc\r\n",
    "NUL in an extension": b"3;a\x00\r\n",
    "257 bytes of extension": b"3;" + b"x" * 256 + b"\r\n",
    "16 KiB of extensions": (b"1;" + b"x" * 250 + b"\r\na\r\n") * 66,
    "more than its size": b"3\r\nabcd\r\n",
    "LF after data": b"3\r\nabc\n",
    "trailer without a colon": b"0\r\nabc\r\n",
    "trailer folded": b"0\r\na: b\r\n c\r\n",
    "trailer with a space before the colon": b"0\r\na : b\r\n",
    "trailer with NUL": b"0\r\na: \x00\r\n",
    "8 KiB of trailers": b"0\r\n" + b"a: " + b"b" * 8192 + b"\r\n",
    "65 trailers": b"0\r\n" + b"a: b\r\n" * 65,
    "LF at the end": b"0\r\n\n",
}


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(wire: bytes) -> None:
    for step in (len(wire), 1, 7):
        with pytest.raises(ChunkedError):
            decoder = ChunkedDecoder()
            for start in range(0, len(wire), step):
                decoder.feed(wire[start : start + step])


def test_a_line_that_never_ends_is_refused_early() -> None:
    for start in (b"", b"3;", b"0\r\na: "):
        decoder = ChunkedDecoder()
        decoder.feed(start)
        with pytest.raises(ChunkedError):
            for _ in range(9000):
                decoder.feed(b"1")


def test_small_chunks_come_as_one_piece_and_large_ones_uncopied() -> None:
    assert ChunkedDecoder().feed(b"1\r\na\r\n" * 4_000) == [b"a" * 4_000]
    big = b"4e20\r\n" + b"a" * 20_000 + b"\r\n"
    assert [len(piece) for piece in ChunkedDecoder().feed(big * 3)] == [20_000] * 3


def test_the_work_grows_with_the_bytes() -> None:
    """Counted in lines looked at, for a stream of tiny chunks in tiny reads (CVE-2025-69229)."""
    base: Any = plain("proxy.kernel.chunks").ChunkedDecoder  # whose methods can be overridden

    class Counting(base):
        __slots__ = ("work",)

        def _keep(self, part: bytes) -> None:
            self.work += len(part)
            super()._keep(part)

        def _take_line(self, line: bytes) -> None:
            self.work += 1
            super()._take_line(line)

    def work(chunks: int) -> int:
        decoder = Counting()
        decoder.work = 0
        wire = b"1;ab\r\nx\r\n" * chunks
        for start in range(0, len(wire), 4):
            decoder.feed(wire[start : start + 4])
        return decoder.work

    assert work(4000) < 4.1 * work(1000)


@given(streams(), st.lists(st.integers(1, 15), max_size=60), MUTATED, st.integers(-(2**16), 2**16))
def test_the_fast_reader_agrees_with_the_plain_one(
    stream: tuple[bytes, bytes], sizes: list[int], byte: bytes, place: int
) -> None:
    """Content, verdict and rest, for streams with runs of tiny chunks, whole and spoilt."""
    tiny = b"".join(b"%x\r\n%b\r\n" % (n, b"\r\n1\r\n0\r\nabcdefgh"[:n]) for n in sizes)
    wire = tiny + stream[0]
    if place > 0:
        at = place % len(wire)
        wire = wire[:at] + byte + wire[at:]
    for cut in (0, len(wire) // 3):
        parts = [part for part in (wire[:cut], wire[cut:]) if part]
        assert _told(ChunkedDecoder(), parts) == _told(chunked_before.ChunkedDecoder(), parts)


def _told(decoder: Any, parts: list[bytes]) -> object:
    content = b""
    try:
        for part in parts:
            content += b"".join(decoder.feed(part))
    except (ChunkedError, chunked_before.ChunkedError):
        return "refused"
    return content, decoder.done, decoder.rest


def test_trailers_are_kept() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"1\r\na\r\n0\r\nGrpc-Status: 0\r\nx-b:\r\n\r\nnext") == [b"a"]
    assert decoder.trailers == [(b"Grpc-Status", b"0"), (b"x-b", b"")]
    assert decoder.rest == b"next"


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"01\r\na\r\n"])
def test_one_call_does_a_bounded_amount_of_work(chunk: bytes) -> None:
    decoder = ChunkedDecoder()
    content, calls = b"".join(decoder.feed(chunk * 40_000 + b"0\r\n\r\n")), 1
    while decoder.has_more:
        assert not decoder.done
        content += b"".join(decoder.feed(b""))
        calls += 1
    assert decoder.done and content == b"a" * 40_000
    assert calls >= 40_000 // (2048 * 4)
