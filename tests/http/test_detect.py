"""What a connection speaks, by its first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.detect import Spoken, detect, is_answer, is_settings
from proxy.http.h2 import PREFACE

CASES: dict[bytes, Spoken] = {
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n": Spoken.HTTP,
    b"GET /" + b"a" * 9000: Spoken.HTTP,
    b"OPTIONS * HTTP/1.1\r\n": Spoken.HTTP,
    b"GET http://a/ HTTP/1.0\n": Spoken.HTTP,
    b"POST HTTPS://a/ HTTP/1.1\r\n": Spoken.HTTP,
    b"CONNECT a:443 HTTP/1.1\r\n": Spoken.HTTP,
    b"M-SEARCH * HTTP/1.1\r\n": Spoken.HTTP,
    b"VERSION_CONTROL /a": Spoken.HTTP,
    PREFACE: Spoken.HTTP,
    PREFACE + b"\0\0\0": Spoken.HTTP,
    b"\x16\x03\x01\x02\x00": Spoken.TLS,
    b"\x16\x03": Spoken.TLS,
    b"GET": Spoken.UNKNOWN,
    b"GET ": Spoken.UNKNOWN,
    b"GET ht": Spoken.UNKNOWN,
    b"PRI ": Spoken.UNKNOWN,
    b"": Spoken.UNKNOWN,
    b"EHLO mail.test\r\n": Spoken.BYTES,  # SMTP
    b"SET key value\r\n": Spoken.BYTES,  # Redis, inline
    b"SET /key value\r\n": Spoken.BYTES,
    b"GET /key\r\n": Spoken.BYTES,  # HTTP/0.9, which nobody means
    b"*1\r\n$4\r\nPING\r\n": Spoken.BYTES,  # Redis
    b"get key\r\n": Spoken.BYTES,  # memcached
    b"\0\0\0\x08\x04\xd2\x16\x2f": Spoken.BYTES,  # PostgreSQL, SSLRequest
    b"\x10\x1a\0\x04MQTT": Spoken.BYTES,
    b"SSH-2.0-OpenSSH_9.2\r\n": Spoken.BYTES,
    b"\r": Spoken.UNKNOWN,
    b"\r\n": Spoken.UNKNOWN,
    b"\r\nGET": Spoken.UNKNOWN,
    b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n": Spoken.HTTP,
    b"\r\nEHLO mail.test\r\n": Spoken.BYTES,
    b"\r\n\x16\x03\x01\x02\x00": Spoken.BYTES,
    b"\r\n\r\nGET / HTTP/1.1\r\n": Spoken.BYTES,  # as all that follow, 400 at a gateway
    b"\nGET / HTTP/1.1\r\n": Spoken.BYTES,
    b"\rGET / HTTP/1.1\r\n": Spoken.BYTES,
    b"A" * 33: Spoken.BYTES,
    b"AMQP\0\0\x09\x01": Spoken.BYTES,
}


@pytest.mark.parametrize("data", CASES)
def test_what_begins_so(data: bytes) -> None:
    assert detect(data) == CASES[data]


@given(st.sampled_from([data for data, kind in CASES.items() if kind != Spoken.UNKNOWN]))
def test_a_part_says_nothing_else_than_the_whole_but_for_a_line_that_turns_out_wrong(
    data: bytes,
) -> None:
    seen = [detect(data[:n]) for n in range(1, len(data[:200]) + 1)]
    known = [kind for kind in seen if kind != Spoken.UNKNOWN]
    line_ended_badly = {Spoken.HTTP, Spoken.BYTES}
    assert set(known) == {CASES[data]} or (
        set(known) == line_ended_badly and CASES[data] == Spoken.BYTES and b"\n" in data
    )


@given(st.binary(max_size=64))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert detect(data) in Spoken


@given(st.binary(min_size=40, max_size=80))
def test_nobody_waits_for_ever(data: bytes) -> None:
    """Whatever it is, forty bytes say it."""
    assert detect(data) != Spoken.UNKNOWN


@pytest.mark.parametrize("data", [b"\0\0\0\4\0\0\0\0\0", b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"])
def test_settings_of_a_server_of_http2(data: bytes) -> None:
    assert is_settings(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\4\0\0\0\0",
        b"\0\0\1\4\0\0\0\0\0",  # RFC 9113 §6.5: a multiple of 6
        b"\0\0\0\4\1\0\0\0\0",
        b"\0\0\0\4\0\0\0\0\1",
        b"J\0\0\0\x0a8.0.36\0",  # MySQL's greeting
        b"220 ready\r\n",
    ],
)
def test_what_is_none(data: bytes) -> None:
    assert not is_settings(data)


def test_an_answer_of_http1() -> None:
    assert is_answer(b"HTTP/1.1 408 Request Timeout\r\n") and is_answer(b"HTTP/1.0 ")
    assert not is_answer(b"HTTP") and not is_answer(b"220 HTTP/1.1")
