"""The writer of heads and its twin: every byte of what leaves, for heads of every shape."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel import write as kernel
from tests.kernel import heads
from tests.kernel.differ_write import Side, compiled
from tests.kernel.twins import plain

twin = plain("proxy.kernel.write")
ONE, OTHER = Side(compiled), Side(plain)

NAMES = ["A", "x-b", "X-Client-Version", "Cookie", "x_d", "Accept", "X" * 70]
SPECIAL = ["Host", "traceparent", "Via", "Connection", "User-Agent"]
GAPS = st.sampled_from([": ", ": ", ": ", ":", ":  ", ":\t", ": \t "])
VALUES = st.text("ab \t,;=:\xe9", max_size=12)
LINES = st.tuples(st.sampled_from(NAMES + SPECIAL), GAPS, VALUES).map("".join)
REMOVED = st.none() | st.frozensets(
    st.sampled_from([name.lower().encode() for name in (*NAMES, *SPECIAL)])
    | st.binary(max_size=4)
    | st.integers(0, 99).map(lambda n: b"n%d" % n),
    max_size=30,
)
PAIRS = st.lists(
    st.tuples(st.sampled_from(NAMES).map(str.encode), st.binary(max_size=9)), max_size=6
)
FRAMING = st.sampled_from([b"", b"content-length: 3\r\n", b"te: trailers\r\nconnection: te\r\n"])


@given(st.lists(LINES, max_size=40), REMOVED, PAIRS, PAIRS, FRAMING)
def test_requests(
    lines: list[str],
    removed: frozenset[bytes] | None,
    added: list[tuple[bytes, bytes]],
    more: list[tuple[bytes, bytes]],
    framing: bytes,
) -> None:
    data = "\r\n".join(["GET /a?b HTTP/1.1", *lines, "", ""]).encode("latin-1")
    made = ONE.request(data, removed, added, more, framing)
    assert made == OTHER.request(data, removed, added, more, framing)


@given(
    st.sampled_from([200, 204, 299, 304, 404, 503, 599]),
    st.sampled_from(["", " OK", " Not Found", " \x01", " \xe9"]),
    st.lists(LINES, max_size=40),
    REMOVED,
    PAIRS,
    FRAMING,
)
def test_answers(
    status: int,
    reason: str,
    lines: list[str],
    removed: frozenset[bytes] | None,
    pairs: list[tuple[bytes, bytes]],
    framing: bytes,
) -> None:
    data = "\r\n".join([f"HTTP/1.1 {status}{reason}", *lines, "", ""]).encode("latin-1")
    made = ONE.answer(data, removed, pairs, pairs, framing)
    assert made == OTHER.answer(data, removed, pairs, pairs, framing)


@pytest.mark.parametrize("head", heads.REQUESTS + heads.ANSWERS, ids=range(9))
def test_real_heads_and_mutations_of_them(head: bytes) -> None:
    random = Random(head)
    for _ in range(300):
        data = heads.mutated(random, head)
        make = "answer" if head.startswith(b"HTTP/") else "request"
        removed = random.choice([None, frozenset({b"x-a", b"vary", b"accept"})])
        rest = (removed, [(b"via", b"1.1 x")], [(b"date", b"now")], b"")
        assert getattr(ONE, make)(data, *rest) == getattr(OTHER, make)(data, *rest)


@given(
    PAIRS,
    REMOVED,
    PAIRS,
    st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=300)), max_size=5),
    FRAMING,
)
def test_lines_in_a_list(
    came: list[tuple[bytes, bytes]],
    removed: frozenset[bytes] | None,
    added: list[tuple[bytes, bytes]],
    more: list[tuple[bytes, bytes]],
    framing: bytes,
) -> None:
    made = kernel.write_head(b"start\r\n", came, removed, added, more, framing)
    assert made == twin.write_head(b"start\r\n", came, removed, added, more, framing)
    assert made == bytes(bytearray(made))  # a whole object, its size and its end as any other's
    assert hash(made) == hash(bytes(bytearray(made)))


@given(st.text(max_size=9), st.text("/ab?", max_size=300), st.text("a.:", max_size=20))
def test_the_first_lines(method: str, target: str, authority: str) -> None:
    def made(module: Any) -> object:
        try:
            return module.request_start(method, target, authority)
        except UnicodeEncodeError:
            return "refused"

    assert made(kernel) == made(twin)


COMPILED = pytest.mark.skipif(kernel.__file__.endswith(".py"), reason="nothing is compiled")


@COMPILED
@pytest.mark.parametrize(
    "pair", [(b"a",), (b"a", "b"), ("a", b"b"), (b"a", b"b", b"c"), [b"a", 1], None, 3]
)
def test_what_is_no_line_is_refused_and_does_no_harm(pair: object) -> None:
    usual = [(b"a", b"b")]
    for came, added, more in ([[pair], [], []], [usual, [pair], []], [usual, usual, [pair]]):
        with pytest.raises(TypeError):
            kernel.write_head(b"", came, None, added, more, b"")


@COMPILED
@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("value", [3, "text", {}])
def test_other_types_are_refused(place: int, value: object) -> None:
    arguments: list[Any] = [b"", [], frozenset(), [], [], b""]
    arguments[place] = value
    with pytest.raises(TypeError):
        kernel.write_head(*arguments)
