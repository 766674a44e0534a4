"""The first flight of a TLS connection: of real clients, cut anywhere, mutilated, and no TLS."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.client_hello import (
    Incomplete,
    NotTls,
    client_hello,
    is_http,
    is_tls,
    server_name_of,
)


def hello(name: str | None = "shop.example", alpn: list[str] | None = None) -> bytes:
    """What OpenSSL's client sends."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(alpn)
    out = ssl.MemoryBIO()
    talk = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        talk.do_handshake()
    return out.read()


def records(data: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes."""
    message = data[5:]
    parts = [message[i : i + size] for i in range(0, len(message), size)]
    return b"".join(data[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def crafted(extensions: bytes, before: bytes | None = None) -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    if before is not None:
        body = before
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def sni(*names: bytes, kind: int = 0) -> bytes:
    listed = b"".join(bytes([kind]) + len(n).to_bytes(2, "big") + n for n in names)
    return extension(0, len(listed).to_bytes(2, "big") + listed)


@pytest.mark.parametrize("name", ["shop.example", "xn--bcher-kva.example", None])
@pytest.mark.parametrize("alpn", [[], ["h2", "http/1.1"], ["h3"]])
@pytest.mark.parametrize("size", [16384, 100, 17])
def test_real_clients(name: str | None, alpn: list[str], size: int) -> None:
    said = client_hello(records(hello(name, alpn), size))
    assert said.server_name == name
    assert said.alpn == tuple(alpn)


def test_a_part_is_incomplete_and_more_than_all_is_no_matter() -> None:
    whole = hello(alpn=["h2"])
    for end in range(len(whole)):
        with pytest.raises(Incomplete):
            client_hello(whole[:end])
    assert server_name_of(whole + b"\x14\x03\x03\x00\x01\x01") == "shop.example"


def test_a_name_is_read_as_dns_reads_it() -> None:
    assert server_name_of(crafted(sni(b"Shop.EXAMPLE."))) == "shop.example"
    assert server_name_of(crafted(sni(b"x", kind=7))) is None
    assert server_name_of(crafted(b"")) is None


def test_a_hello_without_extensions() -> None:
    assert client_hello(bytes.fromhex("160301002d01000029") + b"\x03\x03" + bytes(32) + b"\x00"
                        + b"\x00\x02\x00\x2f" + b"\x01\x00").server_name is None  # fmt: skip


BROKEN = {
    "a request": b"GET / HTTP/1.1\r\n",
    "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "SSLv2": b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
    "a ServerHello": b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
    "an empty record": b"\x16\x03\x01\x00\x00",
    "a record too long": b"\x16\x03\x01\x40\x01",
    "another version": b"\x16\x04\x01",
    "a message too large": b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\x00",
    "an empty name": crafted(sni(b"")),
    "a name with NUL": crafted(sni(b"a\0b")),
    "a name in UTF-8": crafted(sni("bücher".encode())),
    "two names": crafted(sni(b"a", b"b")),
    "a name too long": crafted(sni(b"a" * 254)),
    "a name cut short": crafted(extension(0, b"\x00\x05\x00\x00\x03a")),
    "more than the names": crafted(extension(0, b"\x00\x04\x00\x00\x01a!")),
    "an empty protocol": crafted(extension(16, b"\x00\x01\x00")),
    "an extension cut short": crafted(b"\x00\x00\x00\x09\x00"),
    "suites cut short": crafted(b"", b"\x03\x03" + bytes(32) + b"\x00\xff\xff"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(NotTls):
        client_hello(data)


def test_it_does_not_grow_without_end() -> None:
    """A message that is within the limit, in small records; and one byte too many."""
    with pytest.raises(NotTls):
        client_hello(records(HELLO, 1))
    record = b"\x16\x03\x01\x3f\xff"
    begun = record + b"\x01\x00\x7f\xfc" + bytes(0x3FFF - 4)
    with pytest.raises(Incomplete):
        client_hello(begun)
    with pytest.raises(NotTls):
        client_hello(record + b"\x01\x00\x7f\xfd" + bytes(0x3FFF - 4))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda d: b"\x16\x03\x01" + d))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(NotTls, Incomplete):
        client_hello(data)


@given(st.data())
def test_a_changed_hello_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(HELLO)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NotTls, Incomplete):
        client_hello(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


HELLO = hello(alpn=["h2", "http/1.1"])


@pytest.mark.parametrize(
    ("data", "tls", "http"),
    [
        (HELLO, True, False),
        (b"\x16", True, False),
        (b"GET / HTTP/1.1\r\n\r\n", False, True),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", False, True),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", False, True),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", False, True),
        (b"SSH-2.0-OpenSSH\r\n", False, False),
        (b"\x80\x2e\x01\x03\x01", False, False),
        (b"", False, False),
    ],
)
def test_what_else_it_may_be(data: bytes, tls: bool, http: bool) -> None:
    assert (is_tls(data), is_http(data)) == (tls, http)
