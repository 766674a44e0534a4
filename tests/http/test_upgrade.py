"""Switching protocols: what is asked for, what a handshake must say, and both ways of saying it."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, ClientError, UpgradeFailed, UpgradeRefused
from proxy.http.framing import frame_request
from proxy.http.head import RequestHead, ResponseHead
from proxy.http.headers import bits
from proxy.http.upgrade import (
    ACCEPT,
    KEY,
    WEBSOCKET,
    accept_of,
    as_accepted,
    as_switched,
    check_asked,
    check_granted,
    choose,
    confirm,
    is_key,
    wanted,
    with_key,
)

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("field", "protocols"),
    [
        (b"websocket", "websocket"),
        (b"WebSocket", "WebSocket"),
        (b"h2c", ""),
        (b"H2C, HTTP/2.0, h2, TLS/1.2", ""),
        (b"h2c, websocket", "websocket"),
        (b" ,foo ,, bar/1", "foo, bar/1"),
        (b"", ""),
        (b"\xff", "\xff"),
    ],
)
def test_what_is_asked_for(field: bytes, protocols: str) -> None:
    assert wanted(field) == protocols


@pytest.mark.parametrize(
    ("connection", "version", "protocol"),
    [
        (b"upgrade", "1.1", "websocket"),
        (b"keep-alive, Upgrade", "1.1", "websocket"),
        (b"upgrade", "1.0", ""),  # RFC 9110 §7.8
        (b"keep-alive", "1.1", ""),
        (b"te", "1.1", ""),
    ],
)
def test_upgrade_counts_where_connection_names_it(
    connection: bytes, version: str, protocol: str
) -> None:
    head = RequestHead()
    head.version = version
    head.hold({b"upgrade": b"websocket", b"connection": connection})
    head.seen = bits(head.fields)
    frame_request(head)
    assert head.protocol == protocol


@pytest.mark.parametrize(
    ("asked", "allowed", "chosen"),
    [
        ("websocket", ("websocket",), "websocket"),
        ("WebSocket", ("websocket",), "websocket"),
        ("foo, websocket", ("websocket",), "websocket"),
        ("SPDY/3.1", ("websocket", "spdy/3.1"), "SPDY/3.1"),
        ("b, a", ("a", "b"), "b"),
    ],
)
def test_the_protocol_that_is_taken(asked: str, allowed: tuple[str, ...], chosen: str) -> None:
    assert choose(asked, allowed) == chosen


@pytest.mark.parametrize(
    ("asked", "allowed", "listed"),
    [
        ("foo", ("websocket",), "websocket"),
        ("websocket", (), "HTTP/1.1"),
        ("c", ("a", "b"), "a, b"),
    ],
)
def test_a_protocol_that_is_not_allowed(asked: str, allowed: tuple[str, ...], listed: str) -> None:
    with pytest.raises(UpgradeRefused) as refused:
        choose(asked, allowed)
    assert (refused.value.status, refused.value.error_type) == (426, "upgrade_refused")
    assert (b"upgrade", listed.encode()) in refused.value.lines
    assert refused.value.close


def handshake(version: str = "1.1", method: str = "GET", **fields: bytes | None) -> RequestHead:
    head = RequestHead()
    head.version, head.method, head.protocol = version, method, WEBSOCKET
    said = {"sec_websocket_key": _KEY, "sec_websocket_version": b"13", **fields}
    for name, value in said.items():
        if value is not None:
            head.receive(name.replace("_", "-").encode(), value)
    return head


def test_handshakes_that_are_valid() -> None:
    check_asked(handshake())
    check_asked(handshake("2", "CONNECT", sec_websocket_key=None))
    check_asked(handshake("2", "CONNECT", sec_websocket_key=None, sec_websocket_version=None))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (handshake(method="POST"), 400),
        (handshake(sec_websocket_key=None), 400),
        (handshake(sec_websocket_key=b""), 400),
        (handshake(sec_websocket_key=b"c2hvcnQ="), 400),
        (handshake(sec_websocket_key=_KEY[:-2] + b"=A"), 400),
        (handshake(sec_websocket_key=_KEY + b", " + _KEY), 400),
        (handshake(sec_websocket_key=b"\xff" * 24), 400),
        (handshake(sec_websocket_version=None), 400),
        (handshake(sec_websocket_version=b"8"), 426),
        (handshake(sec_websocket_version=b"13, 8"), 426),
        (handshake("2", "CONNECT", sec_websocket_version=b"8"), 426),
    ],
)
def test_handshakes_that_are_not(head: RequestHead, status: int) -> None:
    with pytest.raises(ClientError) as refused:
        check_asked(head)
    assert (refused.value.status, refused.value.close) == (status, True)
    if status == 426:
        assert (b"sec-websocket-version", b"13") in refused.value.lines


@pytest.mark.parametrize("length", [None, 1])
@pytest.mark.parametrize("protocol", [WEBSOCKET, "foo", ""])
def test_a_request_to_switch_has_no_body(length: int | None, protocol: str) -> None:
    head = handshake()
    head.length, head.protocol = length, protocol
    with pytest.raises(BadRequest):
        check_asked(head)


@given(st.binary(min_size=16, max_size=16))
def test_16_bytes_are_a_key(raw: bytes) -> None:
    assert is_key(b64encode(raw))


@given(st.binary(max_size=40))
def test_whatever_is_a_key_or_not(value: bytes) -> None:
    assert is_key(value) in (True, False)


def test_the_answer_to_a_key() -> None:
    assert accept_of(_KEY) == _ACCEPT


def granted(upgrade: bytes | None, accept: bytes | None = _ACCEPT) -> ResponseHead:
    head = ResponseHead()
    head.status = 101
    head.hold({} if upgrade is None else {b"upgrade": upgrade})
    if accept is not None:
        head.pairs.append((b"Sec-WebSocket-Accept", accept))
    return head


def test_an_answer_that_grants() -> None:
    check_granted(granted(b"WebSocket"), WEBSOCKET, _KEY)
    check_granted(granted(b"foo", None), "foo", b"")


@pytest.mark.parametrize(
    ("head", "protocol", "key"),
    [
        (granted(None), WEBSOCKET, _KEY),
        (granted(b"foo"), WEBSOCKET, _KEY),
        (granted(b"websocket", None), WEBSOCKET, _KEY),
        (granted(b"websocket", b"x"), WEBSOCKET, _KEY),
        (granted(b"websocket", _ACCEPT), WEBSOCKET, b64encode(bytes(16))),
        (granted(b"websocket"), "foo", b""),
        (granted(None), "", b""),  # CONNECT
    ],
)
def test_an_answer_that_does_not(head: ResponseHead, protocol: str, key: bytes) -> None:
    with pytest.raises(UpgradeFailed) as failed:
        check_granted(head, protocol, key)
    assert failed.value.status == 502


def test_a_request_over_http_1_has_a_key_of_the_client_s_or_ours() -> None:
    assert with_key(handshake(), [], bytes(16)) == ([], _KEY)
    more, key = with_key(
        handshake("2", "CONNECT", sec_websocket_key=None, sec_websocket_version=None),
        [(b"a", b"b")],
        bytes(16),
    )
    assert key == b64encode(bytes(16))
    assert more == [(b"a", b"b"), (KEY, key), (b"sec-websocket-version", b"13")]
    other = handshake()
    other.protocol = "foo"
    assert with_key(other, [], bytes(16)) == ([], b"")


def test_from_http_1_to_http_2_and_back() -> None:
    answer = ResponseHead()  # of an upstream that speaks HTTP/2
    answer.status = 204
    answer.pairs.append((b"sec-websocket-protocol", b"chat"))
    as_switched(answer, WEBSOCKET)
    assert (answer.status, answer.length) == (101, None)
    more = confirm(answer, handshake())
    assert more == [(ACCEPT, _ACCEPT)]
    answer.pairs.extend(more)
    check_granted(answer, WEBSOCKET, _KEY)
    as_accepted(answer)
    assert (answer.status, answer.get(ACCEPT)) == (200, None)
    assert answer.get(b"sec-websocket-protocol") == b"chat"


def test_an_answer_that_is_there_is_not_made_anew() -> None:
    assert confirm(granted(b"websocket"), handshake()) == []
