"""traceparent and tracestate to the letter; the rows follow the W3C harness's own cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing import w3c
from proxy.tracing.context import TraceContext

TRACE = b"12345678901234567890123456789012"
SPAN = b"1234567890123456"
PARENT = b"00-" + TRACE + b"-" + SPAN + b"-01"


def extract(*states: bytes, parent: bytes = PARENT) -> TraceContext | None:
    """As the head gives them: several tracestate headers come joined."""
    fields = {b"traceparent": parent}
    if states:
        fields[b"tracestate"] = b", ".join(states)
    return w3c.extract(fields)


def state(*states: bytes) -> bytes:
    context = extract(*states)
    assert context is not None, "a bad tracestate must not cost the traceparent"
    assert context.trace_id == TRACE
    return context.state


@pytest.mark.parametrize(
    "parent",
    [
        PARENT,
        b" " + PARENT,
        b"\t" + PARENT,
        PARENT + b" ",
        PARENT + b"\t",
        b"\t " + PARENT + b" \t",
        b"cc" + PARENT[2:],
        b"01" + PARENT[2:],
        b"fe" + PARENT[2:],
        b" cc" + PARENT[2:],
        b"cc" + PARENT[2:] + b"-what-the-future-will-be-like",
        b"cc" + PARENT[2:] + b"-",
    ],
)
def test_valid_parent(parent: bytes) -> None:
    assert extract(parent=parent) == TraceContext(TRACE, SPAN, True)


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"-",
        b"---",
        b"00",
        PARENT + b", " + PARENT,
        PARENT + b", 00-" + TRACE[:-1] + b"1-" + SPAN + b"-01",
        PARENT + b".",
        PARENT + b"-",
        PARENT + b"-what-the-future-will-be-like",
        b"cc" + PARENT[2:] + b".what-the-future-will-be-like",
        b"cc" + PARENT[2:-1],
        b"cc" + PARENT[2:] + b"0",
        b"CC" + PARENT[2:],
        b"ff" + PARENT[2:],
        b"ff" + PARENT[2:] + b"-",
        b".0" + PARENT[2:],
        b"0." + PARENT[2:],
        b"000" + PARENT[2:],
        b"0000" + PARENT[2:],
        b"0" + PARENT[2:],
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-." + TRACE[1:] + b"-" + SPAN + b"-01",
        b"00-" + TRACE[:-1] + b".-" + SPAN + b"-01",
        b"00-" + b"ABCDEF" + TRACE[6:] + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"3-" + SPAN + b"-01",
        b"00-" + TRACE[:-1] + b"-" + SPAN + b"-01",
        b"00-" + TRACE[:-1] + b"-" + SPAN + b"7-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"00-" + TRACE + b"-." + SPAN[1:] + b"-01",
        b"00-" + TRACE + b"-" + SPAN[:-1] + b".-01",
        b"00-" + TRACE + b"-" + SPAN[:-1] + b"A-01",
        b"00-" + TRACE + b"-" + SPAN + b"7-01",
        b"00-" + TRACE + b"-" + SPAN[:-1] + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"-.0",
        b"00-" + TRACE + b"-" + SPAN + b"-0.",
        b"00-" + TRACE + b"-" + SPAN + b"-0A",
        b"00-" + TRACE + b"-" + SPAN + b"-001",
        b"00-" + TRACE + b"-" + SPAN + b"-1",
        b"00-" + TRACE + b"-" + SPAN + b"-",
        b"00-" + TRACE + b"-" + SPAN,
        b"00_" + TRACE + b"_" + SPAN + b"_01",
        b"cc_" + TRACE + b"-" + SPAN + b"-01",
        b"cc-" + TRACE + SPAN + b"--01",
        b"cc-" + b"0" * 32 + b"-" + SPAN + b"-01-x",
    ],
)
def test_invalid_parent_drops_the_state_too(parent: bytes) -> None:
    assert extract(b"a=1", parent=parent) is None


@pytest.mark.parametrize("name", [b"trace-parent", b"trace.parent"])
def test_wrong_parent_name(name: bytes) -> None:
    assert w3c.extract({name: PARENT}) is None


@pytest.mark.parametrize("name", [b"trace-state", b"trace.state"])
def test_wrong_state_name(name: bytes) -> None:
    context = w3c.extract({b"traceparent": PARENT, name: b"foo=1"})
    assert context is not None
    assert context.state == b""


@pytest.mark.parametrize("version", [b"00", b"01", b"cc"])
def test_every_version_is_sent_as_00(version: bytes) -> None:
    context = extract(parent=version + PARENT[2:])
    assert context is not None
    sent = w3c.inject(context.trace_id, b"b" * 16, True, context.random, context)
    assert sent == [(b"traceparent", b"00-" + TRACE + b"-" + b"b" * 16 + b"-01")]


ALL_KEY = b"abcdefghijklmnopqrstuvwxyz0123456789_-*/"
ALL_VALUE = bytes(c for c in range(0x20, 0x7F) if c not in b",=")
THIRTY_TWO = [b"bar%02d=%02d" % (n, n) for n in range(1, 33)]


@pytest.mark.parametrize(
    ("states", "sent"),
    [
        ([b"foo=1"], b"foo=1"),
        ([b"foo=1,bar=2"], b"foo=1,bar=2"),
        # several headers, in order
        (
            [b"foo=1,bar=2", b"rojo=1,congo=2", b"baz=3"],
            b"foo=1,bar=2, rojo=1,congo=2, baz=3",
        ),
        # empty headers and members
        ([b""], b""),
        ([b"foo=1", b""], b"foo=1"),
        ([b"", b"foo=1"], b"foo=1"),
        ([b",foo=1,, ,bar=2 ,\t,"], b"foo=1,bar=2"),
        ([b" , "], b""),
        # duplicates stay as they are
        ([b"foo=1,foo=1"], b"foo=1,foo=1"),
        ([b"foo=1,foo=2"], b"foo=1,foo=2"),
        ([b"foo=1", b"foo=2"], b"foo=1, foo=2"),
        # every character that is allowed
        ([ALL_KEY + b"=" + ALL_VALUE], ALL_KEY + b"=" + ALL_VALUE),
        (
            [ALL_KEY + b"@a-z0-9_-*/=" + ALL_VALUE],
            ALL_KEY + b"@a-z0-9_-*/=" + ALL_VALUE,
        ),
        ([b"0foo=1"], b"0foo=1"),
        # white space around members
        ([b"foo=1 \t , \t bar=2, \t baz=3"], b"foo=1 \t , \t bar=2, \t baz=3"),
        ([b" foo=1"], b"foo=1"),
        ([b"\tfoo=1"], b"foo=1"),
        ([b"foo=1 "], b"foo=1"),
        ([b"foo=1\t"], b"foo=1"),
        ([b"\t foo=1 \t"], b"foo=1"),
        ([b"foo= 1"], b"foo= 1"),
        ([b"foo=1 2"], b"foo=1 2"),
        ([b"foo=1;bar"], b"foo=1;bar"),
        # @ is a key character like others since June 2026
        ([b"foo@=1,bar=2"], b"foo@=1,bar=2"),
        ([b"foo@@bar=1,bar=2"], b"foo@@bar=1,bar=2"),
        ([b"foo@bar@baz=1,bar=2"], b"foo@bar@baz=1,bar=2"),
        ([b"foo=1", b"t" * 242 + b"@v=1"], b"foo=1, " + b"t" * 242 + b"@v=1"),
        # sizes
        ([b",".join(THIRTY_TWO)], b",".join(THIRTY_TWO)),
        ([b",".join(THIRTY_TWO) + b",,"], b",".join(THIRTY_TWO)),
        ([b"foo=1", b"z" * 256 + b"=1"], b"foo=1, " + b"z" * 256 + b"=1"),
        ([b"foo=" + b"v" * 256], b"foo=" + b"v" * 256),
    ],
)
def test_valid_state(states: list[bytes], sent: bytes) -> None:
    assert state(*states) == sent


@pytest.mark.parametrize(
    "value",
    [
        b"foo",
        b"=1",
        b"foo =1",
        b"FOO=1",
        b"foo.bar=1",
        b"_foo=1",
        b"@foo=1,bar=2",
        b"foo=bar=baz",
        b"foo=,bar=3",
        b"foo= ,bar=3",
        b"foo=\x7f",
        b"foo=a\tb",
        b"foo=\xc3\xa4",
        b"foo=1\0",
        b"foo=1;bar=2",
        b"foo=1\r\nx: y",
        b"foo=1," + b"z" * 257 + b"=1",
        b"foo=1,bar=" + b"v" * 257,
        b",".join([*THIRTY_TWO, b"bar33=33"]),
        b",".join([*THIRTY_TWO, b"", b"bar33=33"]),
        b"foo=1" + b"," * 60_000,
    ],
)
def test_invalid_state_is_dropped_alone(value: bytes) -> None:
    assert state(value) == b""


def test_512_bytes_of_state_are_kept_and_much_more() -> None:
    value = b",".join(b"k%02d=%s" % (n, b"v" * 100) for n in range(32))
    assert 512 < len(value) <= w3c.MAX_STATE
    assert state(value) == value


def test_an_overlong_state_is_cut_at_members() -> None:
    members = [b"k%02d=%s" % (n, b"v" * 250) for n in range(32)]
    sent = state(b",".join(members)).split(b",")
    assert sent == members[: len(sent)]
    assert w3c.MAX_STATE - len(members[0]) <= len(b",".join(sent)) <= w3c.MAX_STATE


LONG = b"l=" + b"v" * 127  # 129 bytes


@pytest.mark.parametrize(
    ("value", "limit", "kept"),
    [
        (b"a=1,b=2", 7, b"a=1,b=2"),
        (b"a=1,b=2", 6, b"a=1"),
        (b"a=1,b=2", 3, b"a=1"),
        (b"a=1,b=2", 2, b""),
        (LONG + b",a=1,b=2", 130, b"a=1,b=2"),
        (LONG + b",a=1," + LONG, 140, LONG + b",a=1"),
        (LONG[:-1] + b",a=1,b=2", 130, LONG[:-1]),  # 128 bytes are not long
        (LONG + b",a=1,b=2", 4, b"a=1"),
        (b"", 4, b""),
    ],
)
def test_cut(value: bytes, limit: int, kept: bytes) -> None:
    assert w3c.cut_state(value, limit) == kept


@given(
    st.lists(st.integers(1, 300).map(lambda n: b"k=" + b"v" * n), max_size=40),
    st.integers(0, 5000),
)
def test_cut_keeps_whole_members_in_order(members: list[bytes], limit: int) -> None:
    kept = w3c.cut_state(b",".join(members), limit)
    assert len(kept) <= limit
    rest = iter(members)
    assert all(m in rest for m in kept.split(b",") if m)


@pytest.mark.parametrize(
    ("value", "new", "result"),
    [
        (b"", b"1", b"ot=1"),
        (b"a=1", b"1", b"ot=1,a=1"),
        (b"a=1, ot=0 ,b=2", b"1", b"ot=1,a=1,b=2"),
        (b"a=1,ot=0,b=2", b"", b"a=1,b=2"),
        (b"ot=0", b"", b""),
        (b"bot=0", b"1", b"ot=1,bot=0"),
    ],
)
def test_put_first(value: bytes, new: bytes, result: bytes) -> None:
    assert w3c.put_first(value, b"ot", new) == result


def test_put_first_overflow_drops_the_right_most() -> None:
    result = w3c.put_first(b",".join(THIRTY_TWO), b"ot", b"th:8").split(b",")
    assert result == [b"ot=th:8", *THIRTY_TWO[:-1]]


@pytest.mark.parametrize(
    ("value", "found"),
    [(b"a=1, ot=x ,ot=y", b"x"), (b"bot=1", b""), (b"", b""), (b"a=1,ot=x", b"x")],
)
def test_member(value: bytes, found: bytes) -> None:
    assert w3c.member(value, b"ot") == found


@given(st.binary() | st.text("ab0@=, \t;:~", max_size=300).map(str.encode))
def test_any_state_yields_one_that_is_stable(value: bytes) -> None:
    once = w3c.parse_state(value)
    assert w3c.parse_state(once) == once
    assert not set(once) & set(b"\r\n\0")
