"""The scanner against llhttp and our checks, as the sources read heads, and the bounds of both."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import proxy
import proxy.http.h1
import proxy.http.headers
import proxy.kernel.scan
import proxy.kernel.tokens
from tests.kernel import heads
from tests.kernel.differ_scan import Side, compare, compiled, misplaced
from tests.kernel.twins import plain, twin

pytestmark = pytest.mark.skipif(bool(proxy.WHY_PLAIN), reason="nothing is compiled")

ONE, OTHER = Side(compiled), Side(plain)
NAMES = st.one_of(
    st.sampled_from(sorted(proxy.http.headers.REQUEST_SPECIAL)),
    st.from_regex(rb"[!#-'*+.^-z|~0-9A-Z-]{1,40}", fullmatch=True),
    st.binary(max_size=3),
)
VALUES = st.one_of(
    st.sampled_from([b"", b" ", b"\t", b"close", b"chunked", b"3", b"upgrade", b"a:1"]),
    st.binary(max_size=50),
    st.from_regex(rb"[ \t!-~\x80-\xff]{0,90}", fullmatch=True),
)
SPACES = st.sampled_from([b"", b" ", b"\t", b"  \t"])
LINES = st.lists(st.tuples(NAMES, SPACES, VALUES, SPACES), max_size=40)
FIRST = st.one_of(
    st.sampled_from(
        [b"GET / HTTP/1.1", b"POST /a?b HTTP/1.0", b"HTTP/1.1 200 OK", b"HTTP/1.0 304"]
    ),
    st.tuples(
        st.sampled_from([b"GET", b"M-SEARCH", b"SLUDGE", b"get", b"CONNECT", b"G\0"]),
        st.from_regex(rb"[/a-z.%?#*:0-9~;-]{0,50}", fullmatch=True),
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.5", b"HTTP/2.0", b"http/1.1"]),
    ).map(b" ".join),
    st.tuples(
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.7"]),
        st.integers(0, 1000).map(lambda n: b"%03d" % n),
        VALUES,
    ).map(b" ".join),
)


def head_of(first: bytes, lines: list[tuple[bytes, bytes, bytes, bytes]]) -> bytes:
    """The bytes up to the first blank line, as the connections cut them."""
    data = first + b"\r\n"
    data += b"".join(n + b":" + a + v + b + b"\r\n" for n, a, v, b in lines) + b"\r\n"
    return data[: data.index(b"\r\n\r\n") + 4]


def check(data: bytes) -> None:
    head, found = ONE.request(data, 0)
    assert found == OTHER.request(data, 0)[1]
    assert head is None or misplaced(head) == ""
    for method in ("GET", "HEAD"):
        head, found = ONE.answer(data, method)
        assert found == OTHER.answer(data, method)[1]
        assert head is None or misplaced(head) == ""


@given(FIRST, LINES)
def test_heads_are_read_as_by_the_sources(
    first: bytes, lines: list[tuple[bytes, bytes, bytes, bytes]]
) -> None:
    check(head_of(first, lines))


@given(st.randoms(use_true_random=False))
def test_mutated_heads_are_read_as_by_the_sources(random: Random) -> None:
    data, why, _ = compare(ONE, OTHER, random)
    assert not why, data


@pytest.mark.parametrize("data", [*heads.REQUESTS, *heads.ANSWERS])
def test_real_heads_and_all_their_beginnings(data: bytes) -> None:
    """Cut anywhere: no offset beyond what is left, whatever stands behind it."""
    check(data)
    for end in range(len(data)):
        check(data[:end] + b"\r\n\r\n")


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_each_place(byte: int) -> None:
    """The tables of characters: in methods, targets, names, values, reasons."""
    c = bytes([byte])
    for data in (
        b"GET%b / HTTP/1.1\r\nHost: a\r\n\r\n" % c,
        b"GET /a%bb?c HTTP/1.1\r\nHost: a\r\n\r\n" % c,
        b"GET /?c%bd HTTP/1.1\r\nHost: a\r\n\r\n" % c,
        b"GET / HTTP/1.1\r\nHost: a\r\nX%bY: b\r\n\r\n" % c,
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: b%bc\r\nX-A: b\r\n\r\n" % c,
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: bbbbbbbbbbbbbbbbbbbbb%b\r\nX-A: b\r\n\r\n" % c,
        b"HTTP/1.1 200 O%bK\r\nContent-Length: 0\r\n\r\n" % c,
        b"HTTP/1.1 200%bOK\r\nContent-Length: 0\r\n\r\n" % c,
        b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % c,
    ):
        check(data[: data.index(b"\r\n\r\n") + 4])


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64, 65, 1000])
def test_heads_of_any_number_of_lines(count: int) -> None:
    """Room for lines grows."""
    pairs = [(b"X-%d" % n, b"y" * (n % 40)) for n in range(count)]
    lines = b"".join(b"%b: %b\r\n" % pair for pair in pairs)
    head = proxy.http.h1.RequestReader().read(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
    assert head.lines is not None
    assert head.lines.count == count
    assert head.pairs == pairs


@given(st.integers(1, 40), st.integers(0, 40))
def test_names_of_any_length_at_any_distance_from_the_end(size: int, value: int) -> None:
    name = (b"content-length-and-more-names-of-all-lengths")[:size]
    check(b"HTTP/1.1 200 OK\r\n%b: %b\r\n\r\n" % (name, b"1" * value))
    check(b"GET / HTTP/1.1\r\nHost: a\r\n%b: %b\r\n\r\n" % (name, b"1" * value))


def test_usual_heads_are_scanned() -> None:
    """All but the rare ones, or nothing is gained."""
    for data in heads.REQUESTS:
        scanned = proxy.kernel.scan.scan_request(data) is not None
        assert scanned == (b"#" not in data)
    scanned = [proxy.kernel.scan.scan_response(data) is not None for data in heads.ANSWERS]
    assert scanned == [True, True, False, True]


def test_lines_that_were_taken_away_are_neither_passed_on_nor_special() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\nX_B: c\r\nX-C: d\r\nConnection: X-A\r\n\r\n"
    head = proxy.http.h1.RequestReader().read(data)
    head.remove([b"x-a"])
    head.drop_underscores()
    assert list(head) == [(b"X-C", b"d")]
    assert head.fields == {b"host": b"a", b"connection": b"X-A"}
    assert head.pairs == [(b"X-C", b"d")]
    assert head.lines is None
    assert head.field(b"host") == b"a"


@given(st.text(max_size=40), st.from_regex(r"(?:/[a-z.;%/]{0,6}){1,5}", fullmatch=True))
def test_paths_are_usual_as_the_twin_says(text: str, path: str) -> None:
    other = twin("tokens")
    for given_path in (text, "/" + text, path):
        assert proxy.kernel.tokens.is_ordinary(given_path) == bool(other.is_ordinary(given_path))


@given(st.one_of(st.binary(max_size=25), st.integers(0, 10**22).map(lambda n: b"%d" % n)))
def test_numbers_are_those_of_the_twin(value: bytes) -> None:
    assert proxy.kernel.tokens.decimal(value) == twin("tokens").decimal(value)


@given(st.binary(max_size=70))
def test_values_are_those_of_the_twin(text: bytes) -> None:
    assert proxy.kernel.tokens.is_value(text) == twin("tokens").is_value(text)


def test_each_byte_may_be_in_a_value_or_not_as_the_twin_says() -> None:
    for at in (0, 20):
        for byte in range(256):
            text = b"x" * at + bytes([byte]) + b"y" * 20
            assert proxy.kernel.tokens.is_value(text) == twin("tokens").is_value(text), text


@given(LINES)
def test_lines_in_lower_case_are_the_same_lines(lines: list[tuple[bytes, ...]]) -> None:
    data = b"".join(name + b":" + b"".join(rest) + b"\r\n" for name, *rest in lines)
    found = proxy.kernel.scan.scan_response(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n")
    if found is not None:
        lowered = [(name.lower(), value.strip(b" \t")) for name, value in found.pairs()]
        assert found.lowered() == lowered
