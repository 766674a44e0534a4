"""gRPC's small grammars and tables: deadlines, statuses, messages, names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import errors
from proxy.http import grpc

HOUR = 3_600_000_000_000


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc+json; charset=utf-8", True),
        (b"Application/GRPC", True),
        (b"application/grpc;x=y", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/grpcx", False),
        (b"application/json", False),
        (b"", False),
        (None, False),
    ],
)
def test_what_is_grpc(value: bytes | None, is_one: bool) -> None:
    assert grpc.is_grpc(value) is is_one


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/helloworld.Greeter/SayHello", "helloworld.Greeter/SayHello"),
        ("/Greeter/SayHello", "Greeter/SayHello"),
        ("/a.b.c_d.E1/F", "a.b.c_d.E1/F"),
        ("/Greeter", ""),
        ("/Greeter/", ""),
        ("/Greeter/Say/Hello", ""),
        ("/Greeter/Say%20Hello", ""),
        ("/1/x", ""),
        ("*", ""),
        ("/a/" + "b" * 300, ""),
    ],
)
def test_names_of_methods(path: str, method: str) -> None:
    assert grpc.method_of(path) == method


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (b"1n", 1),
        (b"100m", 100_000_000),
        (b"1S", 1_000_000_000),
        (b"2M", 120_000_000_000),
        (b"1H", HOUR),
        (b"0S", 0),
        (b"99999999H", 99_999_999 * HOUR),
        (b"100000000n", -1),  # nine digits
        (b"1s", -1),
        (b"1", -1),
        (b"S", -1),
        (b"-1S", -1),
        (b"1.5S", -1),
        (b" 1S", -1),
        (b"1S, 2S", -1),
        (b"", -1),
        (None, -1),
    ],
)
def test_deadlines_are_read(value: bytes | None, ns: int) -> None:
    assert grpc.parse_timeout(value) == ns


@pytest.mark.parametrize(
    ("ns", "value"),
    [
        (0, b"1n"),
        (-5, b"1n"),
        (1, b"1n"),
        (99_999_999, b"99999999n"),
        (100_000_000, b"100000u"),
        (100_000_001, b"100001u"),
        (10**11, b"100000m"),
        (10**11 + 1, b"100001m"),
        (10**30, b"99999999H"),
    ],
)
def test_deadlines_are_written(ns: int, value: bytes) -> None:
    assert grpc.format_timeout(ns) == value


@given(st.integers(1, 99_999_999 * HOUR))
def test_a_written_deadline_is_never_shorter(ns: int) -> None:
    again = grpc.parse_timeout(grpc.format_timeout(ns))
    assert ns <= again <= ns + max(1000, ns // 1000)


@given(st.binary(max_size=12))
def test_any_bytes_are_a_deadline_or_none(value: bytes) -> None:
    assert grpc.parse_timeout(value) >= -1
    assert 0 <= grpc.parse_status(value) <= 16
    assert (grpc.pushback(value) or 0) >= -1


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"0", 0),
        (b"14", 14),
        (b"014", 14),
        (b"17", 2),
        (b"9999", 2),
        (b"-1", 2),
        (b"", 2),
        (b"14 ", 2),
        (None, 2),
    ],
)
def test_statuses(value: bytes | None, code: int) -> None:
    assert grpc.parse_status(value) == code


def test_the_status_in_trailers() -> None:
    assert grpc.status_in(((b"x", b"y"), (b"grpc-status", b"5"))) == 5
    assert grpc.status_in(()) == grpc.UNKNOWN


@given(st.text())
def test_messages_come_back(text: str) -> None:
    encoded = grpc.encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert grpc.decode_message(encoded) == text.encode("utf-8", "replace").decode()


@given(st.binary())
def test_reading_a_message_never_fails(value: bytes) -> None:
    assert isinstance(grpc.decode_message(value), str)


def test_the_special_message_of_the_interoperability_tests() -> None:
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    encoded = grpc.encode_message(text)
    assert encoded.startswith(b"%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and")
    assert grpc.decode_message(encoded) == text


ERRORS = {
    errors.NoRoute(): 12,
    errors.WrongMethod(("GET",), 0): 12,
    errors.NoHttp2(): 12,
    errors.NoEndpoint(): 14,
    errors.ConnectRefused(): 14,
    errors.ConnectFailed(): 14,
    errors.DnsFailed(): 14,
    errors.ConnectTimeout(): 14,
    errors.Overloaded(): 14,
    errors.ShuttingDown(): 14,
    errors.UpstreamReset(): 14,
    errors.BadResponse(): 14,
    errors.Truncated(): 14,
    errors.UpstreamTimeout(): 4,
    errors.ClientGone(): 1,
    errors.ClientError(413, ""): 8,
    errors.ClientError(401, ""): 16,
    errors.ClientError(403, ""): 7,
    errors.ClientError(408, ""): 1,
    errors.ClientError(429, ""): 14,
    errors.BadRequest(""): 13,
    errors.LoopDetected(): 13,
    errors.ProxyError(): 13,
}


@pytest.mark.parametrize(("error", "code"), ERRORS.items(), ids=lambda v: type(v).__name__)
def test_errors_of_ours(error: errors.ProxyError, code: int) -> None:
    assert grpc.of_error(error) == code


@pytest.mark.parametrize(
    ("reset", "code"), [(7, 14), (8, 1), (11, 8), (12, 7), (0, 13), (1, 13), (2, 13), (99, 13)]
)
def test_resets(reset: int, code: int) -> None:
    error = errors.StreamReset()
    error.code = reset
    assert grpc.of_reset(reset) == grpc.of_error(error) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 13),
        (401, 16),
        (403, 7),
        (404, 12),
        (429, 14),
        (431, 13),
        (500, 2),
        (503, 14),
        (200, 2),
    ],
)
def test_http_statuses(status: int, code: int) -> None:
    assert grpc.of_http(status) == code


@pytest.mark.parametrize(
    ("value", "ms"),
    [(b"0", 0), (b"250", 250), (b"-1", -1), (b"", -1), (b"soon", -1), (b"1.5", -1), (None, None)],
)
def test_pushback(value: bytes | None, ms: int | None) -> None:
    assert grpc.pushback(value) == ms


def test_told() -> None:
    assert grpc.told(0, "") == [(b"grpc-status", b"0")]
    assert grpc.told(14, "no é") == [(b"grpc-status", b"14"), (b"grpc-message", b"no %C3%A9")]
